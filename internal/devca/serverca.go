package devca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// A ServerCA stands in for the Web PKI: it makes certificates for TLS servers by
// host name. It has nothing to do with the trust domain's authority, and its
// certificates are no SVIDs. Any number of goroutines may use it.
type ServerCA struct {
	now  func() time.Time
	cert *x509.Certificate
	key  crypto.Signer
}

// serverLifetime keeps a long `svidgate dev` from ending in expired
// certificates; some clients refuse more than 398 days.
const serverLifetime = 365 * 24 * time.Hour

// NewServerCA makes a CA with a fresh P-256 key; now nil means time.Now.
func NewServerCA(now func() time.Time) (*ServerCA, error) {
	if now == nil {
		now = time.Now
	}
	key, err := GenerateKey(P256)
	if err != nil {
		return nil, err
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Svidgate development"}, CommonName: "TLS server root", SerialNumber: serial.Text(16)},
		NotBefore:             now().Add(-backdate),
		NotAfter:              now().Add(serverLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &ServerCA{now, cert, key}, nil
}

// Certificate makes a server certificate for host names and IP addresses, with a
// fresh key, valid as long as the CA. A test that wants a bad one asks for the
// wrong host, or has a CA with another clock.
func (c *ServerCA) Certificate(hosts ...string) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("devca: a server certificate needs at least one host")
	}
	key, err := GenerateKey(P256)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{"Svidgate development"}},
		NotBefore:             c.now().Add(-backdate),
		NotAfter:              c.cert.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	leaf, err := sign(template, c.cert, key.Public(), c.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Pool holds the CA's certificate, for tls.Config.RootCAs.
func (c *ServerCA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// PEM is the CA's certificate in PEM, as ca_file wants it.
func (c *ServerCA) PEM() []byte { return certificatesPEM(c.cert) }

// ServerPEM is a server certificate and its key in PEM and PKCS #8, as the files
// of a configuration's tls want them.
func ServerPEM(pair tls.Certificate) (chain, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("devca: server key: %w", err)
	}
	for _, cert := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
