package devca_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/strictid"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

func TestX509SVIDVerifies(t *testing.T) {
	for _, alg := range []devca.KeyAlgorithm{"", devca.P384, devca.RSA2048, devca.Ed25519} {
		for _, intermediate := range []bool{false, true} {
			a := newAuthority(t, devca.Options{Now: atNoon, KeyAlgorithm: alg, Intermediate: intermediate})
			s, err := a.X509SVID("/billing")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{false: 1, true: 2}[intermediate]; len(s.Certificates) != want {
				t.Fatalf("%q: %d certificates, want %d", alg, len(s.Certificates), want)
			}
			id, _, err := x509svid.Verify(s.Certificates, parsed(t, a), x509svid.WithTime(noon))
			if err != nil || id.String() != "spiffe://example.org/billing" || id != s.ID {
				t.Errorf("%q, intermediate %v: go-spiffe says %v, %v", alg, intermediate, id, err)
			}
			if err := verify(s, a, noon); err != nil {
				t.Errorf("%q, intermediate %v: crypto/x509 says %v", alg, intermediate, err)
			}
			keyPEM, err := s.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x509svid.Parse(s.ChainPEM(), keyPEM); err != nil {
				t.Errorf("%q: go-spiffe does not read the PEM: %v", alg, err)
			}
			keyDER, err := s.KeyDER()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x509svid.ParseRaw(s.ChainDER(), keyDER); err != nil {
				t.Errorf("%q: go-spiffe does not read the DER: %v", alg, err)
			}
			if _, err := tls.X509KeyPair(s.ChainPEM(), keyPEM); err != nil {
				t.Errorf("%q: crypto/tls does not read the PEM: %v", alg, err)
			}
			if c := s.TLSCertificate(); len(c.Certificate) != len(s.Certificates) || c.Leaf != s.Leaf() {
				t.Errorf("%q: TLSCertificate has %d certificates", alg, len(c.Certificate))
			}
		}
	}
}

func verify(s devca.SVID, a *devca.Authority, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range s.Certificates[1:] {
		between.AddCert(c)
	}
	_, err := s.Leaf().Verify(x509.VerifyOptions{
		Roots: a.Pool(), Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

func TestLeafObeysTheRules(t *testing.T) {
	a := newAuthority(t, devca.Options{Now: atNoon})
	s, err := a.X509SVID("/billing")
	if err != nil {
		t.Fatal(err)
	}
	leaf := s.Leaf()
	uris, err := strictid.URINames(leaf)
	if err != nil || !cmp.Equal(uris, []string{"spiffe://example.org/billing"}) {
		t.Errorf("XS-1: %v, %v", uris, err)
	}
	if leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Error("XS-3: no basic constraints with cA false")
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || !extension(t, leaf, 15).Critical {
		t.Error("XS-4, XS-5, XS-6: the key usage is not a critical digitalSignature alone")
	}
	if !cmp.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) {
		t.Error("XS-7: the extended key usage is not server and client")
	}
	if !leaf.NotAfter.Equal(noon.Add(time.Hour)) || !leaf.NotBefore.Before(noon) {
		t.Errorf("valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	root := a.Roots()[0]
	if !root.IsCA || root.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || !extension(t, root, 15).Critical {
		t.Error("XS-14: the root is not a signing certificate")
	}
	if uris, err := strictid.URINames(root); err != nil || !cmp.Equal(uris, []string{"spiffe://example.org"}) {
		t.Errorf("XS-14: the root's URIs are %v, %v", uris, err)
	}
}

func extension(t *testing.T, cert *x509.Certificate, last int) pkix.Extension {
	t.Helper()
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, last}) {
			return e
		}
	}
	t.Fatalf("extension 2.5.29.%d is missing", last)
	return pkix.Extension{}
}

func TestMutatedLeaf(t *testing.T) {
	a := newAuthority(t, devca.Options{Now: atNoon})
	for _, c := range []struct {
		name   string
		mutate func(*x509.Certificate)
		shows  func(*x509.Certificate) bool
		// refused by crypto/x509 alone, without any SPIFFE rule
		refused bool
	}{
		{"untouched", func(*x509.Certificate) {}, func(c *x509.Certificate) bool { return len(c.URIs) == 1 }, false},
		{"XS-1 two URIs", func(c *x509.Certificate) { c.URIs = append(c.URIs, &url.URL{Scheme: "https", Host: "a"}) },
			func(c *x509.Certificate) bool { return len(c.URIs) == 2 }, false},
		{"XS-1 no URI", func(c *x509.Certificate) { c.URIs = nil }, func(c *x509.Certificate) bool { return len(c.URIs) == 0 }, false},
		{"XS-3 a CA", func(c *x509.Certificate) { c.IsCA = true }, func(c *x509.Certificate) bool { return c.IsCA }, false},
		{"XS-4 no key usage", func(c *x509.Certificate) { c.KeyUsage = 0 }, func(c *x509.Certificate) bool { return c.KeyUsage == 0 }, false},
		{"XS-7 server only", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] },
			func(c *x509.Certificate) bool { return len(c.ExtKeyUsage) == 1 }, true},
		{"XS-8 empty subject, critical SAN", func(c *x509.Certificate) { c.Subject = pkix.Name{} },
			func(c *x509.Certificate) bool { return len(c.Subject.Names) == 0 && extension(t, c, 17).Critical }, false},
		{"XS-10 expired", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) },
			func(c *x509.Certificate) bool { return c.NotAfter.Before(noon) }, true},
		{"XS-10 unknown critical extension", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}, func(c *x509.Certificate) bool { return len(c.UnhandledCriticalExtensions) == 1 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := a.X509SVID("/a", c.mutate)
			if err != nil {
				t.Fatal(err)
			}
			if !c.shows(s.Leaf()) {
				t.Error("the certificate does not have the defect")
			}
			if err := s.Leaf().CheckSignatureFrom(a.Roots()[0]); err != nil {
				t.Errorf("not truly signed: %v", err)
			}
			if err := verify(s, a, noon); (err != nil) != c.refused {
				t.Errorf("crypto/x509 says %v", err)
			}
		})
	}
}

