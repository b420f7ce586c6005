package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
)

var (
	exampleOrg = spiffeid.RequireTrustDomainFromString("example.org")
	asID       = spiffeid.RequireFromString("spiffe://example.org/as")
)

// a pinned server is judged by all that makes a certificate an X.509-SVID, as the
// verifier judges it, which the client does not link.
func TestVerifyServer(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	authority, stranger := newAuthority(t, clock), newAuthority(t, clock)
	foreign, err := devca.New("elsewhere.test", devca.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	bundles := x509bundle.NewSet(
		x509bundle.FromX509Authorities(exampleOrg, authority.Roots()),
		x509bundle.FromX509Authorities(foreign.TrustDomain(), foreign.Roots()),
	)
	type mutation = func(*x509.Certificate)
	leaf := func(mutate ...mutation) []*x509.Certificate {
		t.Helper()
		svid, err := authority.X509SVID("/as", mutate...)
		if err != nil {
			t.Fatal(err)
		}
		return svid.Certificates
	}
	of := func(a interface {
		X509SVID(string, ...mutation) (devca.SVID, error)
	}) []*x509.Certificate {
		t.Helper()
		svid, err := a.X509SVID("/as")
		if err != nil {
			t.Fatal(err)
		}
		return svid.Certificates
	}
	below := func(mutate ...mutation) []*x509.Certificate {
		t.Helper()
		ca, err := authority.Issuer().Intermediate(mutate...)
		if err != nil {
			t.Fatal(err)
		}
		return of(ca)
	}
	uris := func(texts ...string) mutation {
		return func(c *x509.Certificate) {
			c.URIs, c.ExtraExtensions = nil, append(c.ExtraExtensions, devca.RawURISAN(texts...))
		}
	}
	usage := func(usages ...x509.ExtKeyUsage) mutation {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	keyUsage := func(u x509.KeyUsage) mutation { return func(c *x509.Certificate) { c.KeyUsage = u } }
	weak := func() []*x509.Certificate {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		svid, err := authority.Issuer().X509SVIDForKey("/as", key)
		if err != nil {
			t.Fatal(err)
		}
		return svid.Certificates
	}
	snapshot, err := bundle.Parse(exampleOrg, authority.Bundle(), now)
	if err != nil {
		t.Fatal(err)
	}
	good := leaf()
	for _, tt := range []struct {
		name string
		sent []*x509.Certificate
		at   time.Time
		want string // empty: accepted
	}{
		{"A-9 its SPIFFE ID", good, now, ""},
		{"A-9 another of the trust domain", leaf(uris("spiffe://example.org/other")), now, "is for spiffe://example.org/other"},
		{"A-9 the same path of another trust domain", of(foreign), now, "is for spiffe://elsewhere.test/as"},
		{"A-9 the ID below it", leaf(uris("spiffe://example.org/as/one")), now, "is for"},
		{"XS-26 the ID but for what a parser drops", leaf(uris("spiffe://example.org/as#")), now, "is for"},
		{"XS-1 two names", leaf(uris("spiffe://example.org/as", "spiffe://example.org/other")), now, "is for"},
		{"XS-1 no name", leaf(func(c *x509.Certificate) { c.URIs = nil }), now, "XS-1"},
		{"nothing", nil, now, "no certificate"},
		{"MT-8 five certificates", append(leaf(), authority.Roots()[0], authority.Roots()[0], authority.Roots()[0], authority.Roots()[0]), now, ""},
		{"MT-8 six certificates", append(leaf(), authority.Roots()[0], authority.Roots()[0], authority.Roots()[0], authority.Roots()[0], authority.Roots()[0]), now, "MT-8"},
		{"MT-8 too many bytes", leaf(func(c *x509.Certificate) { c.DNSNames = []string{strings.Repeat("a", maxChainBytes)} }), now, "MT-8"},
		{"XS-3 a CA", leaf(func(c *x509.Certificate) { c.IsCA = true }), now, "CA flag"},
		{"XS-4 no digitalSignature", leaf(keyUsage(x509.KeyUsageKeyAgreement)), now, "XS-4"},
		{"XS-5 keyCertSign", leaf(keyUsage(x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign)), now, "KeyCertSign"},
		{"XS-7 for servers only", leaf(usage(x509.ExtKeyUsageServerAuth)), now, ""},
		{"XS-7 for anything", leaf(usage()), now, ""},
		{"XS-7 for clients only", leaf(usage(x509.ExtKeyUsageClientAuth)), now, "XS-7"},
		{"XS-10 an authority of the same name", of(stranger), now, "unknown authority"},
		{"XS-13 which sends its root", append(of(stranger), stranger.Roots()...), now, "unknown authority"},
		{"XS-11 signed by another trust domain's authority", func() []*x509.Certificate {
			svid, err := foreign.X509SVID("/x", uris("spiffe://example.org/as"))
			if err != nil {
				t.Fatal(err)
			}
			return svid.Certificates
		}(), now, "unknown authority"},
		{"XS-14 a CA in between", below(), now, ""},
		{"XS-14 one for servers", below(usage(x509.ExtKeyUsageServerAuth)), now, ""},
		{"XS-14 one for clients", below(usage(x509.ExtKeyUsageClientAuth)), now, "XS-14"},
		{"XS-14 one that names a workload", below(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/x"}} }), now, "XS-14"},
		{"XS-18 P-224", weak(), now, "XS-18"},
		{"XS-22 in its last minute", good, now.Add(59 * time.Minute), ""},
		{"XS-22 ended", good, now.Add(61 * time.Minute), "expired"},
		{"XS-22 not begun", good, now.Add(-time.Minute), "not yet valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := verifyServer(tt.sent, asID, bundles, tt.at)
			if other := svidgate.VerifyServerX509SVID(tt.sent, asID, snapshot, tt.at); (other == nil) != (err == nil) {
				t.Errorf("the verifier: %v", other)
			}
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "A-9") {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
	for name, none := range map[string]x509bundle.Source{
		"XS-12 no anchors": x509bundle.New(exampleOrg), "MT-9 no bundle of the trust domain": x509bundle.FromX509Authorities(foreign.TrustDomain(), authority.Roots()),
	} {
		if err := verifyServer(good, asID, none, now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMaySign(t *testing.T) { // XS-14, XS-18
	root := newAuthority(t, nil).Roots()[0]
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*x509.Certificate)
		want   bool
	}{
		"a root":                    {func(*x509.Certificate) {}, true},
		"no basic constraints":      {func(c *x509.Certificate) { c.BasicConstraintsValid = false }, false},
		"no CA":                     {func(c *x509.Certificate) { c.IsCA = false }, false},
		"no keyCertSign":            {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, false},
		"a weak key":                {func(c *x509.Certificate) { c.PublicKey = weak.Public() }, false},
		"RSA of 1024 bits":          {func(c *x509.Certificate) { c.PublicKey = rsaKey(1024) }, false},
		"RSA of 2048 bits":          {func(c *x509.Certificate) { c.PublicKey = rsaKey(2048) }, true},
		"RSA of 8192 bits":          {func(c *x509.Certificate) { c.PublicKey = rsaKey(8192) }, false},
		"a usage that nobody knows": {func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2}} }, false},
	} {
		changed := *root
		tt.change(&changed)
		if got := maySign(&changed); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// rsaKey has a modulus of so many bits, and nothing that could be used.
func rsaKey(bits int) *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), uint(bits-1)), E: 65537}
}

func TestX509BundleFile(t *testing.T) {
	authority := newAuthority(t, nil)
	path := filepath.Join(t.TempDir(), "bundle")
	source := X509BundleFile(path, exampleOrg)
	if _, err := source.GetX509BundleForTrustDomain(exampleOrg); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("no file: got %v", err)
	}
	root := authority.Roots()[0]
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	for _, tt := range []struct {
		name    string
		content []byte
		anchors int
		fault   string
	}{
		{"PEM", inPEM, 1, ""},
		{"two in PEM", append(inPEM, inPEM...), 1, ""}, // the same one
		{"a SPIFFE bundle", authority.Bundle(), 1, ""},
		{"a SPIFFE bundle without anchors", []byte(`{"keys":[]}`), 0, "no anchor"},
		{"PEM that is cut", inPEM[:len(inPEM)/2], 0, "neither"},
		{"PEM of something else", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: root.RawSubjectPublicKeyInfo}), 0, "no anchor"},
		{"neither", []byte("hello"), 0, "neither"},
		{"empty", nil, 0, "neither"},
		{"too long", make([]byte, maxBundleFile+1), 0, "is longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, path, tt.content)
			bundle, err := source.GetX509BundleForTrustDomain(exampleOrg)
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Fatalf("got %v", err)
			}
			if err == nil && len(bundle.X509Authorities()) != tt.anchors {
				t.Errorf("%d anchors", len(bundle.X509Authorities()))
			}
		})
	}
	write(t, path, inPEM)
	if _, err := source.GetX509BundleForTrustDomain(spiffeid.RequireTrustDomainFromString("elsewhere.test")); err == nil {
		t.Error("XS-11: the bundle was given for another trust domain")
	}
}
