package introspection_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

const (
	billing = "spiffe://example.org/billing"
	apiA    = "spiffe://example.org/api-a"
	apiB    = "spiffe://example.org/api-b"
	nobody  = "spiffe://example.org/nobody"
	api     = "https://api.example.com/"
	books   = "https://books.example.com/"
)

// A scene is an introspector, the keys of its server, and clients that ask.
type scene struct {
	*testidentity.World
	ring    *keys.Ring
	list    *revocation.List
	tokens  *introspection.Tokens
	in      *introspection.Introspector
	grants  *authorization.Grants
	records authorization.Records
	people  login.State
	blocked map[string]bool // clients and workloads
	callers map[string]clientauth.Caller
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{World: testidentity.New(t), callers: map[string]clientauth.Caller{}, blocked: map[string]bool{}}
	var err error
	if s.ring, err = keys.Open(keys.Config{File: filepath.Join(t.TempDir(), "keys.json"), Now: s.Clock.Now}); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if s.list, err = revocation.Open(t.Context(), revocation.Config{Store: db, Now: s.Clock.Now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	s.records, s.people = db.Authorizations(), db.People()
	if s.grants, err = authorization.NewGrants(authorization.GrantsConfig{
		Records: db.Authorizations(), Policy: people(), LongestToken: 5 * time.Minute, Now: s.Clock.Now,
		Revoked: func(ctx context.Context, clientID string, id spiffeid.ID, at time.Time) (bool, error) {
			_, dead, err := s.list.Revoked(ctx, revocation.Token{ClientID: clientID, SPIFFEIDs: []spiffeid.ID{id}, IssuedAt: at})
			return dead, err
		},
		Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: 24 * time.Hour},
	}); err != nil {
		t.Fatal(err)
	}
	s.tokens = introspection.NewTokens(testidentity.Issuer, s.ring, s.Clock.Now)
	s.use(t, s.list)
	for _, id := range []string{billing, apiA, apiB, nobody} {
		s.callers[id] = s.Caller(t, registration.Metadata{ClientID: id, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}},
			testidentity.Request(t, testidentity.Assertion(id, s.JWT(t, id)), nil))
	}
	return s
}

