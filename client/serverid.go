package client

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// Bounds on what a server may send, those of the server on a client (MT-8).
const (
	maxChain      = 5
	maxChainBytes = 32 << 10
)

// pin takes roots and host name out of config and has the server verified by its
// SPIFFE ID instead, at each handshake by the bundle of that moment: by
// go-spiffe and this host's clock first, then by all of our rules and Config.Now.
func (c *Client) pin(config *tls.Config) {
	id, bundles := c.config.ServerID, c.config.ServerBundles
	tlsconfig.HookTLSClientConfig(config, bundles, tlsconfig.AuthorizeID(id))
	verify := config.VerifyPeerCertificate
	config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if err := verify(raw, nil); err != nil {
			return notPinned(id, "%w", oauth.ShownError(err)) // it repeats what the server sent
		}
		return nil
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return verifyServer(state.PeerCertificates, id, bundles, c.now())
	}
}

func notPinned(id spiffeid.ID, format string, args ...any) error {
	return fmt.Errorf("the server is not %s, which is pinned (A-9): %w", id, fmt.Errorf(format, args...))
}

// verifyServer judges what a server sent as an X.509-SVID of exactly id, by the
// rules that package svidgate has (VerifyServerX509SVID), which the client does not
// link.
func verifyServer(sent []*x509.Certificate, id spiffeid.ID, bundles x509bundle.Source, now time.Time) error {
	fault := func(format string, args ...any) error { return notPinned(id, format, args...) }
	if len(sent) == 0 {
		return fault("it has no certificate")
	}
	size := 0
	for _, c := range sent {
		size += len(c.Raw)
	}
	if len(sent) > maxChain || size > maxChainBytes {
		return fault("it sent %d certificates of %d bytes, and %d of %d are the most (MT-8)", len(sent), size, maxChain, maxChainBytes)
	}
	leaf := sent[0]
	names, err := strictid.URINames(leaf)
	switch {
	case err != nil:
		return fault("%w (XS-1)", err)
	case len(names) == 0:
		return fault("its certificate is no X.509-SVID (XS-1)")
	case len(names) > 1 || names[0] != id.String():
		return fault("its certificate is for %s", oauth.Shown(strings.Join(names, ", ")))
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fault("the key usage of its certificate lacks digitalSignature (XS-4)")
	case !allowsServerAuth(leaf):
		return fault("the extended key usage of its certificate rules servers out (XS-7)")
	case !isStrong(leaf):
		return fault("the key of its certificate is too weak (XS-18)")
	}
	_, paths, err := x509svid.Verify(sent, bundles, x509svid.WithTime(now)) // XS-3, XS-5, XS-10 to XS-13, XS-22
	if err != nil {
		return fault("%w", oauth.ShownError(err))
	}
	for _, path := range paths {
		if !slices.ContainsFunc(path[1:], func(c *x509.Certificate) bool { return !maySign(c) }) {
			return nil
		}
	}
	return fault("a certificate above its own may not sign for workloads (XS-14)")
}

// maySign is XS-14 for one certificate above the leaf: one that names a workload
// vouches for nobody.
func maySign(c *x509.Certificate) bool {
	names, err := strictid.URINames(c)
	return err == nil && c.BasicConstraintsValid && c.IsCA && c.KeyUsage&x509.KeyUsageCertSign != 0 && isStrong(c) && allowsServerAuth(c) &&
		!slices.ContainsFunc(names, func(name string) bool { return strictid.Cut(name).Path != "" })
}

// allowsServerAuth is XS-7: no extended key usage at all, or one for servers.
func allowsServerAuth(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// isStrong is XS-18 for one certificate's key.
func isStrong(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= jose.MinRSABits && k.N.BitLen() <= jose.MaxRSABits
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// checkServer reports what does not go together: one kind of verification stands in
// for the other in neither direction.
func (c *Config) checkServer() error {
	switch {
	case c.ServerID.IsZero() && c.ServerBundles != nil:
		return errors.New("config.ServerBundles: are of use with ServerID only")
	case c.ServerID.IsZero():
		return nil
	case c.ServerID.Path() == "":
		return errors.New("config.ServerID: names a trust domain, not a server")
	case c.ServerBundles == nil:
		return errors.New("config.ServerID: needs ServerBundles to verify the server by")
	case c.RootCAs != nil:
		return errors.New("config.RootCAs: have no part in verifying a server that is pinned by ServerID")
	}
	return nil
}
