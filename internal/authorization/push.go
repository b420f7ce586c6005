package authorization

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// PushedFor is how long a pushed request waits for its browser (PA-3).
	PushedFor = time.Minute
	// openedFor is how long it lives from then on. With PushedFor it stays within
	// ten minutes.
	openedFor = 9 * time.Minute
)

// A Presenter is who presents something at the token or PAR endpoint, as far as it
// is proven.
type Presenter struct {
	ClientID string
	SPIFFEID string // empty for a public client
	Key      string // thumbprint of the proven key that goes with a WIT-SVID
	Source   string // where the request of a public client came from, for PAR
}

// authenticated reports whether there is a proof of who it is.
func (p Presenter) authenticated() bool { return p.SPIFFEID != "" }

// Push judges an authorization request that a client pushes, by all that it would
// be judged by in a browser (PA-5), and keeps it. The error is an *oauth.Error.
func (a *Requests) Push(ctx context.Context, by Presenter, req *tokenrequest.Request) (oauth.PushedResponse, error) {
	if by.ClientID == "" || !req.Parsed() {
		return oauth.PushedResponse{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "PA-1", "a client and its request", "none")
	}
	if req.ClientID() == "" {
		return oauth.PushedResponse{}, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonClientIDMissing, "PA-1", "client_id in a pushed request", "none")
	}
	sent, refusal := pushedParameters(req)
	if refusal != nil {
		return oauth.PushedResponse{}, refusal
	}
	s := &asking{requests: a, sent: sent, pushing: true}
	if _, err := a.judge(ctx, s); err != nil {
		return oauth.PushedResponse{}, oauth.AsError(err)
	}
	if s.client.ID() != by.ClientID { // client_id was associated before
		return oauth.PushedResponse{}, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "PA-1", "a request of the client", "another's")
	}
	uri, now := oauth.RequestURIPrefix+secret(), a.config.Now()
	err := a.config.Records.Push(ctx, Pushed{
		URI: digestOf(uri), ClientID: by.ClientID, SPIFFEID: by.SPIFFEID, Source: by.Source, Key: by.Key, Parameters: s.sent.encode(), ExpiresAt: now.Add(PushedFor),
	}, now)
	switch {
	case errors.Is(err, ErrFull):
		return oauth.PushedResponse{}, tooManyOpen(by)
	case err != nil:
		return oauth.PushedResponse{}, store.Refuse(err)
	}
	return oauth.PushedResponse{RequestURI: uri, ExpiresIn: int64(PushedFor / time.Second)}, nil
}

// tooManyOpen is how a client is told that some of its pushed requests must end first.
func tooManyOpen(by Presenter) *oauth.Error {
	of := " of one workload"
	if !by.authenticated() {
		of = " from one source"
	}
	e := oauth.Refuse(oauth.TooMany, oauth.ReasonRateLimited, "PA-5",
		"at most "+strconv.Itoa(MaxPushed)+" pushed requests open, and "+strconv.Itoa(Pushed{SPIFFEID: by.SPIFFEID}.Room())+of, "another")
	e.RetryAfter = PushedFor
	return e
}

// readPushed finds what the client pushed. Of the query only client_id and
// request_uri count (RFC 9126 section 4).
func (a *Requests) readPushed(ctx context.Context, sent parameters) (Request, error) {
	const expected = "a request_uri given out to this client within 1m0s and not completed"
	uri, clientID := sent.get(oauth.ParamRequestURI), sent.get(oauth.ParamClientID)
	switch {
	case slices.Contains(sent.repeated, oauth.ParamClientID):
		return Request{}, &Fault{refusal: malformed("GL-4", "each parameter once", "client_id more than once")}
	case clientID == "":
		return Request{}, &Fault{refusal: oauth.Refuse(oauth.InvalidRequest, oauth.ReasonClientIDMissing, "PA-2", "client_id beside request_uri", "none")}
	case !strings.HasPrefix(uri, oauth.RequestURIPrefix): // JR-3: nothing is fetched
		return Request{}, &Fault{refusal: oauth.Refuse(oauth.RequestURINotSupported, oauth.ReasonRequestURIUnknown, "JR-3", expected, "a request_uri of another kind")}
	}
	now := a.config.Now()
	pushed, err := a.config.Records.Open(ctx, digestOf(uri), now, now.Add(openedFor))
	switch {
	case errors.Is(err, ErrNotFound):
		return Request{}, &Fault{refusal: oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestURIUnknown, "PA-2", expected, "another")}
	case err != nil:
		return Request{}, &Fault{refusal: store.Refuse(err)}
	case pushed.ClientID != clientID:
		return Request{}, &Fault{refusal: oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestURIUnknown, "PA-2", expected, "one of another client")}
	}
	sent, refusal := parseQuery(pushed.Parameters)
	if refusal != nil { // it was parsed before
		return Request{}, &Fault{refusal: oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "PA-2", "the request as it was pushed", "another")}
	}
	r, err := a.judge(ctx, &asking{requests: a, sent: sent, pushed: true, workload: pushed.SPIFFEID})
	if err != nil {
		return Request{}, err
	}
	r.pushed, r.requestURI = pushed, uri
	return r, nil
}