func (s *scene) use(t testing.TB, r introspection.Revocations) {
	t.Helper()
	var err error
	s.in, err = introspection.New(introspection.Config{
		Tokens: s.tokens, Revocations: r, Grants: s.grants, Blocked: func(client string, id spiffeid.ID) bool { return s.blocked[client] || s.blocked[id.String()] },
		Introspects: map[string][]string{apiA: {api}, apiB: {books}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// people is a policy by which billing redeems codes and refreshes.
func people() *policy.Table {
	return policy.New(policy.Config{
		Resources: []policy.Resource{{Resource: api, Scopes: []string{"read"}}},
		Clients: []policy.Client{{
			ClientID: billing, GrantTypes: []oauth.GrantType{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}, Resources: []string{api}, Scope: []string{"read"},
		}},
	})
}

// granted has a person grant something to billing, which redeems the code.
func (s *scene) granted(t testing.TB, id string) (refresh string) {
	t.Helper()
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge := sha256.Sum256([]byte(verifier))
	now := s.Clock.Now()
	err := s.records.Create(t.Context(), authorization.Grant{
		ID: id, ClientID: billing, Subject: authorization.Subject{User: "alice", AuthTime: now}, Scope: []string{"read"}, Resource: api,
		IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		Code: authorization.Code{
			Digest: sha256.Sum256([]byte("code of " + id)), RedirectURI: "https://app.example.com/cb",
			Challenge: base64.RawURLEncoding.EncodeToString(challenge[:]), ExpiresAt: now.Add(time.Minute),
		},
	}, storetest.SignedIn(t, s.people, "alice", now), authorization.Digest{}, now)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := s.grants.Redeem(t.Context(), authorization.Redeeming{
		By: s.presenter(), Code: "code of " + id, RedirectURI: "https://app.example.com/cb", Verifier: verifier,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.settled(t, draft)
}

func (s *scene) presenter() authorization.Presenter {
	return authorization.Presenter{ClientID: billing, SPIFFEID: billing}
}

func (s *scene) settled(t testing.TB, draft authorization.Draft) string {
	t.Helper()
	token, err := draft.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// refreshed uses a refresh token.
func (s *scene) refreshed(t testing.TB, token string) string {
	t.Helper()
	draft, err := s.grants.Refresh(t.Context(), authorization.Refreshing{By: s.presenter(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return s.settled(t, draft)
}

// A paper is a token before it is signed.
type paper struct {
	header, claims map[string]any
	signer         keys.Signer
	edit           func(token string) string
}

// token is one of billing for api, and with changes another one.
func (s *scene) token(t testing.TB, change ...func(*paper)) string {
	t.Helper()
	now := s.Clock.Now()
	p := &paper{signer: s.ring.Signer(), edit: func(token string) string { return token }}
	p.header = map[string]any{"typ": "at+jwt", "alg": p.signer.Algorithm, "kid": p.signer.KeyID}
	p.claims = map[string]any{
		"iss": testidentity.Issuer, "sub": billing, "aud": api, "client_id": billing, "jti": "j1", "scope": "read",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	for _, f := range change {
		f(p)
	}
	token, err := jose.Sign(p.signer.Algorithm, p.signer.Key, encoded(t, p.header), encoded(t, p.claims))
	if err != nil {
		t.Fatal(err)
	}
	return p.edit(token)
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func claim(name string, value any) func(*paper) {
	return func(p *paper) {
		if p.claims[name] = value; value == nil {
			delete(p.claims, name)
		}
	}
}

func head(name string, value any) func(*paper) {
	return func(p *paper) {
		if p.header[name] = value; value == nil {
			delete(p.header, name)
		}
	}
}

func edit(f func(string) string) func(*paper) { return func(p *paper) { p.edit = f } }

// ask is what a client is told of a token, and what the operator is.
func (s *scene) ask(t testing.TB, who, token string) (string, error) {
	t.Helper()
	a, err := s.in.Introspect(t.Context(), s.callers[who], token)
	if a.Active() != (err == nil) || a.Token().Genuine() != (err == nil) {
		t.Errorf("active %t beside %v", a.Active(), err)
	}
	return string(a.Body()), err
}

func (s *scene) active(t testing.TB, who, token string) map[string]any {
	t.Helper()
	body, err := s.ask(t, who, token)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, []byte(body))
}

func decoded(t testing.TB, body []byte) map[string]any {
	t.Helper()
	members := map[string]any{}
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return members
}

// inactive checks that the client is told nothing but that (IN-2).
func (s *scene) inactive(t testing.TB, who, token string, reason oauth.Reason, rule string) {
	t.Helper()
	body, err := s.ask(t, who, token)
	if body != `{"active":false}` {
		t.Errorf("IN-2 the answer is %s", body)
	}
	testidentity.Want{Code: oauth.InvalidToken, Reason: reason, Rule: rule}.Check(t, err)
	if parts := strings.Split(token, "."); err != nil && len(parts) == 3 && len(parts[2]) > 20 && strings.Contains(err.Error(), parts[2]) {
		t.Error("AU-2 the refusal has the token's signature")
	}
}

func (s *scene) revoke(t testing.TB, kind revocation.Kind, value string) {
	t.Helper()
	err := s.list.Revoke(t.Context(), revocation.Entry{Kind: kind, Value: value, Before: s.Clock.Now(), Expires: s.Clock.Now().Add(time.Hour), By: "test"})
	if err != nil {
		t.Fatal(err)
	}
}

// unknowing cannot say what is revoked.
type unknowing struct{}

func (unknowing) Revoked(context.Context, revocation.Token) (revocation.Entry, bool, error) {
	return revocation.Entry{}, false, revocation.ErrStale
}

// A counting list counts how often it is asked.
type counting struct {
	introspection.Revocations
	asked int
}

func (c *counting) Revoked(ctx context.Context, t revocation.Token) (revocation.Entry, bool, error) {
	c.asked++
	return c.Revocations.Revoked(ctx, t)
}
