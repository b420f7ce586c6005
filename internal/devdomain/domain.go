package devdomain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/svidgate/svidgate/internal/devca"
)

// A Domain is a development trust domain. Any number of goroutines may use it.
type Domain struct {
	config     Config
	identities []identity
	authority  *devca.Authority
	serverCA   *devca.ServerCA

	mu        sync.Mutex // what is handed out; see state.go
	state     *state
	updated   chan struct{} // closed when state is replaced
	federated map[string]*trustBundle
	retireAt  time.Time

	life    sync.Mutex // Start and Close
	started bool
	ended   chan struct{} // closed when Close has begun
	failed  chan error    // a listener that stopped by itself
	close   func() error  // once; nil before Start

	socketAddr, bundleURL string // set by Start
}

// New checks the configuration, makes the keys and the first SVIDs. It opens
// nothing; the error has every fault of the configuration.
func New(config Config) (*Domain, error) {
	identities, err := config.check()
	if err != nil {
		return nil, fmt.Errorf("devdomain: %w", err)
	}
	authority, err := devca.New(config.TrustDomain, config.CA)
	if err != nil {
		return nil, fmt.Errorf("devdomain: %w", err)
	}
	serverCA := config.ServerCA
	if serverCA == nil {
		if serverCA, err = devca.NewServerCA(config.CA.Now); err != nil {
			return nil, fmt.Errorf("devdomain: %w", err)
		}
	}
	d := &Domain{
		config: config, identities: identities, authority: authority, serverCA: serverCA,
		updated: make(chan struct{}), federated: map[string]*trustBundle{},
		ended: make(chan struct{}), failed: make(chan error, 2),
	}
	if err := d.refresh(true); err != nil {
		return nil, fmt.Errorf("devdomain: %w", err)
	}
	return d, nil
}

// Authority signs for the trust domain. What is changed there, a removed key for
// instance, is sent to every client.
func (d *Domain) Authority() *devca.Authority { return d.authority }

// ServerCA is what a client of the bundle endpoint has to trust.
func (d *Domain) ServerCA() *devca.ServerCA { return d.serverCA }

// SocketAddr is the address of the Workload API as SPIFFE_ENDPOINT_SOCKET wants
// it (CL-1): unix:// and an absolute path. It is empty before Start.
func (d *Domain) SocketAddr() string {
	d.life.Lock()
	defer d.life.Unlock()
	return d.socketAddr
}

// BundleURL is the address of the bundle endpoint. It is empty before Start.
func (d *Domain) BundleURL() string {
	d.life.Lock()
	defer d.life.Unlock()
	return d.bundleURL
}

// Start opens the socket and the bundle endpoint, which both answer when it
// returns, and keeps the SVIDs fresh until ctx ends or Close is called. A Domain
// starts once.
func (d *Domain) Start(ctx context.Context) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.started {
		return errors.New("devdomain: started before")
	}
	select {
	case <-d.ended:
		return errors.New("devdomain: closed before")
	default:
	}

	socket, err := listenSocket(d.config.SocketPath)
	if err != nil {
		return fmt.Errorf("devdomain: %w", err)
	}
	endpoint, certificate, err := d.listenBundle()
	if err != nil {
		return errors.Join(fmt.Errorf("devdomain: %w", err), socket.Close())
	}
	api := d.workloadAPI()
	server := d.bundleServer(certificate)
	following, stopFollowing := context.WithCancel(ctx)

	var running sync.WaitGroup
	running.Go(func() { d.follow(following) })
	running.Go(func() {
		if err := api.Serve(socket.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			d.failed <- fmt.Errorf("devdomain: workload API: %w", err)
		}
	})
	running.Go(func() {
		if err := server.ServeTLS(endpoint, "", ""); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- fmt.Errorf("devdomain: bundle endpoint: %w", err)
		}
	})

	d.started = true
	d.socketAddr = (&url.URL{Scheme: "unix", Path: socket.path}).String()
	d.bundleURL = "https://" + endpoint.Addr().String() + bundlePath
	var forget func() bool
	d.close = sync.OnceValue(func() error {
		forget()
		stopFollowing()
		api.Stop() // cuts the streams, and waits for their handlers
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
		running.Wait()
		return socket.Close()
	})
	forget = context.AfterFunc(ctx, func() { d.Close() }) // not before Start has let go of d.life
	return nil
}

// Run is Start, and Close when ctx ends or a listener fails. Its error is nil
// when the end was asked for.
func (d *Domain) Run(ctx context.Context) error {
	if err := d.Start(ctx); err != nil {
		return err
	}
	var err error
	select {
	case <-ctx.Done():
	case <-d.ended:
	case err = <-d.failed:
	}
	return errors.Join(err, d.Close())
}

// Close cuts every stream, closes both listeners, removes the socket and waits
// for all that Start began. It may be called more than once.
func (d *Domain) Close() error {
	d.life.Lock()
	select {
	case <-d.ended:
	default:
		close(d.ended)
	}
	shut := d.close
	d.life.Unlock()
	if shut == nil {
		return nil
	}
	return shut()
}
