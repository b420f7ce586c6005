package grant

import (
	"context"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// authorizationCode is RFC 6749 section 4.1.3: a client redeems the code that a
// person's browser brought it. The subject is the person; the workload is the actor.
func authorizationCode(granted *authorization.Grants) Grant {
	return func(ctx context.Context, caller clientauth.Caller, req *tokenrequest.Request) (Authorization, error) {
		if err := known(caller, req); err != nil {
			return Authorization{}, err
		}
		if err := tokenrequest.CheckResources(req.Resources()); err != nil {
			return Authorization{}, err
		}
		draft, err := granted.Redeem(ctx, authorization.Redeeming{
			By: Presenter(caller), Code: req.Parameter(oauth.ParamCode), RedirectURI: req.Parameter(oauth.ParamRedirectURI),
			Verifier: req.Parameter(oauth.ParamCodeVerifier), Resources: req.Resources(),
		})
		return drawn(oauth.GrantAuthorizationCode, caller, draft, err)
	}
}

// known refuses whoever Authenticate did not make: a public client is known by its
// identifier alone, and must have named itself.
func known(caller clientauth.Caller, req *tokenrequest.Request) error {
	switch {
	case !req.Parsed(): // nobody asked for anything: a fault of ours
		return oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a parsed request", "none")
	case !caller.Authenticated() && !caller.Public():
		return oauth.Refuse(oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "TK-2", "an authenticated or a public client", "none")
	}
	return nil
}

// Presenter is the caller as far as it is proven who it is: by the concrete workload,
// which a public client has not.
func Presenter(caller clientauth.Caller) authorization.Presenter {
	by := authorization.Presenter{ClientID: caller.Client().ID(), Key: caller.Key()}
	if caller.Authenticated() {
		by.SPIFFEID = caller.Identity().SPIFFEID().String()
	}
	return by
}

// drawn is the authorization of a draft. A refusal still names the grant.
func drawn(t oauth.GrantType, caller clientauth.Caller, draft authorization.Draft, err error) (Authorization, error) {
	if err != nil {
		return Authorization{draft: draft}, err
	}
	g := draft.Grant()
	return Authorization{caller: caller, grantType: t, subject: g.Subject.User, resources: []string{g.Resource}, scope: draft.Scope(), draft: draft}, nil
}
