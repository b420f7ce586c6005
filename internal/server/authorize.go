package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/loopback"
	"github.com/svidgate/svidgate/internal/page"
	"github.com/svidgate/svidgate/oauth"
)

// authorize is what a client sends a browser to (AZ-1). Of a person who has signed
// in and agreed before, nothing is asked.
func (s *Server) authorize(ctx context.Context, v *visit) error {
	request, err := s.config.Requests.Read(ctx, v.r.URL.RawQuery)
	if err != nil {
		return s.faulty(v, err)
	}
	return s.proceed(ctx, v, request, s.config.Requests.Keep(request))
}

// goOn is the same for a request that was carried over a sign-in, also where the
// page is loaded again.
func (s *Server) goOn(ctx context.Context, v *visit) error {
	kept := v.query.Get("request")
	request, err := s.config.Requests.Reopen(ctx, kept)
	if err != nil {
		return s.faulty(v, err)
	}
	return s.proceed(ctx, v, request, kept)
}

// faulty answers a request that is no good: at the client, where it is proven that
// it wants to know, and else on a page (AZ-8, BC-4).
func (s *Server) faulty(v *visit, err error) error {
	fault, ok := errors.AsType[*authorization.Fault](err)
	if !ok {
		return err
	}
	if fault.Location() == "" {
		return fault.Refusal()
	}
	if s.noted(v, v.rec, fault.Refusal()) {
		redirect(v, fault.Location())
	}
	return nil
}

// proceed is the next step for a request: somebody signs in, is asked, or goes back
// with what they agreed to.
func (s *Server) proceed(ctx context.Context, v *visit, request authorization.Request, kept string) error {
	if !v.signedIn() {
		return s.showSignIn(v, http.StatusOK, &request, page.SignIn{Request: kept})
	}
	v.rec.authorizes(request)
	agreed, err := s.config.Desk.Agreed(ctx, v.session.Subject, request.ClientID(), request.Resource(), request.Scope())
	if err != nil {
		return err
	}
	if agreed && proven(request) {
		return s.grantCode(ctx, v, request, kept, true)
	}
	p, err := s.pages.Consent(s.consent(v, request, kept))
	return show(v, http.StatusOK, p, err)
}

// consent is what somebody is asked.
func (s *Server) consent(v *visit, request authorization.Request, kept string) page.Consent {
	c := page.Consent{
		Client: clientOf(request), Resource: request.Resource(), Title: s.config.Descriptions[request.Resource()].Title, Scope: s.described(request.Resource(), request.Scope()),
		User: v.session.Name, Subject: v.session.Subject, Request: kept, Person: v.person(), Leads: leads(request.RedirectURI()), Again: !proven(request),
	}
	c.Shown = shownDigest(c, request.RedirectURI())
	return c
}

// shownDigest names all that somebody is asked, so that an answer counts for that
// only: the configuration may be another by the time it comes.
func shownDigest(c page.Consent, redirectURI string) string {
	h := sha256.New()
	write := func(words ...string) {
		for _, w := range words {
			sum := sha256.Sum256([]byte(w))
			h.Write(sum[:])
		}
	}
	write(c.Client.ID, c.Client.Name, redirectURI, c.Resource, c.Title, c.Subject, strconv.FormatBool(c.Again))
	for _, scope := range c.Scope {
		write(scope.Name, scope.Words)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// proven reports whether nobody but the client can be at the other end: it pushed
// the request, or the browser goes back to a host that is its own. An app on a
// person's device is taken for another easily, so there they are always asked (BC-4).
func proven(request authorization.Request) bool {
	u, err := url.Parse(request.RedirectURI())
	return request.SPIFFEID() != "" || err == nil && u.Scheme == "https"
}

// decide takes a person's answer.
func (s *Server) decide(ctx context.Context, v *visit) error {
	kept := v.form.Get("request")
	request, err := s.config.Requests.Reopen(ctx, kept)
	if err != nil {
		return s.faulty(v, err)
	}
	v.rec.authorizes(request)
	// The session may have ended, another one begun in another tab, or the page may say
	// something else by now than what they were asked.
	if !v.signedIn() || v.form.Get("person") != v.person() || v.form.Get("shown") != s.consent(v, request, kept).Shown {
		redirect(v, s.next(kept))
		return nil
	}
	consent := *v.rec // an event of its own
	consent.event.Event = audit.EventConsent
	switch v.form.Get("decision") {
	case "allow":
		if err := s.grantRecorded(ctx, &consent); err != nil {
			return err
		}
		return s.grantCode(ctx, v, request, kept, false)
	case "deny":
		location, err := s.config.Requests.Deny(ctx, request)
		if err != nil {
			return s.faulty(v, err)
		}
		denied := oauth.Refuse(oauth.AccessDenied, oauth.ReasonConsentDenied, "AZ-8", "the consent of the person", "a refusal")
		if s.noted(v, &consent, denied) {
			redirect(v, location)
		}
		return nil
	}
	return malformedVisit("allow or deny", "neither")
}

// grantCode makes the code and sends the browser back with it, once that is recorded.
// Who signed out or withdrew a moment ago is asked instead.
func (s *Server) grantCode(ctx context.Context, v *visit, request authorization.Request, kept string, remembered bool) error {
	by := authorization.Subject{User: v.session.Subject, AuthTime: v.session.AuthTime, AMR: v.session.AMR, ACR: v.session.ACR}
	permission := authorization.Permission{Session: authorization.Digest(v.session.Digest), Remembered: remembered}
	location, err := s.config.Requests.Grant(ctx, request, by, permission, request.Scope())
	if errors.Is(err, authorization.ErrSignedOut) || errors.Is(err, authorization.ErrNotAgreed) {
		redirect(v, s.next(kept))
		return nil
	}
	if err != nil {
		return s.faulty(v, err)
	}
	if err := s.grantRecorded(ctx, v.rec); err != nil {
		return err
	}
	redirect(v, location)
	return nil
}

// described says what each scope of a resource means.
func (s *Server) described(resource string, scope []string) []page.Scope {
	var all []page.Scope
	for _, name := range scope {
		all = append(all, page.Scope{Name: name, Words: s.config.Descriptions[resource].Scopes[name]})
	}
	return all
}

// clientOf says who asks.
func clientOf(request authorization.Request) page.Client {
	c := page.Client{Name: request.ClientName(), ID: request.ClientID(), Back: "the app"}
	u, err := url.Parse(request.RedirectURI())
	switch {
	case err != nil:
	case u.Scheme == "https":
		c.Back = u.Host
	case loopback.Host(u.Hostname()):
		c.Back = "an app on this device"
	}
	return c
}

// leads is where the form may lead whose answer goes to a redirect URI: browsers
// hold every redirect after a form to form-action, also those by which the client
// goes on, which only it knows. So there is no less than https; and for an app on a
// device its own address beside it, or its scheme where that cannot stand in the list
// (IPv6), or would be more than one word of it.
func leads(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme == "" {
		return ""
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case u.Scheme == "https":
		return "https:"
	case u.Host == "" || err == nil && ip.Is6() || strings.ContainsAny(u.Host, ";,"):
		return u.Scheme + ": https:"
	}
	return u.Scheme + "://" + u.Host + " https:"
}
