package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/mint"
	"github.com/svidgate/svidgate/internal/page"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/ratelimit"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

// Config is what a Server is made of. All of it is required unless said
// otherwise.
type Config struct {
	Issuer string
	// MTLSURL is the base URL of the listener that asks for certificates; empty
	// when there is none.
	MTLSURL string
	// PublicCertificates says that the public listener asks for certificates too.
	PublicCertificates bool

	Authenticator *clientauth.Authenticator
	Grants        *grant.Grants
	// Requests are the authorization requests that clients push and browsers bring;
	// nil when no client has the authorization code grant.
	Requests *authorization.Requests
	// Desk is where people sign in. Nil has no pages and no authorization endpoint.
	Desk *login.Desk
	// Descriptions are what people are told of resources; some or all may be missing.
	Descriptions map[string]Description
	Policy       *policy.Table
	Keys         *keys.Ring
	Audit        *audit.Log
	Bundles      *bundle.Set

	Introspector *introspection.Introspector
	Revocations  *revocation.List
	Granted      *authorization.Grants

	// Store keeps what requests share. Nil is for a server that keeps nothing.
	Store Store

	// Sightings are told of by the verifier of the Authenticator, and show in the
	// metrics. Nil leaves those out.
	Sightings *Sightings

	// Tracer follows some requests; nil follows none.
	Tracer *trace.Tracer

	// Methods are the client authentication methods that work, for the metadata,
	// besides spiffe_wit.
	Methods []oauth.AuthMethod
	// WITDomains are the trust domains whose WIT-SVIDs are let in: spiffe_wit works
	// while the bundle of one of them has a key for it (MD-1).
	WITDomains []spiffeid.TrustDomain
	Resources  []policy.Resource

	// FailuresPerSource and RequestsPerClient are rates per second; 0 is no
	// limit (GL-16).
	FailuresPerSource float64
	RequestsPerClient float64

	Log *slog.Logger
	Now func() time.Time
}

// A Store tells of itself, in /readyz and in the metrics.
type Store interface {
	// Check is nil while it can be used. It waits no longer than ctx.
	Check(ctx context.Context) error
	prometheus.Collector
}

// A Server answers OAuth requests by one configuration, which never changes: a
// changed one is another Server. It is safe for concurrent use.
type Server struct {
	config   Config
	mint     *mint.Mint
	failures *ratelimit.Limiter[netip.Addr]
	requests *ratelimit.Limiter[string]
	metrics  *metrics
	metadata struct{ plain, wit []byte } // without and with spiffe_wit
	pages    *page.Pages
	begun    *ratelimit.Limiter[netip.Addr] // sign-ins at providers
	pushes   *ratelimit.Limiter[netip.Addr] // of public clients
	origin   string                         // of the pages, as browsers spell it
	stopping *atomic.Bool                   // shared with the servers before and after this one
}

// New makes a server. One that takes over from a previous one goes on with its
// metrics, and with what it counted against callers unless that limit changed;
// previous is nil for the first.
func New(c Config, previous *Server) (*Server, error) {
	if c.Issuer == "" || c.Authenticator == nil || c.Grants == nil || c.Policy == nil || c.Keys == nil || c.Audit == nil || c.Bundles == nil || c.Introspector == nil || c.Revocations == nil || c.Granted == nil || c.Log == nil || c.Now == nil {
		return nil, errors.New("server: the configuration is not complete")
	}
	s := &Server{config: c, origin: originOf(c.Issuer), mint: &mint.Mint{Issuer: c.Issuer, Signer: c.Keys.Signer, Now: c.Now}}
	if previous != nil {
		s.metrics, s.stopping = previous.metrics, previous.stopping
		s.failures, s.requests, s.begun, s.pushes = previous.failures, previous.requests, previous.begun, previous.pushes
	} else {
		s.metrics, s.stopping = newMetrics(&c), new(atomic.Bool)
		s.begun, s.pushes = ratelimit.New[netip.Addr](begunPerSource, c.Now), ratelimit.New[netip.Addr](pushedPerSource, c.Now)
	}
	if previous == nil || previous.config.FailuresPerSource != c.FailuresPerSource {
		s.failures = ratelimit.New[netip.Addr](c.FailuresPerSource, c.Now)
	}
	if previous == nil || previous.config.RequestsPerClient != c.RequestsPerClient {
		s.requests = ratelimit.New[string](c.RequestsPerClient, c.Now)
	}
	var err error
	if s.pages, err = page.New(c.Issuer); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if s.metadata.plain, err = s.makeMetadata(false); err == nil {
		s.metadata.wit, err = s.makeMetadata(true)
	}
	if err != nil {
		return nil, fmt.Errorf("server: metadata: %w", err)
	}
	return s, nil
}

// Stopping takes readiness away, also from the servers that take over from this
// one; requests go on being answered.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Public is the handler of the listener at the issuer's URL, to which browsers come.
func (s *Server) Public() http.Handler {
	rt := s.routes(s.config.Issuer)
	s.pageRoutes(rt, issuerPath(s.config.Issuer))
	return s.attended(rt)
}

// MTLS is the handler of the listener that asks for client certificates: the
// same endpoints under the alias URLs.
func (s *Server) MTLS() http.Handler { return s.attended(s.routes(s.config.MTLSURL)) }

// routes serves the endpoints below a base URL. The URL of the endpoint called
// is the one under this base and no other (AM-6, EC-4).
func (s *Server) routes(base string) *router {
	base = strings.TrimSuffix(base, "/")
	prefix := issuerPath(base)
	rt := s.newRouter()
	for _, e := range s.formEndpoints() {
		s.metrics.awaits(prefix + e.path)
		rt.handle(http.MethodPost, prefix+e.path, s.formHandler(e, base+e.path))
	}
	if s.config.Authenticator.Challenges != nil {
		rt.handle(http.MethodPost, prefix+oauth.PathChallenge, s.challenge)
	}
	rt.handle(http.MethodGet, prefix+oauth.PathJWKS, cached(s.config.Keys.CacheFor, s.config.Keys.JWKS))
	rt.handle(http.MethodGet, wellKnown(s.config.Issuer), cached(forMetadata, s.metadataNow))
	rt.handle(http.MethodGet, issuerPath(s.config.Issuer)+oauth.PathOIDC, cached(s.config.Keys.CacheFor, s.providerMetadata)) // appended, not inserted
	return rt
}

// originOf is the origin of an issuer's pages as RFC 6454 section 6.1 spells it: in
// lower case, without the port that https has anyway.
func originOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443")
}

// wellKnown is where the metadata of an issuer lives: the well-known name
// between host and path (AM-1).
func wellKnown(issuer string) string { return oauth.PathASMetadata + issuerPath(issuer) }

func issuerPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
}
