package mint_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/mint"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const (
	billing = "spiffe://example.org/billing"
	api     = "https://api.example.com/"
)

// A press is a mint with all that stands before it.
type press struct {
	*testidentity.World
	mint   *mint.Mint
	signer keys.Signer
	table  policy.Config
}

func newPress(t testing.TB) *press {
	t.Helper()
	p := &press{World: testidentity.New(t), signer: signer(t, devca.P256, jose.ES256)}
	p.mint = &mint.Mint{Issuer: testidentity.Issuer, Signer: func() keys.Signer { return p.signer }, Now: p.Clock.Now}
	p.table = policy.Config{
		Resources: []policy.Resource{{Resource: api, Scopes: []string{"read", "write"}}},
		Clients:   []policy.Client{{ClientID: "billing", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api}, Scope: []string{"read", "write"}}},
		Lifetime:  10 * time.Minute,
	}
	return p
}

func signer(t testing.TB, key devca.KeyAlgorithm, alg jose.Algorithm) keys.Signer {
	t.Helper()
	private, err := devca.GenerateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keys.Signer{KeyID: "key-1", Algorithm: alg, Key: private}
}

func client(t testing.TB, methods ...oauth.AuthMethod) registration.Metadata {
	t.Helper()
	pattern, err := svidgate.ParsePattern(billing)
	if err != nil {
		t.Fatal(err)
	}
	return registration.Metadata{ClientID: "billing", SPIFFEID: pattern, AuthMethods: methods}
}

func byJWT(t testing.TB, w *testidentity.World, chain []*x509.Certificate, pairs ...string) *tokenrequest.Request {
	t.Helper()
	return testidentity.Request(t, testidentity.With(testidentity.Assertion("billing", w.JWT(t, billing)), pairs...), chain)
}

func byX509(t testing.TB, chain []*x509.Certificate, pairs ...string) *tokenrequest.Request {
	t.Helper()
	return testidentity.Request(t, testidentity.With(testidentity.Certificate("billing"), pairs...), chain)
}

// authorize takes a request through every stage before the mint.
func (p *press) authorize(t testing.TB, req *tokenrequest.Request, methods ...oauth.AuthMethod) (grant.Authorization, policy.Decision) {
	t.Helper()
	g, err := grant.For(req.GrantType())
	if err != nil {
		t.Fatal(err)
	}
	a, err := g(p.Caller(t, client(t, methods...), req), req)
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.New(p.table).Decide(a.Question())
	if err != nil {
		t.Fatal(err)
	}
	return a, d
}