func TestRawURISAN(t *testing.T) {
	a := newAuthority(t, devca.Options{})
	for _, uris := range [][]string{
		{"spiffe://example.org/a"},
		{"spiffe://example.org/a#"},
		{"SPIFFE://example.org/a"},
		{"spiffe://example.org/a", "spiffe://example.org/b"},
		nil,
	} {
		s, err := a.X509SVID("/a", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, devca.RawURISAN(uris...))
		})
		if err != nil {
			t.Fatalf("XS-26 %q: %v", uris, err)
		}
		if got, err := strictid.URINames(s.Leaf()); err != nil || !cmp.Equal(got, uris) {
			t.Errorf("XS-26 %q became %q, %v", uris, got, err)
		}
	}
}

func TestIntermediates(t *testing.T) {
	for _, c := range []struct {
		name    string
		mutate  func(*x509.Certificate)
		refused bool
	}{
		{"sound", func(*x509.Certificate) {}, false},
		{"XS-10 expired", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }, true},
		{"XS-10 no CA", func(c *x509.Certificate) { c.IsCA = false }, true},
		{"XS-10 path length zero above another CA", func(c *x509.Certificate) { c.MaxPathLenZero = true }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuthority(t, devca.Options{Now: atNoon})
			upper, err := a.Issuer().Intermediate(c.mutate)
			if err != nil {
				t.Fatal(err)
			}
			lower, err := upper.Intermediate()
			if err != nil {
				t.Fatal(err)
			}
			s, err := lower.X509SVID("/a")
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Certificates) != 3 {
				t.Fatalf("%d certificates", len(s.Certificates))
			}
			if err := verify(s, a, noon); (err != nil) != c.refused {
				t.Errorf("crypto/x509 says %v", err)
			}
		})
	}
}

func TestRootRotationAndRemoval(t *testing.T) {
	a := newAuthority(t, devca.Options{Now: atNoon, Intermediate: true})
	before, err := a.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.RotateX509(); err != nil {
		t.Fatal(err)
	}
	after, err := a.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	if verify(before, a, noon) != nil || verify(after, a, noon) != nil {
		t.Error("BU-22 while both roots are published, not both SVIDs are good")
	}
	if err := a.RemoveRoot(a.Roots()[0]); err != nil {
		t.Fatal(err)
	}
	if verify(before, a, noon) == nil || verify(after, a, noon) != nil {
		t.Error("after the old root left, the old SVID is good or the new one is not")
	}
	stranger := newAuthority(t, devca.Options{Now: atNoon})
	if verify(after, stranger, noon) == nil {
		t.Error("XS-11 another authority of the same name verifies the SVID")
	}
	if err := a.RemoveRoot(stranger.Roots()[0]); err == nil {
		t.Error("a foreign root was removed")
	}
}

func TestX509SVIDForKey(t *testing.T) {
	a := newAuthority(t, devca.Options{})
	key, err := devca.GenerateKey(devca.P384)
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.X509SVIDForKey("/a", key)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Leaf().PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		t.Error("the certificate is for another key")
	}
	if _, err := a.X509SVID("no slash"); err == nil {
		t.Error("SI-7 a path without a slash was accepted")
	}
}

func TestMutateRoot(t *testing.T) {
	a := newAuthority(t, devca.Options{Now: atNoon, MutateRoot: func(c *x509.Certificate) {
		c.PermittedURIDomains = []string{"other.example"}
	}})
	s, err := a.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	if verify(s, a, noon) == nil {
		t.Error("XS-16 a leaf outside the root's name constraint verifies")
	}
}
