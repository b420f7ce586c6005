package e2e

import (
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// Who a request is of: CA-2, CA-6 to CA-10, CJ-9, CJ-10, CX-3, EC-6, EC-7, MD-15 to
// MD-20, TK-7.
func TestClients(t *testing.T) {
	w := newWorld(t)
	jwt := func(clientID, path string) func(*call) {
		return func(c *call) { *c = withJWT(clientID, w.td.jwt(t, path, issuer)) }
	}
	cert := func(clientID, path string) func(*call) {
		return func(c *call) { *c = call{cert: w.td.svid(t, path), form: form("client_id", clientID)} }
	}
	both := func(clientID, path string) func(*call) {
		return func(c *call) {
			*c = withJWT(clientID, w.td.jwt(t, path, issuer))
			c.cert = w.td.svid(t, path)
		}
	}
	bad := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_client", reason, rule} }
	other := bad(oauth.ReasonClientIDMismatch, "CA-9")
	method := bad(oauth.ReasonMethodNotAllowed, "CA-7")

	w.each(t, func() call { return call{} }, []row{
		{"CA-2 client of nobody", jwt(w.td.id("/billing"), "/billing"), jwt("nobody", "/billing"), bad(oauth.ReasonClientNotFound, "CA-2")},
		{"CA-8 SVID of another client", jwt("fleet", "/ns/ci/a"), jwt(w.td.id("/billing"), "/orders"), other},
		{"TK-7 client_id of another client", jwt("named-jwt", "/named-jwt"), jwt("named-jwt", "/billing"), other},
		{"CX-3 certificate of another client", cert("fleet-x509", "/ns/x/a"), cert("fleet-x509", "/orders"), other},
		{"CA-9 a path below an exact one", jwt(w.td.id("/billing"), "/billing"), jwt(w.td.id("/billing"), "/billing/a"), other},
		{"MD-17 the wildcard's own path", jwt("fleet", "/ns/ci/a"), jwt("fleet", "/ns/ci"), other},
		{"MD-17 a longer last segment", jwt("fleet", "/ns/ci/123"), jwt("fleet", "/ns/ci123"), other},
		{"MD-17 another case", jwt("fleet", "/ns/ci/a"), jwt("fleet", "/ns/CI/a"), other},
		{"MD-18 a deeper path where depth is 1", jwt("flat", "/flat/a"), jwt("flat", "/flat/a/b"), other},
		{"MD-20 wildcard with a certificate", cert("fleet-x509", "/ns/x/a/b"), cert("fleet-x509", "/ns/y/a"), other},

		{"CA-7 certificate of a client for JWTs", jwt(w.td.id("/billing"), "/billing"), cert(w.td.id("/billing"), "/billing"), method},
		{"CA-7 JWT of a client for certificates", cert(w.td.id("/orders"), "/orders"), jwt(w.td.id("/orders"), "/orders"), method},
		{"CA-7 JWT beside a certificate, of a client for certificates", cert(w.td.id("/orders"), "/orders"), both(w.td.id("/orders"), "/orders"), method},
		{"CA-7 no client_id, JWT of a client for certificates", jwt("", "/billing"), jwt("", "/orders"), method},
		{"CA-7 WIT-SVID headers", jwt("fleet", "/ns/ci/a"), func(c *call) {
			jwt("fleet", "/ns/ci/a")(c)
			c.say("OAuth-Client-Attestation: " + c.form.Get("client_assertion"))
			c.say("OAuth-Client-Attestation-PoP: " + c.form.Get("client_assertion"))
			c.drop("client_assertion")
			c.drop("client_assertion_type")
		}, method},
		{"CJ-1 client_secret", jwt(w.td.id("/billing"), "/billing"), func(c *call) {
			*c = call{form: form("client_id", w.td.id("/billing"), "client_secret", secrets.add("client_secret", "another-client-secret-0815"))}
		}, method},

		{"CJ-10 no client_id, wildcard only", jwt("", "/billing"), jwt("", "/ns/ci/a"), bad(oauth.ReasonClientNotFound, "CJ-10")},
		{"CA-10 no client_id, two clients", jwt("twin-a", "/twin"), jwt("", "/twin"), bad(oauth.ReasonClientAmbiguous, "CJ-10")},
		{"CJ-10 no client_id, client of nobody", jwt("", "/named-jwt"), jwt("", "/stranger"), bad(oauth.ReasonClientNotFound, "CJ-10")},
		{"CA-10 the other twin's scope", func(c *call) { jwt("twin-b", "/twin")(c); c.set("scope", "write") },
			func(c *call) { jwt("twin-a", "/twin")(c); c.set("scope", "write") }, refusal{"invalid_scope", oauth.ReasonScopeDenied, "CC-4"}},
	})

	// RS-3, CC-3: the concrete workload is in token and audit line, never the
	// pattern, and never only the client's name.
	c := call{}
	jwt("fleet", "/ns/ci/team-7/build")(&c)
	if g := w.granted(t, c); g.claim("sub") != w.td.id("/ns/ci/team-7/build") || g.claim("client_id") != "fleet" {
		t.Errorf("sub %q, client_id %q", g.claim("sub"), g.claim("client_id"))
	}
	// CA-14: a refused line names the workload that was proven, by which key, of which
	// bundle.
	jwt(w.td.id("/billing"), "/orders")(&c)
	kid, _, _ := w.td.JWTKey()
	if a := w.refused(t, c, other); a.audit.text("spiffe_id") != w.td.id("/orders") || a.audit.text("trust_domain") != "example.org" ||
		a.audit.text("client_id") != w.td.id("/billing") || len(a.audit.text("svid_sha256")) != 64 ||
		a.audit.text("svid_key_id") != kid || a.audit["bundle_sequence"] != 1.0 {
		t.Errorf("audit line %v", a.audit)
	}
	// And so does a granted one.
	if g := w.granted(t, w.billing(t)); g.audit.text("svid_key_id") != kid || g.audit["bundle_sequence"] != 1.0 {
		t.Errorf("audit line %v", g.audit)
	}
}

// CJ-13, EC-12: a JWT-SVID may be used again, unless its trust domain says that it may
// not; then neither may its twin with the other valid signature.
func TestSingleUse(t *testing.T) {
	once := newDomain(t, "once.test", devca.Options{})
	once.more = ", single_use: true"
	often := newDomain(t, "often.test", devca.Options{})
	config := "resources: [{resource: \"https://api.example.com/\", scopes: [read]}]\nclients:\n"
	for _, d := range []*domain{once, often} {
		config += `  - {client_id: "` + d.id("/w") + `", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}` + "\n"
	}
	s := start(t, config, once, often)
	replayed := refusal{"invalid_client", oauth.ReasonAssertionReplayed, "CJ-13"}

	reusable := withJWT(often.id("/w"), often.jwt(t, "/w", issuer))
	s.granted(t, reusable)
	s.granted(t, reusable)

	assertion := once.jwt(t, "/w", issuer)
	// A refused request uses nothing up: it was somebody who had seen it.
	s.refused(t, withJWT(often.id("/w"), assertion), refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"})
	s.granted(t, withJWT(once.id("/w"), assertion))
	s.refused(t, withJWT(once.id("/w"), assertion), replayed)
	s.refused(t, withJWT("", assertion), replayed)
	s.refused(t, withJWT(once.id("/w"), secrets.jwt(otherSignature(t, assertion))), replayed)
	s.granted(t, withJWT(once.id("/w"), once.jwt(t, "/w", issuer, inClaims("jti", "another"))))
	// The twin is a good one where it comes first.
	fresh := once.jwt(t, "/w", issuer, inClaims("jti", "third"))
	s.granted(t, withJWT(once.id("/w"), secrets.jwt(otherSignature(t, fresh))))
	s.refused(t, withJWT(once.id("/w"), fresh), replayed)

	// Of many at the same time one gets a token.
	race := once.jwt(t, "/w", issuer, inClaims("jti", "race"))
	results := make(chan int)
	const callers = 8
	for range callers {
		conn := s.dial(t, "public", tlsConfig("public", nil))
		go func() {
			status := 0
			defer func() { results <- status }() // also when the call fails the test
			status = conn.do(t, withJWT(once.id("/w"), race)).status
		}()
	}
	got := map[int]int{}
	for range callers {
		got[<-results]++
	}
	if got[200] != 1 || got[401] != callers-1 {
		t.Errorf("statuses %v", got)
	}
}

// CA-1, JS-13, AV-4: nothing is fetched for a trust domain that is not
// configured, nor for what a token names.
func TestNoFetchForStrangers(t *testing.T) {
	w := newWorld(t)
	stranger := newDomain(t, "stranger.test", devca.Options{})
	foreign := stranger.jwt(t, "/w", issuer, inClaims("iss", strings.TrimSuffix(stranger.url, "/bundle.json")), inHeader("jku", stranger.url))
	for range 3 {
		w.refused(t, withJWT("", foreign), refusal{"invalid_client", oauth.ReasonHeaderNotAllowed, "JS-6"})
		w.refused(t, withJWT("", stranger.jwt(t, "/w", issuer, inClaims("iss", stranger.url))), refusal{"invalid_client", oauth.ReasonTDUnknown, "JS-13"})
		w.refused(t, call{cert: stranger.svid(t, "/w"), form: form("client_id", w.td.id("/orders"))}, refusal{"invalid_client", oauth.ReasonTDUnknown, "JS-13"})
	}
	if n := stranger.fetches.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if n := w.metric(t, `svidgate_refusals_total{endpoint="token",reason="td_unknown",trust_domain="other"}`); n != 6 {
		t.Errorf("the metric has %v refusals of strangers, want 6 under one label", n)
	}
}