func (p *press) token(t testing.TB, req *tokenrequest.Request, methods ...oauth.AuthMethod) mint.Token {
	t.Helper()
	token, err := p.mint.Mint(p.authorize(t, req, methods...))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// read verifies a token with the signer's public key and gives its header and
// claims as a stranger reads them.
func (p *press) read(t testing.TB, token mint.Token) (header, claims map[string]any) {
	t.Helper()
	raw := string(token.Response().AccessToken)
	c, err := jose.ParseCompact(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(p.signer.Algorithm, p.signer.Key.Public()); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(raw, ".")
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// TestClaims is the whole of a token, member by member (AT-1 to AT-6, CC-3).
func TestClaims(t *testing.T) {
	now := float64(testidentity.Noon.Unix())
	bearer := map[string]any{
		"iss": testidentity.Issuer, "sub": billing, "aud": api, "client_id": "billing", "iat": now, "exp": now + 300, "scope": "read write",
	}
	for _, row := range []struct {
		name    string
		request func(*testing.T, *press) *tokenrequest.Request
		methods []oauth.AuthMethod
		table   func(*policy.Config)
		want    map[string]any // besides jti and cnf
		bound   bool
	}{
		{"AT-2 by a JWT-SVID", func(t *testing.T, p *press) *tokenrequest.Request { return byJWT(t, p.World, nil) }, jwt, nil, bearer, false},
		{"AT-5 by a JWT-SVID over mutual TLS", func(t *testing.T, p *press) *tokenrequest.Request {
			return byJWT(t, p.World, p.Chain(t, billing))
		}, jwt, nil, with(bearer, "exp", now+600), true},
		{"AT-5 by an X.509-SVID", func(t *testing.T, p *press) *tokenrequest.Request { return byX509(t, p.Chain(t, billing)) }, x509SVID, nil, with(bearer, "exp", now+600), true},
		{"AT-3 less scope", func(t *testing.T, p *press) *tokenrequest.Request { return byJWT(t, p.World, nil, "scope", "write") }, jwt, nil, with(bearer, "scope", "write"), false},
		{"AT-3 no scope", func(t *testing.T, p *press) *tokenrequest.Request { return byJWT(t, p.World, nil) }, jwt, func(c *policy.Config) { c.Clients[0].Scope = nil }, with(bearer, "scope", nil), false},
		{"AT-6 a shorter life", func(t *testing.T, p *press) *tokenrequest.Request { return byJWT(t, p.World, nil) }, jwt, func(c *policy.Config) { c.Lifetime = time.Second }, with(bearer, "exp", now+1), false},
		{"CC-5 binding none", func(t *testing.T, p *press) *tokenrequest.Request { return byX509(t, p.Chain(t, billing)) }, x509SVID, func(c *policy.Config) { c.Binding = policy.BindNone }, bearer, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPress(t)
			if row.table != nil {
				row.table(&p.table)
			}
			req := row.request(t, p)
			token := p.token(t, req, row.methods...)
			header, claims := p.read(t, token)
			if want := map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": "key-1"}; !reflect.DeepEqual(header, want) {
				t.Errorf("AT-1 the header is %v, want %v", header, want)
			}
			want := maps.Clone(row.want)
			want["jti"] = token.ID()
			if row.bound {
				want["cnf"] = map[string]any{"x5t#S256": thumbprint(req.Certificates()[0])}
			}
			if !reflect.DeepEqual(claims, want) {
				t.Errorf("AT-2 the claims are %v, want %v", claims, want)
			}
			binding := oauth.BindingBearer
			if row.bound {
				binding = oauth.BindingCertificate
			}
			scope, _ := want["scope"].(string)
			if !token.Minted() || token.KeyID() != "key-1" || token.Resource() != api || token.Scope() != scope || token.Binding() != binding || float64(token.ExpiresAt().Unix()) != want["exp"] {
				t.Errorf("the token says of itself %+v", token)
			}
		})
	}
}

var (
	jwt      = []oauth.AuthMethod{oauth.MethodJWT}
	x509SVID = []oauth.AuthMethod{oauth.MethodX509}
)

// with is a map with another value; nil takes the member away.
func with(m map[string]any, name string, value any) map[string]any {
	m = maps.Clone(m)
	if m[name] = value; value == nil {
		delete(m, name)
	}
	return m
}

// thumbprint is x5t#S256 worked out another way than the code does: the padded
// alphabet with its two characters exchanged and its padding cut off.
func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(base64.StdEncoding.EncodeToString(sum[:])), "=")
}

// RS-3: by whichever credential a workload comes, its token says the same of it.
func TestSameWorkloadSameToken(t *testing.T) {
	p := newPress(t)
	both := []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}
	chain := p.Chain(t, billing)
	var all []map[string]any
	for _, req := range []*tokenrequest.Request{byJWT(t, p.World, chain), byX509(t, chain), byX509(t, p.Chain(t, billing))} {
		header, claims := p.read(t, p.token(t, req, both...))
		for _, own := range []string{"jti", "iat", "exp", "cnf"} {
			if claims[own] == nil {
				t.Errorf("%s is missing", own)
			}
			delete(claims, own)
		}
		all = append(all, map[string]any{"header": header, "claims": claims})
		p.Clock.Advance(time.Second)
	}
	if !reflect.DeepEqual(all[0], all[1]) || !reflect.DeepEqual(all[1], all[2]) {
		t.Errorf("RS-3 the tokens differ: %v", all)
	}
}

