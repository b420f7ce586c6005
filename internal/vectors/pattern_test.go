package vectors

import (
	"encoding/json"
	"errors"
	"regexp"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/strictid"
)

// patternRule is where the text of an error names a rule on patterns.
var patternRule = regexp.MustCompile(`\((MD-[0-9]+)\)$`)

// judgePattern reads a pattern and, if there is one, holds a SPIFFE ID to it.
func judgePattern(t testing.TB, _ *file, input json.RawMessage) expectation {
	var in struct {
		Pattern  string `json:"pattern"`
		Depth    int    `json:"depth,omitempty"`
		SPIFFEID string `json:"spiffe_id,omitempty"`
	}
	read(t, input, &in)
	p, err := svidgate.ParsePattern(in.Pattern)
	if err != nil {
		if m := patternRule.FindStringSubmatch(err.Error()); m != nil {
			return expectation{Outcome: refused, Reason: "pattern", Rule: m[1]}
		}
		f, ok := errors.AsType[*strictid.Fault](err)
		if !ok {
			t.Fatal(err)
		}
		return expectation{Outcome: refused, Reason: "pattern", Rule: f.Rule}
	}
	if in.SPIFFEID != "" && !p.WithDepth(in.Depth).Match(spiffeid.RequireFromString(in.SPIFFEID)) {
		return expectation{Outcome: refused, Reason: noMatch}
	}
	return expectation{Outcome: accepted}
}

// noMatch is the reason of a SPIFFE ID that a pattern does not stand for. It has
// no rule of its own: matching answers yes or no.
const noMatch = "no_match"
