package grant

import (
	"context"
	"strings"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// An Authorization is what a caller asks for under a grant. Only this package
// makes one; the zero value asks for nothing.
type Authorization struct {
	caller    clientauth.Caller
	grantType oauth.GrantType
	subject   string
	resources []string
	scope     []string
	draft     authorization.Draft // of what a person granted; zero where none did
}

// Granted reports whether a grant made the authorization.
func (a Authorization) Granted() bool {
	return a.grantType != "" && (a.caller.Authenticated() || a.caller.Public() && a.Grant() != nil)
}

// Grant is what a person granted; nil where no person did. It is also told of an
// authorization that was refused, as far as the grant is the caller's.
func (a Authorization) Grant() *authorization.Grant { return a.draft.Grant() }

// Caller is the authenticated client.
func (a Authorization) Caller() clientauth.Caller { return a.caller }

// GrantType is the grant in use.
func (a Authorization) GrantType() oauth.GrantType { return a.grantType }

// Subject is the sub of the token.
func (a Authorization) Subject() string { return a.subject }

// Question is what policy is asked.
func (a Authorization) Question() policy.Question {
	_, _, certificate := a.caller.Certificate()
	_, key := a.caller.Identity().KeyThumbprint()
	return policy.Question{
		ClientID:    a.caller.Client().ID(),
		Template:    a.caller.Client().Template(),
		TrustDomain: a.caller.Identity().SPIFFEID().TrustDomain().Name(),
		Methods:     a.caller.Client().Methods(),
		GrantType:   a.grantType,
		Resources:   a.resources,
		Scope:       a.scope,
		Settled:     a.Grant() != nil,
		Certificate: certificate,
		Key:         key,
	}
}

// Settle uses up what the request was authorized by, such as a code, and gives
// the refresh token that goes with it, if one does. It is called once the access
// token is made, so that a request which policy refuses uses nothing up. Of two
// requests with the same code only one gets past it. The error is an *oauth.Error.
func (a Authorization) Settle(ctx context.Context) (oauth.RefreshToken, error) {
	if a.Grant() == nil {
		return "", nil
	}
	return a.draft.Settle(ctx)
}

// Undo takes back what Settle wrote, when its answer cannot leave, so that the same
// request can be made again. The error is the store's.
func (a Authorization) Undo(ctx context.Context) error { return a.draft.Undo(ctx) }

// A Grant authorizes a caller for what its request asks. The error is an
// *oauth.Error.
type Grant func(context.Context, clientauth.Caller, *tokenrequest.Request) (Authorization, error)

// Grants are the grants that a server offers.
type Grants struct {
	types  []oauth.GrantType // in the order of the metadata
	byType map[oauth.GrantType]Grant
}

// New makes the grants that need nothing but the request.
func New() *Grants {
	g := &Grants{byType: map[oauth.GrantType]Grant{}}
	g.offer(oauth.GrantClientCredentials, clientCredentials)
	return g
}

// OfferCodes adds the grants by which a client draws on what a person granted.
func (g *Grants) OfferCodes(granted *authorization.Grants) {
	g.offer(oauth.GrantAuthorizationCode, authorizationCode(granted))
	g.offer(oauth.GrantRefreshToken, refreshToken(granted))
}

// Parameters are those of token requests, besides those that every form endpoint
// reads.
var Parameters = []string{oauth.ParamCode, oauth.ParamRedirectURI, oauth.ParamCodeVerifier, oauth.ParamRefreshToken}

func (g *Grants) offer(t oauth.GrantType, grant Grant) {
	g.types, g.byType[t] = append(g.types, t), grant
}

// Types are the grant types that work, for the metadata. They must not be changed.
func (g *Grants) Types() []oauth.GrantType { return g.types }

// For returns the grant of a grant_type (TK-1). The error is an *oauth.Error.
func (g *Grants) For(t oauth.GrantType) (Grant, error) {
	if t == "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, "TK-1", oauth.ParamGrantType, "none")
	}
	if grant, ok := g.byType[t]; ok {
		return grant, nil
	}
	expected := make([]string, 0, len(g.types))
	for _, known := range g.types {
		expected = append(expected, string(known))
	}
	return nil, oauth.Refuse(oauth.UnsupportedGrantType, oauth.ReasonGrantUnsupported, "TK-1", strings.Join(expected, ", "), oauth.Shown(string(t)))
}
