package svidgate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// chain is the domain's X.509-SVID for /a as a TLS peer sends it.
func (d domain) chain(t testing.TB, mutations ...mutation) []*x509.Certificate {
	t.Helper()
	svid, err := d.X509SVID("/a", mutations...)
	if err != nil {
		t.Fatal(err)
	}
	return svid.Certificates
}

// An x509Row is one chain and what must become of it.
type x509Row struct {
	name  string
	chain []*x509.Certificate
	want  want
}

func runX509(t *testing.T, v *svidgate.Verifier, rows []x509Row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { judgeX509(t, v, row.chain, row.want) })
	}
}

// rawURIs writes the URIs as they are, past Go's URL type.
func rawURIs(list ...string) mutation {
	return func(c *x509.Certificate) {
		c.URIs = nil
		c.ExtraExtensions = append(c.ExtraExtensions, devca.RawURISAN(list...))
	}
}

var (
	uriCount     = refused(oauth.ReasonCertURISANCount, "XS-1")
	chainBad     = refused(oauth.ReasonCertChainBad, "XS-10")
	notSigning   = refused(oauth.ReasonCertChainBad, "XS-14")
	chainTooLong = refused(oauth.ReasonCertChainBad, "MT-8")
)

func TestX509Identifier(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	const id = "spiffe://example.org/a"
	malformed := func(rule string) want { return refused(oauth.ReasonCertIDMalformed, rule) }
	svid := func(list ...string) []*x509.Certificate { return d.chain(t, rawURIs(list...)) }
	runX509(t, newVerifier(t, bundlesOf(t, d)), []x509Row{
		{"XS-1 one URI", d.chain(t), accepted},
		{"XS-1 one URI, written by hand", svid(id), accepted},
		{"XS-1 one URI and DNS, IP and e-mail names", d.chain(t, func(c *x509.Certificate) {
			c.DNSNames, c.EmailAddresses = []string{"a.example", "b.example"}, []string{"a@b.example"}
			c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		}), accepted},
		{"XS-1 no URI", d.chain(t, uris()), uriCount},
		{"XS-1 no URI but DNS names", d.chain(t, uris(), func(c *x509.Certificate) { c.DNSNames = []string{"example.org"} }), uriCount},
		{"XS-1 a SPIFFE ID in the common name only", d.chain(t, uris(), func(c *x509.Certificate) { c.Subject.CommonName = id }), uriCount},
		{"XS-1 a SPIFFE ID as a DNS name", d.chain(t, uris(), func(c *x509.Certificate) { c.DNSNames = []string{id} }), uriCount},
		{"F12 two SPIFFE IDs", svid(id, "spiffe://example.org/b"), uriCount},
		{"XS-1 the same SPIFFE ID twice", svid(id, id), uriCount},
		{"XS-1 a SPIFFE ID and an https URI", svid(id, "https://example.org"), uriCount},
		{"XS-1 an https URI and a SPIFFE ID", svid("https://example.org", id), uriCount},
		{"XS-1 a SPIFFE ID and an empty URI", svid(id, ""), uriCount},
		{"XS-2 no path", d.chain(t, uris("spiffe://example.org")), malformed("XS-2")},
		{"XS-2 an https URI", d.chain(t, uris("https://example.org/a")), malformed("SI-1")},
		{"XS-2 an empty URI", svid(""), malformed("SI-1")},
		{"SI-2 a query", svid(id + "?x=1"), malformed("SI-2")},
		{"SI-2 an empty query", svid(id + "?"), malformed("SI-2")},
		{"SI-2 a fragment", svid(id + "#f"), malformed("SI-2")},
		{"XS-26 an empty fragment", svid(id + "#"), malformed("SI-2")},
		{"SI-3 a port", svid("spiffe://example.org:8443/a"), malformed("SI-3")},
		{"SI-3 user information", svid("spiffe://u@example.org/a"), malformed("SI-3")},
		{"SI-4 upper case", svid("spiffe://Example.org/a"), malformed("SI-4")},
		{"SI-7 a trailing slash", svid(id + "/"), malformed("SI-7")},
		{"SI-7 an encoded slash", svid(id + "%2Fb"), malformed("SI-7")},
		{"SI-14 dot segments", svid(id + "/../b"), malformed("SI-7")},
		{"SI-8 2048 bytes", svid("spiffe://example.org/" + strings.Repeat("a", 2048-21)), accepted},
		{"SI-9 2049 bytes", svid("spiffe://example.org/" + strings.Repeat("a", 2049-21)), malformed("SI-9")},
		{"XS-26 the scheme in upper case", svid("SPIFFE://example.org/a"), refused(oauth.ReasonCertIDNotCanonical, "SI-10")},
		{"JS-13 another trust domain", svid("spiffe://other.example/a"), refused(oauth.ReasonTDUnknown, "JS-13")},
		{"F49 the path is case-sensitive, both are workloads", svid("spiffe://example.org/A"), accepted},
	})
}

