package svidgate_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
)

var (
	exampleOrg = spiffeid.RequireTrustDomainFromString("example.org")
	quad       = spiffeid.RequireTrustDomainFromString("1.2.3.4").ID()
)

// A ca signs certificates with any defect, where devca's are too good: its key
// is at hand. It is a root, or a CA below one.
type ca struct {
	td   string
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type mutation = func(*x509.Certificate)

func newCA(t testing.TB, td string, mutations ...mutation) ca {
	t.Helper()
	key := newKey(t)
	template := caTemplate(t, td)
	for _, m := range mutations {
		m(template)
	}
	return ca{td, signed(t, template, template, key.Public(), key), key}
}

func caTemplate(t testing.TB, td string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: td + " CA " + serial.Text(36)},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		URIs: []*url.URL{{Scheme: "spiffe", Host: td}},
	}
}

func signed(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// below is a CA under this one, with the key given.
func (c ca) below(t testing.TB, key crypto.Signer, mutations ...mutation) ca {
	t.Helper()
	template := caTemplate(t, c.td)
	for _, m := range mutations {
		m(template)
	}
	return ca{c.td, signed(t, template, c.cert, key.Public(), c.key), key}
}

// leaf is an X.509-SVID for /a.
func (c ca) leaf(t testing.TB, mutations ...mutation) *x509.Certificate {
	t.Helper()
	return c.leafFor(t, newKey(t).Public(), mutations...)
}

func (c ca) leafFor(t testing.TB, public crypto.PublicKey, mutations ...mutation) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: noon.Add(-time.Minute), NotAfter: noon.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, URIs: []*url.URL{{Scheme: "spiffe", Host: c.td, Path: "/a"}},
	}
	for _, m := range mutations {
		m(template)
	}
	return signed(t, template, c.cert, public, c.key)
}

// entry is the CA in a bundle.
func (c ca) entry() map[string]any { return certificateEntry(c.cert) }

func certificateEntry(cert *x509.Certificate) map[string]any {
	kty := map[x509.PublicKeyAlgorithm]string{x509.ECDSA: "EC", x509.RSA: "RSA", x509.Ed25519: "OKP"}[cert.PublicKeyAlgorithm]
	return map[string]any{"kty": kty, "use": string(bundle.UseX509), "x5c": []string{base64.StdEncoding.EncodeToString(cert.Raw)}}
}

func uris(list ...string) mutation {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, s := range list {
			u, err := url.Parse(s)
			if err != nil {
				panic(err) // a row of a test is wrong
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

// signRS256 signs with keys that our own signer refuses.
func signRS256(t testing.TB, key *rsa.PrivateKey, input string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}
