package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/loopback"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// Config says whose way to look at. What is empty is not looked at.
type Config struct {
	// Issuer is the authorization server.
	Issuer string
	// RootCAs verify it; nil means the system's. CAFile is their file, for what is
	// said only.
	RootCAs *x509.CertPool
	CAFile  string

	// Socket is the address of the Workload API; empty means the environment's.
	// With one of the sources the Workload API is not asked.
	Socket         string
	JWTSource      client.JWTSource
	X509Source     client.X509Source
	WITSource      client.WITSource
	SPIFFEID, Hint string
	ClientID       string
	Method         oauth.AuthMethod
	Resource       string
	Scope          string
	// EndpointAudience asks for a JWT-SVID whose audience is the token endpoint, for
	// a server with the profile seed (CJ-7).
	EndpointAudience bool

	// AdminSocket is the server's administration socket, StatusURL its status
	// listener: http, on loopback.
	AdminSocket string
	StatusURL   string

	Now func() time.Time // nil means time.Now
}

// A patient is what is known so far. Each check fills in what it alone can find.
type patient struct {
	Config
	facts fact
	http  *http.Client
	host  string // and port, of the issuer

	source   *workload.Source // nil when the SVIDs come from elsewhere
	x509     *x509svid.SVID
	anchors  []string // SHA-256 of those of its trust domain, as the Workload API has them
	wit      *jose.Compact
	shown    string // what wit was read from
	jwt      *jose.Compact
	given    string // what jwt was read from
	document metadata
	keys     *resource.KeySet
	jwks     []byte

	// date is what the server's clock said when ours said dated.
	date, dated time.Time

	faults   int // checks that failed so far
	attempts map[oauth.AuthMethod]*attempt
}

func newPatient(c Config) (*patient, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &patient{Config: c, attempts: map[oauth.AuthMethod]*attempt{}}
	var faults []error
	if c.Issuer != "" {
		u, err := url.Parse(c.Issuer)
		switch {
		case err != nil || u.Scheme != "https" || !strings.HasPrefix(c.Issuer, "https://") || u.Hostname() == "" || u.User != nil:
			faults = append(faults, fmt.Errorf("the issuer %q is not an https URL", oauth.Shown(c.Issuer)))
		case strings.ContainsAny(c.Issuer, "?#"):
			faults = append(faults, errors.New("the issuer has a query or a fragment (AM-2)"))
		default:
			port := u.Port()
			if port == "" {
				port = "443"
			}
			p.host = net.JoinHostPort(u.Hostname(), port)
		}
	}
	if c.StatusURL != "" {
		u, err := url.Parse(c.StatusURL)
		if err != nil || u.Scheme != "http" || !loopback.Host(u.Hostname()) {
			faults = append(faults, fmt.Errorf("the status address %q is not an http URL on loopback", oauth.Shown(c.StatusURL)))
		}
	}
	switch c.Method {
	case "", oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT:
	default:
		faults = append(faults, fmt.Errorf("the method %q is neither spiffe_jwt nor spiffe_wit nor spiffe_x509", oauth.Shown(string(c.Method))))
	}
	p.http = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        p.tlsConfig(),
			TLSHandshakeTimeout:    perCheck,
			ResponseHeaderTimeout:  perCheck,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       perCheck,
	}
	return p, errors.Join(faults...)
}

// elsewhere reports whether the SVIDs come from files and not from a Workload API.
func (c *Config) elsewhere() bool {
	return c.JWTSource != nil || c.X509Source != nil || c.WITSource != nil
}

// credentials are all that the workload can show.
func (p *patient) credentials() []client.Credential {
	if p.source != nil {
		return p.source.Credentials()
	}
	var all []client.Credential
	if p.X509Source != nil {
		all = append(all, client.X509SVID(p.X509Source))
	}
	if p.WITSource != nil {
		all = append(all, client.WITSVID(p.WITSource))
	}
	if p.JWTSource != nil {
		all = append(all, client.JWTSVID(p.JWTSource))
	}
	return all
}

func (p *patient) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12, Time: p.Now}
}

func (p *patient) close() {
	if p.source != nil {
		p.source.Close()
	}
}
