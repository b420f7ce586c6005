package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/page"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// A Description is what people are told of a resource.
type Description struct {
	Title  string            // empty for its identifier
	Scopes map[string]string // what a scope means; one that is not there is shown by its name
}

// Names of the cookies. The prefix keeps them to this host, to https and to the
// whole site, so that no other host of the domain can set one.
const (
	sessionCookie = "__Host-svidgate"
	browserCookie = "__Host-svidgate-login"
)

const (
	maxForm = 64 << 10 // GL-8
	// maxRequest bounds what is carried from step to step, in bytes.
	maxRequest = 17 << 10
)

// A visit is one request of a person's browser while it is answered.
type visit struct {
	w       *response
	r       *http.Request
	rec     *record
	query   url.Values
	form    url.Values    // of a POST, each parameter once
	session login.Session // zero for somebody who has not signed in
}

func (v *visit) signedIn() bool { return v.session.Subject != "" }

// person names the session that a page was made for, so that what is answered on it
// counts for nobody else. It is no secret: it is made of a digest.
func (v *visit) person() string {
	if !v.signedIn() {
		return ""
	}
	sum := sha256.Sum256(append([]byte("person"), v.session.Digest[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// A step answers a visit. Its error, an *oauth.Error, becomes a page.
type step func(ctx context.Context, v *visit) error

// stepHandler is a step as part of an endpoint: what is refused in it is an event of
// that name in the audit record.
func (s *Server) stepHandler(event string, do step) handler {
	return func(w *response, r *http.Request) {
		page.Headers(w.Header(), "")
		if r.Method == http.MethodHead { // whoever asks so is nobody who decides anything
			return
		}
		v := &visit{w: w, r: r, rec: s.newRecord(tokenrequest.Endpoint{Name: event}, r, w.requestID)}
		defer s.traced(v.rec)
		defer func() {
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				s.config.Log.ErrorContext(r.Context(), "panic", "request_id", v.rec.event.RequestID, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				s.fail(v, oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "GL-15", "an answer", "a panic"), onward{})
			}
		}()
		err := s.arrive(r.Context(), v)
		if err == nil {
			err = do(r.Context(), v)
		}
		if err != nil {
			s.fail(v, oauth.AsError(err), onward{})
		}
	}
}

// arrive judges what all visits have in common: that the source may come, that a
// form is one of ours and sound, and who has signed in.
func (s *Server) arrive(ctx context.Context, v *visit) error {
	if err := s.admitSource(v.rec.source); err != nil {
		return err
	}
	var err error
	if v.r.Method == http.MethodPost {
		if !s.fromHere(v.r) {
			return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonCrossOrigin, "AZ-12", "a form of this server", "one of another site")
		}
		if v.form, err = readForm(v.w, v.r); err != nil {
			return err
		}
	} else if v.query, err = url.ParseQuery(v.r.URL.RawQuery); err != nil {
		return malformedVisit("a query that can be read", "another")
	}
	if v.session, err = s.config.Desk.Session(ctx, cookieOf(v.r, sessionCookie)); err != nil && !errors.Is(err, login.ErrNone) {
		return err
	}
	if v.signedIn() {
		v.rec.person(v.session.Subject)
	}
	return nil
}

// fromHere reports whether a request comes from a page of this server, or from no page.
// The browser's Sec-Fetch-Site says so, or Origin where it is too old to send that. What the
// request calls its Host has no say in it (PX-7), nor has a page at the same host that came
// without TLS.
func (s *Server) fromHere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		return origin == "" || origin == s.origin
	}
	return false
}

func malformedVisit(expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, "AZ-1", expected, presented)
}

// readForm reads the body of a form and nothing else.
func readForm(w *response, r *http.Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, malformedVisit("a form", "another content type")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, oauth.Refuse(oauth.TooLarge, oauth.ReasonRequestTooLarge, "GL-8", fmt.Sprintf("a body of at most %d bytes", maxForm), "a longer one")
	}
	if err != nil {
		return nil, malformedVisit("a whole body", "part of one").Because(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformedVisit("a form that can be read", "another")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, malformedVisit("each parameter once", oauth.Shown(name)+" several times")
		}
	}
	if len(form.Get("request")) > maxRequest {
		return nil, malformedVisit(fmt.Sprintf("a request of at most %d bytes", maxRequest), "a longer one")
	}
	return form, nil
}

// cookieOf is the value of a cookie that is there once.
func cookieOf(r *http.Request, name string) string {
	if all := r.CookiesNamed(name); len(all) == 1 {
		return all[0].Value
	}
	return ""
}

// setCookie gives the browser a secret for so many seconds, or until it is closed
// where that is 0; below 0 it takes one back.
func setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// redirect sends the browser on by GET, whatever it came with (AZ-10).
func redirect(v *visit, location string) {
	page.Headers(v.w.Header(), "")
	v.w.Header().Set("Location", location)
	v.w.WriteHeader(http.StatusSeeOther)
}

// show answers with a page.
func show(v *visit, status int, p page.Page, err error) error {
	if err != nil {
		return oauth.AsError(err)
	}
	p.Write(v.w, status)
	return nil
}

// An onward is what leads on from something that failed.
type onward struct{ label, link string }

// fail records a refusal, and shows a page that says so.
func (s *Server) fail(v *visit, e *oauth.Error, on onward) {
	s.showFailed(v, s.refused(v.r, v.rec, e), on)
}

