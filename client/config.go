package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

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
