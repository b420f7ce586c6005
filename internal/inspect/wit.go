package inspect

import (
	"context"
	"slices"
	"strings"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

// witRemarks judges a WIT-SVID, and the proof beside it where there is one, by the
// server's rules.
func witRemarks(attestation, proof string, now time.Time) []Remark {
	e, _ := verifier(now).ExplainWITSVID(context.Background(), svidgate.WITPresentation{
		Attestation: attestation, Proof: proof, ProofUntold: proof == "", ClientIDUntold: true,
	})
	return judged(e)
}

// proofRemarks judges a proof by those rules that need no WIT-SVID.
func proofRemarks(proof string, now time.Time) []Remark {
	e, _ := verifier(now).ExplainWITSVID(context.Background(), svidgate.WITPresentation{Proof: proof, ClientIDUntold: true})
	e.Findings = slices.DeleteFunc(e.Findings, func(f oauth.Finding) bool { return !strings.HasPrefix(f.Rule, "PP-") })
	return judged(e)
}

// addProof puts the proof of a WIT-SVID beside it.
func (r *Report) addProof(attestation, proof string, now time.Time) error {
	p, err := inspectToken(proof, now)
	if err != nil {
		return err
	}
	for _, s := range p.Sections {
		s.Title = strings.TrimSpace("Proof " + strings.ToLower(s.Title))
		r.Sections = append(r.Sections, s)
	}
	r.Name += " and its proof"
	r.Remarks = witRemarks(attestation, proof, now)
	return nil
}
