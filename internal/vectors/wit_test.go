package vectors

import (
	"encoding/json"
	"testing"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

func vectorClock() time.Time { return noon }

// A shownWIT is the input of the family.
type shownWIT struct {
	Context  string `json:"context"`
	WIT      string `json:"wit"`
	Proof    string `json:"proof"`
	ClientID string `json:"client_id"`
}

func (f *file) presentedWIT(t testing.TB, input json.RawMessage) (*svidgate.Verifier, svidgate.WITPresentation) {
	var in shownWIT
	read(t, input, &in)
	var c verifierContext
	f.context(t, in.Context, &c)
	p := svidgate.WITPresentation{Attestation: in.WIT, Proof: in.Proof, ClientID: in.ClientID}
	if c.Challenge != "" {
		p.Challenge = func(challenge string) bool { return challenge == "a challenge that was given" }
		p.ChallengeRequired = c.Challenge == "required"
	}
	return f.verifier(t, c, func() time.Time { return f.Now }), p
}

// judgeWITSVID verifies a WIT-SVID and its proof.
func judgeWITSVID(t testing.TB, f *file, input json.RawMessage) expectation {
	v, p := f.presentedWIT(t, input)
	return f.byIdentity(v.VerifyWITSVID(t.Context(), p))
}

func explainWITSVID(t *testing.T, f *file, v *vector) (*oauth.Error, bool) {
	verifier, p := f.presentedWIT(t, v.Input)
	e, use := verifier.ExplainWITSVID(t.Context(), p)
	if (use == svidgate.ProofUse{}) != (e.Refusal != nil) {
		t.Errorf("the use of the proof beside %v: %v", e.Refusal, use.Until)
	}
	return e.Refusal, true
}
