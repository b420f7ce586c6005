package server

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

func to(path string) func(*http.Request) {
	return func(r *http.Request) { r.URL.Path = path }
}

// issued is a token of billing for api.
func (s *site) issued(t testing.TB) string {
	t.Helper()
	w := post(s.server.Public(), s.good(t), nil)
	var body oauth.TokenResponse
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.AccessToken == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return string(body.AccessToken)
}

// about is a form with a token, of the client orders, which shows a certificate.
func about(token string, pairs ...string) url.Values {
	return testidentity.With(testidentity.Certificate(orders), append([]string{"grant_type", "", "token", token}, pairs...)...)
}

// introspected asks about a token as orders, which introspects api.
func (s *site) introspected(t testing.TB, token string, pairs ...string) *httptest.ResponseRecorder {
	t.Helper()
	return post(s.server.MTLS(), about(token, pairs...), s.Chain(t, orders), to("/introspect"))
}

// revoked has billing revoke a token.
func (s *site) revoked(t testing.TB, token string, pairs ...string) *httptest.ResponseRecorder {
	t.Helper()
	form := testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), append([]string{"grant_type", "", "token", token}, pairs...)...)
	return post(s.server.Public(), form, nil, to("/revoke"))
}

func (s *site) last(t *testing.T) map[string]any {
	t.Helper()
	lines := s.lines(t)
	return lines[len(lines)-1]
}

func wantLine(t *testing.T, line map[string]any, event, outcome, reason, client string) {
	t.Helper()
	got := [4]any{line["event"], line["outcome"], line["reason"], line["client_id"]}
	want := [4]any{event, outcome, nil, client}
	if reason != "" {
		want[2] = reason
	}
	if got != want {
		t.Errorf("the record says %v, want %v", got, want)
	}
}

// IN-2, IN-3, IN-4, RV-1 to RV-3: from issue to revocation, as the parties see it.
func TestIntrospectAndRevoke(t *testing.T) {
	s := newSite(t)
	token := s.issued(t)
	jti := s.last(t)["jti"]

	for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
		w := s.introspected(t, token, "token_type_hint", hint)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got["active"] != true || got["jti"] != jti || got["client_id"] != billing {
			t.Fatalf("IN-4 with hint %q: %d %s", hint, w.Code, w.Body)
		}
		if kind, cache := w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"); kind != "application/json" || cache != "no-store" {
			t.Errorf("GL-6 %q, %q", kind, cache)
		}
		wantLine(t, s.last(t), "introspect", "granted", "", orders)
		if line := s.last(t); line["jti"] != jti || line["subject"] != billing {
			t.Errorf("the record says nothing of the token: %v", line)
		}
	}

	// Orders may introspect it, and may not revoke it.
	w := post(s.server.MTLS(), about(token), s.Chain(t, orders), to("/revoke"))
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"unauthorized_client"`) {
		t.Errorf("RV-1 %d %s", w.Code, w.Body)
	}
	wantLine(t, s.last(t), "revoke", "refused", "token_not_yours", orders)
	if w := s.introspected(t, token); !strings.Contains(w.Body.String(), `"active":true`) {
		t.Errorf("RV-1 a refused revocation had an effect: %s", w.Body)
	}

	for _, hint := range []string{"refresh_token", "", "nonsense"} { // the second and third time it is dead already
		w = s.revoked(t, token, "token_type_hint", hint)
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("RV-2 %d %s", w.Code, w.Body)
		}
		wantLine(t, s.last(t), "revoke", "granted", "", billing)
		if s.last(t)["jti"] != jti {
			t.Error("the record does not say what was revoked")
		}
	}
	w = s.introspected(t, token)
	if w.Code != 200 || w.Body.String() != `{"active":false}`+"\n" {
		t.Errorf("RV-3 %d %s", w.Code, w.Body)
	}
	wantLine(t, s.last(t), "introspect", "refused", "token_revoked", orders)
	if got := counted(t, s, "svidgate_refusals_total", "endpoint", "introspect", "reason", "token_revoked"); got != 1 {
		t.Errorf("%v inactive answers are counted", got)
	}

	// The next one is another token.
	if w := s.introspected(t, s.issued(t)); !strings.Contains(w.Body.String(), `"active":true`) {
		t.Errorf("RV-3 another token is dead, too: %s", w.Body)
	}
}

// IN-2, AK-28: every token that is not active has the same answer, byte for byte and
// header by header, for whatever reason; and at /revoke it is no error (RV-2).
func TestInactiveAnswersAreTheSame(t *testing.T) {
	s := newSite(t)
	token := s.issued(t)
	ended := s.issued(t)
	s.Clock.Advance(6 * time.Minute)
	foreign := post(s.server.MTLS(), testidentity.Certificate(orders), s.Chain(t, orders)) // for the right API, bound to a certificate
	var of oauth.TokenResponse
	if err := json.Unmarshal(foreign.Body.Bytes(), &of); err != nil || foreign.Code != 200 {
		t.Fatal(foreign.Code, err)
	}
	if w := s.introspected(t, string(of.AccessToken)); !strings.Contains(w.Body.String(), `"cnf":{"x5t#S256":"`) || !strings.Contains(w.Body.String(), `"token_type":"Bearer"`) {
		t.Errorf("IN-3 %s", w.Body)
	}
	revokedNow := s.issued(t)
	s.revoked(t, revokedNow)
	var first http.Header
	for name, row := range map[string]struct{ token, reason string }{
		"expired":       {ended, "expired"},
		"expired too":   {token, "expired"},
		"revoked":       {revokedNow, "token_revoked"},
		"unknown":       {"2YotnFZFEjr1zCsicMWpAA", "token_malformed"},
		"bad signature": {token[:strings.LastIndexByte(token, '.')+1] + strings.Repeat("A", 86), "signature_bad"},
		"an SVID":       {s.JWT(t, billing), "wrong_token_type"},
		"too long":      {strings.Repeat("a", 17<<10), "assertion_too_large"},
		"a line break":  {"a\nb", "token_malformed"},
	} {
		w := s.introspected(t, row.token)
		h := w.Header().Clone()
		h.Del("Request-Id")
		if first == nil {
			first = h
		}
		if w.Code != 200 || w.Body.String() != introspection.Inactive+"\n" || !sameHeaders(h, first) {
			t.Errorf("IN-2 %s: %d %s %v", name, w.Code, w.Body, h)
		}
		wantLine(t, s.last(t), "introspect", "refused", row.reason, orders)
		if w := s.revoked(t, row.token); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("RV-2 %s: %d %s", name, w.Code, w.Body)
		}
	}
	// A client that introspects nothing.
	form := testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), "grant_type", "", "token", string(of.AccessToken))
	w := post(s.server.Public(), form, nil, to("/introspect"))
	if w.Body.String() != introspection.Inactive+"\n" {
		t.Errorf("IN-2 %s", w.Body)
	}
	wantLine(t, s.last(t), "introspect", "refused", "token_not_yours", billing)
}

