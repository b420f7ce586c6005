package bundle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
)

// epoch is the time that tests with an injected clock start at.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func trustDomain(t testing.TB, name string) spiffeid.TrustDomain {
	t.Helper()
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		t.Fatal(err)
	}
	return td
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// An authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// uriNames is a subject alternative name with these URIs, byte for byte.
func uriNames(t testing.TB, uris ...string) pkix.Extension {
	t.Helper()
	var names []asn1.RawValue
	for _, uri := range uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(uri)})
	}
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}

// newAuthority makes a CA with a P-256 key and no SPIFFE ID, after change.
func newAuthority(t testing.TB, change func(*x509.Certificate)) authority {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	return authority{certificate(t, key.Public(), authority{nil, key}, change), key}
}

// certificate makes a CA certificate of a public key, after change, which signer
// signs. A signer without a certificate signs for itself.
func certificate(t testing.TB, public crypto.PublicKey, signer authority, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "test CA"},
		NotBefore:             epoch.Add(-time.Hour),
		NotAfter:              epoch.Add(24 * time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if change != nil {
		change(template)
	}
	parent := signer.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// serverCertificate makes what a TLS server for these names shows.
func (a authority) serverCertificate(t testing.TB, ips []net.IP, names ...string) tls.Certificate {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	cert := certificate(t, key.Public(), a, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "test server"}
		c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.IPAddresses, c.DNSNames = ips, names
	})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// An entry is one element of `keys`.
type entry map[string]any

// with returns a copy with other members; nil removes one.
func (e entry) with(members entry) entry {
	out := entry{}
	for _, from := range []entry{e, members} {
		for name, value := range from {
			out[name] = value
			if value == nil {
				delete(out, name)
			}
		}
	}
	return out
}

func keyEntry(t testing.TB, use Use, kid string, public crypto.PublicKey) entry {
	t.Helper()
	raw, err := jose.MarshalJWK(public, kid, string(use), "")
	if err != nil {
		t.Fatal(err)
	}
	var e entry
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func x5c(certs ...*x509.Certificate) []string {
	values := []string{}
	for _, cert := range certs {
		values = append(values, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	return values
}

func anchorEntry(t testing.TB, cert *x509.Certificate) entry {
	t.Helper()
	return keyEntry(t, UseX509, "", cert.PublicKey).with(entry{"x5c": x5c(cert)})
}

// documentOf writes a bundle; members may be nil.
func documentOf(t testing.TB, members map[string]any, entries ...any) []byte {
	t.Helper()
	if entries == nil {
		entries = []any{}
	}
	all := map[string]any{"keys": entries}
	for name, value := range members {
		all[name] = value
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// jwtDocument is a bundle with one new key under this kid.
func jwtDocument(t testing.TB, members map[string]any, kid string) []byte {
	t.Helper()
	return documentOf(t, members, keyEntry(t, UseJWT, kid, ecKey(t, elliptic.P256()).Public()))
}
