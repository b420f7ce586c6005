package e2e

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

const endpointConfig = `
resources:
  - {resource: https://api.example.com/, scopes: [read]}
clients:
  - {client_id: "spiffe://example.org/billing", token_endpoint_auth_method: spiffe_jwt, grant_types: [client_credentials, authorization_code], redirect_uris: ["https://app.example.com/cb"], resources: ["https://api.example.com/"], scope: read, introspects: ["https://api.example.com/"]}
  - {client_id: "spiffe://example.org/orders", token_endpoint_auth_method: spiffe_x509, grant_types: [client_credentials, authorization_code], redirect_uris: ["https://app.example.com/cb"], resources: ["https://api.example.com/"], scope: read, introspects: ["https://api.example.com/"]}
  - {client_id: "spiffe://example.org/ledger", token_endpoint_auth_method: spiffe_wit, grant_types: [client_credentials, authorization_code], redirect_uris: ["https://app.example.com/cb"], resources: ["https://api.example.com/"], scope: read, introspects: ["https://api.example.com/"]}
  - {client_id: fleet, spiffe_id: "spiffe://example.org/ns/ci/*", auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://nokeys.test/w", auth_methods: [spiffe_jwt, spiffe_x509, spiffe_wit], resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://down.test/w", auth_methods: [spiffe_jwt, spiffe_x509, spiffe_wit], resources: ["https://api.example.com/"], scope: read}
`

// A formEndpoint is one of those at which clients authenticate, and what a request to it
// has besides its client. live is a token of that client.
type formEndpoint struct {
	path   string
	add    func(c *call, live string)
	worked func(a answer) bool
}

func endpointsOf(t *testing.T) []formEndpoint {
	token := func(c *call, live string) { c.set("token", live) }
	return []formEndpoint{
		{"/token", func(*call, string) {}, func(a answer) bool { return a.status == 200 && a.token.AccessToken != "" }},
		{"/introspect", token, func(a answer) bool { return a.status == 200 && active(t, a) }},
		{"/revoke", token, func(a answer) bool { return a.status == 200 && len(a.body) == 0 }},
		{"/par", func(c *call, _ string) {
			c.set("response_type", "code")
			c.set("redirect_uri", "https://app.example.com/cb")
			c.set("code_challenge", strings.Repeat("a", 43))
			c.set("code_challenge_method", "S256")
			c.set("resource", "https://api.example.com/")
		}, func(a answer) bool { return a.status == 201 && strings.Contains(string(a.body), "request_uri") }},
	}
}

// active reads an introspection response; anything but its two forms is an error.
func active(t *testing.T, a answer) bool {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(a.body, &members); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	is, ok := members["active"].(bool)
	if !ok || a.status != http.StatusOK || !is && string(a.body) != `{"active":false}`+"\n" {
		t.Errorf("IN-2 %d %s", a.status, a.body)
	}
	return is
}

// A failure is one way to authenticate badly.
type failure struct {
	name   string
	method string // the one it is for; empty for all
	defect func(*call)
	want   refusal
}

