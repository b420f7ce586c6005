package server

import (
	"context"

	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/internal/trace"
)

// beginToken finds the grant that a token request asks for (TK-1).
func (s *Server) beginToken(request *tokenrequest.Request) (operation, error) {
	authorize, err := s.config.Grants.For(request.GrantType())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, c *call) (answer, error) { return s.token(ctx, c, authorize) }, nil
}

// token is the way of a token request once its client is known.
func (s *Server) token(ctx context.Context, c *call, authorize grant.Grant) (answer, error) {
	// The grant says what is asked for.
	authorization, err := authorize(ctx, c.caller, c.request)
	c.record.drawsOn(authorization.Grant())
	if err != nil {
		return nil, err
	}
	// Policy decides.
	c.record.span.Stage(trace.Decision)
	decision, err := s.config.Policy.Decide(authorization.Question())
	if err != nil {
		return nil, err
	}
	// The token is made.
	c.record.span.Stage(trace.Token)
	token, err := s.mint.Mint(authorization, decision)
	if err != nil {
		return nil, err
	}
	// What the request used up is used up, which one request at most can do.
	refresh, err := authorization.Settle(ctx)
	if err != nil {
		return nil, err
	}
	c.undo = authorization.Undo
	c.record.minted(token, decision)
	body := token.Response()
	body.RefreshToken = refresh
	return func(w *response) { writeToken(w, body) }, nil
}
