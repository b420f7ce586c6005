package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// TestAuthorizeWithPassword: sign-in, consent, and the code; the second time nothing
// is asked (AZ-8, AZ-9, AZ-10, AZ-11, IS-1).
func TestAuthorizeWithPassword(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	q := p.allow(t, asking())
	if q.Get("code") == "" || q.Has("error") {
		t.Errorf("the client got %v", q)
	}
	if last := w.last(t); last.text("event") != "authorize" || last.text("outcome") != "granted" || last.text("subject") != "local:alice" || last.text("client_id") != "travel" ||
		last.text("scope") != "read" || last.text("resource") != apiURL || last.text("endpoint") != "/consent" {
		t.Errorf("the audit line is %v", last)
	}
	if again := p.atClient(t, p.walk(t, p.get(t, "/authorize?"+asking()))); again.Get("code") == "" || again.Get("code") == q.Get("code") {
		t.Errorf("the client got %v", again)
	}
	more := p.walk(t, p.get(t, "/authorize?"+asking("scope", "read write")))
	more.says(t, http.StatusOK, "Allow access?", "Travel Planner", "The bookings of Example Travel", "See your bookings", "Change and cancel your bookings", "local:alice", "app.example.com")
	if !strings.Contains(more.header.Get("Content-Security-Policy"), "form-action 'self' https:;") {
		t.Errorf("the policy is %q", more.header.Get("Content-Security-Policy"))
	}
	if got, want := w.said(t), []string{"login granted", "consent granted", "authorize granted", "authorize granted"}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// An app on somebody's own device is taken for another easily: consent is never
// remembered for it (BC-4).
func TestDeviceAppIsAlwaysAsked(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	query := asking("client_id", "desk", "redirect_uri", "http://127.0.0.1:4444/cb")
	v := p.signIn(t, query)
	for range 2 {
		v.says(t, http.StatusOK, "Allow access?", "an app on this device", "you are asked each time")
		done := p.post(t, "/consent", v.form("decision", "allow"))
		if done.status != http.StatusSeeOther || !strings.HasPrefix(done.location, "http://127.0.0.1:4444/cb?code=") {
			t.Fatalf("status %d to %q", done.status, done.location)
		}
		v = p.get(t, "/authorize?"+query)
	}
}

// TestAuthorizeRefuses: what the person sees and what the client is told (AZ-8).
func TestAuthorizeRefuses(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	for name, row := range map[string]struct {
		query, code string // of the error at the client; empty for a page
		reason      string
	}{
		"AZ-8 unknown client":           {asking("client_id", "nobody"), "", "client_not_found"},
		"AZ-8 other redirect URI":       {asking("redirect_uri", appURL+"/"), "", "redirect_uri_mismatch"},
		"AK-21 redirect URI in a query": {asking("redirect_uri", "https://evil.example.com/?"+appURL), "", "redirect_uri_mismatch"},
		"AZ-2 other response type":      {asking("response_type", "token"), "unsupported_response_type", "response_type_unsupported"},
		"AZ-3 no challenge":             {asking("code_challenge", ""), "invalid_request", "code_challenge_bad"},
		"excess scope":                  {asking("scope", "read admin"), "invalid_scope", "scope_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			v := p.get(t, "/authorize?"+row.query)
			if row.code == "" {
				v.says(t, 400, "This did not work", v.header.Get("Request-Id"))
				if v.location != "" || strings.Contains(v.body, "evil") {
					t.Errorf("BC-4 it leads to %q, or repeats what was sent:\n%s", v.location, v.body)
				}
			} else if q := p.atClient(t, v); q.Get("error") != row.code || q.Has("code") {
				t.Errorf("the client got %v", q)
			}
			if last := w.last(t); last.text("event") != "authorize" || last.text("reason") != row.reason || last.text("request_id") != v.header.Get("Request-Id") {
				t.Errorf("the audit line is %v", last)
			}
		})
	}
}

