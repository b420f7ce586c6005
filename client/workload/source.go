package workload

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

// Config says which Workload API, and which of its identities.
type Config struct {
	// Address is unix:///absolute/path or tcp://ip:port. Empty means the environment
	// variable SPIFFE_ENDPOINT_SOCKET (CL-1).
	Address string

	// SPIFFEID and Hint pick one of several identities; an SVID must have both, as
	// far as they are set. With neither, the first identity is taken (CL-5).
	SPIFFEID string
	Hint     string

	// Log hears once when the Workload API is not ready and once when it is; nil
	// means silence.
	Log *slog.Logger
}

// A Source follows the SVIDs of one identity. It is a client.X509Source, a
// client.WITSource and a client.JWTSource, and of use as client.Config.ServerBundles.
// Any number of goroutines may use it.
type Source struct {
	config  Config
	address string
	id      spiffeid.ID // zero: not chosen by SPIFFE ID
	log     *slog.Logger
	api     *workloadapi.Client
	cancel  context.CancelFunc
	closing sync.Once
	watched sync.WaitGroup // both watches

	mu       sync.Mutex
	svid     *x509svid.SVID
	err      error           // why there is no svid, or why there is no newer one
	troubled bool            // err has been logged
	noX509   bool            // the Workload API has no X.509-SVIDs at all
	bundles  *x509bundle.Set // as they came with the X.509-SVIDs last; nil: none

	wits        []*witsvid.SVID // of the identity, as the Workload API sent them last
	witErr      error           // why there is none
	witTroubled bool            // witErr has been logged

	settled chan struct{} // closed at the first svid, or when none will ever come
	settle  func()

	witSettled chan struct{} // closed at the first answer about WIT-SVIDs
	settleWIT  func()
}

// Open connects to the Workload API and waits for the first X.509-SVID of the
// identity, however long that takes, until ctx ends (F46). It does not wait for a
// Workload API that says it has no X.509-SVIDs at all; the source then gives the
// other kinds only. Whether there are WIT-SVIDs it knows soon after: most Workload
// APIs have none (CL-6). The error tells the last thing
// that the Workload API said. Close the source when it is not needed any more.
func Open(ctx context.Context, config Config) (*Source, error) {
	s, err := newSource(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("workload: %w", err)
	}
	select {
	case <-s.settled:
		s.awaitWIT(ctx)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err = s.outcome(err); err != nil {
		s.Close()
		return nil, fmt.Errorf("workload: no SVID from %s: %w", s.address, err)
	}
	return s, nil
}

// witPatience is how long a Workload API that has X.509-SVIDs may take to say
// whether it has WIT-SVIDs.
const witPatience = 5 * time.Second

func (s *Source) awaitWIT(ctx context.Context) {
	timer := time.NewTimer(witPatience)
	defer timer.Stop()
	select {
	case <-s.witSettled:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// outcome is nil when there is something to work with, whatever ended the wait.
func (s *Source) outcome(waiting error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.svid != nil || s.noX509:
		return nil
	case waiting == nil:
		return s.err
	case s.err == nil:
		return fmt.Errorf("%w before it answered", waiting)
	}
	return fmt.Errorf("%w; it said last: %w", waiting, s.err)
}

func newSource(ctx context.Context, config Config) (*Source, error) {
	s := &Source{config: config, address: config.Address, log: config.Log, settled: make(chan struct{}), witSettled: make(chan struct{})}
	s.settle = sync.OnceFunc(func() { close(s.settled) })
	s.settleWIT = sync.OnceFunc(func() { close(s.witSettled) })
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.address == "" {
		s.address = os.Getenv(workloadapi.SocketEnv)
	}
	if s.address == "" {
		return nil, fmt.Errorf("no address of the Workload API: set one or %s (CL-1)", workloadapi.SocketEnv)
	}
	if err := checkAddress(s.address); err != nil {
		return nil, fmt.Errorf("address %q: %w (CL-1)", oauth.Shown(s.address), err)
	}
	if config.SPIFFEID != "" {
		id, err := spiffeid.FromString(config.SPIFFEID)
		if err == nil && id.Path() == "" {
			err = errors.New("it names a trust domain, not a workload")
		}
		if err != nil {
			return nil, fmt.Errorf("SPIFFE ID %q: %w", oauth.Shown(config.SPIFFEID), err)
		}
		s.id = id
	}
	api, err := workloadapi.New(ctx,
		workloadapi.WithAddr(s.address),
		workloadapi.WithBackoffStrategy(strategy{}),
		workloadapi.WithDialOptions(grpc.WithConnectParams(connect()), grpc.WithStreamInterceptor(s.follow)),
	)
	if err != nil {
		return nil, err
	}
	s.api = api
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	x509, stopX509 := context.WithCancel(watching)
	// Each returns when cancelled, or told never to ask again (CL-3, CL-6).
	s.watched.Go(func() {
		defer stopX509()
		s.end(api.WatchX509Context(x509, watcher{s, stopX509}))
	})
	s.watched.Go(func() { s.endWIT(api.WatchWITSVIDs(watching, witWatcher{s}, config.SPIFFEID)) })
	return s, nil
}

// checkAddress allows unix:///absolute/path without authority, or tcp://ip:port
// (CL-1). go-spiffe lets an authority pass that gRPC then refuses.
func checkAddress(address string) error {
	if strings.HasPrefix(address, "/") {
		return errors.New("a path needs unix:// before it")
	}
	if err := workloadapi.ValidateAddress(address); err != nil {
		return err
	}
	if u, err := url.Parse(address); err != nil || u.Scheme == "unix" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")) {
		return errors.New("a unix address is unix:// and an absolute path")
	}
	return nil
}

// connect lets gRPC look for the socket every few seconds. By itself it would wait
// up to two minutes, on top of our own back-off (F46).
func connect() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
		MinConnectTimeout: 2 * time.Second,
	}
}

