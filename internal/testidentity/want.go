package testidentity

import (
	"errors"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// A Want is what a stage must answer. The zero Want is acceptance; anything else
// is the refusal with exactly this code, reason and rule.
type Want struct {
	Code   oauth.ErrorCode
	Reason oauth.Reason
	Rule   string
}

// Check compares an answer with what is wanted. A refusal must also tell an
// operator what was expected and presented, and hold no control character
// (AK-31).
func (w Want) Check(t testing.TB, err error) {
	t.Helper()
	if w == (Want{}) {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("got %v, want %s by %s", err, w.Reason, w.Rule)
	}
	if refusal.Code != w.Code || refusal.Reason != w.Reason || refusal.Rule != w.Rule {
		t.Errorf("refused with %s, %s by %s; want %s, %s by %s: %v", refusal.Code, refusal.Reason, refusal.Rule, w.Code, w.Reason, w.Rule, err)
	}
	if refusal.Expected == "" || refusal.Presented == "" {
		t.Errorf("an operator is told nothing: %v", err)
	}
	if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < 0x20 }) {
		t.Errorf("AK-31 the error has a control character: %q", err)
	}
}
