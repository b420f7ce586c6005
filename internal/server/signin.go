package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/page"
	"github.com/svidgate/svidgate/oauth"
)

// browserSeconds is how long a browser may take to come back from a provider.
const browserSeconds = int(login.AttemptMost / 1e9)

// begunPerSource is how many sign-ins at providers one address may begin in a second,
// which bounds what it costs to keep them (GL-16).
const begunPerSource = 15

// showSignIn shows the page on which somebody says who they are.
func (s *Server) showSignIn(v *visit, status int, request *authorization.Request, p page.SignIn) error {
	if request != nil {
		c := clientOf(*request)
		p.Client = &c
	}
	p.Local = s.config.Desk.Local()
	for _, provider := range s.config.Desk.Providers() {
		p.Choices = append(p.Choices, page.Choice{Name: provider.Name, Title: provider.Title})
	}
	made, err := s.pages.SignIn(p)
	return show(v, status, made, err)
}

// signInPage is for somebody whom no client sent.
func (s *Server) signInPage(_ context.Context, v *visit) error {
	if v.signedIn() {
		redirect(v, s.next(""))
		return nil
	}
	return s.showSignIn(v, http.StatusOK, nil, page.SignIn{})
}

// password signs somebody in with a password.
func (s *Server) password(ctx context.Context, v *visit) error {
	v.rec.event.Provider = login.Local
	kept := v.form.Get("request")
	var request *authorization.Request
	if kept != "" {
		reopened, err := s.config.Requests.Reopen(ctx, kept)
		if err != nil {
			return s.faulty(v, err)
		}
		request = &reopened
		v.rec.event.ClientID = reopened.ClientID()
	}
	person, err := s.config.Desk.Password(ctx, v.rec.source, v.form.Get("user"), v.form.Get("password"))
	if e, ok := errors.AsType[*oauth.Error](err); ok && (e.Reason == oauth.ReasonPasswordWrong || e.Code == oauth.TooMany) {
		status, problem := http.StatusForbidden, "The user name or the password is wrong."
		if e.Code == oauth.TooMany {
			v.w.Header().Set("Retry-After", retryAfter(e))
			status, problem = http.StatusTooManyRequests, "There were too many tries. "+waitSentence(e)
		}
		if !s.noted(v, v.rec, e) {
			return nil
		}
		return s.showSignIn(v, status, request, page.SignIn{Request: kept, User: v.form.Get("user"), Problem: problem})
	}
	if err != nil {
		return err
	}
	next := s.next(kept)
	if request != nil {
		agreed, err := s.config.Desk.Agreed(ctx, person.Subject, request.ClientID(), request.Resource(), request.Scope())
		if err != nil {
			return err
		}
		if agreed && proven(*request) { // it would leave this server
			next = s.local(page.PathDone, "request", kept)
		}
	}
	return s.signedIn(ctx, v, person, next)
}

// done is where a password leads that would lead to the client: see page.SignedIn.
func (s *Server) done(ctx context.Context, v *visit) error {
	kept := v.query.Get("request")
	request, err := s.config.Requests.Reopen(ctx, kept)
	if err != nil {
		return s.faulty(v, err)
	}
	if !v.signedIn() {
		redirect(v, s.next(kept))
		return nil
	}
	p, err := s.pages.SignedIn(page.SignedIn{Client: clientOf(request), Next: s.next(kept)})
	return show(v, http.StatusOK, p, err)
}

// signedIn begins a session, records it, and leads on to next.
func (s *Server) signedIn(ctx context.Context, v *visit, person login.Person, next string) error {
	secret, session, err := s.config.Desk.SignIn(ctx, person, cookieOf(v.r, sessionCookie))
	if err != nil {
		return err
	}
	v.rec.person(person.Subject)
	if err := s.grantRecorded(ctx, v.rec); err != nil {
		return errors.Join(err, s.config.Desk.SignOut(ctx, session))
	}
	setCookie(v.w, sessionCookie, secret.Value(), 0)
	redirect(v, next)
	return nil
}

// toProvider sends somebody to a provider. It is a link and no form: a form may lead
// to places that are known before only, and providers lead on to others.
func (s *Server) toProvider(ctx context.Context, v *visit) error {
	name, kept := v.query.Get("provider"), v.query.Get("request")
	v.rec.event.Provider = s.config.Desk.Known(name)
	if !s.fromHere(v.r) {
		return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonCrossOrigin, "AZ-12", "a link of this server", "one of another site")
	}
	if kept != "" {
		request, err := s.config.Requests.Reopen(ctx, kept)
		if err != nil {
			return s.faulty(v, err)
		}
		v.rec.event.ClientID = request.ClientID()
		kept = s.config.Requests.Keep(request) // and nothing that came beside it
	}
	if !s.begun.Take(sourceKey(v.rec.source)) {
		wait, _ := s.begun.Spent(sourceKey(v.rec.source))
		return tooMany("sign-ins begun per source", v.rec.source.String(), wait)
	}
	browser, ok := login.ReadSecret(cookieOf(v.r, browserCookie)) // one for all tabs
	if !ok {
		browser = login.NewSecret()
	}
	location, err := s.config.Desk.Begin(ctx, v.rec.source, name, browser, kept)
	if err != nil {
		s.fail(v, oauth.AsError(err), s.again(kept))
		return nil
	}
	setCookie(v.w, browserCookie, browser.Value(), browserSeconds)
	redirect(v, location)
	return nil
}

