package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	cmp.Comparer(func(a, b spiffeid.TrustDomain) bool { return a == b }),
}

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
		Files:       []string{filepath.Join(dir, "least.yaml")},
		Issuer:      "https://as.example.com",
		Profile:     svidgate.Transition,
		Listen:      config.Listen{Public: "127.0.0.1:8443"},
		TLS:         config.TLS{Certificate: filepath.Join(dir, "as.crt"), Key: filepath.Join(dir, "as.key")},
		Audit:       config.Audit{File: filepath.Join(dir, "audit.jsonl")},
		KeysFile:    filepath.Join(dir, "svidgate-keys.json"),
		LogLevel:    slog.LevelInfo,
		SVID:        config.SVID{Leeway: time.Minute, MaxAssertionLifetime: time.Hour},
		AccessToken: config.AccessToken{Lifetime: 5 * time.Minute, Alg: jose.ES256},
		Binding:     policy.BindAuto,
		Limits:      config.Limits{FailuresPerSource: config.Rate{Events: 200, Per: time.Second}},
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
	svid := config.SVID{MaxAssertionLifetime: 90 * time.Minute, RequireKID: true}
	want := &config.Config{
		Files:                    []string{filepath.Join(dir, "everything.yaml")},
		Issuer:                   "https://as.example.com/tenant/",
		Profile:                  svidgate.Latest,
		Listen:                   config.Listen{Public: ":8443", MTLS: "[::1]:0", Status: "192.0.2.1:9000", StatusTLS: true},
		MTLSURL:                  "https://mtls.as.example.com:8444/tenant",
		PublicClientCertificates: true,
		TLS:                      config.TLS{Certificate: "/etc/as/tls.crt", Key: filepath.Join(filepath.Dir(dir), "as.key")},
		Audit:                    config.Audit{File: "-", SyncEvery: true},
		KeysFile:                 filepath.Join(dir, "state", "keys.json"),
		LogLevel:                 slog.LevelDebug,
		SVID:                     svid,
		AccessToken:              config.AccessToken{Lifetime: 10 * time.Minute, Alg: jose.EdDSA},
		Binding:                  policy.BindRequired,
		Limits:                   config.Limits{FailuresPerSource: config.Rate{Events: 6000, Per: time.Minute}, RequestsPerClient: config.Rate{Events: 50, Per: time.Second}},
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
		`27:18: the bundle of local is a file: nobody renews it when the trust domain rotates its keys (AV-2)`,
		`29:16: trust_domains.local.max_stale is 0: the last bundle is trusted for ever when no newer one can be had`,
		`31:82: resources[].binding is none: whoever sees such a token can use it`,
		`42:16: "spiffe://local/*" stands for every workload of the trust domain (MD-21)`,
	}, lines); diff != "" {
		t.Error(diff)
	}
}

