package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/net/netutil"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/server"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/trace/otlp"
	"github.com/svidgate/svidgate/oauth"
)

// Names of the listeners, in the log line "ready" and at /readyz.
const (
	Public = "public"
	MTLS   = "mtls"
	Status = "status"
)

const (
	firstLoad    = 2 * time.Second  // how long starting waits for trust bundles
	firstFetch   = 10 * time.Second // how long a reload waits for bundles of new sources
	drainTimeout = 15 * time.Second // how long stopping waits for requests
	endTimeout   = 5 * time.Second  // and then for everything else
)

// Options are what a process gives a daemon besides its configuration.
type Options struct {
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Load reads the configuration again, for [Daemon.Reload]; nil means that it
	// never changes. Start is given what it returned before.
	Load func() (*config.Config, error)
	// Hangup asks for a reload, as SIGHUP does; nil never does.
	Hangup <-chan os.Signal
	// Level is where a reload sets the log level; nil leaves it alone.
	Level *slog.LevelVar
	// Listeners, by name, are used instead of the configured addresses, so that a
	// caller can know a port before it writes the issuer. Start closes them when
	// it fails, and Stop otherwise.
	Listeners map[string]net.Listener
}

// A Daemon is a running authorization server.
type Daemon struct {
	options Options
	log     *slog.Logger
	now     func() time.Time

	// What outlives a configuration.
	store       *sqlite.Store
	ledger      *registration.Ledger // of clients that are not in the configuration, and of blocks
	keys        *keys.Ring
	revocations *revocation.List
	tokens      *introspection.Tokens
	audit       *audit.Log
	bundles     *bundle.Set
	used        *replay.Memory
	proofs      *replay.Memory
	proofsSince time.Time // from when on proofs remembers all; zero: always
	challenges  *challenge.Challenges
	sightings   *server.Sightings
	traces      *otlp.Exporter // nil without tracing
	certificate *certificate
	addresses   map[string]string
	mtlsURL     string

	current  atomic.Pointer[generation] // answers requests
	stopping atomic.Bool

	changing  sync.Mutex                           // held while the configuration in force is replaced
	sources   map[spiffeid.TrustDomain]sourceInUse // guarded by changing
	notLoaded string                               // guarded by changing; why the file as it is now was not put into force

	servers    map[string]*http.Server // by the names of the listeners
	admin      *admin.Server           // nil without one
	background context.CancelFunc      // ends what goes on without a request
	running    sync.WaitGroup
	failed     chan error
}

// Start opens everything a configuration names and serves. When it returns
// without an error every listener answers; trust domains may still be without a
// bundle, which /readyz tells. On error nothing is left open.
func Start(ctx context.Context, cfg *config.Config, options Options) (_ *Daemon, err error) {
	d := &Daemon{options: options, log: options.Log, now: options.Now, addresses: map[string]string{}, servers: map[string]*http.Server{}, failed: make(chan error, 4)}
	if d.now == nil {
		d.now = time.Now
	}
	var opened []net.Listener
	defer func() {
		if err != nil {
			for _, l := range opened {
				l.Close()
			}
			for _, l := range options.Listeners { // also those it did not come to
				l.Close()
			}
			if d.admin != nil {
				d.admin.Close()
			}
			d.useSources(nil)
			d.endTracing() // there is nothing to send yet
			if d.audit != nil {
				d.audit.Close()
			}
			if d.store != nil {
				d.store.Close()
			}
		}
	}()
	d.logWarnings(cfg)
	if d.certificate, err = loadCertificate(cfg.TLS.Certificate, cfg.TLS.Key, d.now, d.log); err != nil {
		return nil, err
	}
	listeners := map[string]net.Listener{}
	for _, l := range []struct{ name, address string }{{Public, cfg.Listen.Public}, {MTLS, cfg.Listen.MTLS}, {Status, cfg.Listen.Status}} {
		listener, ok := options.Listeners[l.name]
		if !ok {
			if l.address == "" {
				continue
			}
			if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", l.address); err != nil {
				if errors.Is(err, syscall.EADDRINUSE) {
					err = fmt.Errorf("another program listens at %s: stop it, or take another port", l.address)
				}
				return nil, fmt.Errorf("daemon: listen.%s: %w", l.name, err)
			}
		}
		opened = append(opened, listener)
		listeners[l.name] = netutil.LimitListener(listener, maxConnections()) // below TLS, which wants to be seen
		d.addresses[l.name] = listener.Addr().String()
	}
	if d.mtlsURL, err = aliasBase(cfg, d.addresses[MTLS]); err != nil {
		return nil, err
	}
	if err := d.open(ctx, cfg); err != nil {
		return nil, err
	}
	first, err := d.generation(cfg, nil)
	if err != nil {
		return nil, err
	}
	d.current.Store(first)
	if cfg.Admin.Socket != "" {
		if d.admin, err = d.openAdmin(ctx, cfg); err != nil {
			return nil, err
		}
	}

	// Bundles first, so that a request right after "ready" finds them; but one
	// endpoint that hangs holds nobody up for long.
	load, cancel := context.WithTimeout(ctx, firstLoad)
	if err := d.bundles.Load(load); err != nil {
		d.log.Warn("not every trust domain has a bundle yet", "error", err.Error())
	}
	cancel()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.background = stop
	d.running.Go(func() { d.bundles.Run(background) })
	d.running.Go(func() { d.keys.Run(background) })
	d.running.Go(func() { d.store.Run(background) })
	d.running.Go(func() { d.revocations.Run(background) })
	d.running.Go(func() { d.ledger.Run(background) })
	go d.certificate.watch(background) // nobody waits for its end, which a dead file system may hold up
	if options.Load != nil {
		d.running.Go(func() { d.watch(background) })
	}

	answer := func(pick func(*generation) http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pick(d.current.Load()).ServeHTTP(w, r) })
	}
	handshakes := newTurns() // of both listeners: they share the processors
	if l := listeners[Public]; l != nil {
		d.serve(Public, tls.NewListener(turnListener{l, handshakes}, tlsConfig(d.certificate, cfg.PublicClientCertificates, d.now)), answer(func(g *generation) http.Handler { return g.public }))
	}
	if l := listeners[MTLS]; l != nil {
		d.serve(MTLS, tls.NewListener(turnListener{l, handshakes}, tlsConfig(d.certificate, true, d.now)), answer(func(g *generation) http.Handler { return g.mtls }))
	}
	if l := listeners[Status]; l != nil {
		if cfg.Listen.StatusTLS {
			l = tls.NewListener(l, tlsConfig(d.certificate, false, d.now))
		}
		d.serve(Status, l, answer(func(g *generation) http.Handler { return g.status }))
	}
	if d.admin != nil {
		d.running.Go(func() {
			if err := d.admin.Serve(); err != nil {
				d.failed <- fmt.Errorf("daemon: %w", err)
			}
		})
	}
	return d, nil
}

