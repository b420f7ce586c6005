package introspection

import (
	"context"
	"errors"
	"slices"

	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/oauth"
)

// Revocations know what was revoked; see revocation.List.
type Revocations interface {
	Revoked(context.Context, revocation.Token) (revocation.Entry, bool, error)
}

// Config is what an Introspector is made of. All of it is required.
type Config struct {
	Tokens      *Tokens
	Revocations Revocations
	// Introspects are the resources whose tokens each client may ask about, by
	// client_id. A client that is not in it may ask about no access token.
	Introspects map[string][]string
}

// An Introspector answers clients by one configuration. It is safe for concurrent
// use.
type Introspector struct {
	tokens      *Tokens
	revocations Revocations
	introspects map[string][]string
}

// New makes an Introspector.
func New(c Config) (*Introspector, error) {
	if c.Tokens == nil || c.Revocations == nil {
		return nil, errors.New("introspection: the configuration is not complete")
	}
	return &Introspector{c.Tokens, c.Revocations, c.Introspects}, nil
}

// An Answer is what a client is told of a token. Only an Introspector makes an
// active one; the zero value is not active.
type Answer struct {
	active []byte
	token  Token
}

// Active reports whether the token is active.
func (a Answer) Active() bool { return a.active != nil }

// Token is the access token that is active.
func (a Answer) Token() Token { return a.token }

// Inactive is all that is said of a token that is not active, whatever the reason
// (IN-2).
const Inactive = `{"active":false}`

// Body is the answer as JSON.
func (a Answer) Body() []byte {
	if a.active == nil {
		return []byte(Inactive)
	}
	return slices.Clone(a.active)
}

var (
	introspecting = slices.Concat(genuine, asked)
	revoking      = slices.Concat(genuine, owned)
)

// Introspect says what a token is worth to the client that asks (IN-1 to IN-6). The
// error is an *oauth.Error: oauth.InvalidToken when the token is not active, which
// the client is told by [Inactive] alone, and anything else when that is not known.
func (i *Introspector) Introspect(ctx context.Context, caller clientauth.Caller, token string) (Answer, error) {
	if !caller.Authenticated() {
		return Answer{}, oauth.Refuse(oauth.InvalidClient, oauth.ReasonAssertionMissing, "IN-1", "an authenticated client", "nobody")
	}
	id := caller.Client().ID()
	s := &attempt{tokens: i.tokens, in: i, now: i.tokens.now(), asks: id, may: i.introspects[id], token: token}
	if len(s.may) > 0 { // the others share one memory: there may be very many of them
		s.share = id
	}
	if refusal := judge.FirstRefusal(ctx, introspecting, s); refusal != nil {
		return Answer{}, refusal
	}
	return Answer{s.said.answer, Token{s.said}}, nil
}

// Own finds the access token that a client wants revoked. The error is an
// *oauth.Error: oauth.UnauthorizedClient for a token of another client (RV-1),
// oauth.InvalidToken for what is no token of ours or has ended (RV-2).
func (i *Introspector) Own(ctx context.Context, caller clientauth.Caller, token string) (Token, error) {
	if !caller.Authenticated() {
		return Token{}, oauth.Refuse(oauth.InvalidClient, oauth.ReasonAssertionMissing, "RV-1", "an authenticated client", "nobody")
	}
	s := &attempt{tokens: i.tokens, in: i, now: i.tokens.now(), asks: caller.Client().ID(), token: token, afresh: true}
	if refusal := judge.FirstRefusal(ctx, revoking, s); refusal != nil {
		if refusal.Reason == oauth.ReasonTokenNotYours {
			refusal.Code = oauth.UnauthorizedClient
		}
		return Token{}, refusal
	}
	return Token{s.said}, nil
}