// TestWarnings: each is accepted, said once, and not said of its twin.
func TestWarnings(t *testing.T) {
	const domain = "trust_domains: {a: {spiffe_bundle_endpoint: {url: https://a/}}}\nresources: [{resource: https://a/, scopes: [r]}, {resource: https://b/, scopes: [w]}]\n"
	client := func(s string) string {
		return domain + "clients: [{" + s + "}]\n"
	}
	const plain = "client_id: spiffe://a/b, auth_methods: [spiffe_x509], resources: [https://a/]"
	for _, row := range []struct{ name, quiet, warned, want string }{
		{"binding none", "binding: required\n", "binding: none\n", `5:10: binding is none: whoever sees such a token can use it`},
		{"AV-2 bundle file", domain, "trust_domains: {a: {bundle_file: b}}\n", `5:34: the bundle of a is a file: nobody renews it when the trust domain rotates its keys (AV-2)`},
		{"max_stale 0", domain, strings.Replace(domain, "{url", "{redirects: true, url", 1)[:16] + "{a: {max_stale: 0, spiffe_bundle_endpoint: {url: https://a/}}}\n", `5:33: trust_domains.a.max_stale is 0: the last bundle is trusted for ever when no newer one can be had`},
		{"JS-19 max_assertion_lifetime 0", "svid: {max_assertion_lifetime: 1s}\n", "svid: {max_assertion_lifetime: 0}\n", `5:32: svid.max_assertion_lifetime is 0: an SVID is accepted however long it is valid (JS-19)`},
		{"MD-21 whole trust domain", client("spiffe_id: spiffe://a/b/*, client_id: c, auth_methods: [spiffe_x509], resources: [https://a/]"), client("spiffe_id: spiffe://a/*, client_id: c, auth_methods: [spiffe_x509], resources: [https://a/]"), `7:23: "spiffe://a/*" stands for every workload of the trust domain (MD-21)`},
		{"CX-3 client_id another than the SPIFFE ID", client(plain + ", profile: seed"), client("client_id: c, spiffe_id: spiffe://a/b, auth_methods: [spiffe_x509], resources: [https://a/], profile: seed"), `7:23: profile seed wants a client_id that is the SPIFFE ID of the certificate, so "c" cannot authenticate with spiffe_x509 (CX-3)`},
		{"client without resources", client(plain), client("client_id: spiffe://a/b, auth_methods: [spiffe_x509]"), `7:11: the client "spiffe://a/b" has no resources and so gets no token`},
		{"scope of another's resource", client(plain + ", scope: r"), client(plain + ", scope: w"), `7:97: clients[].scope names "w", which none of the client's own resources has`},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, twin := range []struct{ text, want string }{{row.quiet, ""}, {row.warned, "a.yaml:" + row.want}} {
				cfg, err := config.Parse("a.yaml", []byte(mutual+twin.text))
				if err != nil {
					t.Fatal(err)
				}
				if got := config.Faults(cfg.Warnings).Error(); got != twin.want {
					t.Errorf("got %s\nwant %s", got, twin.want)
				}
			}
		})
	}
	cfg, err := config.Parse("a.yaml", []byte(server+"binding: required\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.Faults(cfg.Warnings).Error(), "a.yaml:4:10: binding is required, but no listener asks for client certificates, so every token it is about is refused"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
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

// TestTableFile: the table of trust domains in a file of its own, with its own
// name in faults and its own folder for paths.
func TestTableFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good/td.json", `{"example.org": {"spiffe_bundle_endpoint": {"url": "https://example.com/bundle.json", "ca_file": "ca.pem"}}}`)
	write("good/td.yaml", "example.org: {bundle_file: b.json}\n")
	write("bad/key.json", "{\n  \"example.org\": {\"bundel_file\": \"b\"}\n}\n")
	write("bad/list.yaml", "- example.org\n")
	write("bad/syntax.json", "{\n")
	write("bad/empty.yaml", "# nothing\n")
	write("bad/big.yaml", strings.Repeat("#", 1<<20+1))
	above := server + "trust_domains: "
	below := "\nclients: [{client_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]}]\n"

	for name, want := range map[string]config.TrustDomain{
		"good/td.json": {BundleEndpoint: config.BundleEndpoint{URL: "https://example.com/bundle.json", CAFile: filepath.Join(dir, "good", "ca.pem"), Redirects: true}},
		"good/td.yaml": {BundleFile: filepath.Join(dir, "good", "b.json")},
	} {
		for _, written := range []string{name, filepath.Join(dir, name)} {
			cfg, err := config.Parse(filepath.Join(dir, "a.yaml"), []byte(above+written+below))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := cfg.TrustDomains[0]
			if got.Name.Name() != "example.org" || got.BundleEndpoint != want.BundleEndpoint || got.BundleFile != want.BundleFile {
				t.Errorf("%s: %+v", name, got)
			}
			if diff := cmp.Diff([]string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, name)}, cfg.Files); diff != "" {
				t.Error(diff)
			}
		}
	}
	for name, want := range map[string]string{
		"bad/key.json":    "bad/key.json:2:3: the trust domain \"example.org\" needs a source for its bundle: spiffe_bundle_endpoint or bundle_file\nbad/key.json:2:19: unknown key \"bundel_file\"; did you mean \"bundle_file\"?",
		"bad/list.yaml":   "bad/list.yaml:1:1: the file must hold a table of trust domains, not a list",
		"bad/empty.yaml":  "bad/empty.yaml:1:1: the file must hold a table of trust domains, not nothing",
		"bad/syntax.json": "bad/syntax.json:1:1: not valid YAML: could not find flow mapping end token '}'",
		"bad/big.yaml":    "bad/big.yaml:1:1: the file has more than 1048576 bytes",
		"bad/none.yaml":   "a.yaml:4:16: the table of trust domains in \"bad/none.yaml\" cannot be read: no such file or directory",
		"bad":             "a.yaml:4:16: the table of trust domains in \"bad\" cannot be read: not a regular file",
		"bad/":            "a.yaml:4:16: trust_domains must be the name of a file, not \"bad/\"",
	} {
		_, err := config.Parse(filepath.Join(dir, "a.yaml"), []byte(above+name+below))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
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
