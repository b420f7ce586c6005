package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

// same compares patterns by what they match and trust domains by name.
var same = cmp.Options{
	cmp.Comparer(func(a, b svidgate.Pattern) bool { return a == b }),
	cmpopts.EquateComparable(spiffeid.TrustDomain{}, spiffeid.ID{}),
	cmpopts.IgnoreUnexported(config.Config{}), // what NeedsRestart and Changed need, which have tests
}

// sameConfig reports whether two configurations say the same, wherever it stands.
func sameConfig(a, b *config.Config) bool { return cmp.Equal(a, b, same) }

func pattern(t *testing.T, s string, depth int) svidgate.Pattern {
	t.Helper()
	p, err := svidgate.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p.WithDepth(depth)
}

func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDefaults: three lines, and everything else is what the manual says.
func TestDefaults(t *testing.T) {
	got, err := config.Parse("testdata/least.yaml", []byte(server))
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	want := &config.Config{
		Files:        []string{filepath.Join(dir, "least.yaml")},
		Issuer:       "https://as.example.com",
		Profile:      svidgate.Transition,
		Listen:       config.Listen{Public: "127.0.0.1:8443"},
		TLS:          config.TLS{Certificate: filepath.Join(dir, "as.crt"), Key: filepath.Join(dir, "as.key")},
		Audit:        config.Audit{File: filepath.Join(dir, "audit.jsonl")},
		Keys:         config.Keys{File: filepath.Join(dir, "svidgate-keys.json"), Rotate: 720 * time.Hour, PublishAhead: time.Hour},
		Admin:        config.Admin{Socket: filepath.Join(dir, "svidgate-admin.sock")},
		Bundles:      config.Bundles{Folder: filepath.Join(dir, "svidgate-bundles")},
		LogLevel:     slog.LevelInfo,
		SVID:         config.SVID{Leeway: time.Minute, MaxAssertionLifetime: time.Hour},
		WIT:          config.WIT{Challenge: config.ChallengeOff},
		AccessToken:  config.AccessToken{Lifetime: 5 * time.Minute, Alg: jose.ES256},
		RefreshToken: config.RefreshToken{Rotation: true, Idle: 168 * time.Hour, Lifetime: 720 * time.Hour},
		Binding:      policy.BindAuto,
		Limits:       config.Limits{FailuresPerSource: config.Rate{Events: 200, Per: time.Second}},
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
}

// TestProduct: the contract's own example, less what this version refuses.
func TestProduct(t *testing.T) {
	cfg, err := config.Load("testdata/product.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MTLSURL != "https://mtls.as.example.com" || len(cfg.TrustDomains) != 2 || len(cfg.Resources) != 1 || len(cfg.Clients) != 2 || cfg.Listen.StatusTLS {
		t.Errorf("%+v", cfg)
	}
	want := config.TrustDomain{
		Name:           spiffeid.RequireTrustDomainFromString("example.org"),
		BundleEndpoint: config.BundleEndpoint{URL: "https://example.com/bundle.json", Redirects: true},
		Refresh:        config.Refresh{Min: 30 * time.Second, Max: time.Hour},
		MaxStale:       24 * time.Hour,
		Profile:        svidgate.Transition,
		SVID:           cfg.SVID,
		EnableWIT:      true,
	}
	if diff := cmp.Diff(want, cfg.TrustDomains[0], same); diff != "" {
		t.Error(diff)
	}
	client := config.Client{
		ClientID: "spiffe://example.org/billing", SPIFFEID: pattern(t, "spiffe://example.org/billing", 0),
		Methods: []oauth.AuthMethod{oauth.MethodJWT}, GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials},
		Resources: []string{"https://api.example.com/"}, Scope: []string{"read"}, Profile: svidgate.Transition,
	}
	if diff := cmp.Diff(client, cfg.Clients[0], same); diff != "" {
		t.Error(diff)
	}
}

