package svidgate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
)

func TestNewVerifier(t *testing.T) {
	settings := func(change func(*svidgate.Settings)) func(*svidgate.Config) {
		return func(c *svidgate.Config) { change(&c.Settings) }
	}
	issuerIs := func(s string) func(*svidgate.Config) { return func(c *svidgate.Config) { c.Issuer = s } }
	leeway := func(d time.Duration) func(*svidgate.Config) {
		return settings(func(s *svidgate.Settings) { s.Leeway = d })
	}
	for _, c := range []struct {
		name   string
		change func(*svidgate.Config)
		want   string // in the error; empty: accepted
	}{
		{"AM-2 an issuer", issuerIs(issuer), ""},
		{"AM-2 an issuer with a port and a path", issuerIs("https://as.example.com:8443/tenant/a"), ""},
		{"AM-2 an issuer with a slash", issuerIs(issuer + "/"), ""},
		{"AM-2 no issuer", issuerIs(""), "AM-2"},
		{"AM-2 http", issuerIs("http://as.example.com"), "AM-2"},
		{"AM-2 no scheme", issuerIs("as.example.com"), "AM-2"},
		{"AM-2 no host", issuerIs("https://"), "AM-2"},
		{"AM-2 a port and no host", issuerIs("https://:443"), "AM-2"},
		{"AM-2 a path and no host", issuerIs("https:///a"), "AM-2"},
		{"AM-2 no slashes", issuerIs("https:as.example.com"), "AM-2"},
		{"AM-2 a query", issuerIs(issuer + "?x"), "AM-2"},
		{"AM-2 an empty query", issuerIs(issuer + "?"), "AM-2"},
		{"AM-2 a fragment", issuerIs(issuer + "#x"), "AM-2"},
		{"AM-2 an empty fragment", issuerIs(issuer + "#"), "AM-2"},
		{"AM-2 user information", issuerIs("https://u@as.example.com"), "AM-2"},
		{"AM-2 a line break", issuerIs(issuer + "\n"), "AM-2"},
		{"no bundles", func(c *svidgate.Config) { c.Bundles = nil }, "bundles"},
		{"JS-10 no leeway", leeway(0), ""},
		{"JS-10 the longest leeway", leeway(300 * time.Second), ""},
		{"JS-10 a longer one", leeway(300*time.Second + 1), "JS-10"},
		{"JS-10 a negative one", leeway(-1), "JS-10"},
		{"15.2 no profile", settings(func(s *svidgate.Settings) { s.Profile = "" }), ""},
		{"15.2 an unknown profile", settings(func(s *svidgate.Settings) { s.Profile = "ietf-03" }), "profile"},
		{"JS-19 a negative lifetime", settings(func(s *svidgate.Settings) { s.MaxLifetime = -1 }), "negative"},
		{"BE-15 a negative age", settings(func(s *svidgate.Settings) { s.MaxBundleAge = -1 }), "negative"},
		{"a trust domain's settings", func(c *svidgate.Config) {
			c.TrustDomains = map[spiffeid.TrustDomain]svidgate.Settings{exampleOrg: {Leeway: time.Second}}
		}, ""},
		{"a trust domain's fault", func(c *svidgate.Config) {
			c.TrustDomains = map[spiffeid.TrustDomain]svidgate.Settings{exampleOrg: {Leeway: -1}}
		}, "example.org: leeway"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := svidgate.Config{Issuer: issuer, Bundles: bundles{}}
			c.change(&cfg)
			v, err := svidgate.NewVerifier(cfg)
			if (err == nil) != (c.want == "") || (v == nil) != (err != nil) {
				t.Fatalf("got %v, want %q in it", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

// What a trust domain's settings leave unsaid is taken from the general ones: one
// word about it loosens nothing else.
func TestTrustDomainSettingsInherit(t *testing.T) {
	general := svidgate.Settings{Profile: svidgate.Latest, Leeway: time.Second, MaxLifetime: time.Minute, MaxBundleAge: 2 * time.Minute, RequireKeyID: true, StrictKeyUsageCritical: true}
	td := spiffeid.RequireTrustDomainFromString("example.org")
	for _, row := range []struct {
		name       string
		says, want svidgate.Settings
	}{
		{"nothing", svidgate.Settings{}, general},
		{"no leeway", svidgate.Settings{Leeway: svidgate.NoLeeway}, svidgate.Settings{Profile: svidgate.Latest, MaxLifetime: time.Minute, MaxBundleAge: 2 * time.Minute, RequireKeyID: true, StrictKeyUsageCritical: true}},
		{"a profile", svidgate.Settings{Profile: svidgate.Seed}, svidgate.Settings{Profile: svidgate.Seed, Leeway: time.Second, MaxLifetime: time.Minute, MaxBundleAge: 2 * time.Minute, RequireKeyID: true, StrictKeyUsageCritical: true}},
		{"no bounds", svidgate.Settings{MaxLifetime: svidgate.Unbounded, MaxBundleAge: svidgate.Unbounded}, svidgate.Settings{Profile: svidgate.Latest, Leeway: time.Second, MaxLifetime: svidgate.Unbounded, MaxBundleAge: svidgate.Unbounded, RequireKeyID: true, StrictKeyUsageCritical: true}},
	} {
		v := newVerifier(t, bundlesOf(t), func(c *svidgate.Config) {
			c.Settings = general
			c.TrustDomains = map[spiffeid.TrustDomain]svidgate.Settings{td: row.says}
		})
		if got := v.Settings(td); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

func TestNewVerifierTellsAllFaults(t *testing.T) {
	_, err := svidgate.NewVerifier(svidgate.Config{
		Issuer: "x", Settings: svidgate.Settings{Leeway: -1, Profile: "x", MaxLifetime: -1},
		TrustDomains: map[spiffeid.TrustDomain]svidgate.Settings{exampleOrg: {Profile: "y"}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, fault := range []string{"AM-2", "bundles", "JS-10", "settings: profile", "negative", "example.org: profile"} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is missing in %v", fault, err)
		}
	}
}

// What the caller does with his Config afterwards changes nothing.
func TestVerifierKeepsItsSettings(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	cfg := svidgate.Config{
		Issuer: issuer, Settings: svidgate.DefaultSettings(), Bundles: bundlesOf(t, d), Now: atNoon,
		TrustDomains: map[spiffeid.TrustDomain]svidgate.Settings{},
	}
	v, err := svidgate.NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TrustDomains[exampleOrg] = svidgate.Settings{Profile: svidgate.Seed}
	judgeJWT(t, v, svidgate.JWTPresentation{Assertion: d.svid(t)}, accepted)
}

// Without a clock of its own a verifier goes by the machine's.
func TestVerifierDefaultClock(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{Now: time.Now})
	v := newVerifier(t, bundlesOf(t, d), func(c *svidgate.Config) { c.Now, c.Settings.MaxBundleAge = nil, svidgate.Unbounded })
	if _, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: d.svid(t)}); err != nil {
		t.Error(err)
	}
	if _, err := v.VerifyX509SVID(context.Background(), d.chain(t)); err != nil {
		t.Error(err)
	}
	old := d.svid(t, claim("exp", time.Now().Add(-time.Hour).Unix()))
	if _, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: old}); err == nil {
		t.Error("CJ-5 an expired assertion")
	}
}

func TestDefaultSettings(t *testing.T) {
	want := svidgate.Settings{Profile: svidgate.Transition, Leeway: time.Minute, MaxLifetime: time.Hour, MaxBundleAge: 24 * time.Hour}
	if got := svidgate.DefaultSettings(); got != want {
		t.Errorf("JS-10, JS-19, BE-15, 15.2: %+v", got)
	}
}