// Credentials are what the Workload API gives, for client.Config: an X.509-SVID,
// if it has any, a WIT-SVID, if it has given one until now, and a JWT-SVID. Take
// only client.JWTSVID(source) for tokens that are used where neither a certificate
// nor a proof can be shown.
func (s *Source) Credentials() []client.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []client.Credential
	if !s.noX509 {
		all = append(all, client.X509SVID(s))
	}
	if len(s.wits) > 0 {
		all = append(all, client.WITSVID(s))
	}
	return append(all, client.JWTSVID(s))
}

// GetX509SVID returns the X.509-SVID that the Workload API sent last. While the
// Workload API is away that may be an old one; whoever uses it looks at its end.
// An identity that the last answer did not have is withdrawn (CL-4).
func (s *Source) GetX509SVID() (*x509svid.SVID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.svid == nil {
		return nil, fmt.Errorf("workload: no X.509-SVID from %s: %w", s.address, s.err)
	}
	return s.svid, nil
}

// GetX509BundleForTrustDomain returns the X.509 bundle of the workload's own trust
// domain, or of one that it is federated with, as the Workload API sent it last beside
// the X.509-SVIDs. While the Workload API is away that may be an old one.
func (s *Source) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bundles == nil {
		return nil, fmt.Errorf("workload: no X.509 bundles from %s: %w", s.address, s.err)
	}
	bundle, ok := s.bundles.Get(td)
	if !ok {
		return nil, fmt.Errorf("workload: no X.509 bundle of %s from %s: is the workload federated with it?", td, s.address)
	}
	return bundle, nil
}

// GetWITSVID returns the WIT-SVID that the Workload API sent last, of the identity
// that GetX509SVID has if it is among them, and its private key. What the last
// answer did not have is withdrawn (CL-4).
func (s *Source) GetWITSVID() (token string, key crypto.Signer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wits) == 0 {
		return "", nil, fmt.Errorf("workload: no WIT-SVID from %s: %w", s.address, cmp.Or(s.witErr, errUnsaid))
	}
	wit := s.wits[0]
	for _, other := range s.wits {
		if s.svid != nil && other.ID == s.svid.ID {
			wit = other
			break
		}
	}
	key, ok := wit.PrivateKey.(crypto.Signer)
	if !ok {
		return "", nil, fmt.Errorf("workload: the WIT-SVID of %s comes with a key that does not sign", wit.ID)
	}
	return wit.Marshal(), key, nil
}

// errUnsaid is why there is no WIT-SVID before the first answer.
var errUnsaid = errors.New("the Workload API has not said yet whether it has one")

// FetchJWTSVID asks the Workload API for a JWT-SVID with this audience and no
// other (CL-5), of the identity that GetX509SVID has, so that both may be shown
// together (TK-3). Nothing is kept: the client does that.
func (s *Source) FetchJWTSVID(ctx context.Context, audience string) (string, error) {
	subject := s.id
	if subject.IsZero() {
		if svid, err := s.GetX509SVID(); err == nil {
			subject = svid.ID
		}
	}
	svids, err := s.api.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: audience, Subject: subject})
	if err != nil {
		return "", fmt.Errorf("workload: %w", explain(err))
	}
	var offered []string
	for _, svid := range svids {
		// Asked for one identity, the Workload API may leave out its hint.
		if svid.ID == subject || subject.IsZero() && s.fits(svid.ID, svid.Hint) {
			return svid.Marshal(), nil
		}
		offered = append(offered, describe(svid.ID, svid.Hint))
	}
	return "", fmt.Errorf("workload: %w", s.notOffered(offered))
}

// Close ends the connection. The X.509-SVID and the WIT-SVID of before can still be
// had, but no other. Close may be called more than once.
func (s *Source) Close() error {
	var err error
	s.closing.Do(func() {
		s.cancel()
		err = s.api.Close()
		s.watched.Wait()
	})
	if err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	return nil
}

func (s *Source) fits(id spiffeid.ID, hint string) bool {
	return (s.id.IsZero() || id == s.id) && (s.config.Hint == "" || hint == s.config.Hint)
}

func (s *Source) notOffered(offered []string) error {
	if len(offered) == 0 {
		return errors.New("the Workload API offers none; is the workload registered?")
	}
	return fmt.Errorf("the Workload API offers %s, not %s; is the workload registered for it?",
		strings.Join(offered, ", "), describe(s.id, s.config.Hint))
}

func describe(id spiffeid.ID, hint string) string {
	switch {
	case id.IsZero():
		return fmt.Sprintf("hint %q", oauth.Shown(hint))
	case hint == "":
		return id.String()
	}
	return fmt.Sprintf("%s (hint %q)", id, oauth.Shown(hint))
}
