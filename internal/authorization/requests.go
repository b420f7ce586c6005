package authorization

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// keptFor is how long a person may take from step to step of the sign-in.
	keptFor = 10 * time.Minute
	// CodeFor is how long a code can be redeemed (AZ-6).
	CodeFor = 30 * time.Second
	// lateFor is how long a code that nobody redeemed is remembered, so that one which
	// comes late is told from one that never was.
	lateFor = 10 * time.Minute
	// MaxName bounds what a provider calls a person, as OpenID Connect does, in bytes.
	MaxName = 255
	// MaxUser bounds the sub of a person, in bytes: the name of the provider, a colon
	// and that.
	MaxUser = 32 + 1 + MaxName
)

// Clients are the registered clients.
type Clients interface {
	// Named is the client with an identifier; the zero Client is none.
	Named(id string) registration.Client
}

// Config is what Requests are made of.
type Config struct {
	Issuer  string
	Clients Clients
	Policy  *policy.Table
	Records Records
	// RequirePushed refuses every authorization request that was not pushed (PA-6).
	RequirePushed bool
	// Blocked reports whether a client, or a workload of it, is blocked; the zero ID is
	// no workload, and nil is never.
	Blocked func(clientID string, id spiffeid.ID) bool
	Now     func() time.Time
}

// Requests judges authorization requests by one configuration. It is safe for
// concurrent use.
type Requests struct{ config Config }

// New makes Requests.
func New(c Config) (*Requests, error) {
	if c.Issuer == "" || c.Clients == nil || c.Policy == nil || c.Records == nil || c.Now == nil {
		return nil, errors.New("authorization: the configuration is not complete")
	}
	return &Requests{c}, nil
}

// RequiresPushed reports whether every authorization request must be pushed.
func (a *Requests) RequiresPushed() bool { return a.config.RequirePushed }

// Read judges the authorization request that a browser brings, by the query of its
// URL. The error is a *Fault.
func (a *Requests) Read(ctx context.Context, rawQuery string) (Request, error) {
	sent, refusal := parseQuery(rawQuery)
	if refusal != nil {
		return Request{}, &Fault{refusal: refusal}
	}
	if sent.get(oauth.ParamRequestURI) != "" {
		return a.readPushed(ctx, sent)
	}
	return a.judge(ctx, &asking{requests: a, sent: sent})
}

func (a *Requests) judge(ctx context.Context, s *asking) (Request, error) {
	if refusal := judge.FirstRefusal(ctx, requestRules, s); refusal != nil {
		f := &Fault{refusal: refusal}
		if s.Has(factRedirect) && !s.pushing {
			f.location = a.refusal(s.redirectURI, s.sent.get(oauth.ParamState), refusal.Code)
		}
		return Request{}, f
	}
	return Request{
		clientID: s.client.ID(), clientName: s.client.Name(), redirectURI: s.redirectURI, state: s.sent.get(oauth.ParamState),
		scope: s.scope, resource: s.resource, challenge: s.sent.get(oauth.ParamCodeChallenge), sent: s.sent,
	}, nil
}

// Keep is what the pages of the sign-in carry from step to step. It is what the
// browser brought and no secret: Reopen judges it as if it came anew, so nobody
// gains by changing it, and any node can go on with it.
func (a *Requests) Keep(r Request) string {
	if !r.Read() {
		return ""
	}
	sent := r.sent.encode()
	if r.Pushed() {
		p := parameters{values: map[string][]string{oauth.ParamClientID: {r.clientID}, oauth.ParamRequestURI: {r.requestURI}}}
		sent = p.encode()
	}
	return strconv.FormatInt(a.config.Now().Unix(), 10) + "." + sent
}

// Reopen judges a request that was kept, against the configuration in force now.
// The error is a *Fault.
func (a *Requests) Reopen(ctx context.Context, kept string) (Request, error) {
	at, sent, ok := strings.Cut(kept, ".")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return Request{}, &Fault{refusal: malformed("AZ-1", "a request that was kept", "something else")}
	}
	if age := a.config.Now().Sub(time.Unix(seconds, 0)); age > keptFor || age < -keptFor {
		return Request{}, &Fault{refusal: oauth.Refuse(oauth.InvalidRequest, oauth.ReasonExpired, "AZ-1", "a request kept for at most "+keptFor.String(), "an older one")}
	}
	return a.Read(ctx, sent)
}

