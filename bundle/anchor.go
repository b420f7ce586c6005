package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// anchor reads an entry with the use x509-svid. A kid on it is ignored (BU-7).
func (p *parser) anchor(index int, raw strictjson.Value) *fault {
	jwk, err := jose.ParseCertificateJWK([]byte(raw))
	if err != nil {
		return faulty(ruleOf(err, "BU-8"), err)
	}
	cert := jwk.Certificate
	for _, judge := range []func(*x509.Certificate) *fault{signingCertificate, strongKey} {
		if f := judge(cert); f != nil {
			return f
		}
	}
	foreign, f := p.signerID(cert)
	if f != nil {
		return f
	}
	for _, known := range p.out.anchors {
		if bytes.Equal(known.Raw, cert.Raw) {
			return nil // published twice, trusted once
		}
	}
	if foreign != "" {
		p.note(index, UseX509, "XS-15", "the certificate bears a SPIFFE ID of another trust domain: "+oauth.Shown(foreign))
	}
	if jwk.MoreCertificates > 0 {
		p.note(index, UseX509, "BU-6", fmt.Sprintf("x5c has %d values after the first; they are ignored", jwk.MoreCertificates))
	}
	p.out.anchors = append(p.out.anchors, cert)
	return nil
}

// signingCertificate is BU-8 and XS-14: a certificate that may sign others. One
// that need not be self-signed is an anchor all the same (XS-17).
func signingCertificate(cert *x509.Certificate) *fault {
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return &fault{"BU-8", "the certificate is not that of a CA"}
	}
	// Zero when the extension is absent, which in a CA counts as a fault too.
	if cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return &fault{"XS-14", "the certificate's key usage lacks keyCertSign"}
	}
	return nil
}

// strongKey is XS-18 for the key of an anchor. The anchor's own signature is
// not judged: nobody relies on it.
func strongKey(cert *x509.Certificate) *fault {
	if !strong(cert.PublicKey) {
		return &fault{"XS-18", "the key is too weak, too long or of an unknown kind: " + jose.KeyType(cert.PublicKey)}
	}
	return nil
}

func strong(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return bits >= jose.MinRSABits && bits <= jose.MaxRSABits
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	}
	return false
}

// signerID is XS-14 for the SPIFFE ID that a signing certificate may bear: it
// has no path. An ID with one is a workload's, whose certificate must sign for
// nobody. One that cannot be read might have a path and is refused as well. It
// returns an ID of another trust domain, which is tolerated (XS-15): the bundle
// that holds the certificate decides, not the name in it.
func (p *parser) signerID(cert *x509.Certificate) (foreign string, f *fault) {
	names, err := strictid.URINames(cert)
	if err != nil {
		return "", faulty("XS-14", err)
	}
	for _, name := range names {
		if len(name) < len("spiffe:") || !strings.EqualFold(name[:len("spiffe:")], "spiffe:") {
			continue // some other URI, which says nothing about workloads
		}
		id, err := strictid.Parse(name)
		if err != nil {
			return "", faulty("XS-14", fmt.Errorf("the certificate's SPIFFE ID is malformed: %w", err))
		}
		if id.Path() != "" {
			return "", &fault{"XS-14", "the certificate bears the SPIFFE ID of a workload: " + oauth.Shown(name)}
		}
		if id.TrustDomain() != p.trustDomain {
			foreign = name
		}
	}
	return foreign, nil
}
