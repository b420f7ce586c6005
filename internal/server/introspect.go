package server

import (
	"context"
	"net/http"

	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// tokenParameters are those of RFC 7662 section 2.1 and RFC 7009 section 2.1. The
// hint is read and not used: what kind a token is shows in its form (IN-4, RV-2).
var tokenParameters = []string{oauth.ParamToken, oauth.ParamTokenTypeHint}

// withToken is how an operation on one token begins: with a token.
func withToken(rule string, operate operation) func(*tokenrequest.Request) (operation, error) {
	return func(request *tokenrequest.Request) (operation, error) {
		if request.Parameter(oauth.ParamToken) == "" {
			return nil, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, rule, oauth.ParamToken, "none")
		}
		return operate, nil
	}
}

// introspect answers whether a token is active. Why it is not is for the operator
// (IN-2): in the record such an answer is a refusal.
func (s *Server) introspect(ctx context.Context, c *call) (answer, error) {
	a, err := s.config.Introspector.Introspect(ctx, c.caller, c.request.Parameter(oauth.ParamToken))
	if err != nil {
		e := oauth.AsError(err)
		if e.Code != oauth.InvalidToken {
			return nil, e
		}
		c.record.inactive = e
	}
	c.record.about(a.Token())
	c.record.event.GrantID = a.GrantID()
	return func(w *response) { writeEncoded(w, http.StatusOK, a.Body()) }, nil
}

// about notes which token was asked about.
func (rec *record) about(t introspection.Token) {
	rec.event.JTI, rec.event.Subject = t.ID(), t.Subject()
}