// AT-6, MT-4: a bound token never outlives its certificate.
func TestNoTokenOutlivesItsCertificate(t *testing.T) {
	for _, row := range []struct {
		name     string
		notAfter time.Duration // from now
		want     time.Duration // 0: refused
	}{
		{"MT-4 long after the token", time.Hour, 10 * time.Minute},
		{"MT-4 a second after the token", 10*time.Minute + time.Second, 10 * time.Minute},
		{"MT-4 with the token", 10 * time.Minute, 10 * time.Minute},
		{"MT-4 a second before the token", 10*time.Minute - time.Second, 10*time.Minute - time.Second},
		{"MT-4 in a second", time.Second, time.Second},
		{"AT-6 now", 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPress(t)
			chain := p.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(row.notAfter) })
			a, d := p.authorize(t, byX509(t, chain), oauth.MethodX509)
			token, err := p.mint.Mint(a, d)
			if row.want == 0 {
				refusedWith(t, token, err, oauth.InvalidClient, oauth.ReasonExpired, "AT-6")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, claims := p.read(t, token)
			if got := token.ExpiresAt().Sub(testidentity.Noon); got != row.want || claims["exp"] != float64(token.ExpiresAt().Unix()) || token.Response().ExpiresIn != int64(row.want/time.Second) {
				t.Errorf("it lives %s (exp %v, expires_in %d), want %s", got, claims["exp"], token.Response().ExpiresIn, row.want)
			}
			if token.ExpiresAt().After(chain[0].NotAfter) {
				t.Error("MT-4 it outlives its certificate")
			}
		})
	}
}

// A certificate that nobody binds to shortens nothing.
func TestUnboundTokenHasItsOwnLife(t *testing.T) {
	p := newPress(t)
	p.table.Binding = policy.BindNone
	chain := p.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(time.Minute) })
	if token := p.token(t, byX509(t, chain), oauth.MethodX509); token.ExpiresAt() != testidentity.Noon.Add(policy.BearerLifetime) {
		t.Errorf("it lives until %s", token.ExpiresAt())
	}
}

// Times in a token are whole seconds, and never reach past what was decided.
func TestWholeSeconds(t *testing.T) {
	p := newPress(t)
	p.Clock.Advance(900 * time.Millisecond)
	_, claims := p.read(t, p.token(t, byJWT(t, p.World, nil), oauth.MethodJWT))
	if now := float64(testidentity.Noon.Unix()); claims["iat"] != now || claims["exp"] != now+300 {
		t.Errorf("iat %v, exp %v", claims["iat"], claims["exp"])
	}
}

func refusedWith(t *testing.T, token mint.Token, err error, code oauth.ErrorCode, reason oauth.Reason, rule string) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Code != code || refusal.Reason != reason || refusal.Rule != rule {
		t.Errorf("got %v, want %s by %s", err, reason, rule)
	}
	if token.Minted() || token.Response().AccessToken != "" || token.ID() != "" {
		t.Errorf("GL-15 there is a token beside the refusal: %+v", token)
	}
}

// The mint refuses what the stages before it did not make (STYLE's one line of
// stages; CC-4: no aud, no token).
func TestZeroValuesAreRefused(t *testing.T) {
	p := newPress(t)
	a, d := p.authorize(t, byJWT(t, p.World, nil), oauth.MethodJWT)
	p.table.Resources = append(p.table.Resources, policy.Resource{})
	p.table.Clients[0].Resources = []string{""}
	_, nowhere := p.authorize(t, byJWT(t, p.World, nil), oauth.MethodJWT)
	p.table.Clients[0].Resources, p.table.Binding = []string{api}, policy.BindRequired
	_, bound := p.authorize(t, byJWT(t, p.World, p.Chain(t, billing)), oauth.MethodJWT)
	for _, row := range []struct {
		name string
		a    grant.Authorization
		d    policy.Decision
		rule string
	}{
		{"no authorization", grant.Authorization{}, d, "CC-4"},
		{"no decision", a, policy.Decision{}, "CC-4"},
		{"neither", grant.Authorization{}, policy.Decision{}, "CC-4"},
		{"CC-4 a decision without a resource", a, nowhere, "CC-4"},
		{"CC-5 to be bound, and nothing to bind to", a, bound, "CC-5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			token, err := p.mint.Mint(row.a, row.d)
			refusedWith(t, token, err, oauth.ServerError, oauth.ReasonInternal, row.rule)
		})
	}
	if token, err := p.mint.Mint(a, d); err != nil || !token.Minted() {
		t.Errorf("refused: %v", err)
	}
	if (mint.Token{}).Minted() {
		t.Error("the zero Token is minted")
	}
}

