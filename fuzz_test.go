package svidgate_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// One byte of a valid assertion changed, one put in or one taken out: refused.
func FuzzVerifyJWTSVID(f *testing.F) {
	d := newDomain(f, "example.org", devca.Options{})
	v := newVerifier(f, bundlesOf(f, d))
	valid := d.svid(f)
	for i := 0; i < len(valid); i += 7 {
		f.Add(uint(i), byte(1<<(i%8)), byte(i))
	}
	f.Fuzz(func(t *testing.T, at uint, bits, how byte) {
		i := int(at % uint(len(valid)))
		changed := valid[:i] + string([]byte{valid[i] ^ bits}) + valid[i+1:]
		switch how % 3 {
		case 1:
			changed = valid[:i] + string([]byte{bits}) + valid[i:]
		case 2:
			changed = valid[:i] + valid[i+1:]
		}
		p := svidgate.JWTPresentation{Assertion: changed, EndpointURL: endpoint}
		id, err := v.VerifyJWTSVID(context.Background(), p)
		if (err == nil) != (changed == valid) {
			t.Fatalf("byte %d of a valid assertion changed: %v, %v", i, id.SPIFFEID(), err)
		}
		e := v.ExplainJWTSVID(context.Background(), p)
		checkExplanation(t, oauth.MethodJWT, err, e)
		checkHidden(t, valid[strings.LastIndexByte(valid, '.')+1:], err, e)
	})
}

// Any header and any claims, truly signed: verifying and explaining agree, and
// whatever is accepted is what another reader takes for a good JWT-SVID, too.
func FuzzSignedJWTSVID(f *testing.F) {
	d := newDomain(f, "example.org", devca.Options{})
	v := newVerifier(f, bundlesOf(f, d))
	_, alg, key := d.JWTKey()
	for _, c := range [][2]string{
		{goodHeader, goodPayload}, {`{"alg":"ES256"}`, goodPayload}, {`{"alg":"none","kid":"KID"}`, goodPayload},
		{`{"alg":"ES256","kid":"KID","typ":"at+jwt"}`, goodPayload}, {`{"alg":"ES256","kid":5,"crit":["x"]}`, goodPayload},
		{goodHeader, `{"sub":"spiffe://example.org/a","aud":["AUD"],"exp":EXP.5,"nbf":1,"iat":EXP,"jti":"x"}`},
		{goodHeader, `{"sub":"spiffe://example.org/a","aud":["AUD","x"],"exp":"EXP"}`}, {goodHeader, `{"sub":"SPIFFE://example.org","aud":"","exp":null}`},
		{goodHeader, `{"sub":"spiffe://example.org/a","\u0073ub":"b","aud":"AUD","exp":EXP}`}, {`[]`, `[]`}, {``, ``},
	} {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		header, payload = []byte(d.fill(string(header))), []byte(d.fill(string(payload)))
		if len(header) == 0 || len(payload) == 0 {
			return
		}
		token, err := jose.Sign(alg, key, header, payload)
		if err != nil {
			t.Fatal(err)
		}
		p := svidgate.JWTPresentation{Assertion: token, EndpointURL: endpoint}
		id, err := v.VerifyJWTSVID(context.Background(), p)
		checkExplanation(t, oauth.MethodJWT, err, v.ExplainJWTSVID(context.Background(), p))
		if err != nil {
			return
		}
		var h struct {
			Alg string `json:"alg"`
			Typ string `json:"typ"`
		}
		var c struct {
			Sub string
			Exp float64
		}
		exact := map[string]json.RawMessage{} // the standard decoder folds case, a map does not
		if json.Unmarshal(header, &h) != nil || json.Unmarshal(payload, &exact) != nil {
			t.Fatalf("accepted what is no JSON: %s, %s", header, payload)
		}
		if json.Unmarshal(exact["sub"], &c.Sub) != nil || json.Unmarshal(exact["exp"], &c.Exp) != nil {
			t.Fatalf("accepted without sub or exp: %s", payload)
		}
		if _, err := strictid.Workload(c.Sub); err != nil || id.SPIFFEID().String() != c.Sub || !strings.HasPrefix(c.Sub, "spiffe://example.org/") {
			t.Fatalf("%q was accepted as %s: %v", c.Sub, id.SPIFFEID(), err)
		}
		if h.Alg != string(alg) || !slices.Contains([]string{"", "JWT", "JOSE"}, h.Typ) {
			t.Fatalf("accepted with the header %s", header)
		}
		var one string
		var list []string
		if json.Unmarshal(exact["aud"], &one) != nil && (json.Unmarshal(exact["aud"], &list) != nil || len(list) != 1) {
			t.Fatalf("accepted with the audience %s", exact["aud"])
		}
		if aud := strings.Join(append(list, one), ""); aud != issuer && aud != endpoint {
			t.Fatalf("accepted with the audience %q", aud)
		}
		now := float64(noon.Unix())
		if c.Exp <= now-60 || c.Exp > now+time.Hour.Seconds() {
			t.Fatalf("accepted with exp %v", c.Exp)
		}
	})
}
