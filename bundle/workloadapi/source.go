package workloadapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/oauth"
)

// fetchTimeout bounds one fetch (BE-9).
const fetchTimeout = 10 * time.Second

var errClosed = errors.New("the source is closed")

// Config says which Workload API, and which of the bundles it offers.
type Config struct {
	// Address is unix:///absolute/path or tcp://ip:port (CL-1). It is never taken
	// from the environment: this source is used only where it is named (AV-1).
	Address string
	// TrustDomain is the one whose bundle is taken.
	TrustDomain spiffeid.TrustDomain
	// Log hears once when the Workload API goes away under a watch and once when
	// it is back, and of a tcp address that leaves this machine; nil means silence.
	Log *slog.Logger
}

// A Source is the bundle of one trust domain at one Workload API. Any number of
// goroutines may use it.
type Source struct {
	address string // fit for logs
	origin  string // and no other address has it
	td      spiffeid.TrustDomain
	log     *slog.Logger
	dial    func(context.Context) (net.Conn, error)

	closing sync.Once
	closed  chan struct{}

	mu      sync.Mutex
	fetched [profiles]sum // of what the last Fetch was told
}

var _ bundle.Watcher = (*Source)(nil)

// New checks the configuration and reports every fault at once. It connects to
// nothing: the agent may start later.
func New(c Config) (*Source, error) {
	s := &Source{address: oauth.Shown(c.Address), origin: uniqueOrigin(c.Address), td: c.TrustDomain, log: c.Log, closed: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	network, address, err := parseAddress(c.Address)
	if err != nil {
		err = fmt.Errorf("address: %w (CL-1)", err) // not repeated: it may hold what does not belong there
	}
	if c.TrustDomain.IsZero() {
		err = errors.Join(err, errors.New("the trust domain is missing"))
	}
	if err != nil {
		return nil, fmt.Errorf("workloadapi: %w", err)
	}
	s.dial = func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: fetchTimeout}).DialContext(ctx, network, address)
	}
	if ip, err := netip.ParseAddrPort(address); network == "tcp" && err == nil && !ip.Addr().Unmap().IsLoopback() {
		s.log.Warn("the Workload API is asked over a network without encryption: whoever is on the way there decides who is believed",
			keyTrustDomain, s.td.Name(), keyURL, s.address)
	}
	return s, nil
}

// parseAddress reads unix:///absolute/path without authority, or tcp://ip:port.
// A host name is refused: whoever answers for names would choose the agent.
func parseAddress(raw string) (network, address string, err error) {
	if raw == "" {
		return "", "", errors.New("it is missing")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", errors.New("it is no URL")
	}
	if u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", "", errors.New("it has more than unix:// and an absolute path, or tcp:// and ip:port")
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.ContainsRune(u.Path, 0) {
			return "", "", errors.New("a unix address is unix:// and an absolute path")
		}
		return "unix", u.Path, nil
	case "tcp":
		ip, err := netip.ParseAddrPort(u.Host)
		if err != nil || ip.Port() == 0 || u.Path != "" {
			return "", "", errors.New("a tcp address is tcp:// and ip:port")
		}
		return "tcp", ip.String(), nil
	}
	return "", "", errors.New("it begins with neither unix:// nor tcp://")
}

// Origin is the address, fit for logs. Where that is not all of it, a digest
// follows: no two addresses have the same origin.
func (s *Source) Origin() string { return s.origin }

func uniqueOrigin(address string) string {
	shown := oauth.Shown(address)
	if shown == address {
		return shown
	}
	sum := sha256.Sum256([]byte(address))
	return fmt.Sprintf("%s (%x)", shown, sum[:8])
}

// Close ends what is under way, and no Fetch or Watch works any more. It may be
// called more than once.
func (s *Source) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return nil
}

// during is a context that ends with ctx, and when the source is closed.
func (s *Source) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.closed:
			cancel(errClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Fetch asks for the X.509 bundles and for the JWT bundles, takes the first
// answer of each, and makes one SPIFFE bundle document of what they have for the
// trust domain. It takes ten seconds at most.
//
// Of an agent that has one of the two bundles, the other counts as withdrawn, and
// both do if it has bundles of other trust domains only: the document is then one
// without keys, which trusts nobody (CL-4, BU-3). An agent that has no bundles at
// all, or that does not answer, teaches nothing: it may have started a moment ago.
// The bundle of before is then good until it is too old (BE-15).
func (s *Source) Fetch(ctx context.Context) (bundle.Document, error) {
	ctx, cancel := s.during(ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, fetchTimeout)
	defer stop()
	data, err := s.fetch(ctx)
	if err != nil {
		return bundle.Document{}, fmt.Errorf("workloadapi: %s: %w", s.address, err)
	}
	return bundle.Document{Bytes: data}, nil
}

func (s *Source) fetch(ctx context.Context) ([]byte, error) {
	// Each fetch connects anew, so that it learns how things are now and not how
	// they were when gRPC last tried.
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var (
		has  [profiles]entry
		sums [profiles]sum
		lack error // of a profile that the Workload API does not have
	)
	for p := range profiles {
		has[p], err = c.first(ctx, p)
		switch {
		case notImplemented(err):
			lack = err
		case err != nil:
			return nil, err
		}
		sums[p] = has[p].sum()
	}
	s.mu.Lock()
	s.fetched = sums
	s.mu.Unlock()
	x509, jwt := has[x509Profile], has[jwtProfile]
	if !x509.there && !jwt.there && !x509.withdrawn && !jwt.withdrawn {
		err := fmt.Errorf("the Workload API has no bundle for %s", s.td.Name())
		if lack != nil {
			err = fmt.Errorf("%w: %w", err, lack)
		}
		return nil, err
	}
	return compose(x509.data, jwt)
}
