package bundle_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
)

var (
	alpha    = spiffeid.RequireTrustDomainFromString("alpha.test")
	beta     = spiffeid.RequireTrustDomainFromString("beta.test")
	gamma    = spiffeid.RequireTrustDomainFromString("gamma.test")
	betaHost = spiffeid.RequireFromString("spiffe://beta.test/host")
)

func authorityOf(t *testing.T, td spiffeid.TrustDomain) *devca.Authority {
	t.Helper()
	a, err := devca.New(td.Name(), devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func snapshotOf(t *testing.T, a *devca.Authority) *bundle.Snapshot {
	t.Helper()
	s, err := bundle.Parse(a.TrustDomain(), a.Bundle(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A host serves the bundle of one authority with a certificate that can change.
type host struct {
	*httptest.Server
	shown atomic.Pointer[tls.Certificate]
}

func newHost(t *testing.T, handler http.HandlerFunc, shown tls.Certificate) *host {
	t.Helper()
	h := &host{Server: httptest.NewUnstartedServer(handler)}
	h.shown.Store(&shown)
	h.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*h.shown.Load()}}, nil
	}}
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func bundleOf(a *devca.Authority) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(a.Bundle()) }
}

// svidOf is the X.509-SVID of a workload, as a TLS server shows it.
func svidOf(t *testing.T, a *devca.Authority, path string) tls.Certificate {
	t.Helper()
	svid, err := a.X509SVID(path)
	if err != nil {
		t.Fatal(err)
	}
	return svid.TLSCertificate()
}

