package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

func (s *Server) revocation() formEndpoint {
	return formEndpoint{event: audit.EventRevoke, path: oauth.PathRevoke, public: true, parameters: tokenParameters, begin: s.beginRevoke}
}

func (s *Server) beginRevoke(request *tokenrequest.Request) (operation, error) {
	if request.Parameter(oauth.ParamToken) == "" {
		return nil, noToken("RV-1")
	}
	return s.revoke, nil
}

// revoke ends a token of the client that asks; a refresh token goes with its grant, and
// so with the access tokens of that (RV-3). One that is none of ours, or dead, is
// no error: the client has what it wants (RV-2). That of another client stays as it
// is, and the client is told (RV-1).
func (s *Server) revoke(ctx context.Context, c *call) (answer, error) {
	own, err := s.config.Introspector.Own(ctx, c.caller, c.request.Parameter(oauth.ParamToken))
	if err != nil {
		if e := oauth.AsError(err); e.Code != oauth.InvalidToken {
			return nil, e
		}
		return writeEmpty, nil
	}
	token := own.Token()
	if id := own.GrantID(); id != "" {
		err = s.config.Granted.Revoke(ctx, id)
	} else {
		err = s.config.Revocations.Revoke(ctx, revocation.Entry{
			Kind: revocation.TokenID, Value: token.ID(), Before: s.config.Now(), Expires: token.ExpiresAt(),
			By: "client " + c.caller.Client().ID(),
		})
	}
	if err != nil {
		return nil, notRevoked(err)
	}
	c.record.about(token)
	c.record.event.GrantID = cmp.Or(own.GrantID(), token.GrantID())
	return writeEmpty, nil
}

// notRevoked is the refusal when an entry could not be kept (RV-2).
func notRevoked(err error) *oauth.Error {
	if errors.Is(err, revocation.ErrFull) {
		return oauth.Refuse(oauth.Unavailable, oauth.ReasonStoreUnavailable, "RV-2", "room for another revocation", "none").Because(err)
	}
	return store.Refuse(err)
}

// writeEmpty is the answer to a revocation that went well (RFC 7009 section 2.2).
func writeEmpty(w *response) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
}