func TestX509Leaf(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	chain := func(m mutation) []*x509.Certificate { return d.chain(t, m) }
	usage := func(u x509.KeyUsage) []*x509.Certificate {
		return chain(func(c *x509.Certificate) { c.KeyUsage = u })
	}
	extended := func(list ...x509.ExtKeyUsage) []*x509.Certificate {
		return chain(func(c *x509.Certificate) { c.ExtKeyUsage = list })
	}
	unknownUsage := asn1.ObjectIdentifier{1, 2, 3, 4}
	noDigital := refused(oauth.ReasonCertKeyUsage, "XS-4")
	signs := refused(oauth.ReasonCertKeyUsageSigns, "XS-5")
	serverOnly := refused(oauth.ReasonCertExtKeyUsage, "XS-7")
	const digital = x509.KeyUsageDigitalSignature
	runX509(t, newVerifier(t, bundlesOf(t, d)), []x509Row{
		{"CX-4 as it should be", d.chain(t), accepted},
		{"XS-3 no basic constraints", chain(func(c *x509.Certificate) { c.BasicConstraintsValid = false }), accepted},
		{"XS-3 a CA", chain(func(c *x509.Certificate) { c.IsCA = true }), refused(oauth.ReasonCertNotLeaf, "XS-3")},
		{"XS-3 a CA that signs", chain(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, digital|x509.KeyUsageCertSign }), refused(oauth.ReasonCertNotLeaf, "XS-3")},
		{"XS-4 no key usage", usage(0), noDigital},
		{"XS-4 keyEncipherment only", usage(x509.KeyUsageKeyEncipherment), noDigital},
		{"XS-4 contentCommitment only", usage(x509.KeyUsageContentCommitment), noDigital},
		{"XS-9 keyEncipherment and keyAgreement, too", usage(digital | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement), accepted},
		{"XS-5 keyCertSign", usage(digital | x509.KeyUsageCertSign), signs},
		{"XS-5 cRLSign", usage(digital | x509.KeyUsageCRLSign), signs},
		{"XS-7 server and client", extended(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), accepted},
		{"XS-7 none", extended(), accepted},
		{"XS-7 client only", extended(x509.ExtKeyUsageClientAuth), accepted},
		{"XS-7 any", extended(x509.ExtKeyUsageAny), accepted},
		{"XS-7 server only", extended(x509.ExtKeyUsageServerAuth), serverOnly},
		{"XS-7 code signing only", extended(x509.ExtKeyUsageCodeSigning), serverOnly},
		{"XS-7 an unknown one only", chain(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{unknownUsage}
		}), serverOnly},
		{"XS-7 an unknown one and client", chain(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.UnknownExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, []asn1.ObjectIdentifier{unknownUsage}
		}), accepted},
		{"F27 an empty subject", chain(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), accepted}, // XS-8
		{"F27 a common name that is not the SPIFFE ID", chain(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "spiffe://example.org/b"} }), accepted},
		{"XS-10 an unknown extension", chain(extension(false)), accepted},
		{"XS-10 an unknown critical extension", chain(extension(true)), chainBad},
	})
}

func extension(critical bool) mutation {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: critical, Value: []byte{5, 0}})
	}
}