// A key that cannot sign gives no token, and the error says nothing of the token.
func TestSignerFails(t *testing.T) {
	p := newPress(t)
	a, d := p.authorize(t, byJWT(t, p.World, nil), oauth.MethodJWT)
	p.signer = signer(t, devca.P256, jose.RS256) // a key that does not go with its algorithm
	token, err := p.mint.Mint(a, d)
	refusedWith(t, token, err, oauth.ServerError, oauth.ReasonInternal, "")
	if strings.Contains(err.Error(), "eyJ") {
		t.Errorf("AU-2 the error shows a piece of the token: %v", err)
	}
}

func TestEveryAlgorithm(t *testing.T) {
	for alg, key := range map[jose.Algorithm]devca.KeyAlgorithm{
		jose.ES256: devca.P256, jose.EdDSA: devca.Ed25519, jose.PS256: devca.RSA2048, jose.RS256: devca.RSA2048,
	} {
		if !slices.Contains(keys.Algorithms, alg) {
			t.Errorf("KR-4 %s is not one of %v", alg, keys.Algorithms)
		}
		p := newPress(t)
		p.signer = signer(t, key, alg)
		if header, _ := p.read(t, p.token(t, byJWT(t, p.World, nil), oauth.MethodJWT)); header["alg"] != string(alg) {
			t.Errorf("AT-1 alg is %v, want %s", header["alg"], alg)
		}
	}
}

// GL-13: a jti is one of more than 2^128 and never comes twice.
func TestTokenID(t *testing.T) {
	p := newPress(t)
	a, d := p.authorize(t, byJWT(t, p.World, nil), oauth.MethodJWT)
	seen := map[string]bool{}
	for range 1000 {
		token, err := p.mint.Mint(a, d)
		if err != nil {
			t.Fatal(err)
		}
		seen[token.ID()] = true
		const alphabet = 32
		if bits := new(big.Int).Exp(big.NewInt(alphabet), big.NewInt(int64(len(token.ID()))), nil).BitLen(); bits <= 128 {
			t.Fatalf("GL-13 the jti %q has room for %d bits", token.ID(), bits)
		}
	}
	if len(seen) != 1000 {
		t.Errorf("GL-13 %d different jti in 1,000 tokens", len(seen))
	}
}

// TK-6 and TK-8: the members of the answer, all of them.
func TestResponse(t *testing.T) {
	p := newPress(t)
	for name, req := range map[string]*tokenrequest.Request{"bearer": byJWT(t, p.World, nil), "bound": byJWT(t, p.World, p.Chain(t, billing))} {
		token := p.token(t, req, oauth.MethodJWT)
		raw, err := json.Marshal(token.Response())
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"access_token": string(token.Response().AccessToken), "token_type": "Bearer", "scope": "read write",
			"expires_in": token.ExpiresAt().Sub(testidentity.Noon).Seconds(),
		}
		if !reflect.DeepEqual(answer, want) {
			t.Errorf("TK-6 %s: %v", name, answer)
		}
		if n := len(token.Response().AccessToken); n > 4<<10 {
			t.Errorf("AT-9 %d bytes", n)
		}
	}
}