// Refuse is where to send the browser when the request is refused after it was
// judged.
func (a *Requests) Refuse(r Request, code oauth.ErrorCode) (location string) {
	if !r.Read() {
		return ""
	}
	return a.refusal(r.redirectURI, r.state, code)
}

func (a *Requests) refusal(redirectURI, state string, code oauth.ErrorCode) string {
	return response(redirectURI, state, a.config.Issuer, oauth.ParamError, string(inRedirect(code)))
}

// Grant makes the grant that a person gives, with no more scope than the request
// asked for, and its code. It returns where to send the browser. A pushed request
// is completed by it, once (PA-4). The error is a *Fault; or ErrSignedOut or
// ErrNotAgreed, after which the person is to be asked and the request is still open.
func (a *Requests) Grant(ctx context.Context, r Request, by Subject, permission Permission, scope []string) (location string, err error) {
	if refusal := a.grantable(r, by, scope); refusal != nil {
		return "", &Fault{refusal: refusal}
	}
	code, now := secret(), a.config.Now()
	g := Grant{
		ID: rand.Text(), ClientID: r.clientID, SPIFFEID: r.pushed.SPIFFEID, Key: r.pushed.Key, Subject: by,
		Scope: slices.Clone(scope), Resource: r.resource, IssuedAt: now, ExpiresAt: now.Add(lateFor),
		Code: Code{Digest: digestOf(code), RedirectURI: r.redirectURI, Challenge: r.challenge, ExpiresAt: now.Add(CodeFor)},
	}
	err = a.config.Records.Create(ctx, g, permission, r.pushed.URI, now)
	switch {
	case errors.Is(err, ErrSignedOut), errors.Is(err, ErrNotAgreed):
		return "", err
	case err != nil:
		return "", a.notCompleted(r, err)
	}
	return response(r.redirectURI, r.state, a.config.Issuer, oauth.ParamCode, code), nil
}

// Deny is where to send the browser when the person grants nothing. A pushed request
// is completed by that, too (PA-4). The error is a *Fault.
func (a *Requests) Deny(ctx context.Context, r Request) (location string, err error) {
	if r.Pushed() {
		if err := a.config.Records.Complete(ctx, r.pushed.URI, a.config.Now()); err != nil {
			return "", a.notCompleted(r, err)
		}
	}
	return a.Refuse(r, oauth.AccessDenied), nil
}

// notCompleted is the fault for what the store refused.
func (a *Requests) notCompleted(r Request, err error) *Fault {
	if errors.Is(err, ErrCompleted) { // PA-4; the client had its answer
		return &Fault{refusal: oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestURIUnknown, "PA-4", "a pushed request that is not completed", "another")}
	}
	refusal := store.Refuse(err)
	return &Fault{refusal, a.Refuse(r, refusal.Code)}
}

// grantable refuses what no sign-in may ask for; each is a fault of ours.
func (a *Requests) grantable(r Request, by Subject, scope []string) *oauth.Error {
	refuse := func(rule, expected, presented string) *oauth.Error {
		return oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, rule, expected, presented)
	}
	if !r.Read() {
		return refuse("AZ-6", "a judged request", "none")
	}
	if by.User == "" || len(by.User) > MaxUser {
		return refuse("CC-3", "a person who signed in", "none")
	}
	if _, err := spiffeid.FromString(by.User); err == nil || strings.HasPrefix(strings.ToLower(by.User), "spiffe:") {
		return refuse("CC-3", "a subject that no workload has", "a SPIFFE ID")
	}
	for _, s := range scope {
		if !slices.Contains(r.scope, s) {
			return refuse("RT-2", "no more scope than was asked for", oauth.Shown(s))
		}
	}
	return nil
}

// secret is 256 random bits in base64url (GL-13).
func secret() string {
	var b [32]byte
	rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
