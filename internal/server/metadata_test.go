package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/oauth"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, append(bytes.TrimSpace(got), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
		t.Errorf("%s has changed (go test -update writes it anew):\n%s", file, got)
	}
}

// The documents of a server with everything on, with its other settings beside
// it, member by member.
func TestMetadata(t *testing.T) {
	for _, row := range []struct {
		name, file string
		change     func(*Config)
	}{
		{"AM-4 everything", "metadata.json", func(*Config) {}},
		{"AM-3 no listener for certificates", "metadata-jwt-only.json", func(c *Config) { c.MTLSURL, c.Methods = "", []oauth.AuthMethod{oauth.MethodJWT} }},
		{"MT-3 certificates at the public listener", "metadata-public-certificates.json", func(c *Config) { c.MTLSURL, c.PublicCertificates = "", true }},
		{"MD-4 WIT-SVIDs", "metadata-wit.json", func(c *Config) {
			c.WITDomains = []spiffeid.TrustDomain{spiffeid.RequireTrustDomainFromString("example.org")}
			a := *c.Authenticator
			a.Challenges = challenge.New([challenge.KeySize]byte{}, c.Now)
			c.Authenticator = &a
		}},
		{"MD-1 no method works", "metadata-nothing.json", func(c *Config) { c.MTLSURL, c.Methods, c.Resources = "", nil, nil }},
		{"AM-2 an issuer with path and slash", "metadata-path.json", func(c *Config) { c.Issuer, c.MTLSURL = "https://as.example.com/t1/", "https://mtls.as.example.com/m/" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t, row.change)
			golden(t, row.file, s.server.metadataNow())
			var members map[string]any
			if err := json.Unmarshal(s.server.metadataNow(), &members); err != nil {
				t.Fatal(err)
			}
			if members["issuer"] != s.config.Issuer {
				t.Errorf("AM-2 the issuer is %v, not byte for byte the configured one", members["issuer"])
			}
			for name, value := range members { // AM-3
				if list, ok := value.([]any); ok && len(list) == 0 || value == nil || value == "" {
					t.Errorf("AM-3 %s is there and empty", name)
				}
			}
		})
	}
}

// AM-8: the document for verifiers that look nowhere else.
func TestProviderMetadata(t *testing.T) {
	s := newSite(t)
	golden(t, "openid-configuration.json", s.server.providerMetadata())
}

// Where documents and endpoints are, for issuers with and without a path (AM-1:
// inserted; AM-8: appended).
func TestPaths(t *testing.T) {
	for _, row := range []struct {
		issuer string
		found  []string
		not    []string
	}{
		{"https://as.example.com",
			[]string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks.json", "/token"},
			[]string{"/", "/t1/token", "/token/", "//token", "/x/../token", "/%74oken", "/.well-known/oauth-authorization-server/", "/livez", "/readyz", "/metrics", "*"}},
		{"https://as.example.com/",
			[]string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks.json", "/token"}, []string{"/"}},
		{"https://as.example.com/t1",
			[]string{"/.well-known/oauth-authorization-server/t1", "/t1/.well-known/openid-configuration", "/t1/jwks.json", "/t1/token"},
			[]string{"/token", "/jwks.json", "/.well-known/oauth-authorization-server", "/t1/.well-known/oauth-authorization-server", "/t2/token", "/t1"}},
	} {
		t.Run("AM-1 "+row.issuer, func(t *testing.T) {
			h := newSite(t, func(c *Config) { c.Issuer = row.issuer }).server.Public()
			status := func(path string) int {
				return get(h, "https://as.example.com/", func(r *http.Request) {
					r.URL.Path, r.URL.RawPath = path, ""
					if path == "/%74oken" {
						r.URL.Path, r.URL.RawPath = "/token", path
					}
				}).Code
			}
			for _, path := range row.found {
				want := http.StatusOK
				if filepath.Base(path) == "token" {
					want = http.StatusMethodNotAllowed
				}
				if got := status(path); got != want {
					t.Errorf("%s: %d, want %d", path, got, want)
				}
			}
			for _, path := range row.not {
				if got := status(path); got != http.StatusNotFound {
					t.Errorf("GL-7 %s: %d, want 404 and no redirect", path, got)
				}
			}
		})
	}
}

// The listener for certificates has the same endpoints below its own base.
func TestAliasPaths(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MTLSURL = "https://mtls.as.example.com/m" })
	for path, want := range map[string]int{"/m/token": 405, "/m/jwks.json": 200, "/.well-known/oauth-authorization-server": 200, "/token": 404} {
		if got := get(s.server.MTLS(), "https://mtls.as.example.com"+path).Code; got != want {
			t.Errorf("AM-5 %s: %d, want %d", path, got, want)
		}
	}
}

func TestNewWantsEverything(t *testing.T) {
	whole := newSite(t).config
	if _, err := New(whole, nil); err != nil {
		t.Fatal(err)
	}
	for name, without := range map[string]func(*Config){
		"issuer": func(c *Config) { c.Issuer = "" }, "authenticator": func(c *Config) { c.Authenticator = nil }, "policy": func(c *Config) { c.Policy = nil },
		"keys": func(c *Config) { c.Keys = nil }, "audit": func(c *Config) { c.Audit = nil }, "bundles": func(c *Config) { c.Bundles = nil },
		"log": func(c *Config) { c.Log = nil }, "clock": func(c *Config) { c.Now = nil },
	} {
		c := whole
		without(&c)
		if _, err := New(c, nil); err == nil {
			t.Errorf("a server without %s was made", name)
		}
	}
}