func (d *Daemon) logWarnings(cfg *config.Config) {
	for _, w := range cfg.Warnings {
		d.log.Warn("configuration", "at", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column), "warning", w.Message)
	}
}

// aliasBase is the base URL of the mtls listener: the configured one, or for an
// issuer on loopback the issuer's with the port that was bound.
func aliasBase(cfg *config.Config, bound string) (string, error) {
	if bound == "" || cfg.MTLSURL != "" {
		return cfg.MTLSURL, nil
	}
	u, err := url.Parse(cfg.Issuer)
	if err != nil {
		return "", fmt.Errorf("daemon: issuer: %w", err)
	}
	_, port, err := net.SplitHostPort(bound)
	if err != nil {
		return "", fmt.Errorf("daemon: listen.mtls: %w", err)
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return strings.TrimSuffix(u.String(), "/"), nil
}

func (d *Daemon) serve(name string, l net.Listener, h http.Handler) {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: handshakeTimeout,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10, // GL-8
		// The library's own answer to OPTIONS * has no Request-Id.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(connectionLog{d.log.With("listener", name)}, "", 0),
	}
	d.servers[name] = s
	d.running.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- fmt.Errorf("daemon: listener %s: %w", name, err)
		}
	})
}

// A connectionLog takes what the HTTP library says of connections. That repeats
// what peers sent, also where nothing was a request yet (AU-2).
type connectionLog struct{ log *slog.Logger }

func (c connectionLog) Write(p []byte) (int, error) {
	said := oauth.Redact(strings.TrimSuffix(string(p), "\n"))
	level := slog.LevelDebug
	if strings.HasPrefix(said, "http: panic ") || strings.HasPrefix(said, "http2: panic ") {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, "connection", "error", said)
	return len(p), nil
}

// maxConnections is how many connections one listener keeps open. The rest of the
// process's file descriptors stay free for the other listeners, bundles and the
// audit file; callers beyond that wait.
func maxConnections() int {
	const most = 1 << 16
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return most
	}
	return int(max(16, min(most, limit.Cur*3/10)))
}

// Addresses are the addresses really bound, by the names of the listeners.
func (d *Daemon) Addresses() map[string]string { return d.addresses }

// MTLSURL is the base of the alias URLs, empty without the mtls listener.
func (d *Daemon) MTLSURL() string { return d.mtlsURL }

// AdminSocket is the path of the administration socket, empty without one.
func (d *Daemon) AdminSocket() string {
	if d.admin == nil {
		return ""
	}
	return d.admin.Path()
}

// Bundles are the trust bundles in use.
func (d *Daemon) Bundles() *bundle.Set { return d.bundles }