// TestDenied: the person says no, and the client is told (AZ-8).
func TestDenied(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	v := p.signIn(t, asking())
	if q := p.atClient(t, p.post(t, "/consent", v.form("decision", "deny"))); q.Get("error") != "access_denied" || q.Has("code") {
		t.Errorf("the client got %v", q)
	}
	w.asExample(t)
	if last := w.last(t); last.text("event") != "consent" || last.text("reason") != "consent_denied" || last.text("subject") != "local:alice" {
		t.Errorf("the audit line is %v", last)
	}
	p.get(t, "/authorize?"+asking()).says(t, http.StatusOK, "Allow access?") // and asked again
	p.post(t, "/consent", v.form("decision", "maybe")).says(t, http.StatusBadRequest, "This did not work")
}

// TestDeniedPushed: a pushed request is completed by a refusal, too (PA-4).
func TestDeniedPushed(t *testing.T) {
	w := newTown(t, "")
	query := w.push(t)
	p := w.person(t)
	v := p.signIn(t, query)
	v.says(t, http.StatusOK, "Allow access?")
	form := v.form("decision", "deny")
	if q := p.atClient(t, p.post(t, "/consent", form)); q.Get("error") != "access_denied" {
		t.Errorf("the client got %v", q)
	}
	p.get(t, "/authorize?"+query).says(t, http.StatusBadRequest, "This did not work", "This link was used already")
	for _, decision := range []string{"deny", "allow"} {
		form.Set("decision", decision)
		p.post(t, "/consent", form).says(t, http.StatusBadRequest, "This did not work", "This link was used already")
	}
	v = p.get(t, "/authorize?"+w.push(t)) // its twin
	if q := p.atClient(t, p.post(t, "/consent", v.form("decision", "allow"))); q.Get("code") == "" {
		t.Errorf("the client got %v", q)
	}
}

// push is the query of an authorization request that a workload pushed.
func (w *town) push(t *testing.T) string {
	t.Helper()
	const web = "spiffe://example.org/web"
	c := withJWT(web, w.td.jwt(t, "/web", issuer))
	c.target = "/par"
	for name, values := range must(url.ParseQuery(asking("client_id", web, "resource", apiURL))) {
		c.set(name, values[0])
	}
	a := w.do(t, c)
	var pushed oauth.PushedResponse
	if err := json.Unmarshal(a.body, &pushed); err != nil || a.status != http.StatusCreated {
		t.Fatalf("PA-2 status %d %s", a.status, a.body)
	}
	return url.Values{"client_id": {web}, "request_uri": {pushed.RequestURI}}.Encode()
}

// edit replaces a piece of the configuration and has it in force.
func (w *town) edit(t *testing.T, old, new string) {
	t.Helper()
	before := string(must(os.ReadFile(filepath.Join(w.dir, "svidgate.yaml"))))
	if strings.Count(before, old) != 1 {
		t.Fatalf("%q is not in the configuration once:\n%s", old, before)
	}
	w.replace(t, "svidgate.yaml", []byte(strings.Replace(before, old, new, 1)))
	if out := w.done(t, "reload"); out != "the configuration is in force\n" {
		t.Errorf("%q", out)
	}
}

