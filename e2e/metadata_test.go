package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// AM-1 to AM-6, AM-9, MD-1, MD-2, MD-5, MD-8, MT-3, CJ-14, EC-14: the document as a whole.
func TestMetadata(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	const onlyJWT = `
resources: [{resource: "https://api.example.com/", scopes: [read]}]
clients: [{client_id: "spiffe://example.org/w", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}]
`
	for _, row := range []struct {
		name, config, path, token string
		cert                      bool
	}{
		{"both_listeners", worldConfig, "/.well-known/oauth-authorization-server", "/token", true},
		{"public_listener_only", onlyJWT + "listen: {public: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\n", "/.well-known/oauth-authorization-server", "/token", false},
		{"certificates_on_the_public_listener", onlyJWT + "listen: {public: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\npublic_client_certificates: true\n", "/.well-known/oauth-authorization-server", "/token", false},
		{"issuer_with_a_path", worldConfig + "issuer: https://as.example.com/t1\nmtls_url: https://mtls.as.example.com/t1\n", "/.well-known/oauth-authorization-server/t1", "/t1/token", true},
		{"issuer_with_a_slash", worldConfig + "issuer: https://as.example.com/\n", "/.well-known/oauth-authorization-server", "/token", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t, row.config, td)
			a := s.do(t, call{method: http.MethodGet, target: row.path})
			if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "public, max-age=300" {
				t.Fatalf("status %d, header %v", a.status, a.header)
			}
			golden(t, "metadata/"+row.name, indented(t, a.body))
			if row.cert { // the same document at both listeners
				mtls := s.dial(t, "mtls", tlsConfig("mtls", nil)).do(t, call{method: http.MethodGet, target: row.path})
				if string(mtls.body) != string(a.body) {
					t.Errorf("the mtls listener has another document: %s", mtls.body)
				}
			}
			if head := s.do(t, call{method: http.MethodHead, target: row.path}); head.status != http.StatusOK || len(head.body) != 0 {
				t.Errorf("HEAD: status %d, %d bytes", head.status, len(head.body))
			}
			// AM-1: inserted between host and path, and nowhere else.
			if wrong := s.do(t, call{method: http.MethodGet, target: "/t1/.well-known/oauth-authorization-server"}); wrong.status != http.StatusNotFound {
				t.Errorf("appended to the path: status %d", wrong.status)
			}
			// What it says is true.
			var m oauth.Metadata
			if err := json.Unmarshal(a.body, &m); err != nil {
				t.Fatal(err)
			}
			if m.Issuer != s.issuer {
				t.Errorf("AM-2 issuer %q", m.Issuer)
			}
			if strings.Contains(row.config, "spiffe_x509") {
				c := withJWT(td.id("/billing"), td.jwt(t, "/billing", m.Issuer))
				c.target = row.token
				s.granted(t, c)
				c.form.Set("client_assertion", td.jwt(t, "/billing", m.TokenEndpoint))
				s.granted(t, c)
				c = call{cert: td.svid(t, "/orders"), form: form("client_id", td.id("/orders")), target: row.token}
				s.granted(t, c)
				return
			}
			c := withJWT(td.id("/w"), td.jwt(t, "/w", m.Issuer))
			s.granted(t, c)
			c.cert, c.public = td.svid(t, "/w"), true
			if g := s.granted(t, c); (g.thumbprint() != "") != m.TLSClientCertificateBoundAccessTokens {
				t.Errorf("MT-3 the metadata says %t, the token has cnf %q", m.TLSClientCertificateBoundAccessTokens, g.thumbprint())
			}
		})
	}
}

// KR-1: public keys only, each with use, alg and a kid that is its thumbprint.
func TestJWKS(t *testing.T) {
	w := newWorld(t)
	a := w.do(t, call{method: http.MethodGet, target: oauth.PathJWKS})
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "public, max-age=300" {
		t.Fatalf("status %d, header %v", a.status, a.header)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(a.body, &set); err != nil {
		t.Fatal(err)
	}
	// The shape, without what is drawn anew for each server.
	for _, k := range set.Keys {
		for _, name := range []string{"kid", "x", "y"} {
			if s, ok := k[name].(string); ok && len(s) == 43 {
				k[name] = "(43 letters of base64url)"
			}
		}
	}
	golden(t, "jwks", indented(t, must(json.Marshal(map[string]any{"keys": set.Keys}))))
	g := w.granted(t, w.billing(t))
	keys := w.jwks(t).Key(g.keyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys %q", len(keys), g.keyID)
	}
	if !keys[0].IsPublic() || !keys[0].Valid() {
		t.Error("not a public key")
	}
	if got := g.audit.text("key_id"); got != g.keyID {
		t.Errorf("the audit line says key %q, the token %q", got, g.keyID)
	}
}

// AM-3, AM-4: what is off has no member; what is on has no empty one.
func TestMetadataMembers(t *testing.T) {
	w := newWorld(t)
	var members map[string]any
	if err := json.Unmarshal(w.do(t, call{method: http.MethodGet, target: oauth.PathASMetadata}).body, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if list, ok := value.([]any); value == nil || value == "" || ok && len(list) == 0 {
			t.Errorf("AM-3 %s is %v", name, value)
		}
	}
	for _, name := range []string{
		"response_types_supported", "authorization_endpoint", "registration_endpoint",
		"pushed_authorization_request_endpoint", "device_authorization_endpoint", "challenge_endpoint", "dpop_signing_alg_values_supported",
		"client_id_metadata_document_supported",
	} {
		if _, there := members[name]; there {
			t.Errorf("AM-4 %s is there, and what it is of is not", name)
		}
	}
	methods, _ := members["token_endpoint_auth_methods_supported"].([]any)
	for _, m := range methods {
		if !slices.Contains([]any{"spiffe_jwt", "spiffe_x509", "spiffe_wit"}, m) {
			t.Errorf("MD-1, MD-5, EC-14 method %v", m)
		}
	}
	t.Logf("members: %v", slices.Sorted(maps.Keys(members)))
}
