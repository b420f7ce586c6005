package authorization_test

import (
	"crypto/sha256"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/oauth"
)

func TestPush(t *testing.T) {
	s := newSite(t)
	for _, row := range []struct {
		name string
		by   authorization.Presenter
		form url.Values
		want want
	}{
		{"PA-2 a sound one", appCaller, values(), accepted},
		{"PA-2 of a public client", phoneCaller, values("client_id", "phone", "redirect_uri", "http://127.0.0.1:1/cb"), accepted},
		{"PA-6 of a client that must", authorization.Presenter{ClientID: "pushes"}, values("client_id", "pushes"), accepted},
		{"PA-1 no client_id", appCaller, values("client_id", ""), invalid(oauth.ReasonClientIDMissing, "PA-1")},
		{"PA-1 request_uri", appCaller, values("request_uri", oauth.RequestURIPrefix+"x"), invalid(oauth.ReasonRequestMalformed, "PA-1")},
		{"JR-2 request", appCaller, values("request", "e30.e30."), want{Code: oauth.RequestNotSupported, Reason: oauth.ReasonRequestMalformed, Rule: "JR-2"}},
		{"RD-5 no redirect_uri, though there is only one", appCaller, values("redirect_uri", ""), invalid(oauth.ReasonRedirectURIMismatch, "RD-1")},
		{"PA-5 a redirect_uri that is not registered", appCaller, values("redirect_uri", callback+"/"), invalid(oauth.ReasonRedirectURIMismatch, "RD-1")},
		{"PA-5 no PKCE", appCaller, values("code_challenge", "", "code_challenge_method", ""), invalid(oauth.ReasonCodeChallengeBad, "AZ-3")},
		{"PA-5 the method plain", appCaller, values("code_challenge_method", "plain"), invalid(oauth.ReasonCodeChallengeBad, "AZ-3")},
		{"PA-5 excess scope", appCaller, values("scope", "admin"), want{Code: oauth.InvalidScope, Reason: oauth.ReasonScopeDenied, Rule: "CC-4"}},
		{"PA-5 another response type", appCaller, values("response_type", "token"), want{Code: oauth.UnsupportedResponseType, Reason: oauth.ReasonResponseTypeUnsupported, Rule: "AZ-2"}},
		{"PA-5 an unknown resource", appCaller, values("resource", "https://other.example.com/"), want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceUnknown, Rule: "CC-4"}},
		{"PA-5 a scope of the longest", appCaller, values("scope", strings.TrimSpace(strings.Repeat("read ", 3000))), accepted},
		{"PA-5 longer than a browser may bring", appCaller, values("scope", strings.TrimSpace(strings.Repeat("read ", 4000))), invalid(oauth.ReasonRequestMalformed, "GL-8")},
		{"PA-1 nobody", authorization.Presenter{}, values(), want{Code: oauth.ServerError, Reason: oauth.ReasonInternal, Rule: "PA-1"}},
		{"PA-1 another than the client that authenticated", appCaller, values("client_id", "several", "redirect_uri", "https://app.example.com/a"), want{Code: oauth.ServerError, Reason: oauth.ReasonInternal, Rule: "PA-1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := s.Requests.Push(t.Context(), row.by, push(t, row.form))
			row.want.Check(t, err)
			if _, ok := err.(*oauth.Error); err != nil && !ok {
				t.Errorf("PA-5 %T is told to a client", err)
			}
			if (err == nil) != (got.RequestURI != "") {
				t.Errorf("%v beside %v", got, err)
			}
			if err != nil {
				return
			}
			if secret := strings.TrimPrefix(got.RequestURI, oauth.RequestURIPrefix); len(secret) != 43 || got.ExpiresIn != 60 {
				t.Errorf("PA-2 PA-3 %d characters for %d s", len(secret), got.ExpiresIn)
			}
			r, err := s.Requests.Read(t.Context(), url.Values{"client_id": {row.by.ClientID}, "request_uri": {got.RequestURI}, "scope": {"admin"}, "redirect_uri": {"https://evil.test/"}}.Encode())
			accepted.Check(t, err) // what stands beside request_uri does not count
			if !r.Pushed() || r.RedirectURI() != row.form.Get("redirect_uri") || !slices.Equal(r.Scope(), []string{"read"}) || r.State() != "xyz" || r.SPIFFEID() != row.by.SPIFFEID {
				t.Errorf("PA-2 read as %q, %v", r.RedirectURI(), r.Scope())
			}
		})
	}
}

// pushed is the query that a browser brings for a request that was pushed.
func (s *site) pushed(t testing.TB) string {
	t.Helper()
	got, err := s.Requests.Push(t.Context(), appCaller, push(t, values()))
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"client_id": {app}, "request_uri": {got.RequestURI}}.Encode()
}