// TestConsentIsForWhatWasShown: when the configuration asks for something else by the
// time that a person answers, they are asked again (AZ-12).
func TestConsentIsForWhatWasShown(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	v := p.signIn(t, asking("scope", ""))
	v.says(t, http.StatusOK, "Allow access?", "See your bookings", "Change and cancel your bookings")
	for _, change := range [][2]string{
		{"resources: [\"https://api.example.com/\"], scope: read write}", "resources: [\"https://api.example.com/\"], scope: write}"},
		{"write: Change and cancel your bookings", "write: Sell all that you have"},
		{"title: The bookings of Example Travel", "title: Your house"},
		{"client_name: Travel Planner", "client_name: Bank"},
	} {
		w.edit(t, change[0], change[1])
		for _, decision := range []string{"allow", "deny"} {
			p.walk(t, p.post(t, "/consent", v.form("decision", decision))).says(t, http.StatusOK, "Allow access?")
		}
		v = p.walk(t, p.post(t, "/consent", v.form("decision", "allow")))
	}
	v.says(t, http.StatusOK, "Allow access?", "Sell all that you have", "Your house", "Bank")
	form := v.form("decision", "allow")
	form.Del("shown")
	p.walk(t, p.post(t, "/consent", form)).says(t, http.StatusOK, "Allow access?")
	if q := p.atClient(t, p.post(t, "/consent", v.form("decision", "allow"))); q.Get("code") == "" {
		t.Errorf("the client got %v", q)
	}
}

// TestWayOfSigningInTakenAway: with it go the refresh tokens of its people, while
// it is away (RT-6); others' stay.
func TestWayOfSigningInTakenAway(t *testing.T) {
	w := newTown(t, "")
	redeem := func(q url.Values) string {
		t.Helper()
		a := w.do(t, call{form: url.Values{"grant_type": {"authorization_code"}, "client_id": {"travel"}, "code": {q.Get("code")}, "code_verifier": {verifier}}})
		if a.status != http.StatusOK || a.token.RefreshToken == "" {
			t.Fatalf("the code gives %d %s", a.status, a.body)
		}
		return secrets.add("refresh token", string(a.token.RefreshToken))
	}
	alice := redeem(w.person(t).allow(t, asking()))
	p := w.person(t)
	v := p.atProvider(t, asking(), "bob")
	bob := redeem(p.atClient(t, p.post(t, "/consent", v.form("decision", "allow"))))
	refresh := func(token *string, want bool) {
		t.Helper()
		c := call{form: form("grant_type", "refresh_token", "client_id", "travel", "refresh_token", *token)}
		if !want {
			w.refused(t, c, refusal{"invalid_grant", oauth.ReasonGrantRevoked, "RT-6"})
			return
		}
		a := w.do(t, c)
		if a.status != http.StatusOK {
			t.Fatalf("a refresh gives %d %s", a.status, a.body)
		}
		*token = secrets.add("refresh token", string(a.token.RefreshToken))
	}
	refresh(&alice, true)
	refresh(&bob, true)
	w.edit(t, "name: corp,", "name: other,")
	refresh(&alice, true)
	refresh(&bob, false)
	w.edit(t, "name: other,", "name: corp,")
	w.edit(t, "local: true", "local: false")
	refresh(&alice, false)
	refresh(&bob, true)
	w.edit(t, "local: false", "local: true")
	refresh(&alice, true)
}

// TestWrongPassword: a wrong password and an unknown user look the same, and after
// some of them there is a pause (GL-16).
func TestWrongPassword(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	v := p.get(t, "/authorize?"+asking())
	try := func(user, password string) view {
		return p.post(t, "/login", v.form("user", user, "password", password))
	}
	wrong := try("alice", "something else entirely")
	wrong.says(t, http.StatusForbidden, "Sign in", "The user name or the password is wrong.", "Travel Planner")
	w.asExample(t)
	unknown := try("mallory", "something else entirely")
	if strings.ReplaceAll(unknown.body, "mallory", "alice") != wrong.body || unknown.status != wrong.status {
		t.Error("an unknown user looks otherwise")
	}
	if last := w.last(t); last.text("reason") != "password_wrong" || last.text("provider") != "local" || last.text("subject") != "" || strings.Contains(last.text("presented"), "mallory") {
		t.Errorf("the audit line is %v", last)
	}
	if !strings.Contains(wrong.body, "<title>Error: Sign in") || !strings.Contains(wrong.body, `role="alert"`) {
		t.Error("the page does not begin with what is wrong")
	}
	right := try(" Alice ", password)
	if right.status != http.StatusSeeOther { // as a phone writes it
		t.Errorf("GL-16 after one failure: status %d", right.status)
	}
	for _, user := range []string{"mallory", "alice"} {
		q := w.person(t)
		for range 6 {
			wrong = q.post(t, "/login", v.form("user", user, "password", "something else entirely"))
		}
		wrong.says(t, http.StatusTooManyRequests, "Sign in", "There were too many tries.")
		if wrong.header.Get("Retry-After") == "" {
			t.Error("GL-16 there is no Retry-After")
		}
	}
	q := w.person(t)
	if locked := q.post(t, "/login", v.form("user", "alice", "password", password)); locked.status != http.StatusTooManyRequests {
		t.Errorf("GL-16 the right password within the pause: status %d", locked.status)
	}
	if last := w.last(t); last.text("reason") != "rate_limited" {
		t.Errorf("the audit line is %v", last)
	}
}

