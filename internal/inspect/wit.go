package inspect

import (
	"slices"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// witRemarks are the rules of WIT-SVID (client-authentication section 4) that
// look at the token alone.
func (t *token) witRemarks() []Remark {
	var r Report
	alg, _ := t.Header.Get("alg")
	if name, _ := alg.Text(); !slices.Contains(jose.SVIDAlgorithms, jose.Algorithm(name)) {
		r.open("WS", 3, "alg is none of the nine that an SVID may be signed with")
	}
	if text(t.Header, "kid") == "" {
		r.open("WS", 4, "there is no kid")
	}
	if _, ok := t.Header.Get("crit"); ok {
		r.open("WS", 5, "the header has crit, and no extension is known")
	}
	if _, err := strictid.Workload(text(t.Payload, "sub")); err != nil {
		r.open("WS", 6, "sub is not the SPIFFE ID of a workload: "+oauth.Shown(err.Error()))
	}
	v, _ := t.Payload.Get("exp")
	switch exp, ok := v.NumericDate(); {
	case !ok:
		r.open("WS", 7, "there is no exp that is a number")
	case !exp.After(t.now):
		r.open("WS", 7, "it has expired")
	}
	if v, ok := t.Payload.Get("nbf"); ok {
		if nbf, ok := v.NumericDate(); !ok || nbf.After(t.now) {
			r.open("WS", 8, "nbf is in the future, or no number")
		}
	}
	if len(t.audiences()) > 0 {
		r.open("WS", 11, "a WIT-SVID has no aud: it is not for one audience, its proof is")
	}
	t.witKey(&r)
	return r.Remarks
}

// witKey is the key that the proof has to be made with.
func (t *token) witKey(r *Report) {
	v, _ := t.Payload.Get("cnf")
	cnf, err := v.Object()
	if err != nil {
		r.open("WS", 12, "there is no cnf")
		return
	}
	raw, ok := cnf.Get("jwk")
	if !ok {
		r.open("WS", 12, "cnf has no jwk")
		return
	}
	switch jwk, err := jose.ParseJWK([]byte(raw)); {
	case err != nil:
		r.open("WS", 12, "cnf.jwk is no public key that can be read: "+oauth.Shown(err.Error()))
	case jwk.Algorithm == "":
		r.open("WS", 13, "cnf.jwk names no alg")
	case !slices.Contains(jose.SVIDAlgorithms, jwk.Algorithm) || jose.Fits(jwk.Algorithm, jwk.Key) != nil:
		r.open("WS", 13, "alg of cnf.jwk is not allowed or does not go with the key")
	}
}
