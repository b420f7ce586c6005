package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// TestX509SVID has each way in which an X.509-SVID is refused (sections 3 and
// 9.2), over real TLS: the handshake succeeds (XS-20), and the answer refuses.
func TestX509SVID(t *testing.T) {
	w := newWorld(t)
	base := func() call { return w.orders(t) }
	bad := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_client", reason, rule} }
	leaf := func(mutate ...func(*x509.Certificate)) func(*call) {
		return func(c *call) { c.cert = w.td.svid(t, "/orders", mutate...) }
	}
	uris := func(ids ...string) func(*call) {
		return leaf(func(c *x509.Certificate) {
			c.URIs = nil
			if len(ids) > 0 {
				c.ExtraExtensions = []pkix.Extension{devca.RawURISAN(ids...)}
			}
		})
	}
	usage := func(u x509.KeyUsage) func(*call) {
		return leaf(func(c *x509.Certificate) { c.KeyUsage = u })
	}
	extended := func(u ...x509.ExtKeyUsage) func(*call) {
		return leaf(func(c *x509.Certificate) { c.ExtKeyUsage = u })
	}
	chain := func(change func(*tls.Certificate)) func(*call) {
		return func(c *call) { change(c.cert) }
	}
	under := func(mutate func(*x509.Certificate)) func(*call) {
		return func(c *call) {
			issuer, err := w.td.Issuer().Intermediate(mutate)
			if err != nil {
				t.Fatal(err)
			}
			svid, err := issuer.X509SVID("/orders")
			c.cert = shown(t, svid, err)
		}
	}
	w.each(t, base, []row{
		{"CX-1 no certificate", nil, func(c *call) { c.cert = nil }, bad(oauth.ReasonCertMissing, "CX-1")},
		{"CX-2 no client_id", nil, func(c *call) { c.drop("client_id") }, refusal{"invalid_request", oauth.ReasonClientIDMissing, "CX-2"}},
		{"CX-2 empty client_id", nil, func(c *call) { c.set("client_id", "") }, refusal{"invalid_request", oauth.ReasonClientIDMissing, "CX-2"}},

		{"XS-1 no URI", nil, uris(), bad(oauth.ReasonCertURISANCount, "XS-1")},
		{"XS-1 two SPIFFE IDs", uris(w.td.id("/orders")), uris(w.td.id("/orders"), w.td.id("/billing")), bad(oauth.ReasonCertURISANCount, "XS-1")},
		{"XS-1 a SPIFFE ID and another URI", leaf(func(c *x509.Certificate) { c.DNSNames = []string{"orders.example.org"} }), uris(w.td.id("/orders"), "https://example.org/"), bad(oauth.ReasonCertURISANCount, "XS-1")},
		{"XS-2 a trust domain", nil, uris("spiffe://example.org"), bad(oauth.ReasonCertIDMalformed, "XS-2")},
		{"SI-1 an https URL", nil, uris("https://example.org/orders"), bad(oauth.ReasonCertIDMalformed, "SI-1")},
		{"XS-26 an empty fragment", nil, uris("spiffe://example.org/orders#"), bad(oauth.ReasonCertIDMalformed, "SI-2")},
		{"XS-26 the scheme in capitals", nil, uris("SPIFFE://example.org/orders"), bad(oauth.ReasonCertIDNotCanonical, "SI-10")},
		{"JS-13 trust domain of nobody", nil, uris("spiffe://elsewhere.test/orders"), bad(oauth.ReasonTDUnknown, "JS-13")},

		{"XS-3 a CA", nil, leaf(func(c *x509.Certificate) { c.IsCA = true }), bad(oauth.ReasonCertNotLeaf, "XS-3")},
		{"XS-4 no key usage", usage(x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement), usage(0), bad(oauth.ReasonCertKeyUsage, "XS-4")},
		{"XS-4 keyEncipherment only", nil, usage(x509.KeyUsageKeyEncipherment), bad(oauth.ReasonCertKeyUsage, "XS-4")},
		{"XS-5 keyCertSign", nil, usage(x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign), bad(oauth.ReasonCertKeyUsageSigns, "XS-5")},
		{"XS-5 cRLSign", nil, usage(x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign), bad(oauth.ReasonCertKeyUsageSigns, "XS-5")},
		{"XS-7 serverAuth only", extended(), extended(x509.ExtKeyUsageServerAuth), bad(oauth.ReasonCertExtKeyUsage, "XS-7")},
		{"XS-18 RSA of 1024 bits", nil, func(c *call) {
			weak, err := w.td.X509SVIDForKey("/orders", weakKey(t))
			c.cert = shown(t, weak, err)
		}, bad(oauth.ReasonKeyTooWeak, "XS-18")},
		{"XS-22 expired", leaf(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) }), leaf(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Second)
		}), bad(oauth.ReasonExpired, "XS-22")},
		{"XS-22 not yet valid", nil, leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), bad(oauth.ReasonNotYetValid, "XS-22")},

		{"XS-13 without its intermediate", nil, chain(func(c *tls.Certificate) { c.Certificate = c.Certificate[:1] }), bad(oauth.ReasonCertChainBad, "XS-10")},
		{"MT-8 six certificates", nil, chain(func(c *tls.Certificate) {
			c.Certificate = append(c.Certificate, slices.Repeat(c.Certificate[1:2], 4)...)
		}), bad(oauth.ReasonCertChainBad, "MT-8")},
		{"XS-10 expired intermediate", under(func(*x509.Certificate) {}), under(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Second)
		}), bad(oauth.ReasonCertChainBad, "XS-10")},
		{"XS-10 intermediate that is no CA", nil, under(func(c *x509.Certificate) { c.IsCA = false }), bad(oauth.ReasonCertChainBad, "XS-10")},
		{"XS-14 intermediate with a workload's ID", nil, under(func(c *x509.Certificate) { c.URIs = []*url.URL{must(url.Parse(w.td.id("/ca")))} }), bad(oauth.ReasonCertChainBad, "XS-14")},
		{"XS-10 unknown critical extension", nil, leaf(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
		}), bad(oauth.ReasonCertChainBad, "XS-10")},
		{"XS-13 a chain of its own making", nil, func(c *call) {
			// All is right in it but who made it.
			forger := must(devca.New("example.org", devca.Options{}))
			svid, err := forger.X509SVID("/orders")
			c.cert = shown(t, svid, err)
			c.cert.Certificate = append(c.cert.Certificate, forger.Roots()[0].Raw)
		}, bad(oauth.ReasonCertChainBad, "XS-10")},
		{"XS-12 a certificate of the Web PKI", nil, func(c *call) {
			pair := must(serverCA().Certificate("as.example.com"))
			c.cert = &pair
		}, bad(oauth.ReasonCertURISANCount, "XS-1")},
	})
}

