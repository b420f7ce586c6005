package server

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

// tokenHandler is the token endpoint. It knows itself by url, which comes from
// the configuration.
func (s *Server) tokenHandler(url string) handler {
	endpoint := tokenrequest.Endpoint{Name: audit.EventToken, URL: url}
	return func(w *response, r *http.Request) {
		rec := s.newRecord(endpoint, r, w.requestID)
		defer s.traced(rec)
		defer s.recovered(w, r, rec)
		token, err := s.token(w, r, endpoint, rec)
		if err != nil {
			s.refuse(w, r, rec, oauth.AsError(err))
			return
		}
		writeToken(w, token)
	}
}

// recovered answers a request in which the server broke, and records that it did.
// The value of the panic is not repeated: nobody knows what is in it.
func (s *Server) recovered(w *response, r *http.Request, rec *record) {
	p := recover()
	if p == nil {
		return
	}
	s.metrics.panics.Inc()
	s.config.Log.ErrorContext(r.Context(), "panic", "request_id", rec.event.RequestID, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	s.refuse(w, r, rec, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "GL-15", "an answer", "a panic"))
}

// token is the whole way of a request, in order. Each stage takes what the one
// before made and adds the one fact it alone can establish; each refuses a value
// that was not made there. The token leaves only after its event is recorded.
func (s *Server) token(w *response, r *http.Request, endpoint tokenrequest.Endpoint, rec *record) (oauth.TokenResponse, error) {
	ctx := r.Context()
	none := oauth.TokenResponse{}

	rec.span.Stage(trace.Shape)
	if err := s.admitSource(rec.source); err != nil {
		return none, err
	}
	// 1. The request has a sound shape.
	request, err := tokenrequest.Parse(w, r, endpoint)
	rec.request(&request)
	if err != nil {
		return none, err
	}
	authorize, err := grant.For(request.GrantType())
	if err != nil {
		return none, err
	}
	// 2. The identity is proven, and 3. belongs to a registered client.
	rec.span.Stage(trace.Identity) // and trace.Client, as soon as it is proven
	caller, method, err := s.config.Authenticator.Authenticate(ctx, &request, rec.span)
	rec.method(method)
	if err != nil {
		return none, err
	}
	rec.caller(caller)
	if err := s.admitClient(caller.Client().ID()); err != nil {
		return none, err
	}
	// 4. The grant says what is asked for.
	rec.span.Stage(trace.Grant)
	authorization, err := authorize(caller, &request)
	if err != nil {
		return none, err
	}
	// 5. Policy decides.
	rec.span.Stage(trace.Decision)
	decision, err := s.config.Policy.Decide(authorization.Question())
	if err != nil {
		return none, err
	}
	// 6. The token is made.
	rec.span.Stage(trace.Token)
	token, err := s.mint.Mint(authorization, decision)
	if err != nil {
		return none, err
	}
	// 7. The event is recorded.
	rec.span.Stage(trace.Record)
	rec.minted(token, decision)
	if err := s.grantRecorded(ctx, rec); err != nil {
		return none, err
	}
	// 8. The answer.
	return token.Response(), nil
}

// grantRecorded writes the event of a granted request and counts it. Without a
// written event there is no token (GL-15, TK-9).
func (s *Server) grantRecorded(ctx context.Context, rec *record) error {
	rec.event.Outcome = audit.Granted
	if err := s.record(ctx, rec); err != nil {
		return err
	}
	s.metrics.granted(rec)
	if s.config.Log.Enabled(ctx, levelGranted) {
		s.config.Log.LogAttrs(ctx, levelGranted, "granted", rec.attrs()...)
	}
	return nil
}
