package server

import (
	"context"
	"net/http"

	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/tokenrequest"
)

// pushedPerSource is how many requests of public clients one address may push in a
// second, since none of them fails and so none is counted otherwise (GL-16).
const pushedPerSource = 15

// beginPush takes any request: what it asks for is judged once its client is known.
func (s *Server) beginPush(*tokenrequest.Request) (operation, error) { return s.push, nil }

// push keeps an authorization request that a client pushes (RFC 9126, PA-1).
func (s *Server) push(ctx context.Context, c *call) (answer, error) {
	by := grant.Presenter(c.caller)
	if c.caller.Public() { // anybody can take its name, so it is counted where they are
		source := sourceKey(c.record.source)
		if wait, spent := s.pushes.Spent(source); spent {
			return nil, tooMany("pushed requests per source", c.record.source.String(), wait)
		}
		by.Source = source.String()
	}
	body, err := s.config.Requests.Push(ctx, by, c.request)
	if err != nil {
		return nil, err
	}
	if c.caller.Public() {
		s.pushes.Charge(sourceKey(c.record.source))
	}
	return func(w *response) { writeJSON(w, http.StatusCreated, body) }, nil
}
