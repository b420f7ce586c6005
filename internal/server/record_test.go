package server

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// CA-14: the line of an attempt names the key, the SVID and the bundle, whether it was
// granted or refused, as far as they were known by then; and never the SVID itself.
func TestAttemptIsRecordedWithItsSVID(t *testing.T) {
	type change = testidentity.Change
	s := newSite(t)
	jti := func(_, claims map[string]any) { claims["jti"] = "id-1" }
	expired := func(_, claims map[string]any) { claims["exp"] = testidentity.Noon.Add(-time.Hour).Unix() }
	kid := func(value any) change { return func(header, _ map[string]any) { header["kid"] = value } }
	jwtKey, serial := s.ProvenByJWT(t, billing).KeyID(), func(c []*x509.Certificate) string { return "serial " + c[0].SerialNumber.Text(16) }
	witKey := s.ProvenByWIT(t, edge).KeyID()
	secret := s.JWT(t, "spiffe://other.test/secret")
	chain, foreign := s.Chain(t, orders), s.Chain(t, "spiffe://other.test/orders")
	attestation, holder := s.WIT(t, edge, jti)
	strange, strangeHolder := s.WIT(t, edge, kid("x"))
	assert := func(clientID string, change ...change) url.Values {
		return testidentity.Assertion(clientID, s.JWT(t, billing, change...))
	}
	for _, row := range []struct {
		name   string
		form   url.Values
		chain  []*x509.Certificate
		edit   func(*http.Request)
		reason oauth.Reason
		want   map[string]any // missing: it is not there
	}{
		{"a JWT-SVID", assert(billing, jti), nil, nil, "", map[string]any{"svid_key_id": jwtKey, "svid_jti": "id-1", "bundle_sequence": 1.0, "proven": true}},
		{"a JWT-SVID of another client", assert(orders, jti), nil, nil, oauth.ReasonMethodNotAllowed, map[string]any{}},
		{"a JWT-SVID of another workload", testidentity.Assertion(billing, s.JWT(t, orders, jti)), nil, nil, oauth.ReasonClientIDMismatch, map[string]any{"svid_key_id": jwtKey, "svid_jti": "id-1", "bundle_sequence": 1.0, "proven": true}},
		{"an expired JWT-SVID", assert(billing, jti, expired), nil, nil, oauth.ReasonExpired, map[string]any{"svid_key_id": jwtKey, "svid_jti": "id-1", "bundle_sequence": 1.0}},
		{"a JWT-SVID with a kid of nobody", assert(billing, kid("nobody\n\"'s")), nil, nil, oauth.ReasonKIDUnknown, map[string]any{"svid_key_id": "nobody??'s", "bundle_sequence": 1.0}},
		{"a JWT-SVID with a token for a kid", assert(billing, kid(secret)), nil, nil, oauth.ReasonKIDUnknown, map[string]any{"svid_key_id": "[redacted]", "bundle_sequence": 1.0}},
		{"a JWT-SVID with a kid of any length", assert(billing, kid(strings.Repeat("k", 3000))), nil, nil, oauth.ReasonKIDUnknown, map[string]any{"svid_key_id": strings.Repeat("k", 200) + "…", "bundle_sequence": 1.0}},
		{"a JWT-SVID for another resource", func() url.Values {
			form := assert(billing, jti)
			form.Set("resource", "https://ledger.example.com/")
			return form
		}(), nil, nil, oauth.ReasonResourceDenied, map[string]any{"svid_key_id": jwtKey, "svid_jti": "id-1", "bundle_sequence": 1.0, "proven": true}},
		{"no SVID at all", testidentity.Assertion(billing, "x"), nil, nil, oauth.ReasonAssertionMalformed, map[string]any{}},
		{"an X.509-SVID", testidentity.Certificate(orders), chain, nil, "", map[string]any{"svid_key_id": serial(chain), "bundle_sequence": 1.0, "proven": true}},
		{"an X.509-SVID of an unknown trust domain", testidentity.Certificate(orders), foreign, nil, oauth.ReasonTDUnknown, map[string]any{"svid_key_id": serial(foreign)}},
		{"a certificate of another workload beside a JWT-SVID", assert(billing, jti), chain, nil, oauth.ReasonMixedCredentials, map[string]any{"svid_key_id": jwtKey, "svid_jti": "id-1", "bundle_sequence": 1.0, "proven": true}},
		{"a WIT-SVID", testidentity.Certificate(edge), nil, attested(attestation, s.Proof(t, holder)), "", map[string]any{"svid_key_id": witKey, "svid_jti": "id-1", "bundle_sequence": 1.0, "proven": true}},
		{"a WIT-SVID with a kid of nobody", testidentity.Certificate(edge), nil, attested(strange, s.Proof(t, strangeHolder)), oauth.ReasonKIDUnknown, map[string]any{"svid_key_id": "x", "bundle_sequence": 1.0}},
	} {
		t.Run("CA-14 "+row.name, func(t *testing.T) {
			before := len(s.lines(t))
			if row.edit == nil {
				row.edit = func(*http.Request) {}
			}
			post(s.server.Public(), row.form, row.chain, row.edit)
			lines := s.lines(t)
			if len(lines) != before+1 {
				t.Fatalf("%d lines", len(lines)-before)
			}
			line := lines[before]
			if reason, _ := line["reason"].(string); reason != string(row.reason) {
				t.Fatalf("the reason is %q, want %q: %v", reason, row.reason, line)
			}
			for _, name := range []string{"svid_key_id", "svid_jti", "bundle_sequence", "proven"} {
				if line[name] != row.want[name] {
					t.Errorf("%s is %v, want %v", name, line[name], row.want[name])
				}
			}
			for _, token := range []string{row.form.Get("client_assertion"), attestation, strange, secret} {
				if _, part, ok := strings.Cut(token, "."); ok && strings.Contains(fmt.Sprint(line), part[:20]) {
					t.Errorf("AU-2 a part of the SVID is in the line: %v", line)
				}
			}
		})
	}
}
