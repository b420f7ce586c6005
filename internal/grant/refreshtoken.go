package grant

import (
	"context"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// refreshToken is RFC 6749 section 6: a client goes on with what a person granted.
func refreshToken(granted *authorization.Grants) Grant {
	return func(ctx context.Context, caller clientauth.Caller, req *tokenrequest.Request) (Authorization, error) {
		if err := known(caller, req); err != nil {
			return Authorization{}, err
		}
		scope, err := tokenrequest.ParseScope(req.Scope())
		if err != nil {
			return Authorization{}, err
		}
		if err := tokenrequest.CheckResources(req.Resources()); err != nil {
			return Authorization{}, err
		}
		draft, err := granted.Refresh(ctx, authorization.Refreshing{
			By: Presenter(caller), Token: req.Parameter(oauth.ParamRefreshToken), Scope: scope, Resources: req.Resources(),
		})
		return drawn(oauth.GrantRefreshToken, caller, draft, err)
	}
}