// Failed delivers the error of a listener that died.
func (d *Daemon) Failed() <-chan error { return d.failed }

// Stop takes readiness away, lets requests end, and closes everything. It waits
// at most 15 s for requests and some seconds more for the rest.
func (d *Daemon) Stop() error {
	d.stopping.Store(true) // no reload begins from here on; one that hangs is not waited for
	d.current.Load().server.Stopping()
	// All that takes requests at once, so that none goes on taking new ones; then
	// the administration, and last the status listener, which tells of the stop.
	var (
		stopping sync.WaitGroup
		mu       sync.Mutex
		errs     []error // guarded by mu
	)
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	stop := func(s *http.Server, timeout time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			s.Close()
			failed(fmt.Errorf("daemon: requests were cut off: %w", err))
		}
	}
	for name, s := range d.servers {
		if name != Status {
			stopping.Go(func() { stop(s, drainTimeout) })
		}
	}
	stopping.Wait()
	d.background() // a reload that waits for keys or bundles waits no longer
	if d.admin != nil {
		d.admin.Close() // what was asked of it and has not ended is told so
	}
	if s, ok := d.servers[Status]; ok {
		stop(s, endTimeout)
	}
	if !ended(d.running.Wait, endTimeout) {
		failed(errors.New("daemon: something did not end in time and is left behind"))
	}
	if err := d.endTracing(); err != nil {
		d.log.Warn("some traces were not delivered", "error", err.Error())
	}
	if d.changing.TryLock() { // not while a reload hangs that was left behind
		d.useSources(nil)
		d.changing.Unlock()
	}
	failed(d.audit.Close())
	if !ended(func() { failed(d.store.Close()) }, endTimeout) { // a disk that hangs
		failed(errors.New("daemon: the store did not close in time"))
	}
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(errs...)
}

// ended waits for something to end, but not for ever.
func ended(wait func(), timeout time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		wait()
		close(ended)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// The garbage collector begins when the heap has doubled. Where little is held that is
// often, so ballast is held besides, which nobody touches and for which the system
// gives no memory. Where the configuration alone holds much, each round costs much, and
// it begins when the heap has tripled. That is not so everywhere, since what a flood
// makes a small server hold would count three times, too (AK-18).
const (
	ballastSize = 4 << 20
	much        = 12 << 20
)

// settle returns to the system what only the start needed, above all the buffers in
// which migrations were read: they are in a pool, which two collections empty. What is
// left tells how often to collect, unless GOGC does.
func settle() {
	runtime.GC()
	debug.FreeOSMemory()
	var held runtime.MemStats
	runtime.ReadMemStats(&held)
	if held.HeapAlloc > much && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

// spareThread has Go use a second thread where there is one processor and the store is on a
// disk. A commit waits for the disk within a system call, which keeps its thread: with
// one all requests wait along, also those that need no store.
func spareThread(cfg *config.Config) {
	if cfg.Store.File != "" && runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
}

// Run starts a daemon, says so in one log line, and stops it when ctx ends. It is
// for a process of its own, whose number of threads and garbage collection it may set.
func Run(ctx context.Context, cfg *config.Config, options Options) error {
	spareThread(cfg)
	ballast := make([]byte, ballastSize)
	defer runtime.KeepAlive(ballast)
	d, err := Start(ctx, cfg, options)
	if err != nil {
		return err
	}
	attrs := []any{"issuer", cfg.Issuer}
	for _, name := range []string{Public, MTLS, Status} {
		if a, ok := d.addresses[name]; ok {
			attrs = append(attrs, name, a)
		}
	}
	if socket := d.AdminSocket(); socket != "" {
		attrs = append(attrs, "admin", socket)
	}
	if d.mtlsURL != "" {
		attrs = append(attrs, "mtls_url", d.mtlsURL)
	}
	d.log.Info("ready", attrs...)
	go settle()

	for {
		select {
		case <-options.Hangup:
			d.running.Go(func() { d.Reload(byHangup) }) // the log tells how it ended
			continue
		case <-ctx.Done():
			d.log.Info("stopping")
		case err = <-d.failed:
			d.log.Error("stopping", "error", err.Error())
		}
		return errors.Join(err, d.Stop())
	}
}

// openAdmin makes the administration socket.
func (d *Daemon) openAdmin(ctx context.Context, cfg *config.Config) (*admin.Server, error) {
	return admin.Open(ctx, admin.Config{
		Path: cfg.Admin.Socket, Bundles: d.bundles, Keys: d.keys, Audit: d.audit, Reload: d.Reload, Log: d.log,
		Explain: d.Explain, Decision: d.Decision, Clients: clientDesk{d},
		Revoke: d.Revoke, Revoked: d.revocations.All,
		People: d.store.People(), StoreInMemory: cfg.Store.File == "", Now: d.now,
	})
}