func sameHeaders(a, b http.Header) bool {
	one, _ := json.Marshal(a)
	other, _ := json.Marshal(b)
	return string(one) == string(other)
}

// GL-2 to GL-5, AK-24, IN-1, RV-1: the form of both endpoints, each row beside the
// request that is accepted.
func TestTokenFormEndpoints(t *testing.T) {
	for _, path := range []string{"/introspect", "/revoke"} {
		s := newSite(t)
		token := s.issued(t)
		chain := s.Chain(t, orders)
		of := func(chain []*x509.Certificate, form url.Values, edit ...func(*http.Request)) *httptest.ResponseRecorder {
			return post(s.server.MTLS(), form, chain, append([]func(*http.Request){to(path)}, edit...)...)
		}
		unknown := about("2YotnFZFEjr1zCsicMWpAA")
		for name, row := range map[string]struct {
			w      *httptest.ResponseRecorder
			status int
			reason string
		}{
			"accepted":                             {of(chain, unknown), 200, ""},
			"GL-5 an empty hint":                   {of(chain, testidentity.With(unknown, "foo", "bar")), 200, ""},
			"IN-1 nobody":                          {of(nil, url.Values{"token": {token}}), 401, "assertion_missing"},
			"IN-1 a client that shows nothing":     {of(nil, about(token)), 401, "cert_missing"},
			"IN-1 a bearer token":                  {of(nil, url.Values{"token": {token}}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }), 401, "method_not_allowed"},
			"AV-7 an access token to authenticate": {of(nil, testidentity.With(testidentity.Assertion(billing, token), "grant_type", "", "token", token)), 401, "wrong_token_type"},
			"RV-1 no token":                        {of(chain, testidentity.With(unknown, "token", "")), 400, "request_malformed"},
			"GL-4 two tokens":                      {of(chain, url.Values{"client_id": {orders}, "token": {token, token}}), 400, "request_malformed"},
			"GL-3 a token in the query":            {of(chain, unknown, func(r *http.Request) { r.URL.RawQuery = "token=x" }), 400, "request_malformed"},
			"GL-2 JSON":                            {of(chain, unknown, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400, "request_malformed"},
			"AK-24 two ways to authenticate":       {of(chain, testidentity.With(testidentity.Assertion(orders, s.JWT(t, orders)), "token", token, "client_secret", "x")), 400, "mixed_credentials"},
			"TK-2 another workload's certificate":  {of(s.Chain(t, billing), about(token)), 401, "client_id_mismatch"},
		} {
			if row.w.Code != row.status {
				t.Errorf("%s %s: %d %s", path, name, row.w.Code, row.w.Body)
			}
			if strings.Contains(row.w.Body.String(), "active\":true") {
				t.Errorf("%s %s: %s", path, name, row.w.Body)
			}
			id := row.w.Header().Get("Request-Id")
			for _, line := range s.lines(t) {
				if line["request_id"] == id && row.status != 200 && line["reason"] != row.reason {
					t.Errorf("%s %s: the record says %v", path, name, line["reason"])
				}
			}
		}
		if w := get(s.server.MTLS(), testidentity.Issuer+path); w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("GL-2 GET %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
		if strings.Contains(s.log.String(), token) {
			t.Error("AU-2 the log has a token")
		}
	}
}

// A failing store neither keeps an entry nor gives any.
type failing struct {
	revocation.Store
	broken bool
}

func (f *failing) AddRevocation(ctx context.Context, e revocation.Entry) error {
	if f.broken {
		return store.ErrUnavailable
	}
	return f.Store.AddRevocation(ctx, e)
}

func (f *failing) Revocations(ctx context.Context, after int64, now time.Time, limit int) ([]revocation.Entry, int64, error) {
	if f.broken {
		return nil, 0, errors.Join(store.ErrUnavailable)
	}
	return f.Store.Revocations(ctx, after, now, limit)
}

// RV-2, GL-15: without its store the server revokes nothing and says so; it goes on
// introspecting with what it knows for ten seconds, and then says that it cannot.
// Tokens are issued all the time.
func TestStoreGone(t *testing.T) {
	kept := &failing{}
	s := newSite(t, func(c *Config) {
		kept.Store = c.Store.(revocation.Store)
		list, err := revocation.Open(t.Context(), revocation.Config{Store: kept, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c.Revocations = list
		if c.Introspector, err = introspection.New(introspection.Config{
			Tokens: introspection.NewTokens(c.Issuer, c.Keys, c.Now), Revocations: list, Grants: c.Granted, Blocked: func(string, spiffeid.ID) bool { return false }, Introspects: map[string][]string{orders: {api}},
		}); err != nil {
			t.Fatal(err)
		}
	})
	token, dead := s.issued(t), s.issued(t)
	s.revoked(t, dead)
	kept.broken = true
	w := s.revoked(t, token)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Body.Len() != 0 {
		t.Errorf("RV-2 %d %s", w.Code, w.Body)
	}
	wantLine(t, s.last(t), "revoke", "refused", "store_unavailable", billing)
	s.Clock.Advance(revocation.MaxAge)
	if w := s.introspected(t, token); !strings.Contains(w.Body.String(), `"active":true`) {
		t.Errorf("GL-15 half a revocation: %d %s", w.Code, w.Body)
	}
	if w := s.introspected(t, dead); w.Body.String() != introspection.Inactive+"\n" {
		t.Errorf("what was revoked before is alive: %s", w.Body)
	}
	s.Clock.Advance(1)
	for _, asked := range []string{token, dead} {
		if w := s.introspected(t, asked); w.Code != 503 || w.Body.Len() != 0 {
			t.Errorf("GL-15 %d %s", w.Code, w.Body)
		}
		wantLine(t, s.last(t), "introspect", "refused", "store_unavailable", orders)
	}
	s.issued(t)
	kept.broken = false
	s.Clock.Advance(time.Second)
	if w := s.introspected(t, token); !strings.Contains(w.Body.String(), `"active":true`) {
		t.Errorf("the store is back: %d %s", w.Code, w.Body)
	}
	if w := s.revoked(t, token); w.Code != 200 {
		t.Errorf("the store is back: %d", w.Code)
	}
	if w := s.introspected(t, token); w.Body.String() != introspection.Inactive+"\n" {
		t.Errorf("%s", w.Body)
	}
}

// RV-1, RV-3: a refresh token goes with its grant, also for a public client, which
// introspects nothing (IN-1) and revokes nothing of others.
func TestRevokeGrant(t *testing.T) {
	s := newSite(t, func(c *Config) {
		registry, err := registration.New([]registration.Metadata{
			{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}},
			{ClientID: orders, AuthMethods: []oauth.AuthMethod{oauth.MethodX509}},
			{ClientID: "app", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}, RedirectURIs: []string{"https://app.example.com/cb"}},
		}, func(spiffeid.TrustDomain) svidgate.Profile { return svidgate.Transition })
		if err != nil {
			t.Fatal(err)
		}
		c.Authenticator.Clients = registry
	})
	mine := s.granted(t, "g1", authorization.Presenter{ClientID: billing, SPIFFEID: billing})
	apps := s.granted(t, "g2", authorization.Presenter{ClientID: "app"})
	app := func(path, token string) *httptest.ResponseRecorder {
		return post(s.server.Public(), url.Values{"client_id": {"app"}, "token": {token}}, nil, to(path))
	}
	of := func(id string) bool {
		g, err := s.config.Granted.ByID(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return g.Revoked
	}
	form := testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), "grant_type", "", "token", mine)
	if w := post(s.server.Public(), form, nil, to("/introspect")); w.Code != 200 || !strings.Contains(w.Body.String(), `"active":true`) {
		t.Errorf("IN-6 %d %s", w.Code, w.Body)
	}
	if line := s.last(t); line["grant_id"] != "g1" {
		t.Errorf("the record has no grant: %v", line)
	}
	if w := s.introspected(t, mine); w.Body.String() != introspection.Inactive+"\n" {
		t.Errorf("IN-6 the API asks: %s", w.Body)
	}
	if w := app("/introspect", apps); w.Code != 401 {
		t.Errorf("IN-1 a public client: %d %s", w.Code, w.Body)
	}
	if w := app("/revoke", mine); w.Code != 400 || of("g1") {
		t.Errorf("RV-1 a foreign grant: %d, revoked %t", w.Code, of("g1"))
	}
	if w := s.revoked(t, apps); w.Code != 400 || of("g2") {
		t.Errorf("RV-1 a foreign grant: %d, revoked %t", w.Code, of("g2"))
	}
	if w := app("/revoke", apps); w.Code != 200 || !of("g2") || of("g1") {
		t.Errorf("RV-3 %d %s, revoked %t", w.Code, w.Body, of("g2"))
	}
	if line := s.last(t); line["event"] != "revoke" || line["outcome"] != "granted" || line["grant_id"] != "g2" || line["client_id"] != "app" {
		t.Errorf("the record says %v", line)
	}
	for range 2 { // the second time it is dead
		if w := s.revoked(t, mine, "token_type_hint", "access_token"); w.Code != 200 || !of("g1") {
			t.Errorf("RV-3 %d, revoked %t", w.Code, of("g1"))
		}
	}
	if strings.Contains(s.log.String(), "svidgate_rt_") {
		t.Error("AU-2 the log has a refresh token")
	}
}

