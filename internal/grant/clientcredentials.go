package grant

import (
	"context"

	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// clientCredentials is RFC 6749 section 4.4: a client asks in its own name. The
// subject is the concrete workload, never a pattern (CC-3, RS-3).
func clientCredentials(_ context.Context, caller clientauth.Caller, req *tokenrequest.Request) (Authorization, error) {
	if !caller.Authenticated() { // CC-1: there are no public clients here
		return Authorization{}, oauth.Refuse(oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "CC-1", "an authenticated client", "none")
	}
	if !req.Parsed() { // nobody asked for anything: a fault of ours
		return Authorization{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CC-1", "a parsed request", "none")
	}
	scope, err := tokenrequest.ParseScope(req.Scope())
	if err != nil {
		return Authorization{}, err
	}
	if err := tokenrequest.CheckResources(req.Resources()); err != nil {
		return Authorization{}, err
	}
	return Authorization{
		caller:    caller,
		grantType: oauth.GrantClientCredentials,
		subject:   caller.Identity().SPIFFEID().String(),
		resources: req.Resources(),
		scope:     scope,
	}, nil
}
