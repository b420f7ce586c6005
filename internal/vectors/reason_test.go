package vectors

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// afterRefresh is the one reason that no vector gives, since nothing is fetched in
// them: the same rule refuses with the same texts as for kid_unknown.
const afterRefresh = oauth.ReasonKIDUnknownAfterRefresh

// elsewhere are the reasons for which no vector can refuse, because what they are
// about is in the store: internal/authorization has the test of their examples.
var elsewhere = []oauth.Reason{
	oauth.ReasonRedirectURIMismatch, oauth.ReasonResponseTypeUnsupported, oauth.ReasonCodeChallengeBad, oauth.ReasonRequestURIUnknown, oauth.ReasonPARRequired,
	oauth.ReasonCodeUnknown, oauth.ReasonCodeExpired, oauth.ReasonCodeReused, oauth.ReasonCodeVerifierBad,
	oauth.ReasonRefreshTokenUnknown, oauth.ReasonRefreshTokenExpired, oauth.ReasonRefreshTokenReused, oauth.ReasonGrantNotYours, oauth.ReasonGrantRevoked,
}

// The examples of docs/reason-codes.md are what the rules say: each is the refusal
// of some vector, word for word.
func TestReasonExamples(t *testing.T) {
	said := map[refusal]bool{}
	for _, f := range readFiles(t) {
		f.told = func(r refusal) { said[r] = true }
		switch f.Family {
		case "jwt-svid", "wit-svid", "x509-svid", "access-token", "token-request":
			for _, v := range f.Vectors {
				families[f.Family](t, f, v.Input)
			}
		}
	}
	if len(said) == 0 {
		t.Fatal("no vector refuses")
	}
	// No vector breaks a disk.
	e := store.Refuse(store.ErrUnavailable)
	said[refusal{string(e.Reason), e.Rule, e.Expected, e.Presented}] = true
	for _, text := range oauth.ReasonTexts() {
		if slices.Contains(elsewhere, text.Reason) {
			continue
		}
		reason, e := text.Reason, reasonexample.Of(text.Reason)
		if reason == afterRefresh {
			reason = oauth.ReasonKIDUnknown
		}
		if said[refusal{string(reason), e.Rule, e.Expected, e.Presented}] {
			continue
		}
		var others []string
		for r := range said {
			if r.reason == string(reason) {
				others = append(others, fmt.Sprintf("%s: expected %s, presented %s", r.rule, r.expected, r.presented))
			}
		}
		slices.Sort(others)
		t.Errorf("no vector refuses for %s as the example says; these do:\n%s", text.Reason, strings.Join(others, "\n"))
	}
}
