package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/oauth"
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

// verifyServer judges what a server sent as an X.509-SVID of exactly id.
func verifyServer(sent []*x509.Certificate, id spiffeid.ID, bundles x509bundle.Source, now time.Time) error {
	held, err := bundles.GetX509BundleForTrustDomain(id.TrustDomain())
	if err != nil {
		return notPinned(id, "%w", oauth.ShownError(err))
	}
	if held.Empty() {
		return notPinned(id, "the bundle of %s has no anchors", id.TrustDomain())
	}
	document, err := spiffebundle.FromX509Bundle(held).Marshal()
	if err != nil {
		return notPinned(id, "%w", err)
	}
	by, err := bundle.Parse(id.TrustDomain(), document, now)
	if err == nil {
		err = svidgate.VerifyServerX509SVID(sent, id, by, now)
	}
	if err != nil {
		return notPinned(id, "%w", err)
	}
	return nil
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