// No leeway for certificates: their makers date them back.
func TestX509Clock(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	from := func(offset time.Duration) []*x509.Certificate {
		return d.chain(t, func(c *x509.Certificate) { c.NotBefore = noon.Add(offset) })
	}
	to := func(offset time.Duration) []*x509.Certificate {
		return d.chain(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.Add(-time.Hour), noon.Add(offset) })
	}
	early, expired := refused(oauth.ReasonNotYetValid, "XS-22"), refused(oauth.ReasonExpired, "XS-22")
	rows := []x509Row{
		{"XS-22 notBefore a second ago", from(-time.Second), accepted},
		{"XS-22 notBefore now", from(0), accepted},
		{"XS-22 notBefore in a second", from(time.Second), early},
		{"XS-22 notBefore in a minute, within the leeway of JWTs", from(time.Minute), early},
		{"XS-22 notAfter in a second", to(time.Second), accepted},
		{"XS-22 notAfter now", to(0), accepted},
		{"XS-22 notAfter a second ago", to(-time.Second), expired},
		{"XS-22 notAfter a minute ago, within the leeway of JWTs", to(-time.Minute), expired},
	}
	for _, leeway := range []time.Duration{0, 300 * time.Second} {
		runX509(t, newVerifier(t, bundlesOf(t, d), withLeeway(leeway)), rows)
	}
}

func TestX509LeafKey(t *testing.T) {
	root := newCA(t, "example.org")
	b := bundles{exampleOrg: bundleOf(t, exampleOrg, root.entry())}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	onCurve := func(curve elliptic.Curve) []*x509.Certificate {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{root.leafFor(t, key.Public())}
	}
	tooWeak := refused(oauth.ReasonKeyTooWeak, "XS-18")
	runX509(t, newVerifier(t, b), []x509Row{
		{"XS-18 P-256", onCurve(elliptic.P256()), accepted},
		{"XS-18 P-384", onCurve(elliptic.P384()), accepted},
		{"XS-18 P-521", onCurve(elliptic.P521()), accepted},
		{"XS-18 P-224", onCurve(elliptic.P224()), tooWeak},
		{"XS-18 RSA 2048", []*x509.Certificate{root.leafFor(t, strong.Public())}, accepted},
		{"XS-18 RSA 1024", []*x509.Certificate{root.leafFor(t, weak.Public())}, tooWeak},
		{"XS-18 Ed25519", []*x509.Certificate{root.leafFor(t, edwards)}, accepted},
	})
}

// XS-6 is told and not refused, unless the settings of all trust domains, or of this
// one, say so.
func TestX509KeyUsageNotCritical(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	critical, relaxed := d.chain(t), d.chain(t, func(c *x509.Certificate) {
		c.KeyUsage = 0
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}})
	})
	everywhere := func(cfg *svidgate.Config) { cfg.Settings.StrictKeyUsageCritical = true }
	here := func(td spiffeid.TrustDomain) func(*svidgate.Config) {
		return func(cfg *svidgate.Config) {
			cfg.TrustDomains = map[spiffeid.TrustDomain]svidgate.Settings{td: {StrictKeyUsageCritical: true}}
		}
	}
	notCritical := refused(oauth.ReasonCertKeyUsage, "XS-6")
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		set   func(*svidgate.Config)
		want  want
		told  bool
	}{
		{"XS-6 critical", critical, func(*svidgate.Config) {}, accepted, false},
		{"XS-6 not critical", relaxed, func(*svidgate.Config) {}, accepted, true},
		{"XS-6 critical where it has to be", critical, everywhere, accepted, false},
		{"XS-6 not critical where it has to be", relaxed, everywhere, notCritical, false},
		{"XS-6 critical in a trust domain where it has to be", critical, here(exampleOrg), accepted, false},
		{"XS-6 not critical in a trust domain where it has to be", relaxed, here(exampleOrg), notCritical, false},
		{"XS-6 not critical, and it has to be in another trust domain", relaxed, here(spiffeid.RequireTrustDomainFromString("other.example")), accepted, true},
	} {
		var log bytes.Buffer
		v := newVerifier(t, bundlesOf(t, d), c.set, func(cfg *svidgate.Config) { cfg.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
		runX509(t, v, []x509Row{{c.name, c.chain, c.want}, {c.name + ", remembered", c.chain, c.want}})
		if told := strings.Contains(log.String(), `"rule":"XS-6"`) && strings.Contains(log.String(), "spiffe://example.org/a"); told != c.told {
			t.Errorf("%s: the log says %q", c.name, log.String())
		}
	}
}
