package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/build"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/server"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/oauth"
)

// maxUsedAssertions bounds the memory of single-use JWT-SVIDs, and maxUsedProofs
// that of the proofs of WIT-SVIDs, which are remembered for two minutes at most:
// about 100 bytes each.
const (
	maxUsedAssertions = 1 << 20
	maxUsedProofs     = 1 << 21
)

// open opens what lives as long as the process, whatever configuration is in
// force: store, keys, record, bundles, and the memory of used assertions and proofs.
func (d *Daemon) open(ctx context.Context, cfg *config.Config) error {
	var err error
	if d.store, err = sqlite.Open(ctx, sqlite.Config{Address: cfg.Store.Address(), Version: build.Read().Version, Now: d.now, Log: d.log}); err != nil {
		return err
	}
	if d.ledger, err = registration.OpenLedger(context.Background(), d.store, d.now, d.log); err != nil {
		return err
	}
	d.ledger.Expect(idleTimes(cfg))
	if err := d.openKeys(cfg); err != nil {
		return err
	}
	if d.revocations, err = revocation.Open(context.Background(), revocation.Config{Store: d.store, Now: d.now, Log: d.log}); err != nil {
		return err
	}
	d.tokens = introspection.NewTokens(cfg.Issuer, d.keys, d.now)
	fsync := ""
	if cfg.Audit.SyncEvery {
		fsync = audit.FsyncEvery
	}
	if d.audit, err = audit.Open(audit.Config{File: cfg.Audit.File, Fsync: fsync, Now: d.now, Log: d.log}); err != nil {
		return err
	}
	if d.traces, err = openTracing(cfg, d.log); err != nil {
		return err
	}
	d.used = replay.New(maxUsedAssertions, d.now)
	if err := d.recallProofs(ctx, cfg); err != nil {
		return err
	}
	if err := d.newChallenges(); err != nil {
		return err
	}
	d.sightings = server.NewSightings(d.now)
	d.sightings.Expect(trustDomainNames(cfg))
	domains, sources, err := d.trustDomains(cfg)
	if err != nil {
		return err
	}
	d.useSources(sources)
	d.bundles, err = bundle.NewSet(bundle.Config{TrustDomains: domains, Folder: cfg.Bundles.Folder, Log: d.log, Now: d.now})
	return err
}

func trustDomainNames(cfg *config.Config) []spiffeid.TrustDomain {
	names := make([]spiffeid.TrustDomain, 0, len(cfg.TrustDomains))
	for _, td := range cfg.TrustDomains {
		names = append(names, td.Name)
	}
	return names
}

// encryptionVariable is where the encryption keys are that no file has.
const encryptionVariable = "SVIDGATE_KEYS_ENCRYPTION_KEY"

// openKeys opens the signing keys where they are kept.
func (d *Daemon) openKeys(cfg *config.Config) (err error) {
	c := d.keysConfig(cfg)
	if cfg.Keys.InStore {
		c.Document = d.store.SigningKeys()
		if c.Encryption, err = encryptionKeys(cfg.Keys.EncryptionKeyFile); err != nil {
			return err
		}
	}
	d.keys, err = keys.Open(c)
	return err
}

func encryptionKeys(file string) (keys.EncryptionKeys, error) {
	if file != "" {
		all, err := keys.ReadEncryptionKeys(file)
		if err != nil {
			return all, fmt.Errorf("keys.encryption_key_file: %w", err)
		}
		return all, nil
	}
	text := os.Getenv(encryptionVariable)
	if text == "" {
		return keys.EncryptionKeys{}, errors.New("keys.in is store, where the signing keys are encrypted, and nothing says with what: name a file as keys.encryption_key_file, or set " + encryptionVariable + "; `openssl rand -base64 32` makes a key")
	}
	all, err := keys.ParseEncryptionKeys(text)
	if err != nil {
		return all, fmt.Errorf("%s: %w", encryptionVariable, err)
	}
	return all, nil
}

func (d *Daemon) keysConfig(cfg *config.Config) keys.Config {
	return keys.Config{
		File: cfg.Keys.File, Algorithm: cfg.AccessToken.Alg, RotateEvery: cfg.Keys.Rotate, PublishAhead: cfg.Keys.PublishAhead,
		LongestToken: longestToken(cfg), Now: d.now, Log: d.log,
	}
}

// longestToken is the longest life that any token is issued with.
func longestToken(cfg *config.Config) time.Duration {
	longest := cfg.AccessToken.Lifetime
	for _, r := range cfg.Resources {
		longest = max(longest, r.Lifetime)
	}
	return longest
}

