package introspection

import (
	"context"
	"errors"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// Revocations know what was revoked; see revocation.List.
type Revocations interface {
	Revoked(context.Context, revocation.Token) (revocation.Entry, bool, error)
}

// Grants know what people granted; see authorization.Grants.
type Grants interface {
	ByID(ctx context.Context, id string) (authorization.Grant, error)
	ByRefreshToken(ctx context.Context, token string) (g authorization.Grant, live bool, err error)
}

// Config is what an Introspector is made of. All of it is required.
type Config struct {
	Tokens      *Tokens
	Revocations Revocations
	Grants      Grants
	// Blocked reports whether a client, or a workload of it, may get nothing; the zero
	// ID is no workload.
	Blocked func(clientID string, id spiffeid.ID) bool
	// Introspects are the resources whose tokens each client may ask about, by
	// client_id. A client that is not in it may ask about no access token.
	Introspects map[string][]string
}

// An Introspector answers clients by one configuration. It is safe for concurrent
// use.
type Introspector struct{ config Config }

// New makes an Introspector.
func New(c Config) (*Introspector, error) {
	if c.Tokens == nil || c.Revocations == nil || c.Grants == nil || c.Blocked == nil {
		return nil, errors.New("introspection: the configuration is not complete")
	}
	return &Introspector{c}, nil
}

// An Answer is what a client is told of a token. Only an Introspector makes an
// active one; the zero value is not active.
type Answer struct {
	active []byte
	token  Token
	grant  string
}

// Active reports whether the token is active.
func (a Answer) Active() bool { return a.active != nil }

// Token is the access token that is active; none for a refresh token.
func (a Answer) Token() Token { return a.token }

// GrantID is the grant that the active token belongs to, if a person gave one.
func (a Answer) GrantID() string { return a.grant }

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
	s := &attempt{in: i, now: i.config.Tokens.now(), asks: id, token: token}
	if caller.Client().Template() == "" { // the right is one of the configuration's clients, whatever the name
		s.may = i.config.Introspects[id]
	}
	if len(s.may) > 0 { // the others share one memory: there may be very many of them
		s.share = id
	}
	if refusal := s.judge(ctx, introspecting, introspectingRefresh); refusal != nil {
		return Answer{}, refusal
	}
	if s.said == nil {
		return Answer{active: s.appendRefresh(nil), grant: s.refresh.ID}, nil
	}
	return Answer{s.said.answer, Token{s.said}, s.said.grant}, nil
}

// A Possession is what a client wants revoked and may have revoked: one access token,
// or the grant that its refresh token stands for. Only Own makes one.
type Possession struct {
	token Token
	grant string
}

// Token is the access token; it is not genuine where the client has shown a refresh
// token.
func (p Possession) Token() Token { return p.token }

// GrantID is the grant of the refresh token, and empty for an access token, which goes
// alone.
func (p Possession) GrantID() string { return p.grant }

// Own finds what a client wants revoked. Public clients have tokens too. The error is
// an *oauth.Error: oauth.UnauthorizedClient for a token of another client (RV-1),
// oauth.InvalidToken for what is no token of ours or has ended (RV-2).
func (i *Introspector) Own(ctx context.Context, caller clientauth.Caller, token string) (Possession, error) {
	if !caller.Authenticated() && !caller.Public() {
		return Possession{}, oauth.Refuse(oauth.InvalidClient, oauth.ReasonAssertionMissing, "RV-1", "a client", "nobody")
	}
	s := &attempt{in: i, now: i.config.Tokens.now(), asks: caller.Client().ID(), token: token, afresh: true}
	if refusal := s.judge(ctx, revoking, revokingRefresh); refusal != nil {
		if refusal.Reason == oauth.ReasonTokenNotYours {
			refusal.Code = oauth.UnauthorizedClient
		}
		return Possession{}, refusal
	}
	return Possession{Token{s.said}, s.refresh.ID}, nil
}

// judge walks the rules on an access token, or those on a refresh token if it is one.
func (s *attempt) judge(ctx context.Context, access, refresh []judge.Rule[*attempt]) *oauth.Error {
	rules := access
	switch itIs, err := s.isRefreshToken(ctx); {
	case err != nil:
		return store.Refuse(err)
	case itIs:
		rules = refresh
	}
	return judge.FirstRefusal(ctx, rules, s)
}