func TestPushedOnce(t *testing.T) {
	s := newSite(t)
	unknown := invalid(oauth.ReasonRequestURIUnknown, "PA-2")
	read := func(query string, w want) authorization.Request {
		t.Helper()
		r, err := s.Requests.Read(t.Context(), query)
		w.Check(t, err)
		if err != nil && err.(*authorization.Fault).Location() != "" {
			t.Error("AZ-8 a redirect without a redirect URI")
		}
		return r
	}
	late := s.pushed(t)
	s.Clock.Advance(time.Minute - time.Microsecond)
	read(late, accepted)
	late = s.pushed(t)
	s.Clock.Advance(time.Minute)
	read(late, unknown) // PA-3

	q := s.pushed(t)
	read(strings.Replace(q, url.QueryEscape(app), "other", 1), unknown) // PA-2 another client
	read(q+"&client_id=other", invalid(oauth.ReasonRequestMalformed, "GL-4"))
	read(strings.Replace(q, "client_id="+url.QueryEscape(app), "", 1), invalid(oauth.ReasonClientIDMissing, "PA-2"))
	read(q+"x", unknown)
	r := read(q, accepted)
	read(q, accepted) // PA-4 a reload
	kept := s.Requests.Keep(r)
	s.Clock.Advance(8 * time.Minute) // who began to sign in gets to the end of it
	r, err := s.Requests.Reopen(t.Context(), kept)
	accepted.Check(t, err)
	reloaded := read(q, accepted)
	location, err := s.Requests.Grant(t.Context(), r, jo(s), s.signedIn(t), nil)
	accepted.Check(t, err)
	if answer(t, location).Get("code") == "" {
		t.Errorf("sent to %s", location)
	}
	read(q, unknown) // PA-4 it is completed
	_, err = s.Requests.Reopen(t.Context(), kept)
	unknown.Check(t, err)
	location, err = s.Requests.Grant(t.Context(), reloaded, jo(s), s.signedIn(t), nil)
	invalid(oauth.ReasonRequestURIUnknown, "PA-4").Check(t, err)
	if location != "" {
		t.Errorf("PA-4 completed twice: %s", location)
	}

	// It does not live for ever because somebody goes on reloading.
	q = s.pushed(t)
	read(q, accepted)
	for range 9 {
		s.Clock.Advance(time.Minute - time.Microsecond)
		read(q, accepted)
	}
	s.Clock.Advance(9 * time.Microsecond)
	read(q, unknown)
}

// PA-5 A workload has so many pushed requests open and no more; another client has its own,
// and there is room again once the first have ended.
func TestPushedTooManyOpen(t *testing.T) {
	s := newSite(t)
	one := func(by authorization.Presenter, changes ...string) error {
		_, err := s.Requests.Push(t.Context(), by, push(t, values(changes...)))
		return err
	}
	var callers sync.WaitGroup
	for n := range 64 {
		callers.Go(func() {
			for i := range authorization.MaxPushedByOne / 64 {
				p := authorization.Pushed{URI: sha256.Sum256([]byte{byte(n), byte(i)}), ClientID: app, SPIFFEID: appCaller.SPIFFEID, Parameters: "x", ExpiresAt: s.Clock.Now().Add(authorization.PushedFor)}
				if n+i == 0 {
					continue // left for the last that is accepted
				}
				if err := s.Records.Push(t.Context(), p, s.Clock.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	accepted.Check(t, one(appCaller))
	err := one(appCaller)
	want{Code: oauth.TooMany, Reason: oauth.ReasonRateLimited, Rule: "PA-5"}.Check(t, err)
	if err != nil && oauth.AsError(err).RetryAfter != authorization.PushedFor {
		t.Errorf("PA-5 to be tried again after %s", oauth.AsError(err).RetryAfter)
	}
	accepted.Check(t, one(phoneCaller, "client_id", "phone", "redirect_uri", "http://127.0.0.1:1/cb"))
	s.Clock.Advance(authorization.PushedFor)
	accepted.Check(t, one(appCaller))
}

// A request that was pushed is judged by the configuration in force when it is used.
func TestPushedAndReloaded(t *testing.T) {
	s := newSite(t)
	q := s.pushed(t)
	narrower := newSite(t, func(set *settings) {
		set.requests.Records = s.Records
		set.requests.Now = s.Clock.Now
		set.requests.Clients = s.Registry(t) // the client is deleted
	})
	_, err := narrower.Requests.Read(t.Context(), q)
	invalid(oauth.ReasonClientNotFound, "CA-2").Check(t, err)
	_, err = s.Requests.Read(t.Context(), q)
	accepted.Check(t, err)
}

// PA-6 The whole server can demand that requests are pushed.
func TestPushedOnly(t *testing.T) {
	s := newSite(t, func(set *settings) { set.requests.RequirePushed = true })
	_, err := s.Requests.Read(t.Context(), query())
	invalid(oauth.ReasonPARRequired, "PA-6").Check(t, err)
	_, err = s.Requests.Read(t.Context(), s.pushed(t))
	accepted.Check(t, err)
	if !s.Requests.RequiresPushed() {
		t.Error("PA-6 it does not say so")
	}
}
