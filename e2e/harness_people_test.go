package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/oauth"
)

const (
	appURL   = "https://app.example.com/cb"
	password = "correct horse battery staple"
)

// personEvents are the audit lines of people, whose requests are not counted as
// those of callers are.
var personEvents = []string{
	audit.EventAuthorize, audit.EventLogin, audit.EventConsent, audit.EventConsentWithdraw, audit.EventLogout,
	audit.EventUserAdd, audit.EventUserPassword, audit.EventUserRemove,
}

// A town is a server at which people sign in, with a password or at a provider.
type town struct {
	*server
	td       *domain
	provider *provider
}

// newTown has the local user alice, and a public client and one with an SVID that
// people sign in for. more goes into the entry of the provider.
func newTown(t *testing.T, more string) *town {
	t.Helper()
	w := &town{td: newDomain(t, "example.org", devca.Options{}), provider: newProvider(t)}
	w.server = prepare(t, `
resources:
  - resource: https://api.example.com/
    scopes: [read, write]
    title: The bookings of Example Travel
    scope_titles: {read: See your bookings, write: Change and cancel your bookings}
  - {resource: https://ledger.example.com/, scopes: [audit]}
clients:
  - {client_id: travel, client_name: Travel Planner, token_endpoint_auth_method: none, grant_types: [authorization_code, refresh_token], redirect_uris: ["`+appURL+`", "https://app.example.com/onward"], resources: ["https://api.example.com/"], scope: read write}
  - {client_id: desk, client_name: Desk Tool, token_endpoint_auth_method: none, grant_types: [authorization_code], redirect_uris: ["http://127.0.0.1:7777/cb"], resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://example.org/web", token_endpoint_auth_method: spiffe_jwt, grant_types: [client_credentials, authorization_code, refresh_token], redirect_uris: ["`+appURL+`"], resources: ["https://api.example.com/", "https://ledger.example.com/"], scope: read write audit}
login:
  local: true
  oidc:
    - {name: corp, title: Example Corp, issuer: "`+w.provider.issuer()+`", client_id: svidgate, client_secret_file: corp.secret, ca_file: ca.pem`+more+`}
`+adminAt(shortFolder(t)), w.td)
	if err := os.WriteFile(filepath.Join(w.dir, "corp.secret"), []byte(w.provider.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	w.addUser(t, "alice")
	return w
}

func (w *town) addUser(t *testing.T, name string) {
	t.Helper()
	secrets.add("password", password)
	file := filepath.Join(w.dir, "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := w.done(t, "user", "add", name, "--password-file", file); !strings.Contains(out, "local:"+name) {
		t.Errorf("user add says %q", out)
	}
}

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636 appendix B
	state    = "0123456789012345678901234567890123456789012345678901234567890123"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asking is the query of a good authorization request of travel, with changes.
func asking(pairs ...string) string {
	return changed(url.Values{
		"response_type": {"code"}, "client_id": {"travel"}, "redirect_uri": {appURL}, "state": {state}, "scope": {"read"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}, pairs).Encode()
}

// changed sets values by name, in pairs; an empty one is taken away.
func changed(v url.Values, pairs []string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// A person has a browser without script that keeps cookies and stops at every
// redirect.
type person struct {
	*http.Client
	w      *town
	header http.Header // more of every request
}

func (w *town) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := &net.Dialer{Timeout: patience}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: serverCA().Pool()},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "as.example.com:443" {
				address = w.addresses["public"]
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &person{Client: &http.Client{
		Transport: transport, Jar: jar, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, w: w, header: http.Header{}}
}

// A view is what a person sees.
type view struct {
	status   int
	header   http.Header
	body     string
	url      *url.URL
	location string // absolute
}

func (p *person) get(t *testing.T, address string) view {
	t.Helper()
	return p.do(t, http.MethodGet, address, nil)
}

func (p *person) post(t *testing.T, address string, form url.Values) view {
	t.Helper()
	return p.do(t, http.MethodPost, address, form)
}

func (p *person) do(t *testing.T, method, address string, form url.Values) view {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = issuer + address
	}
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range p.header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := p.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	v := view{status: resp.StatusCode, header: resp.Header, body: string(data), url: resp.Request.URL}
	if l, err := resp.Location(); err == nil {
		v.location = l.String()
	}
	for _, c := range resp.Cookies() {
		if len(c.Value) >= window {
			secrets.add("cookie", c.Value)
		}
	}
	return v
}

// walk follows redirects until there is a page, or one leads to a client.
func (p *person) walk(t *testing.T, v view) view {
	t.Helper()
	for range 10 {
		if v.location == "" || strings.HasPrefix(v.location, appURL) || strings.HasPrefix(v.location, "http://") {
			return v
		}
		v = p.get(t, v.location)
	}
	t.Fatal("redirects go round in a circle")
	return v
}

var (
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)"`)
	linkTo      = regexp.MustCompile(`href="([^"]*)"`)
)

// form is what the hidden fields of the first form of a page carry, with more.
func (v view) form(pairs ...string) url.Values {
	form := url.Values{}
	first, _, _ := strings.Cut(v.body, "</form>")
	for _, m := range hiddenField.FindAllStringSubmatch(first, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// link is the first link of a page that has this in it.
func (v view) link(t *testing.T, part string) string {
	t.Helper()
	for _, m := range linkTo.FindAllStringSubmatch(v.body, -1) {
		if link := html.UnescapeString(m[1]); strings.Contains(link, part) {
			return link
		}
	}
	t.Fatalf("there is no link with %q in\n%s", part, v.body)
	return ""
}

// heading is the one of the page.
func (v view) heading() string {
	_, rest, _ := strings.Cut(v.body, "<h1>")
	heading, _, _ := strings.Cut(rest, "</h1>")
	return html.UnescapeString(heading)
}

// says checks what page there is.
func (v view) says(t *testing.T, status int, heading string, sentences ...string) {
	t.Helper()
	if v.status != status || v.heading() != heading {
		t.Errorf("there is status %d, heading %q, location %q, want %d, %q\n%s", v.status, v.heading(), v.location, status, heading, v.body)
	}
	for _, s := range sentences {
		if !strings.Contains(html.UnescapeString(v.body), s) {
			t.Errorf("the page does not say %q:\n%s", s, v.body)
		}
	}
	v.headers(t)
}

// headers are those of AZ-11 and GL-6.
func (v view) headers(t *testing.T) {
	t.Helper()
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := v.header.Get(name); got != want {
			t.Errorf("AZ-11 %s is %q, want %q", name, got, want)
		}
	}
	csp := v.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'", "form-action 'self'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("AZ-11 the policy %q has no %s", csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(v.body, "<script") || strings.Contains(v.body, "style=") {
		t.Errorf("AZ-11 a page with script or style in it, policy %q", csp)
	}
	if v.header.Get("Request-Id") == "" || v.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("AZ-1 headers %v", v.header)
	}
}

// signIn brings a person with the password of alice to the page after it.
func (p *person) signIn(t *testing.T, query string) view {
	t.Helper()
	v := p.get(t, "/authorize?"+query)
	v.says(t, http.StatusOK, "Sign in")
	return p.walk(t, p.post(t, "/login", v.form("user", "alice", "password", password)))
}

// allow signs in, allows, and is back at the client.
func (p *person) allow(t *testing.T, query string) url.Values {
	t.Helper()
	v := p.signIn(t, query)
	v.says(t, http.StatusOK, "Allow access?")
	return p.atClient(t, p.post(t, "/consent", v.form("decision", "allow")))
}

// atClient checks a redirect to the client, and is its query.
func (p *person) atClient(t *testing.T, v view) url.Values {
	t.Helper()
	u, err := url.Parse(v.location)
	if err != nil || v.status != http.StatusSeeOther || !strings.HasPrefix(v.location, appURL+"?") {
		t.Fatalf("AZ-10 status %d to %q\n%s", v.status, v.location, v.body)
	}
	v.headers(t)
	q := u.Query()
	if q.Get("iss") != issuer || q.Get("state") != state {
		t.Errorf("IS-1 AZ-9 the answer is %v", q)
	}
	if code := q.Get("code"); code != "" {
		secrets.add("code", code)
	}
	return q
}

// decided are the audit lines of people so far, as event, outcome and reason.
func (w *town) said(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, l := range w.record.all(t) {
		for _, event := range personEvents {
			if l.text("event") == event && !strings.HasPrefix(event, "user_") {
				all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", event, l.text("outcome"), l.text("reason"))))
			}
		}
	}
	return all
}

// asExample checks that the last line is what docs/reason-codes.md says of its reason.
func (w *town) asExample(t *testing.T) {
	t.Helper()
	l := w.last(t)
	want := reasonexample.Of(oauth.Reason(l.text("reason")))
	known := strings.NewReplacer(w.provider.issuer(), "https://login.example.com")
	if got := (reasonexample.Example{Rule: l.text("rule"), Expected: known.Replace(l.text("expected")), Presented: known.Replace(l.text("presented"))}); got != want {
		t.Errorf("%s is refused with %+v, and the example is %+v", l.text("reason"), got, want)
	}
}

// last is the last audit line of people.
func (w *town) last(t *testing.T) line {
	t.Helper()
	all := w.record.all(t)
	if len(all) == 0 {
		t.Fatal("there is no audit line")
	}
	return all[len(all)-1]
}