// TestOtherSites: forms and links of other sites do nothing, and what Host and
// X-Forwarded-Host say leads nowhere (AK-20, PX-7).
func TestOtherSites(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	v := p.signIn(t, asking())
	for name, header := range map[string]http.Header{
		"Sec-Fetch-Site": {"Sec-Fetch-Site": {"cross-site"}},
		"same-site":      {"Sec-Fetch-Site": {"same-site"}},
		"Origin":         {"Origin": {"https://evil.example.com"}},
		"null":           {"Origin": {"null"}},
	} {
		p.header = header
		for _, path := range []string{"/consent", "/login", "/logout", "/account"} {
			p.post(t, path, v.form("decision", "allow", "user", "alice", "password", password)).says(t, http.StatusBadRequest, "This did not work", "did not come from this site")
			if last := w.last(t); last.text("reason") != "cross_origin" {
				t.Errorf("%s: the audit line is %v", name, last)
			}
		}
	}
	p.header = http.Header{"Sec-Fetch-Site": {"cross-site"}}
	w.asExample(t)
	p.get(t, "/login/start?provider=corp").says(t, http.StatusBadRequest, "This did not work")
	p.header = http.Header{"X-Forwarded-Host": {"evil.example.com"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"host=evil.example.com"}}
	stranger := w.person(t)
	stranger.header = p.header
	page := stranger.get(t, "/authorize?"+asking())
	if next := stranger.post(t, "/login", page.form("user", "alice", "password", password)); !strings.HasPrefix(next.location, issuer+"/consent?") {
		t.Errorf("AK-20 it leads to %q", next.location)
	}
	p.header = http.Header{"Origin": {issuer}}
	if q := p.atClient(t, p.post(t, "/consent", v.form("decision", "allow"))); q.Get("code") == "" {
		t.Errorf("the twin that is accepted: %v", q)
	}
}

// TestSteps: going back, loading again, sending twice and two tabs each lead on.
func TestSteps(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	first := p.get(t, "/authorize?"+asking())
	p.get(t, "/authorize?"+asking()).says(t, http.StatusOK, "Sign in") // loaded again
	consent := p.walk(t, p.post(t, "/login", first.form("user", "alice", "password", password)))
	second := p.walk(t, p.post(t, "/login", first.form("user", "alice", "password", password))) // sent twice
	second.says(t, http.StatusOK, "Allow access?")
	// The first page was made for the session before: it asks again and does nothing.
	p.walk(t, p.post(t, "/consent", consent.form("decision", "allow"))).says(t, http.StatusOK, "Allow access?")
	// Two tabs with one session, each with its own answer.
	for range 2 {
		if q := p.atClient(t, p.post(t, "/consent", second.form("decision", "allow"))); q.Get("code") == "" {
			t.Errorf("the client got %v", q)
		}
	}
	// Somebody else in another tab.
	w.addUser(t, "carol")
	p.walk(t, p.post(t, "/login", first.form("user", "carol", "password", password))).says(t, http.StatusOK, "Allow access?", "local:carol")
	p.walk(t, p.post(t, "/consent", second.form("decision", "allow"))).says(t, http.StatusOK, "Allow access?", "local:carol")
	// Nonsense in place of what is carried.
	for _, kept := range []string{"", "x", "1.client_id=travel", "99999999999.client_id=travel"} {
		form := second.form("decision", "allow")
		form.Set("request", kept)
		p.post(t, "/consent", form).says(t, http.StatusBadRequest, "This did not work")
	}
}