// TestEveryEndpointAuthenticates is CA-11, EC-2 and RS-1: each method at each
// endpoint, accepted once, and refused once for each row of client-authentication
// section 14 that is about the client. A bundle that is too old is in clock_test.go.
func TestEveryEndpointAuthenticates(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{WIT: true})
	foreign := newDomain(t, "example.com", devca.Options{WIT: true}) // not configured
	nokeys, down := newFileDomain(t, "nokeys.test", devca.Options{WIT: true}), newDomain(t, "down.test", devca.Options{WIT: true})
	nokeys.serve(t, `{"keys":[]}`)
	down.status.Store(&answers{http.StatusInternalServerError})
	s := start(t, endpointConfig, td, nokeys, down)

	asBilling := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
	asOrders := func() call { return call{cert: td.svid(t, "/orders"), form: form("client_id", td.id("/orders"))} }
	asLedger := func() call {
		return call{header: attested(t, td, "/ledger"), form: form("client_id", td.id("/ledger"))}
	}
	methods := map[string]func() call{"spiffe_jwt": asBilling, "spiffe_x509": asOrders, "spiffe_wit": asLedger}

	jwt := func(mutate ...mutation) func(*call) {
		return func(c *call) { c.set("client_assertion", td.jwt(t, "/billing", issuer, mutate...)) }
	}
	client := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_client", reason, rule} }
	request := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_request", reason, rule} }
	of := func(d *domain) func(*call) {
		return func(c *call) {
			c.set("client_id", d.id("/w"))
			switch {
			case c.cert != nil:
				c.cert = d.svid(t, "/w")
			case len(c.header) > 0:
				c.header = attested(t, d, "/w")
			default:
				c.set("client_assertion", d.jwt(t, "/w", issuer))
			}
		}
	}
	failures := []failure{
		{"no authentication", "spiffe_jwt", func(c *call) { c.drop("client_assertion"); c.drop("client_assertion_type") }, client(oauth.ReasonAssertionMissing, "TK-2")},
		{"a bearer token instead", "", func(c *call) {
			c.drop("client_assertion")
			c.drop("client_assertion_type")
			c.header = nil
			c.say("Authorization: Bearer " + secrets.jwt(td.jwt(t, "/billing", issuer)))
		}, client(oauth.ReasonMethodNotAllowed, "CA-7")},
		{"two methods", "", func(c *call) { c.set("client_secret", "x"); c.say("Authorization: Basic eDp5") }, request(oauth.ReasonMixedCredentials, "CA-5")},
		{"certificate of another workload beside the assertion", "spiffe_jwt", func(c *call) { c.cert = td.svid(t, "/orders") }, request(oauth.ReasonMixedCredentials, "TK-3")},
		{"client_id twice", "", func(c *call) { c.body = c.form.Encode() + "&client_id=x" }, request(oauth.ReasonRequestMalformed, "GL-4")},
		{"an assertion without type", "spiffe_jwt", func(c *call) { c.drop("client_assertion_type") }, request(oauth.ReasonRequestMalformed, "CJ-1")},
		{"a type without assertion", "spiffe_jwt", func(c *call) { c.drop("client_assertion") }, request(oauth.ReasonAssertionMissing, "CJ-3")},
		{"another type of assertion", "spiffe_jwt", func(c *call) {
			c.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		}, client(oauth.ReasonMethodNotAllowed, "CJ-1")},
		{"no client_id", "spiffe_x509", func(c *call) { c.drop("client_id") }, request(oauth.ReasonClientIDMissing, "CX-2")},
		{"no client_id for a wildcard", "spiffe_jwt", func(c *call) {
			c.drop("client_id")
			c.set("client_assertion", td.jwt(t, "/ns/ci/a", issuer))
		}, client(oauth.ReasonClientNotFound, "CJ-10")},
		{"client_id of nobody", "", func(c *call) { c.set("client_id", td.id("/nobody")) }, client(oauth.ReasonClientNotFound, "CA-2")},
		{"method of another client", "spiffe_jwt", func(c *call) {
			c.set("client_id", td.id("/orders"))
			c.set("client_assertion", td.jwt(t, "/orders", issuer))
		}, client(oauth.ReasonMethodNotAllowed, "CA-7")},
		{"method of another client", "spiffe_x509", func(c *call) {
			c.set("client_id", td.id("/billing"))
			c.cert = td.svid(t, "/billing")
		}, client(oauth.ReasonMethodNotAllowed, "CA-7")},
		{"malformed", "spiffe_jwt", func(c *call) { c.set("client_assertion", "a.b") }, client(oauth.ReasonAssertionMalformed, "JS-1")},
		{"alg none", "spiffe_jwt", jwt(inHeader("alg", "none")), client(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"typ of an access token", "spiffe_jwt", jwt(inHeader("typ", "at+jwt")), client(oauth.ReasonWrongTokenType, "JS-4")},
		{"a header too many", "spiffe_jwt", jwt(inHeader("jku", "https://x/")), client(oauth.ReasonHeaderNotAllowed, "JS-6")},
		{"bad signature", "spiffe_jwt", func(c *call) {
			good := c.form.Get("client_assertion")
			c.set("client_assertion", good[:strings.LastIndexByte(good, 0x2e)+1]+strings.Repeat("A", 86))
		}, client(oauth.ReasonSignatureBad, "JS-12")},
		{"expired", "spiffe_jwt", jwt(inClaimsAt("exp", -2*time.Minute)), client(oauth.ReasonExpired, "CJ-5")},
		{"audience of another server", "spiffe_jwt", jwt(inClaims("aud", "https://other.example.com")), client(oauth.ReasonAudMismatch, "CJ-6")},
		{"a second audience", "spiffe_jwt", jwt(inClaims("aud", []string{issuer, "https://other.example.com"})), client(oauth.ReasonAudMultiple, "EC-4")},
		{"sub that is no SPIFFE ID", "spiffe_jwt", jwt(inClaims("sub", "billing")), client(oauth.ReasonSubNotSPIFFEID, "SI-1")},
		{"trust domain of nobody", "spiffe_jwt", func(c *call) { c.set("client_assertion", foreign.jwt(t, "/billing", issuer)) }, client(oauth.ReasonTDUnknown, "JS-13")},
		{"trust domain of nobody", "spiffe_x509", func(c *call) { c.cert = foreign.svid(t, "/orders") }, client(oauth.ReasonTDUnknown, "JS-13")},
		{"a bundle without keys", "", of(nokeys), client(oauth.ReasonBundleNoKeys, "BU-12")},
		{"no bundle yet", "", of(down), refusal{"(unavailable)", oauth.ReasonTDNotReady, "GL-15"}},
		{"no certificate", "spiffe_x509", func(c *call) { c.cert = nil }, client(oauth.ReasonCertMissing, "CX-1")},
		{"a certificate that is no SVID", "spiffe_x509", func(c *call) {
			c.cert = td.svid(t, "/orders", func(c *x509.Certificate) { c.URIs = nil })
		}, client(oauth.ReasonCertURISANCount, "XS-1")},
		{"an expired certificate", "spiffe_x509", func(c *call) {
			c.cert = td.svid(t, "/orders", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
			})
		}, client(oauth.ReasonExpired, "XS-22")},
		{"an SVID of another client", "spiffe_jwt", func(c *call) { c.set("client_assertion", td.jwt(t, "/other", issuer)) }, client(oauth.ReasonClientIDMismatch, "CA-9")},
		{"an SVID of another client", "spiffe_x509", func(c *call) { c.cert = td.svid(t, "/other") }, client(oauth.ReasonClientIDMismatch, "CA-9")},
		{"a header without its proof", "spiffe_wit", func(c *call) { c.header = c.header[:1] }, client(oauth.ReasonPoPMissing, "PP-1")},
		{"a proof without its header", "spiffe_wit", func(c *call) { c.header = c.header[1:] }, client(oauth.ReasonAssertionMissing, "PP-1")},
		{"the header twice", "spiffe_wit", func(c *call) { c.say(c.header[0]) }, client(oauth.ReasonAssertionMalformed, "PP-1")},
		{"no client_id", "spiffe_wit", func(c *call) { c.drop("client_id") }, request(oauth.ReasonClientIDMissing, "CW-6")},
		{"expired", "spiffe_wit", func(c *call) { c.header = attested(t, td, "/ledger", inClaimsAt("exp", -2*time.Minute)) }, client(oauth.ReasonExpired, "WS-7")},
		{"typ of another token", "spiffe_wit", func(c *call) { c.header = attested(t, td, "/ledger", inHeader("typ", "JWT")) }, client(oauth.ReasonWrongTokenType, "WS-2")},
		{"a proof by another key", "spiffe_wit", func(c *call) { c.header[1] = attested(t, td, "/ledger")[1] }, client(oauth.ReasonPoPBad, "PP-4")},
		{"trust domain of nobody", "spiffe_wit", func(c *call) { c.header = attested(t, foreign, "/ledger") }, client(oauth.ReasonTDUnknown, "JS-13")},
		{"method of another client", "spiffe_wit", func(c *call) {
			c.set("client_id", td.id("/billing"))
			c.header = attested(t, td, "/billing")
		}, client(oauth.ReasonMethodNotAllowed, "CA-7")},
		{"a WIT-SVID of another client", "spiffe_wit", func(c *call) { c.header = attested(t, td, "/other") }, client(oauth.ReasonClientIDMismatch, "CA-9")},
		{"a body over the limit", "", func(c *call) { c.body = c.form.Encode() + "&x=" + strings.Repeat("a", 64<<10) }, refusal{"(too_large)", oauth.ReasonRequestTooLarge, "GL-8"}},
	}
	for method, base := range methods {
		live := string(s.granted(t, base()).token.AccessToken)
		for _, at := range endpointsOf(t) {
			t.Run(method+" at "+at.path, func(t *testing.T) {
				good := func(token string) call {
					c := base()
					c.target = at.path
					at.add(&c, token)
					return c
				}
				for _, f := range failures {
					if f.method != "" && f.method != method {
						continue
					}
					t.Run(f.name, func(t *testing.T) {
						c := good(live)
						f.defect(&c)
						s.refused(t, c, f.want)
					})
				}
				t.Run("GL-8 headers over the limit", func(t *testing.T) {
					c := good(live)
					c.say("X: " + strings.Repeat("a", 40<<10))
					c.silent = true
					if a := s.do(t, c); a.status != http.StatusRequestHeaderFieldsTooLarge {
						t.Errorf("status %d", a.status)
					}
				})
				if method == "spiffe_wit" {
					t.Run("PP-8 a proof replayed", func(t *testing.T) {
						c := good("unknown")
						if a := s.do(t, c); a.status >= 300 {
							t.Fatalf("%d %s", a.status, a.body)
						}
						s.refused(t, c, client(oauth.ReasonPoPReplayed, "PP-8"))
					})
				}
				own := live
				if at.path == "/revoke" { // live is to live on
					own = string(s.granted(t, base()).token.AccessToken)
				}
				a := s.do(t, good(own))
				if !at.worked(a) || a.audit.text("outcome") != "granted" || a.audit.text("auth_method") != method {
					t.Errorf("%d %s; %v", a.status, a.body, a.audit)
				}
			})
		}
		// RV-1: none of the refused requests had an effect.
		c := base()
		c.target = "/introspect"
		c.set("token", live)
		if !active(t, s.do(t, c)) {
			t.Errorf("%s: a refused request revoked the token", method)
		}
	}
}

