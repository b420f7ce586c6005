package devca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// An SVID is an X.509-SVID with its private key. It prints and logs as its
// SPIFFE ID.
type SVID struct {
	// ID is the one asked for. A mutated certificate may say something else.
	ID spiffeid.ID
	// Certificates begin with the leaf, then intermediates, without the root.
	Certificates []*x509.Certificate
	PrivateKey   crypto.Signer
}

func (s SVID) String() string       { return s.ID.String() }
func (s SVID) GoString() string     { return s.ID.String() }
func (s SVID) LogValue() slog.Value { return slog.StringValue(s.ID.String()) }

// Leaf is the workload's certificate.
func (s SVID) Leaf() *x509.Certificate { return s.Certificates[0] }

// TLSCertificate is the SVID as crypto/tls wants it.
func (s SVID) TLSCertificate() tls.Certificate {
	c := tls.Certificate{PrivateKey: s.PrivateKey, Leaf: s.Certificates[0]}
	for _, cert := range s.Certificates {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// ChainDER is the certificates one after the other, as the Workload API sends
// them.
func (s SVID) ChainDER() []byte {
	var der []byte
	for _, cert := range s.Certificates {
		der = append(der, cert.Raw...)
	}
	return der
}

// KeyDER is the private key in PKCS #8.
func (s SVID) KeyDER() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("devca: encode the private key: %w", err)
	}
	return der, nil
}

// ChainPEM is the certificates in PEM, leaf first.
func (s SVID) ChainPEM() []byte { return certificatesPEM(s.Certificates...) }

// KeyPEM is the private key in PKCS #8 and PEM.
func (s SVID) KeyPEM() ([]byte, error) {
	der, err := s.KeyDER()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func certificatesPEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}
