package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// revoke ends a token of the client that asks; a refresh token goes with its grant, and
// so with the access tokens of that (RV-3). One that is none of ours, or dead, is
// no error: the client has what it wants (RV-2). In the name of a public client that
// counts as a failure, because nothing else would bound it (GL-16). A token of another
// client stays as it is, and the client is told (RV-1).
func (s *Server) revoke(ctx context.Context, c *call) (answer, error) {
	own, err := s.config.Introspector.Own(ctx, c.caller, c.request.Parameter(oauth.ParamToken))
	if err != nil {
		e := oauth.AsError(err)
		if e.Code != oauth.InvalidToken {
			return nil, e
		}
		s.failed(c.record, e)
		return writeEmpty, nil
	}
	token, now := own.Token(), s.config.Now()
	if id := own.GrantID(); id != "" {
		err = s.config.Granted.Revoke(ctx, id)
	} else if now.Before(token.ExpiresAt()) { // else it has ended since it was judged
		err = s.config.Revocations.Revoke(ctx, revocation.Entry{
			Kind: revocation.TokenID, Value: token.ID(), Before: now, Expires: token.ExpiresAt(), By: "client " + c.caller.Client().ID(),
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