// noted records a refusal that is told in another way than by its page. One that could
// not be recorded is not given: then there is a page, and the answer is false.
func (s *Server) noted(v *visit, rec *record, e *oauth.Error) bool {
	told := s.refused(v.r, rec, e)
	if told != e {
		s.showFailed(v, told, onward{})
	}
	return told == e
}

// showFailed answers with the page of a refusal that is recorded, or could not be.
func (s *Server) showFailed(v *visit, e *oauth.Error, on onward) {
	f := page.Failed{RequestID: v.w.requestID, OnLabel: on.label, OnLink: on.link}
	status := e.Code.Status()
	if status == http.StatusUnauthorized {
		status = http.StatusBadRequest // there is no challenge to answer
	}
	f.Sentence = s.sentence(e)
	switch e.Code {
	case oauth.Unavailable, oauth.TooMany:
		v.w.Header().Set("Retry-After", retryAfter(e))
	case oauth.TooLarge:
		v.w.Header().Set("Connection", "close")
	}
	p, err := s.pages.Failed(f)
	if err != nil { // cannot be: all of it is ours
		v.w.WriteHeader(http.StatusInternalServerError)
		return
	}
	p.Write(v.w, status)
}

// sentence is what a person is told: what they can do about it, and nothing that a
// stranger could use.
func (s *Server) sentence(e *oauth.Error) string {
	switch e.Reason {
	case oauth.ReasonRateLimited:
		if e.Code == oauth.Unavailable {
			return "Too many people are signing in right now. Wait a moment and try again."
		}
		return "There were too many tries. " + waitSentence(e)
	case oauth.ReasonLoginExpired, oauth.ReasonExpired:
		return "This took too long, or was done already. Go back to the app that sent you here and start again."
	case oauth.ReasonCrossOrigin:
		return "This form did not come from this site, so nothing was done."
	case oauth.ReasonPasswordWrong: // it was changed while it was looked at
		return "The user name or the password is wrong."
	case oauth.ReasonProviderUnavailable:
		return "The service that you sign in at does not answer. This is not your fault: wait a moment and try again."
	case oauth.ReasonProviderAnswerBad, oauth.ReasonIDTokenBad:
		return "The service that you sign in at gave an answer that cannot be trusted, so you were not signed in."
	case oauth.ReasonProviderRefused:
		return "The service that you sign in at did not sign you in."
	case oauth.ReasonUserNotAllowed:
		return "You were recognised, but people of your group may not sign in here. Ask whoever runs this service."
	case oauth.ReasonStoreUnavailable, oauth.ReasonAuditUnavailable, oauth.ReasonInternal:
		return "Something is wrong on this side. Wait a moment and try again."
	case oauth.ReasonRequestURIUnknown:
		return "This link was used already, or is too old. Go back to the app that sent you here and start again."
	case oauth.ReasonClientNotFound, oauth.ReasonRedirectURIMismatch:
		return "The app that sent you here is not known under the name it gave, or not at that address. Nothing was sent to it."
	}
	return "The app that sent you here asked for something that cannot be given. Tell whoever made it."
}

func waitSentence(e *oauth.Error) string {
	minutes := (int(e.RetryAfter.Seconds()) + 59) / 60
	if minutes <= 1 {
		return "Wait a minute and try again."
	}
	return fmt.Sprintf("Wait %d minutes and try again.", minutes)
}

// peopleSignIn reports whether there is an authorization endpoint. Where the public
// listener asks for certificates browsers cannot come.
func (s *Server) peopleSignIn() bool {
	return s.config.Desk != nil && s.config.Requests != nil && !s.config.PublicCertificates
}

// pageRoutes are those of the listener that browsers come to.
func (s *Server) pageRoutes(rt *router, prefix string) {
	if !s.peopleSignIn() {
		return
	}
	get := func(path, event string, do step) { rt.handle(http.MethodGet, prefix+path, s.stepHandler(event, do)) }
	post := func(path, event string, do step) {
		s.metrics.awaits(prefix + path)
		rt.handle(http.MethodPost, prefix+path, s.stepHandler(event, do))
	}
	get(oauth.PathAuthorize, audit.EventAuthorize, s.authorize)
	get(page.PathConsent, audit.EventAuthorize, s.goOn)
	post(page.PathConsent, audit.EventAuthorize, s.decide)
	get(page.PathLogin, audit.EventLogin, s.signInPage)
	post(page.PathLogin, audit.EventLogin, s.password)
	get(page.PathDone, audit.EventLogin, s.done)
	get(page.PathStart, audit.EventLogin, s.toProvider)
	for _, p := range s.config.Desk.Providers() {
		get(page.PathCallback+"/"+p.Name, audit.EventLogin, s.fromProvider(p.Name))
	}
	get(page.PathLogout, audit.EventLogout, s.signOutPage)
	post(page.PathLogout, audit.EventLogout, s.signOut)
	get(page.PathAccount, audit.EventConsent, s.account)
	post(page.PathAccount, audit.EventConsent, s.withdraw)
	rt.handle(http.MethodGet, s.pages.StylePath(), func(w *response, _ *http.Request) { s.pages.ServeStyle(w) })
}

// local is a path of this server for the Location of a redirect.
func (s *Server) local(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	location := strings.TrimSuffix(s.config.Issuer, "/") + path // never what Host says (AK-20)
	if len(v) > 0 {
		location += "?" + v.Encode()
	}
	return location
}

// next is where somebody goes who has signed in.
func (s *Server) next(kept string) string {
	if kept == "" {
		return s.local(page.PathAccount)
	}
	return s.local(page.PathConsent, "request", kept)
}