// XS-6: a key usage that is not marked critical is refused where the trust domain's
// configuration says so, and nowhere else. CA-14: either line names the certificate.
func TestKeyUsageCritical(t *testing.T) {
	strict, lax := newDomain(t, "strict.test", devca.Options{}), newDomain(t, "lax.test", devca.Options{})
	strict.more = ", svid: {strict_key_usage_critical: true}"
	config := "resources: [{resource: \"https://api.example.com/\", scopes: [read]}]\nclients:\n"
	for _, d := range []*domain{strict, lax} {
		config += `  - {client_id: "` + d.id("/w") + `", token_endpoint_auth_method: spiffe_x509, resources: ["https://api.example.com/"], scope: read}` + "\n"
	}
	s := start(t, config, strict, lax)
	of := func(d *domain, mutate ...func(*x509.Certificate)) call {
		return call{cert: d.svid(t, "/w", mutate...), form: form("client_id", d.id("/w"))}
	}
	notCritical := func(c *x509.Certificate) {
		c.KeyUsage = 0
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}})
	}
	named := func(a line, c call) {
		t.Helper()
		leaf := must(x509.ParseCertificate(c.cert.Certificate[0]))
		if a.text("svid_key_id") != "serial "+leaf.SerialNumber.Text(16) || a["bundle_sequence"] != 1.0 {
			t.Errorf("CA-14 the audit line is %v", a)
		}
	}
	for _, c := range []call{of(strict), of(lax), of(lax, notCritical)} {
		named(s.granted(t, c).audit, c)
	}
	c := of(strict, notCritical)
	named(s.refused(t, c, refusal{"invalid_client", oauth.ReasonCertKeyUsage, "XS-6"}).audit, c)
}

// weakKey is made once per run of the test; 1024 bits are allowed to nobody else.
func weakKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
