package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// State is what is kept of people.
type State interface {
	Users
	Tries
	Sessions
	Attempts
	Consents
}

// Config is what a Desk is made of. All of it is required.
type Config struct {
	State State
	// Local lets the users of this server sign in with their passwords.
	Local     bool
	Providers []ProviderConfig
	Now       func() time.Time
}

// A Desk is where people sign in, by one configuration. It is safe for concurrent
// use. Its errors are *oauth.Error; what a browser showed that leads nowhere is
// ErrNone.
type Desk struct {
	config    Config
	providers []*provider
	decoy     string // what an unknown user's password is compared with
}

// New makes a desk. It asks no provider yet.
func New(c Config) (*Desk, error) {
	if c.State == nil || c.Now == nil {
		return nil, errors.New("login: the configuration is not complete")
	}
	d := &Desk{config: c, decoy: decoy()}
	for _, p := range c.Providers {
		d.providers = append(d.providers, newProvider(p, c.Now))
	}
	return d, nil
}

// Local reports whether users of this server sign in with passwords.
func (d *Desk) Local() bool { return d.config.Local }

// Providers are the names and titles of the providers, in order.
func (d *Desk) Providers() []ProviderConfig { return d.config.Providers }

// Known is the name of a provider, and empty for one that is not configured.
func (d *Desk) Known(name string) string {
	if d.provider(name) == nil {
		return ""
	}
	return name
}

func (d *Desk) provider(name string) *provider {
	for _, p := range d.providers {
		if p.config.Name == name {
			return p
		}
	}
	return nil
}

// offered reports whether people may still sign in that way.
func (d *Desk) offered(provider string) bool {
	return provider == Local && d.config.Local || d.provider(provider) != nil
}

// Offers reports whether whoever has a subject may still sign in in their way. A nil
// Desk offers none.
func (d *Desk) Offers(subject string) bool {
	provider, _, ok := strings.Cut(subject, ":")
	return d != nil && ok && d.offered(provider)
}

// Session finds the session of a cookie, and notes that it is used. The error is
// ErrNone where there is none, also because its way of signing in is no longer
// offered.
func (d *Desk) Session(ctx context.Context, cookie string) (Session, error) {
	secret, ok := ReadSecret(cookie)
	if !ok {
		return Session{}, ErrNone
	}
	now := d.config.Now()
	s, err := d.config.State.Session(ctx, secret.Digest(), now)
	if errors.Is(err, ErrNone) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, store.Refuse(err)
	}
	if !s.Ends().After(now) || !d.offered(s.Provider) {
		return Session{}, ErrNone
	}
	if now.Sub(s.Seen) >= seenEvery {
		s.Seen = now
		if err := d.config.State.SeeSession(ctx, s); err != nil {
			return Session{}, store.Refuse(err)
		}
	}
	return s, nil
}

// Password signs a local user in. The answer to a wrong password and to an unknown
// user is the same, and takes the same time.
func (d *Desk) Password(ctx context.Context, source netip.Addr, name, password string) (Person, error) {
	if !d.config.Local {
		return Person{}, wrongPassword("people who sign in elsewhere", "a password")
	}
	name = strings.ToLower(strings.TrimSpace(name)) // as phones write it
	limits := limitsOf(name, source)
	now := d.config.Now()
	counts, wait, err := d.config.State.Try(ctx, limits, now)
	if err != nil {
		return Person{}, store.Refuse(err)
	}
	if wait > 0 {
		e := oauth.Refuse(oauth.TooMany, oauth.ReasonRateLimited, "GL-16", "fewer wrong passwords in a row", "another try before its time")
		e.RetryAfter = wait
		return Person{}, e
	}
	user, kept, known := User{}, d.decoy, false
	if CheckName(name) == nil {
		found, err := d.config.State.User(ctx, name)
		if err != nil && !errors.Is(err, ErrNone) {
			return Person{}, store.Refuse(err)
		}
		if err == nil {
			user, kept, known = found, found.Password, true
		}
	}
	right, err := matches(ctx, password, kept)
	switch {
	case errors.Is(err, errBusy), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Person{}, oauth.Refuse(oauth.Unavailable, oauth.ReasonRateLimited, "GL-16", fmt.Sprintf("at most %d sign-ins at once", hashesWaiting), "one more").Because(err)
	case err != nil:
		return Person{}, oauth.AsError(err)
	case !known:
		return Person{}, wrongPassword("the name of a user", "another")
	case !right:
		return Person{}, wrongPassword("the password of "+user.Name, "another")
	}
	if err := d.config.State.Passed(ctx, counts); err != nil {
		return Person{}, store.Refuse(err)
	}
	return Person{Subject: user.Subject(), Provider: Local, Name: user.Name, AuthTime: now, AMR: []string{"pwd"}, Credential: user.Credential()}, nil
}

func wrongPassword(expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonPasswordWrong, "AZ-12", expected, presented)
}

// Begin sends somebody to a provider: it returns where. kept is what they were
// about to do, and browser the secret of the cookie that they come back with.
func (d *Desk) Begin(ctx context.Context, source netip.Addr, name string, browser Secret, kept string) (location string, err error) {
	p := d.provider(name)
	if browser == (Secret{}) {
		return "", oauth.AsError(errors.New("login: a sign-in that belongs to no browser"))
	}
	if p == nil || len(kept) > maxKept {
		return "", oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, "AZ-12", "a provider of this server, and a request of it", "something else")
	}
	done, err := p.ask()
	if err != nil {
		return "", err
	}
	defer done()
	m, err := p.known(ctx)
	if err != nil {
		return "", err
	}
	client, err := p.client(m)
	if err != nil {
		return "", err
	}
	state := NewSecret()
	verifier, nonce := pair(browser, state)
	err = d.config.State.StartAttempt(ctx, Attempt{State: state.Digest(), Browser: browser.Digest(), Source: key("attempts", network(source)), Provider: name, Kept: kept, Started: d.config.Now()})
	if errors.Is(err, ErrFull) {
		return "", oauth.Refuse(oauth.Unavailable, oauth.ReasonRateLimited, "GL-16", fmt.Sprintf("at most %d sign-ins under way", MaxAttempts), "one more")
	}
	if err != nil {
		return "", store.Refuse(err)
	}
	return client.AuthCodeURL(state.Value(), oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", nonce)), nil
}

