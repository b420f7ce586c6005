package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// thumbprintOf is x5t#S256 by hand (MT-1).
func thumbprintOf(cert *tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// The table of PRODUCT on sender constraint, CC-5 and MT-6: who says what about
// binding, which methods the client has, and whether there is a certificate.
func TestBinding(t *testing.T) {
	usual := newDomain(t, "usual.test", devca.Options{})
	strict := newDomain(t, "strict.test", devca.Options{})
	strict.more = ", binding: required"
	loose := newDomain(t, "loose.test", devca.Options{})
	loose.more = ", binding: none"
	const jwtOnly, x509Only, both = "spiffe_jwt", "spiffe_x509", "spiffe_jwt, spiffe_x509"
	const open, closed, free = "https://open.example.com/", "https://closed.example.com/", "https://free.example.com/"
	config := fmt.Sprintf("access_token: {lifetime: 1h}\nresources: [{resource: %q}, {resource: %q, binding: required}, {resource: %q, binding: none}]\nclients:\n", open, closed, free)

	type outcome string
	const (
		bearer  outcome = "bearer"
		bound   outcome = "x5t#S256"
		refused outcome = "refused"
	)
	rows := []struct {
		td       *domain
		methods  string
		client   string // binding of the client
		resource string
		bare     outcome // with a JWT-SVID and no certificate
		jwt      outcome // with a JWT-SVID and the certificate beside it
		x509     outcome // with the certificate alone
	}{
		{usual, jwtOnly, "", open, bearer, bound, ""},
		{usual, both, "", open, refused, bound, bound},
		{usual, x509Only, "", open, "", "", bound},
		{usual, jwtOnly, "auto", open, bearer, bound, ""},
		{usual, jwtOnly, "required", open, refused, bound, ""},
		{usual, both, "required", open, refused, bound, bound},
		{usual, x509Only, "required", open, "", "", bound},
		{usual, jwtOnly, "none", open, bearer, bearer, ""},
		{usual, both, "none", open, bearer, bearer, bearer},
		{usual, x509Only, "none", open, "", "", bearer},
		{usual, jwtOnly, "", closed, refused, bound, ""},
		{usual, jwtOnly, "none", closed, refused, bound, ""}, // the strictest word counts
		{usual, both, "none", closed, refused, bound, bound},
		{usual, both, "", free, bearer, bearer, bearer},
		{strict, jwtOnly, "", open, refused, bound, ""},
		{strict, jwtOnly, "none", open, refused, bound, ""},
		{strict, both, "auto", free, refused, bound, bound},
		{loose, both, "", open, bearer, bearer, bearer},
		{loose, jwtOnly, "required", open, refused, bound, ""},
	}
	for i, row := range rows {
		binding := ""
		if row.client != "" {
			binding = ", binding: " + row.client
		}
		config += fmt.Sprintf("  - {client_id: c%d, spiffe_id: %q, auth_methods: [%s], resources: [%q]%s}\n", i, row.td.id(fmt.Sprintf("/c%d", i)), row.methods, row.resource, binding)
	}
	s := start(t, config, usual, strict, loose)
	if n := strings.Count(string(said(t, s.stderr)), "is none: whoever sees such a token can use it"); n != 8 {
		t.Errorf("the log warns of binding none %d times", n)
	}
	issued := map[string]float64{}
	for i, row := range rows {
		clientID, path := fmt.Sprintf("c%d", i), fmt.Sprintf("/c%d", i)
		cert := row.td.svid(t, path, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * time.Minute) })
		bare := withJWT(clientID, row.td.jwt(t, path, issuer))
		beside := withJWT(clientID, row.td.jwt(t, path, issuer))
		beside.cert = cert
		for _, way := range []struct {
			name   string
			call   call
			want   outcome
			method string
		}{
			{"JWT-SVID alone", bare, row.bare, jwtOnly},
			{"JWT-SVID beside a certificate", beside, row.jwt, jwtOnly},
			{"certificate alone", call{cert: cert, form: form("client_id", clientID)}, row.x509, x509Only},
		} {
			if way.want == "" {
				continue
			}
			name := fmt.Sprintf("CC-5 %s, client %q with [%s], %s, %s", row.td.name, row.client, row.methods, row.resource, way.name)
			t.Run(name, func(t *testing.T) {
				if way.want == refused {
					s.refused(t, way.call, refusal{"invalid_request", oauth.ReasonBindingRequired, "CC-5"})
					return
				}
				g := s.granted(t, way.call)
				life := g.number("exp") - g.number("iat")
				switch {
				case g.audit.text("binding") != string(way.want):
					t.Errorf("binding %q, want %q", g.audit.text("binding"), way.want)
				case way.want == bearer && (g.claims["cnf"] != nil || life > 300):
					t.Errorf("a bearer token of %d s, cnf %v", life, g.claims["cnf"])
				case way.want == bound && (g.thumbprint() != thumbprintOf(cert) || life < 1500 || g.number("exp") > cert.Leaf.NotAfter.Unix()):
					t.Errorf("MT-1, MT-4 cnf %q, want %q; %d s", g.thumbprint(), thumbprintOf(cert), life)
				}
				issued[way.method+" "+string(way.want)]++
			})
		}
	}
	for key, n := range issued {
		method, binding, _ := strings.Cut(key, " ")
		series := fmt.Sprintf(`svidgate_tokens_issued_total{binding=%q,grant="client_credentials",method=%q}`, binding, method)
		if got := s.metric(t, series); got != n {
			t.Errorf("%s is %v, want %v", series, got, n)
		}
	}
}

