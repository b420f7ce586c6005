package world

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// WebClients is how many clients people sign in for, where a Server has People: so
	// many that 40,000 codes are fewer than authorization.MaxGrants and MaxWaiting for
	// each, and fewer than login.MaxConsents.
	WebClients = 450
	// Redirect is where all of them have browsers sent back to.
	Redirect = "https://client.example.com/cb"

	user     = "jo"
	password = "for one measurement, and no other"
	verifier = "of-one-measurement-and-no-secret-of-anybody-0123456789"
	maxPage  = 256 << 10
)

// AddPerson makes the one person of this world a local user of a server.
func AddPerson(ctx context.Context, users login.Users, now func() time.Time) error {
	accounts := login.Accounts{Users: users, Now: now}
	return accounts.Add(ctx, user, password)
}

// A Person is somebody with a browser that keeps its session. Once signed in, any
// number of goroutines may use it.
type Person struct {
	client *http.Client
}

// Person opens a browser at a server, which is dialled wherever a page leads but for
// the way back to clients, which is not gone.
func (w *World) Person(server netip.AddrPort) *Person {
	jar, _ := cookiejar.New(nil) // without options there is no error
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	config := w.TLS()
	config.Time = w.Now
	return &Person{&http.Client{
		Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: config, MaxIdleConnsPerHost: 64,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, server.String())
			},
		},
	}}
}

// Close ends its connections.
func (p *Person) Close() { p.client.CloseIdleConnections() }

// SignIn begins a session.
func (p *Person) SignIn(ctx context.Context) error {
	page, err := p.visit(ctx, http.MethodGet, Issuer+authorizeURL(0), nil)
	if err != nil {
		return err
	}
	form := page.form()
	form.Set("user", user)
	form.Set("password", password)
	if page, err = p.visit(ctx, http.MethodPost, Issuer+"/login", form); err != nil {
		return err
	}
	if page.status != http.StatusSeeOther {
		return fmt.Errorf("signing in has status %d", page.status)
	}
	return nil
}

// Agree lets each web client have what it asks for, which is remembered.
func (p *Person) Agree(ctx context.Context) error {
	for n := range WebClients {
		if _, err := p.Code(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Code is a code for a web client, which the person lets have it. It is good for half
// a minute.
func (p *Person) Code(ctx context.Context, client int) (string, error) {
	return p.code(ctx, authorizeURL(client))
}

// PushedCode is the same of a request that the web client pushed.
func (p *Person) PushedCode(ctx context.Context, client int, requestURI string) (string, error) {
	return p.code(ctx, oauth.PathAuthorize+"?"+url.Values{oauth.ParamClientID: {webClient(client % WebClients)}, oauth.ParamRequestURI: {requestURI}}.Encode())
}

func (p *Person) code(ctx context.Context, path string) (string, error) {
	page, err := p.visit(ctx, http.MethodGet, Issuer+path, nil)
	if err != nil {
		return "", err
	}
	if page.status == http.StatusOK {
		form := page.form()
		form.Set("decision", "allow")
		if page, err = p.visit(ctx, http.MethodPost, Issuer+"/consent", form); err != nil {
			return "", err
		}
	}
	location, err := url.Parse(page.location)
	if err != nil {
		return "", err
	}
	if code := location.Query().Get(oauth.ParamCode); code != "" && strings.HasPrefix(page.location, Redirect) {
		return code, nil
	}
	return "", fmt.Errorf("a signed-in person got no code: status %d", page.status)
}

func authorizeURL(client int) string {
	v := url.Values{oauth.ParamClientID: {webClient(client % WebClients)}}
	pairs := authorizationRequest()
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return oauth.PathAuthorize + "?" + v.Encode()
}

// authorizationRequest are names and values of a request, whichever web client's.
func authorizationRequest() []string {
	sum := sha256.Sum256([]byte(verifier))
	return []string{
		oauth.ParamResponseType, oauth.ResponseTypeCode, oauth.ParamRedirectURI, Redirect, oauth.ParamScope, "read", oauth.ParamState, "s",
		oauth.ParamCodeChallenge, base64.RawURLEncoding.EncodeToString(sum[:]), oauth.ParamCodeChallengeMethod, oauth.ChallengeMethodS256,
	}
}

// A page is what a browser gets.
type page struct {
	status   int
	location string
	body     string
}

func (p *Person) visit(ctx context.Context, method, address string, form url.Values) (page, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return page{}, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	return page{resp.StatusCode, resp.Header.Get("Location"), string(body)}, err
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)"`)

// form is what the hidden fields of the first form carry.
func (p page) form() url.Values {
	form := url.Values{}
	first, _, _ := strings.Cut(p.body, "</form>")
	for _, m := range hidden.FindAllStringSubmatch(first, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

// A Web is a web client with a JWT-SVID that it presents again and again.
type Web struct{ form url.Values }

// Web signs the JWT-SVID of a web client.
func (w *World) Web(client int, serial uint64, lifetime time.Duration) (Web, error) {
	v, err := w.authenticated(w.Domains[0], webClient(client%WebClients), serial, lifetime)
	return Web{v}, err
}

// API signs the JWT-SVID of the client that may ask about tokens.
func (w *World) API(serial uint64, lifetime time.Duration) (Web, error) {
	v, err := w.authenticated(w.Domains[0], apiClient(), serial, lifetime)
	return Web{v}, err
}

// Own is the form by which it asks in its own name.
func (c Web) Own() string { return c.with(oauth.ParamGrantType, string(oauth.GrantClientCredentials)) }

// Push is the form that pushes an authorization request.
func (c Web) Push() string { return c.with(authorizationRequest()...) }

// Redeem is the form that redeems a code.
func (c Web) Redeem(code string) string {
	return c.with(oauth.ParamGrantType, string(oauth.GrantAuthorizationCode), oauth.ParamCode, code, oauth.ParamCodeVerifier, verifier, oauth.ParamRedirectURI, Redirect)
}

// Refresh is the form that presents a refresh token.
func (c Web) Refresh(token string) string {
	return c.with(oauth.ParamGrantType, string(oauth.GrantRefreshToken), oauth.ParamRefreshToken, token)
}

// About is the form that asks about a token, or revokes it.
func (c Web) About(token string) string { return c.with(oauth.ParamToken, token) }

func (c Web) with(pairs ...string) string {
	v := url.Values{}
	for name, values := range c.form {
		v[name] = values
	}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// Tokens are those of an answer.
type Tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// ReadTokens reads the answer of the token endpoint; a grant of a person has a refresh
// token, too.
func ReadTokens(body []byte, refresh bool) (Tokens, error) {
	var t Tokens
	if err := json.Unmarshal(body, &t); err != nil {
		return Tokens{}, errors.New("an answer that is no JSON")
	}
	if t.Access == "" || refresh && t.Refresh == "" {
		return Tokens{}, errors.New("an answer without a token")
	}
	return t, nil
}

// ReadRequestURI reads the answer to a pushed request.
func ReadRequestURI(body []byte) (string, error) {
	var a oauth.PushedResponse
	if json.Unmarshal(body, &a) != nil || a.RequestURI == "" {
		return "", errors.New("an answer without a request_uri")
	}
	return a.RequestURI, nil
}

// ReadActive checks that an answer of the introspection endpoint says active.
func ReadActive(body []byte, want bool) error {
	var a struct{ Active *bool }
	if json.Unmarshal(body, &a) != nil || a.Active == nil || *a.Active != want {
		return fmt.Errorf("a token is not said to have active %t", want)
	}
	return nil
}