// pair makes the PKCE verifier and the nonce of an attempt.
func pair(browser, state Secret) (verifier, nonce string) {
	return browser.derive("verifier " + state.Value()).Value(), browser.derive("nonce " + state.Value()).Value()
}

// An Arrival is somebody who came back from a provider.
type Arrival struct {
	Person
	// Kept is what they were about to do, also where the error is not nil.
	Kept string
	// Again says that they came back with this before: who they are was not looked at.
	Again bool
}

// Finish judges what a browser brings back from a provider. One that has no secret,
// which is the zero one, began nothing.
func (d *Desk) Finish(ctx context.Context, name string, browser Secret, query url.Values) (Arrival, error) {
	p := d.provider(name)
	for _, key := range []string{"state", "code", "error", "iss"} {
		if len(query[key]) > 1 {
			return Arrival{}, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, "GL-4", "each parameter once", key+" several times")
		}
	}
	state, ok := ReadSecret(query.Get("state"))
	if p == nil || !ok {
		return Arrival{}, expired("the state of a sign-in", "none")
	}
	attempt, err := Attempt{}, ErrNone
	if browser != (Secret{}) {
		attempt, err = d.config.State.UseAttempt(ctx, state.Digest(), browser.Digest(), d.config.Now())
	}
	if errors.Is(err, ErrNone) {
		return Arrival{}, expired("a sign-in that this browser began within "+AttemptMost.String(), "none")
	}
	if err != nil {
		return Arrival{}, store.Refuse(err)
	}
	arrival := Arrival{Kept: attempt.Kept, Again: attempt.Used}
	switch {
	case attempt.Provider != name: // an answer of one provider at the callback of another
		return arrival, p.badAnswer("an answer to a sign-in at "+name, "one to a sign-in at "+attempt.Provider, nil)
	case attempt.Used:
		return arrival, expired("a sign-in that has not ended", "one that has")
	}
	done, err := p.ask()
	if err != nil {
		return arrival, err
	}
	defer done()
	m, err := p.known(ctx)
	if err != nil {
		return arrival, err
	}
	if iss, said := query.Get("iss"), query.Has("iss"); said && iss != p.config.Issuer || !said && m.answersISS {
		return arrival, p.badAnswer("iss "+p.config.Issuer, cmp.Or(iss, "none"), nil)
	}
	if e := query.Get("error"); e != "" {
		return arrival, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonProviderRefused, "AZ-12", "somebody who is signed in there", "error "+oauth.Shown(e))
	}
	code := query.Get("code")
	if code == "" {
		return arrival, p.badAnswer("a code", "none", nil)
	}
	verifier, nonce := pair(browser, state)
	arrival.Person, err = p.redeem(ctx, m, code, verifier, nonce)
	return arrival, err
}

func expired(expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonLoginExpired, "AZ-12", expected, presented)
}

// SignIn begins a session for somebody whom Password or Finish knows, and ends the
// one of the cookie that the browser had.
func (d *Desk) SignIn(ctx context.Context, person Person, before string) (Secret, Session, error) {
	if person.Subject == "" || !d.offered(person.Provider) {
		return Secret{}, Session{}, oauth.AsError(errors.New("login: nobody has signed in"))
	}
	var ends Digest
	if old, ok := ReadSecret(before); ok {
		ends = old.Digest()
	}
	secret, now := NewSecret(), d.config.Now()
	s := Session{Digest: secret.Digest(), Person: person, Started: now, Seen: now}
	err := d.config.State.StartSession(ctx, s, ends)
	if errors.Is(err, ErrNone) {
		return Secret{}, Session{}, wrongPassword("a user who is still there, and that password", "one that was removed or changed")
	}
	if err != nil {
		return Secret{}, Session{}, store.Refuse(err)
	}
	return secret, s, nil
}

// SignOut ends a session.
func (d *Desk) SignOut(ctx context.Context, s Session) error {
	if err := d.config.State.EndSession(ctx, s.Digest); err != nil {
		return store.Refuse(err)
	}
	return nil
}

// Agreed reports whether somebody lets a client have all of a scope at a resource.
func (d *Desk) Agreed(ctx context.Context, subject, clientID, resource string, scope []string) (bool, error) {
	c, err := d.config.State.Consent(ctx, subject, clientID, resource, d.config.Now())
	switch {
	case errors.Is(err, ErrNone):
		return false, nil
	case err != nil:
		return false, store.Refuse(err)
	}
	return c.Ends().After(d.config.Now()) && c.Covers(scope), nil
}

// Agreements are what somebody agreed to.
func (d *Desk) Agreements(ctx context.Context, subject string) ([]Consent, error) {
	all, err := d.config.State.Consents(ctx, subject, d.config.Now())
	if err != nil {
		return nil, store.Refuse(err)
	}
	return all, nil
}

// Withdraw forgets what somebody agreed to for a client, and ends what it was
// granted.
func (d *Desk) Withdraw(ctx context.Context, subject, clientID string) error {
	if _, err := d.config.State.Withdraw(ctx, subject, clientID, d.config.Now()); err != nil {
		return store.Refuse(err)
	}
	return nil
}