// TestEverything has every key of this version at another value than its
// default.
func TestEverything(t *testing.T) {
	got, err := config.Load("testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	svid := config.SVID{MaxAssertionLifetime: 90 * time.Minute, RequireKID: true, StrictKeyUsageCritical: true}
	want := &config.Config{
		Files:                    []string{filepath.Join(dir, "everything.yaml")},
		Issuer:                   "https://as.example.com/tenant/",
		Profile:                  svidgate.Latest,
		Listen:                   config.Listen{Public: ":8443", MTLS: "[::1]:0", Status: "192.0.2.1:9000", StatusTLS: true},
		MTLSURL:                  "https://mtls.as.example.com:8444/tenant",
		PublicClientCertificates: true,
		TLS:                      config.TLS{Certificate: "/etc/as/tls.crt", Key: filepath.Join(filepath.Dir(dir), "as.key")},
		Audit:                    config.Audit{File: "-", SyncEvery: true},
		Keys:                     config.Keys{File: filepath.Join(dir, "state", "keys.json"), Rotate: 168 * time.Hour, PublishAhead: 84 * time.Hour},
		Admin:                    config.Admin{Socket: "/run/svidgate/admin.sock"},
		Bundles:                  config.Bundles{Folder: filepath.Join(dir, "state", "bundles")},
		LogLevel:                 slog.LevelDebug,
		SVID:                     svid,
		WIT:                      config.WIT{Challenge: config.ChallengeRequired},
		AccessToken:              config.AccessToken{Lifetime: 10 * time.Minute, Alg: jose.EdDSA},
		RefreshToken:             config.RefreshToken{Idle: time.Hour, Lifetime: 24 * time.Hour, Grace: 10 * time.Second},
		RequirePushed:            true,
		Binding:                  policy.BindRequired,
		Limits:                   config.Limits{FailuresPerSource: config.Rate{Events: 6000, Per: time.Minute}, RequestsPerClient: config.Rate{Events: 50, Per: time.Second}},
		Login: config.Login{Local: true, Providers: []config.Provider{{
			Name: "corp", Title: "corp", Issuer: "https://login.example.com", ClientID: "svidgate",
			Scopes: []string{"openid", "profile"}, UserClaim: "sub", NameClaim: "name",
		}, {
			Name: "partner-2", Title: "Partner & Söhne", Issuer: "https://10.0.0.1:8443/realms/a", ClientID: "as",
			SecretFile: filepath.Join(dir, "partner.secret"), CAFile: filepath.Join(dir, "ca.pem"),
			Scopes: []string{"openid", "email"}, UserClaim: "email", NameClaim: "nickname",
			Allow: []config.Claim{{Name: "groups", Values: []string{"dev", "ops"}}, {Name: "hd", Values: []string{"example.com"}}},
		}}},
		TrustDomains: []config.TrustDomain{{
			Name:           spiffeid.RequireTrustDomainFromString("example.org"),
			BundleEndpoint: config.BundleEndpoint{URL: "https://10.0.0.1:8443/b?c=d", CAFile: filepath.Join(dir, "ca.pem")},
			Refresh:        config.Refresh{Min: time.Second, Max: 10 * time.Minute},
			MaxStale:       time.Hour,
			Profile:        svidgate.IETF02,
			Binding:        policy.BindAuto,
			SVID:           config.SVID{Leeway: 5 * time.Minute, MaxAssertionLifetime: 90 * time.Minute, RequireKID: true},
			SingleUse:      true,
		}, {
			Name:       spiffeid.RequireTrustDomainFromString("local"),
			BundleFile: filepath.Join(dir, "bundles", "local.json"),
			Refresh:    config.Refresh{Min: 10 * time.Second, Max: 10 * time.Second},
			Profile:    svidgate.Latest,
			SVID:       svid,
			EnableWIT:  true,
		}, {
			Name:        spiffeid.RequireTrustDomainFromString("production"),
			WorkloadAPI: config.WorkloadAPI{Address: "unix:///run/spire/agent.sock"},
			Refresh:     config.Refresh{Min: 30 * time.Second, Max: time.Hour},
			MaxStale:    24 * time.Hour,
			Profile:     svidgate.Latest,
			SVID:        svid,
			EnableWIT:   true,
		}, {
			Name: spiffeid.RequireTrustDomainFromString("partner.test"),
			BundleEndpoint: config.BundleEndpoint{
				URL: "https://10.0.0.2/", Redirects: true,
				SPIFFEID: spiffeid.RequireFromString("spiffe://partner.test/host"), InitialBundleFile: filepath.Join(dir, "partner.json"),
			},
			Refresh:   config.Refresh{Min: 30 * time.Second, Max: time.Hour},
			MaxStale:  24 * time.Hour,
			Profile:   svidgate.Latest,
			SVID:      svid,
			EnableWIT: true,
		}},
		Resources: []config.Resource{
			{Resource: "urn:example:api", Scopes: []string{"read", "write"}, Lifetime: time.Minute, Binding: policy.BindNone},
			{Resource: "https://api.example.com/", Lifetime: 10 * time.Minute},
		},
		Clients: []config.Client{{
			ClientID: "spiffe://example.org/billing", SPIFFEID: pattern(t, "spiffe://example.org/billing", 0),
			Methods:    []oauth.AuthMethod{oauth.MethodX509, oauth.MethodJWT},
			GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials},
			Resources:  []string{"urn:example:api", "https://api.example.com/"},
			Scope:      []string{"write", "read"}, Binding: policy.BindRequired, Profile: svidgate.Seed,
		}, {
			ClientID: "fleet", SPIFFEID: pattern(t, "spiffe://local/*", 2),
			Methods: []oauth.AuthMethod{oauth.MethodJWT}, GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials},
			Resources: []string{"https://api.example.com/"}, Profile: svidgate.Latest,
		}, {
			ClientID: "phone", Methods: []oauth.AuthMethod{oauth.MethodNone},
			GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
			Resources:  []string{"https://api.example.com/"}, Profile: svidgate.Latest,
			RedirectURIs: []string{"https://app.example.com/cb", "com.example.app:/cb"}, Name: "The app", RequirePushed: true,
		}},
	}
	warnings := got.Warnings
	got.Warnings = nil
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
	var lines []string
	for _, w := range warnings {
		lines = append(lines, strings.TrimPrefix(w.String(), "testdata/everything.yaml:"))
	}
	if diff := cmp.Diff([]string{
		`5:29: public_client_certificates: true takes the pages for browsers away, so nobody can sign in`,
		`30:18: the bundle of local is a file: nobody renews it when the trust domain rotates its keys (AV-2)`,
		`32:16: trust_domains.local.max_stale is 0: the last bundle is trusted for ever when no newer one can be had`,
		`34:19: the bundle of production comes from a Workload API, which makes the server depend on an agent of its own machine; spiffe_bundle_endpoint is preferred (AV-1)`,
		`36:63: the bundle endpoint of partner.test is known by its SPIFFE ID: that is outside the OAuth drafts, whose profile is https_web (BE-3)`,
		`38:81: resources[].binding is none: whoever sees such a token can use it`,
		`49:16: "spiffe://local/*" stands for every workload of the trust domain (MD-21)`,
		`60:27: refresh_token.rotation is false: a refresh token that was copied is not noticed (RT-3)`,
	}, lines); diff != "" {
		t.Error(diff)
	}
}