// TestSessions: a session is of one browser, begins anew with each sign-in, and ends
// by signing out, by an operator, and with its user.
func TestSessions(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	here, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	cookie := func(p *person) string {
		for _, c := range p.Jar.Cookies(here) {
			if c.Name == "__Host-svidgate" {
				return c.Value
			}
		}
		return ""
	}
	page := p.get(t, "/login")
	// Fixation: what a browser brings is never what it gets.
	p.Jar.SetCookies(here, []*http.Cookie{{Name: "__Host-svidgate", Value: strings.Repeat("A", 43), Secure: true, Path: "/"}})
	done := p.post(t, "/login", page.form("user", "alice", "password", password))
	if done.location != issuer+"/account" {
		t.Errorf("it leads to %q", done.location)
	}
	set := done.header.Get("Set-Cookie")
	for _, part := range []string{"__Host-svidgate=", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		if !strings.Contains(set, part) {
			t.Errorf("the cookie %q has no %s", set, part)
		}
	}
	before := cookie(p)
	if before == strings.Repeat("A", 43) || len(before) != 43 {
		t.Errorf("the cookie is %q", before)
	}
	account := p.get(t, "/account")
	account.says(t, http.StatusOK, "Your account", "local:alice")
	p.post(t, "/login", page.form("user", "alice", "password", password))
	old := w.person(t)
	old.Jar.SetCookies(here, []*http.Cookie{{Name: "__Host-svidgate", Value: before, Secure: true, Path: "/"}})
	old.get(t, "/account").says(t, http.StatusOK, "Sign in") // the one before has ended
	p.get(t, "/account").says(t, http.StatusOK, "Your account")

	signOut := p.get(t, "/logout")
	signOut.says(t, http.StatusOK, "Sign out?")
	p.walk(t, p.post(t, "/logout", signOut.form())).says(t, http.StatusOK, "You are signed out")
	p.get(t, "/account").says(t, http.StatusOK, "Sign in")

	for _, end := range [][]string{{"signout", "alice"}, {"password", "alice", "--password-file", w.dir + "/password"}, {"remove", "alice"}} {
		p.post(t, "/login", page.form("user", "alice", "password", password))
		p.get(t, "/account").says(t, http.StatusOK, "Your account")
		w.done(t, append([]string{"user"}, end...)...)
		p.get(t, "/account").says(t, http.StatusOK, "Sign in")
	}
	p.post(t, "/login", page.form("user", "alice", "password", password)).says(t, http.StatusForbidden, "Sign in")
}