// TK-3, MT-6, AK-25: the certificate beside an assertion is a whole X.509-SVID of
// the same workload, or the request is refused. Its own reason is told inside,
// and outside it is a malformed request.
func TestCertificateBesideAnAssertion(t *testing.T) {
	w := newWorld(t)
	beside := func(cert *tls.Certificate) func(*call) {
		return func(c *call) {
			*c = w.billing(t)
			c.cert = cert
		}
	}
	svid := func(path string, mutate ...func(*x509.Certificate)) func(*call) {
		return beside(w.td.svid(t, path, mutate...))
	}
	bad := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_request", reason, rule} }
	forger := must(devca.New("example.org", devca.Options{}))
	forged, err := forger.X509SVID("/billing")
	stranger := newDomain(t, "stranger.test", devca.Options{})
	web := must(serverCA().Certificate("billing.example.org"))
	w.each(t, func() call { return call{} }, []row{
		{"TK-3 of another workload", svid("/billing"), svid("/orders"), bad(oauth.ReasonMixedCredentials, "TK-3")},
		{"TK-3 of a workload below it", svid("/billing"), svid("/billing/a"), bad(oauth.ReasonMixedCredentials, "TK-3")},
		{"MT-6 of nobody's CA", svid("/billing"), beside(shown(t, forged, err)), bad(oauth.ReasonCertChainBad, "XS-10")},
		{"MT-6 of a trust domain of nobody", svid("/billing"), beside(stranger.svid(t, "/billing")), bad(oauth.ReasonTDUnknown, "JS-13")},
		{"MT-6 expired", svid("/billing"), svid("/billing", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Second)
		}), bad(oauth.ReasonExpired, "XS-22")},
		{"MT-6 a CA", svid("/billing"), svid("/billing", func(c *x509.Certificate) { c.IsCA = true }), bad(oauth.ReasonCertNotLeaf, "XS-3")},
		{"MT-6 no SVID at all", svid("/billing"), beside(&web), bad(oauth.ReasonCertURISANCount, "XS-1")},
		{"CA-16 a bad assertion comes first", svid("/billing"), func(c *call) {
			svid("/orders")(c)
			c.set("client_assertion", w.td.jwt(t, "/billing", issuer, inClaims("exp", 1)))
		}, refusal{"invalid_client", oauth.ReasonExpired, "CJ-5"}},
	})
	// The public listener asks for no certificate, so none is in the way there.
	c := w.billing(t)
	c.cert, c.public = w.td.svid(t, "/orders"), true
	if g := w.granted(t, c); g.claims["cnf"] != nil {
		t.Error("a certificate that was not asked for is in the token")
	}
}

// MT-4, AT-6: no token outlives its certificate.
func TestTokenEndsWithItsCertificate(t *testing.T) {
	w := newWorld(t)
	for _, left := range []time.Duration{time.Hour, 2 * time.Minute, 20 * time.Second} {
		end := time.Now().Add(left).Truncate(time.Second)
		c := w.orders(t)
		c.cert = w.td.svid(t, "/orders", func(c *x509.Certificate) { c.NotAfter = end })
		g := w.granted(t, c)
		want := min(end.Unix(), g.number("iat")+300)
		if g.number("exp") != want || g.token.ExpiresIn != want-g.number("iat") {
			t.Errorf("%s left: exp %d, want %d; expires_in %d", left, g.number("exp"), want, g.token.ExpiresIn)
		}
	}
}
