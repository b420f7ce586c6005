package daemon

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/server"
	"github.com/svidgate/svidgate/oauth"
)

// maxUsedAssertions bounds the memory of single-use JWT-SVIDs, about 100 bytes
// each.
const maxUsedAssertions = 1 << 20

// build makes the server and all that it stands on.
func (d *Daemon) build() error {
	cfg := d.config
	var err error
	if d.bundles, err = d.bundleSet(); err != nil {
		return err
	}
	if d.verifier, err = d.makeVerifier(); err != nil {
		return err
	}
	clients, err := registration.New(clientMetadata(cfg), d.verifier.Profile)
	if err != nil {
		return fmt.Errorf("daemon: clients: %w", err)
	}
	ring, err := keys.Open(keys.Config{File: cfg.KeysFile, Algorithm: cfg.AccessToken.Alg, Now: d.now})
	if err != nil {
		return err
	}
	fsync := ""
	if cfg.Audit.SyncEvery {
		fsync = audit.FsyncEvery
	}
	if d.audit, err = audit.Open(audit.Config{File: cfg.Audit.File, Fsync: fsync, Now: d.now, Log: d.log}); err != nil {
		return err
	}
	singleUse := map[spiffeid.TrustDomain]bool{}
	for _, td := range cfg.TrustDomains {
		singleUse[td.Name] = td.SingleUse
	}
	table, resources := policyTable(cfg)
	d.server, err = server.New(server.Config{
		Issuer:             cfg.Issuer,
		MTLSURL:            d.mtlsURL,
		PublicCertificates: cfg.PublicClientCertificates,
		Authenticator: &clientauth.Authenticator{
			Verifier: d.verifier, Clients: clients,
			SingleUse: singleUse, Used: replay.New(maxUsedAssertions, d.now),
		},
		Policy: table, Resources: resources, Keys: ring, Audit: d.audit, Bundles: d.bundles,
		Methods:           d.methods(),
		FailuresPerSource: cfg.Limits.FailuresPerSource.PerSecond(),
		RequestsPerClient: cfg.Limits.RequestsPerClient.PerSecond(),
		Log:               d.log, Now: d.now,
	})
	return err
}

func (d *Daemon) bundleSet() (*bundle.Set, error) {
	c := bundle.Config{Log: d.log, Now: d.now}
	for _, td := range d.config.TrustDomains {
		source, err := bundleSource(td, d)
		if err != nil {
			return nil, fmt.Errorf("daemon: trust domain %s: %w", td.Name.Name(), err)
		}
		if td.BundleFile != "" {
			d.log.Info("trust domain", "trust_domain", td.Name.Name(), "bundle_file", td.BundleFile)
		} else { // BE-1: the profile is said even where it was left to the default
			d.log.Info("trust domain", "trust_domain", td.Name.Name(), "spiffe_bundle_endpoint", bundle.ProfileHTTPSWeb)
		}
		c.TrustDomains = append(c.TrustDomains, bundle.TrustDomain{
			Name: td.Name, Source: source, Refresh: refreshOf(td),
		})
	}
	return bundle.NewSet(c)
}

// refreshOf bounds the time between two polls so that a bundle is confirmed at
// least twice within max_stale, whatever its own hint says: a healthy endpoint
// must not let it get too old.
func refreshOf(td config.TrustDomain) bundle.Refresh {
	r := bundle.Refresh{Min: td.Refresh.Min, Max: td.Refresh.Max}
	if td.MaxStale > 0 {
		half := td.MaxStale / 2
		r.Min, r.Max = min(r.Min, half), min(r.Max, half)
	}
	return r
}

func bundleSource(td config.TrustDomain, d *Daemon) (bundle.Source, error) {
	if td.BundleFile != "" {
		return bundle.NewFile(td.BundleFile)
	}
	c := bundle.EndpointConfig{URL: td.BundleEndpoint.URL, ForbidRedirects: !td.BundleEndpoint.Redirects, Now: d.now}
	if file := td.BundleEndpoint.CAFile; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s has no certificate", file)
		}
	}
	return bundle.NewEndpoint(c)
}

func (d *Daemon) makeVerifier() (*svidgate.Verifier, error) {
	c := svidgate.Config{
		Issuer: d.config.Issuer, Bundles: d.bundles, Refresh: d.bundles.Refresh, Now: d.now, Log: d.log,
		Settings: svidgate.DefaultSettings(), TrustDomains: map[spiffeid.TrustDomain]svidgate.Settings{},
	}
	c.Settings.Profile = d.config.Profile
	for _, td := range d.config.TrustDomains {
		c.TrustDomains[td.Name] = svidgate.Settings{
			Profile:      td.Profile,
			Leeway:       cmp.Or(td.SVID.Leeway, svidgate.NoLeeway),
			MaxLifetime:  unboundedIfZero(td.SVID.MaxAssertionLifetime),
			MaxBundleAge: unboundedIfZero(td.MaxStale),
			RequireKeyID: td.SVID.RequireKID,
		}
	}
	return svidgate.NewVerifier(c)
}

// unboundedIfZero turns the configuration's 0, which is no bound, into the
// library's word for it.
func unboundedIfZero(d time.Duration) time.Duration {
	if d == 0 {
		return svidgate.Unbounded
	}
	return d
}

func clientMetadata(cfg *config.Config) []registration.Metadata {
	clients := make([]registration.Metadata, 0, len(cfg.Clients))
	for _, c := range cfg.Clients {
		clients = append(clients, registration.Metadata{
			ClientID: c.ClientID, SPIFFEID: c.SPIFFEID, AuthMethods: c.Methods, Profile: c.Profile,
		})
	}
	return clients
}

func policyTable(cfg *config.Config) (*policy.Table, []policy.Resource) {
	c := policy.Config{TrustDomains: map[string]policy.BindingMode{}, Binding: cfg.Binding, Lifetime: cfg.AccessToken.Lifetime}
	for _, r := range cfg.Resources {
		c.Resources = append(c.Resources, policy.Resource{Resource: r.Resource, Scopes: r.Scopes, Binding: r.Binding, Lifetime: r.Lifetime})
	}
	for _, client := range cfg.Clients {
		c.Clients = append(c.Clients, policy.Client{
			ClientID: client.ClientID, GrantTypes: client.GrantTypes, Resources: client.Resources, Scope: client.Scope, Binding: client.Binding,
		})
	}
	for _, td := range cfg.TrustDomains {
		c.TrustDomains[td.Name.Name()] = td.Binding
	}
	return policy.New(c), c.Resources
}

// methods are the authentication methods that work: a certificate can be shown
// only to a listener that asks for one, and without a trust domain none does
// (MD-1).
func (d *Daemon) methods() []oauth.AuthMethod {
	if len(d.config.TrustDomains) == 0 {
		return nil
	}
	methods := []oauth.AuthMethod{oauth.MethodJWT}
	if d.mtlsURL != "" || d.config.PublicClientCertificates {
		methods = append(methods, oauth.MethodX509)
	}
	return methods
}