// again leads back to where somebody can sign in.
func (s *Server) again(kept string) onward {
	if kept == "" {
		return onward{"Sign in", s.local(page.PathLogin)}
	}
	return onward{"Try again", s.next(kept)}
}

// fromProvider is where a provider sends somebody back to.
func (s *Server) fromProvider(name string) step {
	return func(ctx context.Context, v *visit) error {
		v.rec.event.Provider = name
		browser, _ := login.ReadSecret(cookieOf(v.r, browserCookie)) // Finish takes no zero one
		arrival, err := s.config.Desk.Finish(ctx, name, browser, v.query)
		if arrival.Again && v.signedIn() { // the page was loaded again, or somebody went back
			redirect(v, s.next(arrival.Kept))
			return nil
		}
		if err != nil {
			s.fail(v, oauth.AsError(err), s.again(arrival.Kept))
			return nil
		}
		return s.signedIn(ctx, v, arrival.Person, s.next(arrival.Kept))
	}
}

// signOutPage asks somebody who has signed in, and tells everybody else that nobody has.
func (s *Server) signOutPage(_ context.Context, v *visit) error {
	if v.signedIn() {
		p, err := s.pages.Plain(page.Plain{Heading: "Sign out?", Sentence: "You are signed in as " + v.session.Name + ".", Button: "Sign out", Person: v.person()})
		return show(v, http.StatusOK, p, err)
	}
	p, err := s.pages.Plain(page.Plain{Heading: "You are signed out", Sentence: "Nobody is signed in here in this browser.", OnLabel: "Sign in", OnLink: s.local(page.PathLogin)})
	return show(v, http.StatusOK, p, err)
}

// signOut ends the session.
func (s *Server) signOut(ctx context.Context, v *visit) error {
	to := s.local(page.PathLogout)
	if kept := v.form.Get("request"); kept != "" {
		to = s.next(kept)
	}
	if v.signedIn() && v.form.Get("person") == v.person() {
		if err := s.config.Desk.SignOut(ctx, v.session); err != nil {
			return err
		}
		if err := s.grantRecorded(ctx, v.rec); err != nil {
			return err
		}
		setCookie(v.w, sessionCookie, "", -1)
	}
	redirect(v, to)
	return nil
}

// account shows somebody what they agreed to.
func (s *Server) account(ctx context.Context, v *visit) error {
	if !v.signedIn() {
		return s.showSignIn(v, http.StatusOK, nil, page.SignIn{})
	}
	all, err := s.config.Desk.Agreements(ctx, v.session.Subject)
	if err != nil {
		return err
	}
	shown := page.Account{User: v.session.Name, Subject: v.session.Subject, Person: v.person()}
	if v.query.Get("removed") != "" {
		shown.Notice = "The app was removed."
	}
	index := map[string]int{}
	for _, c := range all {
		i, known := index[c.ClientID]
		if !known {
			i = len(shown.Apps)
			index[c.ClientID] = i
			shown.Apps = append(shown.Apps, page.App{Name: s.config.Authenticator.Clients.Named(c.ClientID).Name(), ID: c.ClientID})
		}
		shown.Apps[i].Entries = append(shown.Apps[i].Entries, page.AppEntry{Title: s.config.Descriptions[c.Resource].Title, Resource: c.Resource, Scope: s.described(c.Resource, c.Scope), Given: c.Given})
	}
	p, err := s.pages.Account(shown)
	return show(v, http.StatusOK, p, err)
}

// withdraw takes back what somebody agreed to for one client.
func (s *Server) withdraw(ctx context.Context, v *visit) error {
	clientID := v.form.Get("client")
	if !v.signedIn() || v.form.Get("person") != v.person() || clientID == "" {
		redirect(v, s.local(page.PathAccount))
		return nil
	}
	v.rec.event.Event, v.rec.event.ClientID = audit.EventConsentWithdraw, clientID
	if err := s.config.Desk.Withdraw(ctx, v.session.Subject, clientID); err != nil {
		return err
	}
	if err := s.grantRecorded(ctx, v.rec); err != nil {
		return err
	}
	redirect(v, s.local(page.PathAccount, "removed", "1"))
	return nil
}