// TestOneSPIFFEIDForTwoClients: requests must then carry client_id (CA-10).
func TestOneSPIFFEIDForTwoClients(t *testing.T) {
	const one = "  - {client_id: %s, spiffe_id: spiffe://example.org/a, auth_methods: [spiffe_jwt], resources: [https://a/]}\n"
	if _, err := config.Parse("a.yaml", []byte(above+fmt.Sprintf(one, "one")+fmt.Sprintf(one, "two"))); err != nil {
		t.Error(err)
	}
}

// TestLoopbackIssuer: on loopback the daemon makes mtls_url from what it binds.
func TestLoopbackIssuer(t *testing.T) {
	for _, host := range []string{"localhost:8443", "127.0.0.1", "127.1.2.3:1", "[::1]:8443"} {
		cfg, err := config.Parse("a.yaml", []byte("issuer: https://"+host+"\nlisten: {public: \":0\", mtls: \":0\"}\ntls: {certificate: a, key: b}\n"))
		if err != nil || cfg.MTLSURL != "" {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestLoadWhatIsNotThere(t *testing.T) {
	if _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "config: ") {
		t.Errorf("%v", err)
	}
	if _, err := config.Load(t.TempDir()); err == nil {
		t.Error("a folder is accepted")
	}
}

func TestRate(t *testing.T) {
	for rate, want := range map[config.Rate]float64{{}: 0, {Events: 200, Per: time.Second}: 200, {Events: 30, Per: time.Minute}: 0.5} {
		if got := rate.PerSecond(); got != want || rate.Unlimited() != (want == 0) {
			t.Errorf("%v: %v", rate, got)
		}
	}
}
