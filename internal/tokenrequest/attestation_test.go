package tokenrequest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// Exactly one WIT-SVID and exactly one proof, each a token68 of at most 8 KiB.
func TestAttestation(t *testing.T) {
	const wit, pop = "OAuth-Client-Attestation", "OAuth-Client-Attestation-PoP"
	long := strings.Repeat("a", oauth.MaxAttestation)
	refused := func(reason oauth.Reason, rule string) want { return want{oauth.InvalidClient, reason, rule} }
	for _, row := range []struct {
		name       string
		wits, pops []string
		want       want
	}{
		{"PP-1 one of each", []string{"a.b.c"}, []string{"d.e.f"}, accepted},
		{"PP-1 token68 with all its characters", []string{"a-._~+/9Z=="}, []string{"d.e.f"}, accepted},
		{"PP-1 two WIT-SVIDs", []string{"a.b.c", "a.b.c"}, []string{"d.e.f"}, refused(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-1 two proofs", []string{"a.b.c"}, []string{"d.e.f", "d.e.f"}, refused(oauth.ReasonPoPBad, "PP-1")},
		{"PP-1 two WIT-SVIDs in one header", []string{"a.b.c, d.e.f"}, []string{"d.e.f"}, refused(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-1 two WIT-SVIDs in one header without space", []string{"a.b.c,d.e.f"}, []string{"d.e.f"}, refused(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-1 two proofs in one header", []string{"a.b.c"}, []string{"d.e.f, d.e.f"}, refused(oauth.ReasonPoPBad, "PP-1")},
		{"PP-1 an empty WIT-SVID", []string{""}, []string{"d.e.f"}, refused(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-1 an empty proof", []string{"a.b.c"}, []string{""}, refused(oauth.ReasonPoPBad, "PP-1")},
		{"PP-1 a proof of equals signs", []string{"a.b.c"}, []string{"=="}, refused(oauth.ReasonPoPBad, "PP-1")},
		{"PP-1 padding within", []string{"a=.b.c"}, []string{"d.e.f"}, refused(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-1 a scheme before it", []string{"Bearer a.b.c"}, []string{"d.e.f"}, refused(oauth.ReasonAssertionMalformed, "PP-1")},
		{"PP-1 another alphabet", []string{"a.b.c"}, []string{"d.\u00e9.f"}, refused(oauth.ReasonPoPBad, "PP-1")},
		{"PP-1 no proof", []string{"a.b.c"}, nil, refused(oauth.ReasonPoPMissing, "PP-1")},
		{"PP-1 no WIT-SVID", nil, []string{"d.e.f"}, refused(oauth.ReasonAssertionMissing, "PP-1")},
		{"PP-14 8 KiB each", []string{long}, []string{long}, accepted},
		{"PP-14 a WIT-SVID of 8 KiB and 1", []string{long + "a"}, []string{"d.e.f"}, refused(oauth.ReasonAssertionTooLarge, "PP-14")},
		{"PP-14 a proof of 8 KiB and 1", []string{"a.b.c"}, []string{long + "a"}, refused(oauth.ReasonAssertionTooLarge, "PP-14")},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := http.Header{}
			for _, v := range row.wits {
				h.Add(wit, v)
			}
			for _, v := range row.pops {
				h.Add(pop, v)
			}
			req, err := parseWith("grant_type=client_credentials&client_id=a", h, false)
			check(t, req, err, row.want)
			if req.Credential() != tokenrequest.Attestation {
				t.Errorf("read as mechanism %d", req.Credential())
			}
			if got := req.Attestation() != "" && req.Proof() != ""; got != (row.want == accepted) {
				t.Errorf("WIT-SVID and proof are handed on: %t", got)
			}
		})
	}
}

// PP-21, PP-22: a DPoP proof takes the place of none, and stands in the way of none.
func TestDPoPInPlaceOfTheProof(t *testing.T) {
	for _, row := range []struct {
		name string
		h    http.Header
		want want
	}{
		{"PP-22 a DPoP proof beside the proof", http.Header{"Oauth-Client-Attestation": {"a.b.c"}, "Oauth-Client-Attestation-Pop": {"d.e.f"}, "Dpop": {"g.h.i"}}, accepted},
		{"PP-21 a DPoP proof alone", http.Header{"Oauth-Client-Attestation": {"a.b.c"}, "Dpop": {"g.h.i"}}, want{oauth.InvalidClient, oauth.ReasonPoPMissing, "PP-1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, err := parseWith("grant_type=client_credentials&client_id=a", row.h, false)
			check(t, req, err, row.want)
		})
	}
}
