package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/oauth"
)

// Config says which authorization server to ask, and with what.
type Config struct {
	// Issuer is the server's issuer identifier: an https URL without query and
	// fragment. Everything else about the server is read from its metadata.
	Issuer string

	// ClientID is the name under which the workload is registered. Empty means
	// its SPIFFE ID, which is what most registrations use.
	ClientID string

	// Credentials are the SVIDs at hand, at least one, each kind at most once.
	Credentials []Credential

	// Method is the method the client is registered with. Empty picks the first
	// that the server offers of spiffe_x509, spiffe_wit, spiffe_jwt, among those for
	// which there is a credential (CA-4).
	Method oauth.AuthMethod

	// EndpointAudience asks for JWT-SVIDs whose audience is the URL of the token
	// endpoint in place of the issuer, for servers with the profile seed. Every
	// newer server refuses them or counts them as an old form.
	EndpointAudience bool

	// RootCAs verify the certificates of the server; nil means the system's store.
	// The SPIFFE trust bundle has no place here (CX-6, XS-25).
	RootCAs *x509.CertPool

	// ServerID pins the server's SPIFFE ID, for one that is served with an
	// X.509-SVID; without it such a server is refused. This is outside the
	// OAuth profile for SPIFFE, which wants the system's store.
	//
	// With it the server has to show, at every handshake and at every endpoint, an
	// X.509-SVID of exactly this ID with a path to an anchor of the ID's trust domain
	// that ServerBundles has in that moment. The ID takes the place of the host name,
	// which is not checked, and RootCAs must be nil: a certificate of the Web PKI is
	// refused, and so is an https proxy. How old a bundle is, and revocation, are not
	// checked. The certificate is judged by this host's clock and by Now.
	ServerID spiffeid.ID

	// ServerBundles gives the X.509 bundle of a trust domain, needed with ServerID
	// and with it only: a workload.Source, X509BundleFile, or one of go-spiffe's.
	// It is asked at each handshake and must answer from memory or a file. An error
	// means that no server is good now.
	ServerBundles x509bundle.Source

	// Timeout bounds each exchange with the server; 0 means 10 seconds.
	Timeout time.Duration

	// Log hears of every failure to get an SVID, a token or the metadata, also of
	// those that no caller notices because the old one still serves; nil means
	// silence. It never sees a token or an SVID.
	Log *slog.Logger

	Now func() time.Time // nil means time.Now
}

const defaultTimeout = 10 * time.Second

// validate reports every fault at once.
func (c *Config) validate() error {
	var faults []error
	if err := checkIssuer(c.Issuer); err != nil {
		faults = append(faults, fmt.Errorf("config.Issuer: %w", err))
	}
	if len(c.Credentials) == 0 {
		faults = append(faults, errors.New("config.Credentials: at least one is needed"))
	}
	held := map[oauth.AuthMethod]bool{}
	for _, cred := range c.Credentials {
		switch {
		case cred.jwt == nil && cred.x509 == nil && cred.wit == nil:
			faults = append(faults, errors.New("config.Credentials: one has no source"))
		case held[cred.method]:
			faults = append(faults, fmt.Errorf("config.Credentials: two for %s", cred.method))
		}
		held[cred.method] = true
	}
	if c.Method != "" && !held[c.Method] {
		faults = append(faults, fmt.Errorf("config.Method: there is no credential for %s", oauth.Shown(string(c.Method))))
	}
	if err := c.checkServer(); err != nil {
		faults = append(faults, err)
	}
	if c.Timeout < 0 {
		faults = append(faults, errors.New("config.Timeout: is negative"))
	}
	return errors.Join(faults...)
}

// New checks the configuration, then fetches and checks the server's metadata
// (RFC 8414, AM-1, AM-2) and chooses the authentication method. No SVID is needed
// yet. New fails when the server cannot be reached; a program that must start
// without it calls New again.
func New(ctx context.Context, config Config) (*Client, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("client: invalid configuration: %w", err)
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Client{config: config, log: config.Log, now: config.Now, entries: map[key]*entry{}}
	c.plain = c.newHTTPClient(nil)
	for _, cred := range config.Credentials {
		switch cred.method {
		case oauth.MethodJWT:
			c.assertions = newAssertions(cred.jwt, c.now, c.log)
		case oauth.MethodWIT:
			c.attestations = &attestations{source: cred.wit, now: c.now}
		case oauth.MethodX509:
			c.certificates = &certificates{source: cred.x509, now: c.now, newHTTPClient: c.newHTTPClient}
		}
	}
	c.metadata = &kept[metadata]{now: c.now, fetch: c.fetchMetadata, failed: func(err error) {
		c.log.Warn("authorization server metadata could not be read", "issuer", config.Issuer, "error", err)
	}}
	if _, err := c.metadata.get(ctx); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return c, nil
}