// attested are the headers of a WIT-SVID with a fresh proof; the mutations are of the
// WIT-SVID.
func attested(t *testing.T, d *domain, path string, mutate ...mutation) []string {
	t.Helper()
	h := d.wit(t, path, mutate...)
	return withWIT("", h.attestation, h.proof(t)).header
}

// CJ-7: the older form of the audience is the URL of the endpoint called and of no
// other.
func TestAudienceIsTheEndpointCalled(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{WIT: true})
	config, _, _ := strings.Cut(endpointConfig, `  - {client_id: "spiffe://nokeys.test/w"`)
	s := start(t, config, td)
	paths := []string{"/token", "/introspect", "/revoke", "/par"}
	for _, at := range endpointsOf(t) {
		for _, aud := range paths {
			c := withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer+aud))
			c.target = at.path
			at.add(&c, "x")
			if aud != at.path {
				s.refused(t, c, refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
				continue
			}
			if a := s.do(t, c); a.status >= 300 || !strings.Contains(fmt.Sprint(a.audit["profile_legacy_use"]), "CJ-7") {
				t.Errorf("CJ-7 %s at %s: %d, %v", aud, at.path, a.status, a.audit)
			}
		}
	}
	// GL-2: one method, one content type.
	for _, path := range paths {
		if a := s.do(t, call{method: http.MethodGet, target: path}); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
			t.Errorf("GL-2 GET %s: %d, Allow %q", path, a.status, a.header.Get("Allow"))
		}
		c := withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer))
		c.target, c.body = path, `{"token":"x"}`
		c.say("Content-Type: application/json")
		s.refused(t, c, refusal{"invalid_request", oauth.ReasonRequestMalformed, "GL-2"})
	}
}