// A generation is one configuration and the server made by it. A request is
// answered by one generation from its beginning to its end.
type generation struct {
	config               *config.Config
	authenticator        *clientauth.Authenticator
	server               *server.Server
	table                *policy.Table
	public, mtls, status http.Handler
}

// generation makes the server of a configuration. It changes nothing outside; a
// previous one hands on its counts.
func (d *Daemon) generation(cfg *config.Config, previous *generation) (*generation, error) {
	authenticator, err := newAuthenticator(cfg, svidgate.Config{Bundles: d.bundles, Refresh: d.bundles.Refresh, Now: d.now, Log: d.log, Sighted: d.sightings.Note})
	if err != nil {
		return nil, err
	}
	authenticator.Used = d.used
	authenticator.Proofs, authenticator.ProofsSince = d.proofs, d.proofsSince
	if cfg.WIT.Challenge != config.ChallengeOff {
		authenticator.Challenges = d.challenges
	}
	authenticator.ChallengeRequired = cfg.WIT.Challenge == config.ChallengeRequired
	if authenticator.Clients, err = authenticator.Clients.WithFirstUse(firstUse(cfg), d.ledger); err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	table, resources := policyTable(cfg)
	desk, err := d.desk(cfg)
	if err != nil {
		return nil, err
	}
	granted, err := d.granted(cfg, authenticator.Clients, table, desk)
	if err != nil {
		return nil, err
	}
	requests, grants, err := d.authorizations(cfg, authenticator.Clients, table, granted)
	if err != nil {
		return nil, err
	}
	introspector, err := introspection.New(introspection.Config{
		Tokens: d.tokens, Revocations: d.revocations, Grants: granted, Blocked: authenticator.Clients.Ended, Introspects: introspects(cfg),
	})
	if err != nil {
		return nil, err
	}
	var before *server.Server
	if previous != nil {
		before = previous.server
	}
	s, err := server.New(server.Config{
		Issuer:             cfg.Issuer,
		MTLSURL:            d.mtlsURL,
		PublicCertificates: cfg.PublicClientCertificates,
		Grants:             grants,
		Requests:           requests,
		Desk:               desk,
		Descriptions:       descriptions(cfg),
		Authenticator:      authenticator,
		Policy:             table, Resources: resources, Keys: d.keys, Audit: d.audit, Store: d.store, Bundles: d.bundles, Sightings: d.sightings, Tracer: d.tracer(cfg),
		Introspector:      introspector,
		Revocations:       d.revocations,
		Granted:           granted,
		Methods:           d.methods(cfg),
		WITDomains:        witDomains(cfg),
		FailuresPerSource: cfg.Limits.FailuresPerSource.PerSecond(),
		RequestsPerClient: cfg.Limits.RequestsPerClient.PerSecond(),
		Log:               d.log, Now: d.now,
	}, before)
	if err != nil {
		return nil, err
	}
	kept := *cfg
	kept.Clients = nil // the registry has them, with less for the garbage collector to look at
	return &generation{
		config: &kept, authenticator: authenticator, server: s, table: table,
		public: s.Public(), mtls: s.MTLS(), status: s.Status(d.Addresses, !cfg.Listen.StatusTLS),
	}, nil
}

// authorizations are what people grant, and the grants by which clients draw on it:
// neither where no client of the configuration has the authorization code grant.
func (d *Daemon) authorizations(cfg *config.Config, clients *registration.Registry, table *policy.Table, granted *authorization.Grants) (*authorization.Requests, *grant.Grants, error) {
	grants := grant.New()
	if !cfg.Codes() {
		return nil, grants, nil
	}
	requests, err := authorization.New(authorization.Config{
		Issuer: cfg.Issuer, Clients: clients, Policy: table, Records: d.store.Authorizations(), RequirePushed: cfg.RequirePushed, Now: d.now,
		Blocked: clients.Ended,
	})
	if err != nil {
		return nil, nil, err
	}
	grants.OfferCodes(granted)
	return requests, grants, nil
}

