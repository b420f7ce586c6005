package mint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/mint"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

func refusedWith(t *testing.T, token mint.Token, err error, code oauth.ErrorCode, reason oauth.Reason, rule string) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Code != code || refusal.Reason != reason || refusal.Rule != rule {
		t.Errorf("got %v, want %s by %s", err, reason, rule)
	}
	if token.Response().AccessToken != "" || token.ID() != "" {
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
	if token, err := p.mint.Mint(a, d); err != nil || token.ID() == "" {
		t.Errorf("refused: %v", err)
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
