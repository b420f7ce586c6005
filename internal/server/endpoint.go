package server

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/internal/trace"
	"github.com/svidgate/svidgate/oauth"
)

// A formEndpoint is what is peculiar to one endpoint that takes a form. All that
// they share is in answer, so that none can forget it (CA-11).
type formEndpoint struct {
	event string // its name in the audit record
	path  string // below the issuer
	// public says that public clients are let in; what they may do there the
	// operation decides. Elsewhere nobody comes without a proof.
	public bool
	// parameters are those that it reads besides the ones that all have.
	parameters []string
	// begin judges what can be judged of a sound request before its client is
	// known, and says what is then to be done for it.
	begin func(*tokenrequest.Request) (operation, error)
}

// An operation does what was asked for by a client that is authenticated. Its
// answer leaves only after the event is recorded, so it must have noted in
// c.record what it decided. The error is an *oauth.Error, or a fault of ours.
type operation func(ctx context.Context, c *call) (answer, error)

// A call is a request that came as far as its operation.
type call struct {
	request *tokenrequest.Request
	caller  clientauth.Caller
	record  *record
	undo    func(context.Context) error // what the operation wrote, should its answer not leave; nil for nothing
}

// An answer writes the response of an operation.
type answer func(w *response)

// formEndpoints are all that there are.
func (s *Server) formEndpoints() []formEndpoint {
	all := []formEndpoint{
		{event: audit.EventToken, path: oauth.PathToken, public: true, parameters: grant.Parameters, begin: s.beginToken},
		{event: audit.EventIntrospect, path: oauth.PathIntrospect, parameters: tokenParameters, begin: withToken("IN-1", s.introspect)},
		{event: audit.EventRevoke, path: oauth.PathRevoke, public: true, parameters: tokenParameters, begin: withToken("RV-1", s.revoke)},
	}
	if s.config.Requests != nil {
		all = append(all, formEndpoint{event: audit.EventPAR, path: oauth.PathPAR, public: true, parameters: authorization.Parameters, begin: s.beginPush})
	}
	return all
}

// formHandler is an endpoint on one listener. It knows itself by url, which comes
// from the configuration.
func (s *Server) formHandler(e formEndpoint, url string) handler {
	at := tokenrequest.Endpoint{Name: e.event, URL: url, Parameters: e.parameters}
	return func(w *response, r *http.Request) {
		rec := s.newRecord(at, r, w.requestID)
		defer s.traced(rec)
		defer s.recovered(w, r, rec)
		write, err := s.answer(w, r, e, at, rec)
		if err != nil {
			s.refuse(w, r, rec, oauth.AsError(err))
			return
		}
		write(w)
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

// answer is the whole way of a request, in order. Each stage takes what the one
// before made and adds the one fact it alone can establish; each refuses a value
// that was not made there. The answer leaves only after its event is recorded.
func (s *Server) answer(w *response, r *http.Request, e formEndpoint, at tokenrequest.Endpoint, rec *record) (answer, error) {
	ctx := r.Context()
	rec.span.Stage(trace.Shape)
	if err := s.admitSource(rec.source); err != nil {
		return nil, err
	}
	// 1. The request has a sound shape.
	request, err := tokenrequest.Parse(w, r, at)
	rec.request(&request)
	if err != nil {
		return nil, err
	}
	operate, err := e.begin(&request)
	if err != nil {
		return nil, err
	}
	// 2. The identity is proven, and 3. belongs to a registered client.
	rec.span.Stage(trace.Identity) // and trace.Client, as soon as it is proven
	caller, method, err := s.config.Authenticator.Authenticate(ctx, &request, rec.span)
	rec.method(method)
	rec.usedUp(caller)
	if recordErr := s.firstUse(ctx, rec, caller, err); recordErr != nil {
		return nil, recordErr
	}
	if err != nil {
		return nil, err
	}
	rec.caller(caller)
	if err := s.admit(e, caller); err != nil {
		return nil, err
	}
	// 4. What the endpoint is for.
	rec.span.Stage(trace.Grant)
	c, leaves := &call{request: &request, caller: caller, record: rec}, false
	defer func() {
		if !leaves {
			s.takenBack(ctx, c)
		}
	}()
	write, err := operate(ctx, c)
	if err != nil {
		return nil, err
	}
	// 5. The event is recorded.
	rec.span.Stage(trace.Record)
	if no := rec.inactive; no != nil {
		if told := s.refusalRecorded(ctx, rec, no); told != no {
			return func(w *response) { writeRefusal(w, rec, told) }, nil
		}
	} else if err := s.grantRecorded(ctx, rec); err != nil {
		return nil, err
	}
	// 6. The answer.
	leaves = true
	return write, nil
}

// takenBack undoes what an operation wrote whose answer does not leave, for whatever
// reason, so that the client, which has nothing of it, can ask again and is not taken
// for a thief.
func (s *Server) takenBack(ctx context.Context, c *call) {
	if c.undo == nil {
		return
	}
	if err := c.undo(context.WithoutCancel(ctx)); err != nil {
		s.config.Log.ErrorContext(ctx, "what a request used up stays used up, though it got no answer", "request_id", c.record.event.RequestID, "error", err.Error())
	}
}

// admit lets a client in whose identity is proven, as often as it may come. Of one
// that is public anybody can take the name, so there its source is all that counts.
func (s *Server) admit(e formEndpoint, caller clientauth.Caller) error {
	switch {
	case caller.Authenticated():
		return s.admitClient(caller.Client().ID())
	case e.public && caller.Public():
		return nil
	}
	return oauth.Refuse(oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "TK-2", "an authenticated client", "a public client")
}

// grantRecorded writes the event of a granted request and counts it. Without a
// written event there is no answer (GL-15, TK-9).
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