// TestConsentsAreRevocable by the person and by an operator; refresh tokens end with
// them.
func TestConsentsAreRevocable(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	redeem := func(q url.Values) string {
		t.Helper()
		a := w.do(t, call{form: url.Values{"grant_type": {"authorization_code"}, "client_id": {"travel"}, "code": {q.Get("code")}, "code_verifier": {verifier}, "redirect_uri": {appURL}}})
		if a.status != http.StatusOK || a.token.RefreshToken == "" {
			t.Fatalf("the code gives %d %s", a.status, a.body)
		}
		secrets.add("refresh token", string(a.token.RefreshToken))
		return string(a.token.RefreshToken)
	}
	refresh := func(token string) int {
		t.Helper()
		return w.do(t, call{form: url.Values{"grant_type": {"refresh_token"}, "client_id": {"travel"}, "refresh_token": {token}}}).status
	}
	token := redeem(p.allow(t, asking()))
	account := p.get(t, "/account")
	account.says(t, http.StatusOK, "Your account", "Travel Planner", "The bookings of Example Travel", "See your bookings", "since "+time.Now().UTC().Format("2 January 2006"))
	if got := asJSON[[]map[string]any](t, w.server, "user", "consents", "alice"); len(got) != 1 || got[0]["client_id"] != "travel" {
		t.Errorf("the operator sees %v", got)
	}
	p.walk(t, p.post(t, "/account", account.form("client", "travel"))).says(t, http.StatusOK, "Your account", "The app was removed.")
	if got := refresh(token); got != http.StatusBadRequest {
		t.Errorf("RT-3 after the consent was taken back: status %d", got)
	}
	v := p.get(t, "/authorize?"+asking())
	v.says(t, http.StatusOK, "Allow access?")
	token = redeem(p.atClient(t, p.post(t, "/consent", v.form("decision", "allow"))))
	if out := w.done(t, "user", "withdraw", "alice", "travel"); !strings.Contains(out, "consents 1, grants 1") {
		t.Errorf("it says %q", out)
	}
	if got := refresh(token); got != http.StatusBadRequest {
		t.Errorf("after the operator took it back: status %d", got)
	}
	p.get(t, "/authorize?"+asking()).says(t, http.StatusOK, "Allow access?")
}

// TestNobodySignsIn: without login there is no authorization endpoint, and the
// metadata does not say that there is.
func TestNobodySignsIn(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/authorize", "/login", "/consent", "/account", "/logout"} {
		if a := w.do(t, call{method: http.MethodGet, target: path, silent: true}); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	if a := w.do(t, call{method: http.MethodGet, target: "/.well-known/oauth-authorization-server", silent: true}); strings.Contains(string(a.body), "authorization_endpoint") {
		t.Errorf("the metadata is %s", a.body)
	}
}

// TestUserCommands: what an operator does with local users, and what the commands
// refuse.
func TestUserCommands(t *testing.T) {
	w := newTown(t, "")
	file := w.dir + "/password"
	short := w.dir + "/short"
	if err := os.WriteFile(short, []byte("too short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, "there is a user of that name", "user", "add", "alice", "--password-file", file)
	w.refuses(t, "at least 12 characters", "user", "add", "bob", "--password-file", short)
	w.refuses(t, "nobody can be asked for the password here", "user", "add", "bob")
	w.refuses(t, "the name of a user must be", "user", "add", "spiffe://example.org/a", "--password-file", file) // CC-3
	w.refuses(t, "there is no user nobody", "user", "remove", "nobody")
	w.refuses(t, "there is no user nobody", "user", "password", "nobody", "--password-file", file)
	type user struct {
		Name, Subject    string
		Created          time.Time
		Password_Changed time.Time
	}
	if all := asJSON[[]user](t, w.server, "user", "list"); len(all) != 1 || all[0].Name != "alice" || all[0].Subject != "local:alice" || all[0].Created.IsZero() {
		t.Errorf("the users are %+v", all)
	}
	if out := w.done(t, "user", "list"); !strings.Contains(out, "local:alice") {
		t.Errorf("the list is %q", out)
	}
	if out, errs, code := commandWith(t, w.dir, nil, []byte(password), "user", "add", "bob", "--password-file", "-", "--json", "--socket", w.socket(t)); code != 0 || !strings.Contains(out, `"local:bob"`) {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
	ended := asJSON[map[string]int](t, w.server, "user", "remove", "bob")
	if len(ended) != 3 || ended["sessions"] != 0 {
		t.Errorf("ended %v", ended)
	}
	var events []string
	for _, l := range w.record.all(t) {
		if strings.HasPrefix(l.text("event"), "user_") {
			events = append(events, l.text("event")+" "+l.text("subject"))
		}
	}
	if want := []string{"user_add local:alice", "user_add local:bob", "user_remove local:bob"}; !slices.Equal(events, want) {
		t.Errorf("recorded %q, want %q", events, want)
	}
}
