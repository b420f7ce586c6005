package devenv

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/daemon"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

// The names of the development trust domain and its workloads.
const (
	TrustDomain = "dev.test"
	Billing     = "spiffe://dev.test/billing"  // authenticates with a JWT-SVID
	Orders      = "spiffe://dev.test/orders"   // authenticates with an X.509-SVID
	Shipping    = "spiffe://dev.test/shipping" // authenticates with any SVID, a WIT-SVID for one
	Scope       = "read"
)

// Options say how an environment is made.
type Options struct {
	// Dir is where its files go; empty is a folder of its own that Close removes.
	Dir string
	// Log is told what the server logs.
	Log *slog.Logger
	// Started is told of every part as it comes up; nil tells nobody.
	Started func(part, detail string)
}

// An Environment is everything a first day needs, running.
type Environment struct {
	Issuer     string
	Resource   string // the API's identifier and base URL
	SocketAddr string // of the Workload API
	BundleURL  string
	StatusURL  string
	ConfigFile string
	CAFile     string // the CA that every server here is verified with
	AuditFile  string
	Roots      *x509.CertPool

	Daemon *daemon.Daemon
	Domain *devdomain.Domain

	closers []func() error
}

// Start brings everything up. On error nothing is left running.
func Start(ctx context.Context, o Options) (_ *Environment, err error) {
	if o.Started == nil {
		o.Started = func(string, string) {}
	}
	e := &Environment{}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "svidgate-"); err != nil {
			return nil, err
		}
		e.onClose(func() error { return os.RemoveAll(o.Dir) })
	}
	ca, err := devca.NewServerCA(time.Now)
	if err != nil {
		return nil, err
	}
	e.Roots = ca.Pool()

	e.Domain, err = devdomain.New(devdomain.Config{
		TrustDomain: TrustDomain,
		Identities:  []devdomain.Identity{{Path: "/billing", Hint: "billing"}, {Path: "/orders", Hint: "orders"}, {Path: "/shipping", Hint: "shipping"}},
		CA:          devca.Options{Intermediate: true, WIT: true},
		ServerCA:    ca,
		SocketPath:  filepath.Join(o.Dir, "workload.sock"),
		Log:         o.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := e.Domain.Start(ctx); err != nil {
		return nil, err
	}
	e.onClose(e.Domain.Close)
	// Only now: had another environment been running in this folder, its socket
	// would have been taken, and its files stay whole.
	if err := e.writeCertificates(ca, o.Dir); err != nil {
		return nil, err
	}
	e.SocketAddr, e.BundleURL = e.Domain.SocketAddr(), e.Domain.BundleURL()
	o.Started("trust domain "+TrustDomain, "Workload API "+e.SocketAddr+", bundle endpoint "+e.BundleURL)

	// The ports are taken before the configuration is written, because issuer
	// and resource name them.
	listeners := map[string]net.Listener{}
	for _, name := range []string{daemon.Public, daemon.MTLS, daemon.Status, "api"} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners[name] = l
		e.onClose(func() error { l.Close(); return nil })
	}
	e.Issuer = "https://" + listeners[daemon.Public].Addr().String()
	e.StatusURL = "http://" + listeners[daemon.Status].Addr().String()
	api := listeners["api"]
	delete(listeners, "api")
	e.Resource = "https://" + api.Addr().String() + "/"

	if e.Daemon, err = e.startServer(ctx, o, listeners); err != nil {
		return nil, err
	}
	o.Started("authorization server", e.Issuer+" (mutual TLS at "+e.Daemon.MTLSURL()+")")
	if err := e.startAPI(api, ca, o.Log); err != nil {
		return nil, err
	}
	o.Started("protected API", e.Resource+" (scope "+Scope+")")
	return e, nil
}

// writeCertificates writes the CA of every TLS server here, and the certificate
// that the authorization server's configuration names.
func (e *Environment) writeCertificates(ca *devca.ServerCA, dir string) error {
	e.CAFile = filepath.Join(dir, "ca.pem")
	pair, err := ca.Certificate("127.0.0.1", "::1", "localhost")
	if err != nil {
		return err
	}
	chain, key, err := devca.ServerPEM(pair)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(e.CAFile, ca.PEM(), 0o644),
		os.WriteFile(filepath.Join(dir, "as.crt"), chain, 0o644),
		os.WriteFile(filepath.Join(dir, "as.key"), key, 0o600),
	)
}

// startServer writes a configuration and runs the real server from it.
func (e *Environment) startServer(ctx context.Context, o Options, listeners map[string]net.Listener) (*daemon.Daemon, error) {
	e.ConfigFile = filepath.Join(o.Dir, "svidgate.yaml")
	e.AuditFile = filepath.Join(o.Dir, "audit.jsonl")
	if err := os.WriteFile(e.ConfigFile, []byte(e.configuration(listeners)), 0o600); err != nil {
		return nil, err
	}
	load := func() (*config.Config, error) { return config.Load(e.ConfigFile) }
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	d, err := daemon.Start(ctx, cfg, daemon.Options{Log: o.Log, Load: load, Listeners: listeners})
	if err != nil {
		return nil, err
	}
	e.onClose(d.Stop)
	return d, nil
}

func (e *Environment) configuration(listeners map[string]net.Listener) string {
	return fmt.Sprintf(`# Written by svidgate; everything here is for one machine and one day.
issuer: %s
listen:
  public: %s
  mtls: %s
  status: %s
tls: {certificate: as.crt, key: as.key}
audit: {file: audit.jsonl}
keys: {file: svidgate-keys.json}

trust_domains:
  %s:
    spiffe_bundle_endpoint: {url: %q, ca_file: ca.pem}
    refresh: {min: 1s, max: 10s}

resources:
  - {resource: %q, scopes: [%s]}

clients:
  - client_id: %s
    token_endpoint_auth_method: spiffe_jwt
    resources: [%q]
    scope: %s
  - client_id: %s
    token_endpoint_auth_method: spiffe_x509
    resources: [%q]
    scope: %s
  - client_id: %s
    auth_methods: [spiffe_wit, spiffe_x509, spiffe_jwt]
    resources: [%q]
    scope: %s
`, e.Issuer, listeners[daemon.Public].Addr(), listeners[daemon.MTLS].Addr(), listeners[daemon.Status].Addr(),
		TrustDomain, e.BundleURL, e.Resource, Scope,
		Billing, e.Resource, Scope, Orders, e.Resource, Scope, Shipping, e.Resource, Scope)
}

func (e *Environment) onClose(f func() error) { e.closers = append(e.closers, f) }

// Close stops everything, the last part first.
func (e *Environment) Close() error {
	var errs []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		errs = append(errs, e.closers[i]())
	}
	e.closers = nil
	return errors.Join(errs...)
}