// AU-2: a refresh token in the wrong parameter gets neither into the record nor into
// the log, though the rest of what a stranger sent does.
func TestMisplacedRefreshToken(t *testing.T) {
	s := newSite(t)
	token := s.granted(t, "g1", authorization.Presenter{ClientID: billing, SPIFFEID: billing})
	for _, name := range []string{"client_id", "scope", "resource", "grant_type", "client_assertion_type"} {
		post(s.server.Public(), testidentity.With(s.good(t), name, "x-"+token), nil)
		line, err := json.Marshal(s.last(t))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line), token) || strings.Contains(s.log.String(), token) {
			t.Errorf("AU-2 a refresh token as %s is told", name)
		}
		if !strings.Contains(string(line), "x-[redacted]") {
			t.Errorf("AU-2 nothing is told of %s: %s", name, line)
		}
	}
}

// RV-2: a token that ends while its revocation is under way is dead, which is no
// error; nothing is kept of it.
func TestRevokedAsItEnds(t *testing.T) {
	var late time.Duration
	s := newSite(t, func(c *Config) {
		now := c.Now
		c.Now = func() time.Time { return now().Add(late) }
	})
	token, other := s.issued(t), s.issued(t)
	late = 5*time.Minute - time.Second
	if w := s.revoked(t, other); w.Code != 200 || len(s.revocations.All()) != 1 {
		t.Errorf("RV-1 a second before: %d, %v", w.Code, s.revocations.All())
	}
	late = 5 * time.Minute
	if w := s.revoked(t, token); w.Code != 200 || w.Body.Len() != 0 || len(s.revocations.All()) != 1 {
		t.Errorf("RV-2 %d %s, %v", w.Code, w.Body, s.revocations.All())
	}
	wantLine(t, s.last(t), "revoke", "granted", "", billing)
}