// granted are the grants that people gave, under this configuration or an earlier one.
func (d *Daemon) granted(cfg *config.Config, clients *registration.Registry, table *policy.Table, desk *login.Desk) (*authorization.Grants, error) {
	return authorization.NewGrants(authorization.GrantsConfig{
		Records: d.store.Authorizations(), Policy: table, Refresh: authorization.Refresh(cfg.RefreshToken), LongestToken: longestToken(cfg), Now: d.now,
		Blocked: clients.Ended, Offered: desk.Offers,
		Revoked: func(ctx context.Context, clientID string, id spiffeid.ID, at time.Time) (bool, error) {
			_, dead, err := d.revocations.Revoked(ctx, revocation.Token{ClientID: clientID, SPIFFEIDs: []spiffeid.ID{id}, IssuedAt: at})
			return dead, err
		},
	})
}

// newAuthenticator is what judges credentials by a configuration. c is what a
// verifier has besides that. There is no memory of used assertions yet.
func newAuthenticator(cfg *config.Config, c svidgate.Config) (*clientauth.Authenticator, error) {
	verifier, err := newVerifier(cfg, c)
	if err != nil {
		return nil, err
	}
	clients, err := registration.New(clientMetadata(cfg), verifier.Profile)
	if err != nil {
		return nil, fmt.Errorf("daemon: clients: %w", err)
	}
	if clients, err = clients.WithFirstUse(firstUse(cfg), nil); err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	singleUse := map[spiffeid.TrustDomain]bool{}
	for _, td := range cfg.TrustDomains {
		singleUse[td.Name] = td.SingleUse
	}
	return &clientauth.Authenticator{Verifier: verifier, Clients: clients, SingleUse: singleUse}, nil
}

func newVerifier(cfg *config.Config, c svidgate.Config) (*svidgate.Verifier, error) {
	c.Issuer, c.Settings, c.TrustDomains = cfg.Issuer, svidgate.DefaultSettings(), map[spiffeid.TrustDomain]svidgate.Settings{}
	c.Settings.Profile = cfg.Profile
	for _, td := range cfg.TrustDomains {
		c.TrustDomains[td.Name] = svidgate.Settings{
			Profile:      td.Profile,
			Leeway:       cmp.Or(td.SVID.Leeway, svidgate.NoLeeway),
			MaxLifetime:  unboundedIfZero(td.SVID.MaxAssertionLifetime),
			MaxBundleAge: unboundedIfZero(td.MaxStale),
			RequireKeyID: td.SVID.RequireKID,
			NoWIT:        !td.EnableWIT,

			StrictKeyUsageCritical: td.SVID.StrictKeyUsageCritical,
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
			Name: c.Name, RedirectURIs: c.RedirectURIs, RequirePushed: c.RequirePushed,
		})
	}
	return clients
}

// introspects are the resources whose tokens each client may ask about.
func introspects(cfg *config.Config) map[string][]string {
	all := map[string][]string{}
	for _, c := range cfg.Clients {
		if len(c.Introspects) > 0 {
			all[c.ClientID] = c.Introspects
		}
	}
	return all
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
		for _, t := range td.Registration.Templates {
			c.Templates = append(c.Templates, policy.Template{
				Name: t.Name, GrantTypes: t.GrantTypes, Resources: t.Resources, Scope: t.Scope, Binding: t.Binding, Lifetime: t.Lifetime,
			})
		}
	}
	return policy.New(c), c.Resources
}

// witDomains are the trust domains whose WIT-SVIDs are let in, as far as that is for
// the configuration to say. Under a profile without them a client may have another.
func witDomains(cfg *config.Config) (names []spiffeid.TrustDomain) {
	of := map[spiffeid.TrustDomain]bool{}
	for _, c := range cfg.Clients {
		if slices.Contains(c.Methods, oauth.MethodWIT) {
			of[c.SPIFFEID.TrustDomain()] = true
		}
	}
	for _, td := range cfg.TrustDomains {
		if td.EnableWIT && (td.Profile.AllowsWIT() || of[td.Name]) {
			names = append(names, td.Name)
		}
	}
	return names
}

// methods are the authentication methods that work (MD-1), but for spiffe_wit, which
// works while there is a bundle for it: an SVID is of a trust domain, and a certificate
// can be shown only to a listener that asks for one.
func (d *Daemon) methods(cfg *config.Config) (methods []oauth.AuthMethod) {
	if len(cfg.TrustDomains) > 0 {
		methods = append(methods, oauth.MethodJWT)
		if d.mtlsURL != "" || cfg.PublicClientCertificates {
			methods = append(methods, oauth.MethodX509)
		}
	}
	if slices.ContainsFunc(cfg.Clients, config.Client.Public) {
		methods = append(methods, oauth.MethodNone)
	}
	return methods
}
