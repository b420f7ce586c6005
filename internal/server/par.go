package server

import (
	"context"
	"net/http"

	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/tokenrequest"
)

// beginPush takes any request: what it asks for is judged once its client is known.
func (s *Server) beginPush(*tokenrequest.Request) (operation, error) { return s.push, nil }

// push keeps an authorization request that a client pushes (RFC 9126, PA-1).
func (s *Server) push(ctx context.Context, c *call) (answer, error) {
	body, err := s.config.Requests.Push(ctx, grant.Presenter(c.caller), c.request)
	if err != nil {
		return nil, err
	}
	return func(w *response) { writeJSON(w, http.StatusCreated, body) }, nil
}
