package client

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// A session is one X.509-SVID and the connections on which it, and no other, is
// presented. A token is bound to the certificate of the connection it was asked
// for on (RFC 8705 section 3.1), so connection, certificate and token must go
// together; one connection pool for all SVIDs would mix them at a rotation.
type session struct {
	svid       *x509svid.SVID
	thumbprint [sha256.Size]byte // of the leaf, as in x5t#S256
	cert       tls.Certificate
	http       *http.Client // to the authorization server
}

// usable refuses an SVID after its end. Its beginning is the server's business:
// a clock that is slow here should not stop us.
func (s *session) usable(now time.Time) error {
	if end := s.svid.Certificates[0].NotAfter; now.After(end) {
		return fmt.Errorf("the X.509-SVID of %s ended at %s and it is %s now; is the clock of this host right, does the source still renew?",
			s.svid.ID, end.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// certificates follows the source from one X.509-SVID to the next.
type certificates struct {
	source        X509Source
	now           func() time.Time
	newHTTPClient func(*tls.Certificate) *http.Client

	mu       sync.Mutex
	seen     *x509svid.SVID // what the source returned last
	current  *session
	previous *session // of the same SPIFFE ID, else nil
}

// sessions returns the session of the SVID that the source has now, and the one
// before it while its certificate lives, or nil.
func (c *certificates) sessions() (current, previous *session, err error) {
	// Under the lock, or two callers could see a rotation in opposite order.
	c.mu.Lock()
	defer c.mu.Unlock()
	svid, err := c.source.GetX509SVID()
	now := c.now()
	switch {
	case errors.Is(err, errUnsettled) && c.current != nil && c.current.usable(now) == nil:
		// The files are being replaced: the SVID we have is still the newest.
	case err != nil:
		return nil, nil, fmt.Errorf("get the X.509-SVID: %w", err)
	default:
		if err := c.follow(svid); err != nil {
			return nil, nil, fmt.Errorf("the X.509-SVID from the source: %w", err)
		}
	}
	if err := c.current.usable(now); err != nil {
		return nil, nil, err
	}
	if c.previous != nil && c.previous.usable(now) != nil {
		c.previous = nil
	}
	return c.current, c.previous, nil
}

// follow makes svid the current one. c.mu is held.
func (c *certificates) follow(svid *x509svid.SVID) error {
	if c.current != nil && c.seen == svid {
		return nil
	}
	if svid == nil || len(svid.Certificates) == 0 || svid.PrivateKey == nil || svid.ID.IsZero() {
		return errors.New("is incomplete")
	}
	leaf := svid.Certificates[0]
	s := &session{svid: svid, thumbprint: sha256.Sum256(leaf.Raw)}
	c.seen = svid
	if c.current != nil && c.current.thumbprint == s.thumbprint {
		return nil // the same certificate, read anew
	}
	s.cert = tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: leaf}
	for _, cert := range svid.Certificates {
		s.cert.Certificate = append(s.cert.Certificate, cert.Raw)
	}
	s.http = c.newHTTPClient(&s.cert)
	old := c.current
	c.current, c.previous = s, nil
	if old != nil {
		old.http.CloseIdleConnections() // MT-4
		// Another identity is another workload: nothing of the old one's is used.
		if old.svid.ID == svid.ID {
			c.previous = old
		}
	}
	return nil
}

// newHTTPClient makes a client for the authorization server that presents cert,
// or nothing when it is nil. It follows no redirect: credentials go where the
// metadata says and nowhere else. HTTP/1.1 is enough for a request every few
// minutes, and its dead connections are noticed.
func (c *Client) newHTTPClient(cert *tls.Certificate) *http.Client {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.config.RootCAs, Time: c.now}
	if !c.config.ServerID.IsZero() {
		c.pin(config)
	}
	if cert != nil {
		// Without this function crypto/tls would hold the certificate back from a
		// server that hints at CAs which are not ours.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    c.config.Timeout,
			MaxIdleConnsPerHost:    2,
			MaxConnsPerHost:        8, // many keys may be due at once
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       c.config.Timeout,
	}
}

// TLSConfig is for connections to an API whose tokens are bound to the workload's
// certificate. It presents the X.509-SVID that the source has at each handshake,
// and nothing when the client has no X.509-SVID. The API is verified by the
// system's roots: set RootCAs, or VerifyConnection, for anything else.
//
// [Client.Transport] does this by itself for an *http.Transport and also keeps
// token and connection together when the SVID rotates. Whoever uses TLSConfig
// directly must see to that: close the connections made before the rotation.
func (c *Client) TLSConfig() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, Time: c.now}
	if c.certificates != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			s, _, err := c.certificates.sessions()
			if err != nil {
				return nil, fmt.Errorf("client: %w", err)
			}
			return &s.cert, nil
		}
	}
	return config
}
