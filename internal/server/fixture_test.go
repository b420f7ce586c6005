package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

const (
	billing = "spiffe://example.org/billing"
	orders  = "spiffe://example.org/orders"
	edge    = "spiffe://example.org/edge"
	api     = "https://api.example.com/"
)

// A source is a bundle that its test can take away.
type source struct {
	mu       sync.Mutex
	document []byte // guarded by mu; nil: there is none
}

func (s *source) Origin() string { return "test" }

func (s *source) Fetch(context.Context) (bundle.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.document == nil {
		return bundle.Document{}, errors.New("nobody answers")
	}
	return bundle.Document{Bytes: s.document}, nil
}

// A site is a server with two trust domains, of which example.org is ready, and
// a client for each method.
type site struct {
	*testidentity.World
	server *Server
	config Config
	log    bytes.Buffer

	revocations *revocation.List
	records     authorization.Records
	people      login.State
	record      string // the audit file
}

func newSite(t testing.TB, change ...func(*Config)) *site {
	t.Helper()
	return newSiteWith(t, []string{"example.org", "not-ready.test"}, change...)
}

func newSiteWith(t testing.TB, trustDomains []string, change ...func(*Config)) *site {
	t.Helper()
	s := &site{World: testidentity.New(t)}
	dir := t.TempDir()
	s.record = filepath.Join(dir, "audit.jsonl")

	c := bundle.Config{Now: s.Clock.Now}
	for _, name := range trustDomains {
		source := &source{}
		if name != "not-ready.test" {
			source.document = s.Document(name)
		}
		c.TrustDomains = append(c.TrustDomains, bundle.TrustDomain{Name: spiffeid.RequireTrustDomainFromString(name), Source: source})
	}
	set, err := bundle.NewSet(c)
	if err != nil {
		t.Fatal(err)
	}
	set.Load(t.Context()) // not-ready.test has none
	sightings := NewSightings(s.Clock.Now)
	var names []spiffeid.TrustDomain
	for _, td := range c.TrustDomains {
		names = append(names, td.Name)
	}
	sightings.Expect(names)
	s.Verifier, err = svidgate.NewVerifier(svidgate.Config{
		Issuer: testidentity.Issuer, Settings: svidgate.DefaultSettings(), Bundles: set, Now: s.Clock.Now, Sighted: sightings.Note,
	})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(keys.Config{File: filepath.Join(dir, "keys.json"), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	record, err := audit.Open(audit.Config{File: s.record, Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })

	kept, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	s.revocations, err = revocation.Open(t.Context(), revocation.Config{Store: kept, Now: s.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	granted, err := authorization.NewGrants(authorization.GrantsConfig{
		Records: kept.Authorizations(), Policy: people(), LongestToken: 5 * time.Minute, Now: s.Clock.Now,
		Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.records, s.people = kept.Authorizations(), kept.People()
	introspector, err := introspection.New(introspection.Config{
		Tokens: introspection.NewTokens(testidentity.Issuer, ring, s.Clock.Now), Revocations: s.revocations, Grants: granted, Blocked: func(string, spiffeid.ID) bool { return false },
		Introspects: map[string][]string{orders: {api}},
	})
	if err != nil {
		t.Fatal(err)
	}

	s.config = Config{
		Store: kept,

		Introspector: introspector, Revocations: s.revocations, Granted: granted,

		Issuer:  testidentity.Issuer,
		MTLSURL: "https://mtls.as.example.com",
		Grants:  grant.New(),
		Authenticator: &clientauth.Authenticator{
			Verifier: s.Verifier, Used: replay.New(1000, s.Clock.Now), Proofs: replay.New(1000, s.Clock.Now),
			Clients: s.Registry(t,
				registration.Metadata{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}},
				registration.Metadata{ClientID: orders, AuthMethods: []oauth.AuthMethod{oauth.MethodX509}},
				registration.Metadata{ClientID: edge, AuthMethods: []oauth.AuthMethod{oauth.MethodWIT}}),
		},
		Resources: []policy.Resource{{Resource: api, Scopes: []string{"read", "write"}}, {Resource: "https://ledger.example.com/", Scopes: []string{"read", "post"}}},
		Keys:      ring, Audit: record, Bundles: set, Sightings: sightings,
		Methods: []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509},
		Log:     slog.New(slog.NewJSONHandler(&s.log, nil)), Now: s.Clock.Now,
	}
	grants := []oauth.GrantType{oauth.GrantClientCredentials}
	s.config.Policy = policy.New(policy.Config{
		Resources: s.config.Resources, Lifetime: policy.BearerLifetime,
		Clients: []policy.Client{
			{ClientID: billing, GrantTypes: grants, Resources: []string{api}, Scope: []string{"read"}},
			{ClientID: orders, GrantTypes: grants, Resources: []string{api}, Scope: []string{"read", "write"}},
			{ClientID: edge, GrantTypes: grants, Resources: []string{api}, Scope: []string{"read"}},
		},
	})
	for _, f := range change {
		f(&s.config)
	}
	if s.server, err = New(s.config, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// people is a policy by which billing, and the public client app, redeem codes and
// refresh.
func people() *policy.Table {
	c := policy.Config{Resources: []policy.Resource{{Resource: api, Scopes: []string{"read"}}}}
	for _, id := range []string{billing, "app"} {
		c.Clients = append(c.Clients, policy.Client{
			ClientID: id, GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}, Resources: []string{api}, Scope: []string{"read"},
		})
	}
	return policy.New(c)
}

// granted has a person grant something to a client, which redeems the code.
func (s *site) granted(t testing.TB, id string, by authorization.Presenter) (refresh string) {
	t.Helper()
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge := sha256.Sum256([]byte(verifier))
	now := s.Clock.Now()
	err := s.records.Create(t.Context(), authorization.Grant{
		ID: id, ClientID: by.ClientID, Subject: authorization.Subject{User: "alice", AuthTime: now}, Scope: []string{"read"}, Resource: api,
		IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		Code: authorization.Code{
			Digest: sha256.Sum256([]byte("code of " + id)), RedirectURI: "https://app.example.com/cb",
			Challenge: base64.RawURLEncoding.EncodeToString(challenge[:]), ExpiresAt: now.Add(time.Minute),
		},
	}, storetest.SignedIn(t, s.people, "alice", now), authorization.Digest{}, now)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := s.config.Granted.Redeem(t.Context(), authorization.Redeeming{By: by, Code: "code of " + id, RedirectURI: "https://app.example.com/cb", Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	token, err := draft.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// post sends a token request over TLS to a handler.
func post(h http.Handler, form url.Values, chain []*x509.Certificate, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, testidentity.TokenURL, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS.PeerCertificates = chain
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func from(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

// attested gives a request a WIT-SVID and a proof.
func attested(attestation, proof string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set(oauth.HeaderClientAttestation, attestation)
		r.Header.Set(oauth.HeaderClientAttestationPoP, proof)
	}
}

// good is a request that is granted.
func (s *site) good(t testing.TB) url.Values {
	t.Helper()
	return testidentity.Assertion(billing, s.JWT(t, billing))
}

// bad is one that fails authentication.
func (s *site) bad(t testing.TB) url.Values {
	t.Helper()
	return testidentity.Assertion(billing, s.JWT(t, orders))
}

// lines are the audit record.
func (s *site) lines(t *testing.T) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(s.record)
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var line map[string]any
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return lines
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
}

func get(h http.Handler, target string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