// spiffeEndpoint is one that is known by its SPIFFE ID.
func spiffeEndpoint(t *testing.T, url string, id spiffeid.ID, initial *bundle.Snapshot) *bundle.Endpoint {
	t.Helper()
	e, err := bundle.NewEndpoint(bundle.EndpointConfig{
		URL: url, Profile: bundle.ProfileHTTPSSPIFFE,
		SPIFFE: bundle.SPIFFEServer{ID: id, Initial: initial, Verify: svidgate.VerifyServerX509SVID},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// BE-6: the endpoint is good by its exact SPIFFE ID, and by nothing else.
func TestSPIFFEEndpoint(t *testing.T) {
	a, stranger := authorityOf(t, beta), authorityOf(t, beta)
	web, err := devca.NewServerCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	named, err := web.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	target := newHost(t, bundleOf(a), svidOf(t, a, "/host"))
	misnamed := newHost(t, bundleOf(a), svidOf(t, a, "/other"))
	to := func(url string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusFound) }
	}
	for _, tt := range []struct {
		name    string
		shown   tls.Certificate
		handler http.HandlerFunc
		refused string // empty: not
	}{
		{"BE-6 its SPIFFE ID, and no host name", svidOf(t, a, "/host"), bundleOf(a), ""},
		{"BE-6 another of the same trust domain", svidOf(t, a, "/other"), bundleOf(a), "(BE-6)"},
		{"BE-6 the same of a stranger", svidOf(t, stranger, "/host"), bundleOf(a), "(XS-10)"},
		{"BE-4 a certificate of the web that fits the host", named, bundleOf(a), "(XS-1)"},
		{"BE-10 it redirects to one with the same SPIFFE ID", svidOf(t, a, "/host"), to(target.URL), ""},
		{"BE-10 it redirects to one with another", svidOf(t, a, "/host"), to(misnamed.URL), "(BE-6)"},
		{"BE-10 it redirects to plain HTTP", svidOf(t, a, "/host"), to("http://127.0.0.1:1/"), "(BE-10)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.handler, tt.shown)
			document, err := spiffeEndpoint(t, h.URL, betaHost, snapshotOf(t, a)).Fetch(t.Context())
			if tt.refused == "" {
				if err != nil || string(document.Bytes) != string(a.Bundle()) {
					t.Fatalf("%d bytes, %v", len(document.Bytes), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Fatalf("%v, want %s", err, tt.refused)
			}
		})
	}
	// BE-4 the other way round: what the Web PKI vouches for needs no SVID, and an SVID
	// is nothing to it.
	for name, shown := range map[string]tls.Certificate{"BE-4 of the web": named, "BE-4 an X.509-SVID": svidOf(t, a, "/host")} {
		e, err := bundle.NewEndpoint(bundle.EndpointConfig{URL: newHost(t, bundleOf(a), shown).URL, RootCAs: web.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Fetch(t.Context()); (err == nil) != (name == "BE-4 of the web") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSPIFFEEndpointConfig(t *testing.T) {
	a := authorityOf(t, beta)
	web, err := devca.NewServerCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := bundle.SPIFFEServer{ID: betaHost, Initial: snapshotOf(t, a), Verify: svidgate.VerifyServerX509SVID}
	for name, tt := range map[string]struct {
		change func(*bundle.EndpointConfig)
		rule   string
	}{
		"BE-6 as it should be":            {func(*bundle.EndpointConfig) {}, ""},
		"BE-6 no SPIFFE ID":               {func(c *bundle.EndpointConfig) { c.SPIFFE.ID = spiffeid.ID{} }, "BE-6"},
		"BE-6 nothing that judges it":     {func(c *bundle.EndpointConfig) { c.SPIFFE.Verify = nil }, "BE-6"},
		"BE-4 with CAs":                   {func(c *bundle.EndpointConfig) { c.RootCAs = web.Pool() }, "BE-4"},
		"BE-4 a SPIFFE ID in https_web":   {func(c *bundle.EndpointConfig) { c.Profile = "https_web" }, "BE-4"},
		"BE-4 a SPIFFE ID in the default": {func(c *bundle.EndpointConfig) { c.Profile = "" }, "BE-4"},
		"BE-7 the bundle of another":      {func(c *bundle.EndpointConfig) { c.SPIFFE.Initial = snapshotOf(t, authorityOf(t, alpha)) }, "BE-7"},
		"BE-7 a bundle without a CA": {func(c *bundle.EndpointConfig) {
			c.SPIFFE.Initial, err = bundle.Parse(beta, []byte(`{"keys":[]}`), time.Now())
		}, "BE-7"},
		"BE-8 none, as where another trust domain's counts": {func(c *bundle.EndpointConfig) { c.SPIFFE.Initial = nil }, ""},
	} {
		c := bundle.EndpointConfig{URL: "https://h/", Profile: bundle.ProfileHTTPSSPIFFE, SPIFFE: good}
		tt.change(&c)
		if _, err := bundle.NewEndpoint(c); (err == nil) != (tt.rule == "") || err != nil && !strings.Contains(err.Error(), tt.rule) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// newSet is a set that keeps its bundles in a folder.
func newSet(t *testing.T, folder string, all ...bundle.TrustDomain) *bundle.Set {
	t.Helper()
	s, err := bundle.NewSet(bundle.Config{TrustDomains: all, Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// BE-7: an endpoint in the trust domain whose bundle it serves is known by the initial
// bundle at first, and by the newest that it gave from then on, also after a restart.
func TestSelfServingEndpoint(t *testing.T) {
	folder := t.TempDir()
	a := authorityOf(t, beta)
	initial := snapshotOf(t, a)
	first := svidOf(t, a, "/host")
	h := newHost(t, bundleOf(a), first)
	set := newSet(t, folder, bundle.TrustDomain{Name: beta, Source: spiffeEndpoint(t, h.URL, betaHost, initial)})
	fetch := func(s *bundle.Set) error {
		t.Helper()
		_, err := s.Fetch(t.Context(), beta, bundle.FetchOptions{})
		return err
	}
	if _, err := set.Bundle(beta); err == nil {
		t.Fatal("BE-7 the initial bundle is in use before anything was fetched")
	}
	if err := fetch(set); err != nil {
		t.Fatal(err)
	}
	// The next root is published while the old one still signs.
	if _, err := a.PrepareX509(); err != nil {
		t.Fatal(err)
	}
	if err := fetch(set); err != nil {
		t.Fatal(err)
	}
	old := a.Roots()[0]
	if err := a.RotateX509(); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveRoot(old); err != nil {
		t.Fatal(err)
	}
	second := svidOf(t, a, "/host")
	h.shown.Store(&second)
	if err := fetch(set); err != nil {
		t.Fatalf("BE-7 the newest bundle is not the one it is known by: %v", err)
	}
	// What was rotated away vouches for nobody, though the initial bundle has it.
	h.shown.Store(&first)
	if err := fetch(set); err == nil {
		t.Fatal("BE-7 a root that was rotated away vouched for the endpoint")
	}
	if _, err := set.Peek(t.Context(), beta); err == nil {
		t.Fatal("BE-7 it was looked at with a root that was rotated away")
	}
	again := newSet(t, folder, bundle.TrustDomain{Name: beta, Source: spiffeEndpoint(t, h.URL, betaHost, initial)})
	if err := fetch(again); err == nil {
		t.Fatal("BE-7 after a restart the initial bundle counts again")
	}
	h.shown.Store(&second)
	if err := fetch(again); err != nil {
		t.Fatalf("BE-7 after a restart: %v", err)
	}
	// An operator who lost touch with it begins anew, with another initial bundle; what
	// was kept belongs to the beginning before.
	if err := a.RotateX509(); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveOld(); err != nil {
		t.Fatal(err)
	}
	third := svidOf(t, a, "/host")
	h.shown.Store(&third)
	if err := fetch(again); err == nil {
		t.Fatal("BE-7 a root that was never fetched vouched for the endpoint")
	}
	anew := newSet(t, folder, bundle.TrustDomain{Name: beta, Source: spiffeEndpoint(t, h.URL, betaHost, snapshotOf(t, a))})
	if _, err := anew.Bundle(beta); err == nil {
		t.Fatal("BE-7 the bundle of the beginning before is in use")
	}
	if err := fetch(anew); err != nil {
		t.Fatal(err)
	}
}

// A published bundle is a source that can be shut.
type published struct {
	*devca.Authority
	shut *atomic.Bool
}

func (p published) Origin() string { return "memory of " + p.TrustDomain().Name() }

func (p published) Fetch(context.Context) (bundle.Document, error) {
	if p.shut != nil && p.shut.Load() {
		return bundle.Document{}, io.ErrUnexpectedEOF
	}
	return bundle.Document{Bytes: p.Bundle()}, nil
}

// BE-8: an endpoint in another trust domain is known by the bundle in use of that one.
func TestEndpointOfAnotherTrustDomain(t *testing.T) {
	a, b, c := authorityOf(t, alpha), authorityOf(t, beta), authorityOf(t, gamma)
	ofBeta := newHost(t, bundleOf(b), svidOf(t, a, "/host"))  // beta's bundle, at a host of alpha
	ofGamma := newHost(t, bundleOf(c), svidOf(t, b, "/host")) // gamma's, at a host of beta
	var shut atomic.Bool
	now := time.Now()
	clock := func() time.Time { return now }
	set, err := bundle.NewSet(bundle.Config{Now: clock, TrustDomains: []bundle.TrustDomain{
		{Name: gamma, Source: spiffeEndpoint(t, ofGamma.URL, betaHost, nil)},
		{Name: beta, Source: spiffeEndpoint(t, ofBeta.URL, spiffeid.RequireFromString("spiffe://alpha.test/host"), nil)},
		{Name: alpha, Source: published{a, &shut}, MaxAge: time.Hour},
	}})
	if err != nil {
		t.Fatal(err)
	}
	shut.Store(true)
	if err := set.Load(t.Context()); err == nil || strings.Count(err.Error(), "(BE-8)") != 2 {
		t.Fatalf("BE-8 without the bundle of alpha: %v", err)
	}
	shut.Store(false)
	if err := set.Load(t.Context()); err != nil {
		t.Fatalf("BE-8 a chain of two: %v", err)
	}
	if _, err := set.Bundle(gamma); err != nil {
		t.Fatal(err)
	}
	// A source that is to take the place of one in use is asked beforehand.
	if _, err := set.Ask(t.Context(), gamma, spiffeEndpoint(t, ofGamma.URL, betaHost, nil)); err != nil {
		t.Errorf("BE-8 asked beforehand: %v", err)
	}
	if _, err := set.Ask(t.Context(), gamma, spiffeEndpoint(t, ofGamma.URL, spiffeid.RequireFromString("spiffe://beta.test/other"), nil)); err == nil {
		t.Error("BE-6 asked beforehand with another SPIFFE ID")
	}
	// Rotated, and the newest bundle of alpha counts at the next fetch.
	if err := a.RotateX509(); err != nil {
		t.Fatal(err)
	}
	rotated := svidOf(t, a, "/host")
	ofBeta.shown.Store(&rotated)
	fetch := func(td spiffeid.TrustDomain) error {
		_, err := set.Fetch(t.Context(), td, bundle.FetchOptions{})
		return err
	}
	if err := fetch(beta); err == nil {
		t.Error("BE-8 a root that is not in the bundle of alpha in use")
	}
	if err := fetch(alpha); err != nil {
		t.Fatal(err)
	}
	if err := fetch(beta); err != nil {
		t.Errorf("BE-8 the newest bundle of alpha: %v", err)
	}
	// BE-15: what is too old for SVIDs is too old for endpoints.
	now = now.Add(time.Hour)
	if err := fetch(beta); err != nil {
		t.Errorf("BE-15 as old as may be: %v", err)
	}
	now = now.Add(time.Second)
	if err := fetch(beta); err == nil || !strings.Contains(err.Error(), "BE-15") {
		t.Errorf("BE-15 a second older: %v", err)
	}
}

// BE-7, BE-8: what could never begin is refused at once, all of it.
func TestSPIFFEEndpointsThatCannotBegin(t *testing.T) {
	in := func(td spiffeid.TrustDomain) bundle.Source {
		return spiffeEndpoint(t, "https://h/"+td.Name(), spiffeid.RequireFromPath(td, "/host"), nil)
	}
	own := spiffeEndpoint(t, "https://h/", betaHost, snapshotOf(t, authorityOf(t, beta)))
	for name, tt := range map[string]struct {
		all  []bundle.TrustDomain
		want []string // of the error; none: accepted
	}{
		"BE-7 an initial bundle":     {[]bundle.TrustDomain{{Name: beta, Source: own}}, nil},
		"BE-7 no initial bundle":     {[]bundle.TrustDomain{{Name: beta, Source: in(beta)}}, []string{"beta.test: its own endpoint needs an initial bundle (BE-7)"}},
		"BE-8 in another":            {[]bundle.TrustDomain{{Name: alpha, Source: in(beta)}, {Name: beta, Source: own}}, nil},
		"BE-8 in one that is not":    {[]bundle.TrustDomain{{Name: alpha, Source: in(beta)}}, []string{"alpha.test: its endpoint is in beta.test, which is not configured (BE-8)"}},
		"BE-8 two in a circle":       {[]bundle.TrustDomain{{Name: alpha, Source: in(beta)}, {Name: beta, Source: in(alpha)}}, []string{"alpha.test: ", "beta.test: "}},
		"BE-8 three in a circle":     {[]bundle.TrustDomain{{Name: alpha, Source: in(beta)}, {Name: beta, Source: in(gamma)}, {Name: gamma, Source: in(alpha)}}, []string{"alpha.test: ", "beta.test: ", "gamma.test: "}},
		"BE-8 one outside of it":     {[]bundle.TrustDomain{{Name: gamma, Source: in(alpha)}, {Name: alpha, Source: in(beta)}, {Name: beta, Source: in(alpha)}}, []string{"alpha.test: ", "beta.test: "}},
		"BE-8 a chain with a ground": {[]bundle.TrustDomain{{Name: gamma, Source: in(alpha)}, {Name: alpha, Source: in(beta)}, {Name: beta, Source: own}}, nil},
	} {
		_, err := bundle.NewSet(bundle.Config{TrustDomains: tt.all})
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
}
