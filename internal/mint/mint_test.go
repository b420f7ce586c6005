package mint_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const (
	billing = "spiffe://example.org/billing"
	api     = "https://api.example.com/"
)

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
			if token.ID() == "" || token.KeyID() != "key-1" || token.Resource() != api || token.Scope() != scope || token.Binding() != binding || float64(token.ExpiresAt().Unix()) != want["exp"] {
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
