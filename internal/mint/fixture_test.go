package mint_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
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
	g, err := grant.New().For(req.GrantType())
	if err != nil {
		t.Fatal(err)
	}
	a, err := g(t.Context(), p.Caller(t, client(t, methods...), req), req)
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
