package devca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// backdate keeps a credential from being in the future for a verifier whose
// clock is a moment behind.
const backdate = 10 * time.Second

// An Issuer is a CA of the trust domain: a root, or a CA below one.
type Issuer struct {
	authority *Authority
	root      *x509.Certificate
	cert      *x509.Certificate
	key       crypto.Signer
	chain     []*x509.Certificate // cert and those above it, without the root
}

// newIssuer makes a root, and the CA that will sign leaves under it.
func (a *Authority) newIssuer() (*x509.Certificate, *Issuer, error) {
	key, err := GenerateKey(a.opts.KeyAlgorithm)
	if err != nil {
		return nil, nil, err
	}
	template := a.caTemplate("root")
	if a.opts.MutateRoot != nil {
		a.opts.MutateRoot(template)
	}
	root, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	issuer := &Issuer{authority: a, root: root, cert: root, key: key}
	if a.opts.Intermediate {
		if issuer, err = issuer.Intermediate(); err != nil {
			return nil, nil, err
		}
	}
	return root, issuer, nil
}

// caTemplate is a signing certificate: cA, keyCertSign and cRLSign in a critical
// key usage, and the trust domain's SPIFFE ID without a path (XS-14).
func (a *Authority) caTemplate(role string) *x509.Certificate {
	now, serial := a.opts.Now(), newSerial()
	return &x509.Certificate{
		SerialNumber: serial,
		// The number tells apart the roots of before and after a rotation.
		Subject:               pkix.Name{Organization: []string{"Svidgate development"}, CommonName: role, SerialNumber: serial.Text(16)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(a.opts.RootLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		URIs:                  []*url.URL{a.td.ID().URL()},
	}
}

// Certificate is the CA's own certificate.
func (i *Issuer) Certificate() *x509.Certificate { return i.cert }

// Intermediate makes a CA below this one. It is not published: its certificate
// travels with the SVIDs it signs.
func (i *Issuer) Intermediate(mutate ...func(*x509.Certificate)) (*Issuer, error) {
	key, err := GenerateKey(i.authority.opts.KeyAlgorithm)
	if err != nil {
		return nil, err
	}
	template := i.authority.caTemplate("intermediate")
	for _, change := range mutate {
		change(template)
	}
	cert, err := sign(template, i.cert, key.Public(), i.key)
	if err != nil {
		return nil, err
	}
	return &Issuer{
		authority: i.authority, root: i.root, cert: cert, key: key,
		chain: slices.Concat([]*x509.Certificate{cert}, i.chain),
	}, nil
}

// X509SVID makes an X.509-SVID with a fresh key for the workload at path, such
// as "/billing"; the empty path stands for the trust domain itself, which is a
// defect in a leaf (XS-2). The mutate functions change the certificate before it
// is signed, and nothing is checked after them, except that a certificate which
// crypto/x509 cannot read is an error.
func (i *Issuer) X509SVID(path string, mutate ...func(*x509.Certificate)) (SVID, error) {
	key, err := GenerateKey(i.authority.opts.KeyAlgorithm)
	if err != nil {
		return SVID{}, err
	}
	return i.X509SVIDForKey(path, key, mutate...)
}

// X509SVIDForKey is X509SVID for a key that exists already.
func (i *Issuer) X509SVIDForKey(path string, key crypto.Signer, mutate ...func(*x509.Certificate)) (SVID, error) {
	a := i.authority
	id, err := spiffeid.FromPath(a.td, path)
	if err != nil {
		return SVID{}, fmt.Errorf("devca: %w", err)
	}
	now := a.opts.Now()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{"Svidgate development"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(a.opts.X509Lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,                                              // XS-4 to XS-6
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, // XS-7
		BasicConstraintsValid: true,                                                                       // and cA false: XS-3
		URIs:                  []*url.URL{id.URL()},                                                       // XS-1
	}
	for _, change := range mutate {
		change(template)
	}
	leaf, err := sign(template, i.cert, key.Public(), i.key)
	if err != nil {
		return SVID{}, err
	}
	return SVID{ID: id, Certificates: slices.Concat([]*x509.Certificate{leaf}, i.chain), PrivateKey: key}, nil
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("devca: sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("devca: read the certificate back: %w", err)
	}
	return cert, nil
}

// newSerial is a positive random number of 127 bits at most (RFC 5280 section
// 4.1.2.2).
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] &= 0x7f
	b[15] |= 1 // not zero
	return new(big.Int).SetBytes(b)
}

// RawURISAN is a critical subject alternative name with these bytes as its URIs,
// whatever they are. Put into ExtraExtensions it takes the place of the URIs,
// DNS names and IP addresses of the template. It is how a test writes an ID that
// Go's URL type would repair on the way (XS-26), such as an empty fragment.
func RawURISAN(uris ...string) pkix.Extension {
	const uniformResourceIdentifier = 6 // RFC 5280 section 4.2.1.6
	names := []asn1.RawValue{}
	for _, uri := range uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: uniformResourceIdentifier, Bytes: []byte(uri)})
	}
	value, err := asn1.Marshal(names)
	if err != nil { // cannot happen: every element is raw
		panic(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value}
}
