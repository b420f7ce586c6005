package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// atProvider goes to the provider, where somebody says who they are, and comes back.
func (p *person) atProvider(t *testing.T, query, who string) view {
	t.Helper()
	time.Sleep(80 * time.Millisecond) // no more of them in a second than one address may begin
	v := p.get(t, "/authorize?"+query)
	v.says(t, http.StatusOK, "Sign in", "Continue with Example Corp")
	v = p.get(t, v.link(t, "/login/start"))
	if !strings.HasPrefix(v.location, p.w.provider.issuer()+"/authorize?") {
		return v // it went wrong before
	}
	v = p.post(t, v.location, url.Values{"who": {who}})
	return p.walk(t, v)
}

// webWorkload is a token request of a workload.
func (w *town) webWorkload(t *testing.T) call {
	c := withJWT(w.td.id("/web"), w.td.jwt(t, "/web", issuer))
	c.set("resource", apiURL)
	return c
}

// claimsIn are the claims of a JWT, whoever signed it.
func claimsIn(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(secrets.jwt(token), ".")[1])
	if err == nil {
		err = json.Unmarshal(body, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestSignInAtProvider: who somebody is comes from the ID token (AZ-12, CC-3).
func TestSignInAtProvider(t *testing.T) {
	w := newTown(t, "")
	p := w.person(t)
	v := p.atProvider(t, asking(), "bob")
	v.says(t, http.StatusOK, "Allow access?", "Bob Builder", "corp:4711")
	if last := w.last(t); last.text("event") != "login" || last.text("outcome") != "granted" || last.text("provider") != "corp" || last.text("subject") != "corp:4711" {
		t.Errorf("the audit line is %v", last)
	}
	q := p.atClient(t, p.post(t, "/consent", v.form("decision", "allow")))
	a := w.do(t, call{form: url.Values{"grant_type": {"authorization_code"}, "client_id": {"travel"}, "code": {q.Get("code")}, "code_verifier": {verifier}}})
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	claims := claimsIn(t, string(a.token.AccessToken))
	if claims["sub"] != "corp:4711" || claims["acr"] != "urn:example:silver" || claims["auth_time"] == nil || len(claims["amr"].([]any)) != 2 {
		t.Errorf("AT-3 CC-3 the token has %v", claims)
	}
	// The provider's endpoints and keys are asked for once.
	w.person(t).atProvider(t, asking("scope", "write"), "bob").says(t, http.StatusOK, "Allow access?")
	for _, path := range []string{"/.well-known/openid-configuration", "/keys"} {
		if n := w.provider.times(path); n != 1 {
			t.Errorf("%s was asked for %d times", path, n)
		}
	}
}

// TestLongNames: the longest name that a provider may give gets to the token, and
// when somebody signed in is in it only where the provider says (AT-3, CC-3).
func TestLongNames(t *testing.T) {
	w := newTown(t, "")
	for n, name := range []string{"4711", strings.Repeat("n", 255)} {
		w.provider.does(fault{claims: func(c map[string]any) {
			if c["sub"] = name; n > 0 {
				delete(c, "auth_time")
			}
		}})
		p := w.person(t)
		v := p.atProvider(t, asking(), "bob")
		v.says(t, http.StatusOK, "Allow access?", "corp:"+name)
		q := p.atClient(t, p.post(t, "/consent", v.form("decision", "allow")))
		a := w.do(t, call{form: url.Values{"grant_type": {"authorization_code"}, "client_id": {"travel"}, "code": {q.Get("code")}, "code_verifier": {verifier}}})
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		claims := claimsIn(t, string(a.token.AccessToken))
		if _, said := claims["auth_time"]; claims["sub"] != "corp:"+name || said != (n == 0) {
			t.Errorf("AT-3 CC-3 the token has %v", claims)
		}
	}
	w.provider.does(fault{claims: func(c map[string]any) { c["sub"] = strings.Repeat("n", 256) }})
	w.person(t).atProvider(t, asking(), "bob").says(t, http.StatusBadRequest, "This did not work", "gave an answer that cannot be trusted")
}

// TestProviderFaults: whatever a provider does, the person sees a page that says so
// and leads on, the operator a reason, and workloads notice nothing.
func TestProviderFaults(t *testing.T) {
	w := newTown(t, ", claims: {user: email}, allow: [{claim: groups, values: [dev]}]")
	const (
		cannotBeTrusted = "gave an answer that cannot be trusted"
		doesNotAnswer   = "does not answer"
	)
	at := func(path string, serve func(http.ResponseWriter, *http.Request)) fault {
		return fault{serve: func(wr http.ResponseWriter, r *http.Request, next func()) {
			if r.URL.Path != path {
				next()
				return
			}
			serve(wr, r)
		}}
	}
	text := func(status int, kind, body string) func(http.ResponseWriter, *http.Request) {
		return func(wr http.ResponseWriter, _ *http.Request) {
			wr.Header().Set("Content-Type", kind)
			wr.WriteHeader(status)
			io.WriteString(wr, body)
		}
	}
	claim := func(name string, value any) fault {
		return fault{claims: func(c map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}}
	}
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-w.provider.closed:
		}
	}
	long := strings.Repeat(" ", 2<<20)
	for _, row := range []struct {
		name     string
		fault    fault
		reason   string
		sentence string
	}{
		{"wrong nonce", claim("nonce", "another"), "id_token_bad", cannotBeTrusted},
		{"no nonce", claim("nonce", nil), "id_token_bad", cannotBeTrusted},
		{"wrong issuer", claim("iss", "https://other.example.com"), "id_token_bad", cannotBeTrusted},
		{"wrong audience", claim("aud", "somebody-else"), "id_token_bad", cannotBeTrusted},
		{"several audiences without azp", claim("aud", []string{"svidgate", "somebody-else"}), "id_token_bad", cannotBeTrusted},
		{"azp of another client", claim("azp", "somebody-else"), "id_token_bad", cannotBeTrusted},
		{"expired", claim("exp", time.Now().Add(-time.Minute).Unix()), "id_token_bad", cannotBeTrusted},
		{"GL-12 iat two minutes ahead", claim("iat", time.Now().Add(2*time.Minute).Unix()), "id_token_bad", cannotBeTrusted},
		{"no iat", claim("iat", nil), "id_token_bad", cannotBeTrusted},
		{"GL-12 nbf two minutes ahead", claim("nbf", time.Now().Add(2*time.Minute).Unix()), "id_token_bad", cannotBeTrusted},
		{"GL-11 the nonce in another spelling", fault{claims: func(c map[string]any) { c["NONCE"] = c["nonce"]; delete(c, "nonce") }}, "id_token_bad", cannotBeTrusted},
		{"GL-11 the issuer beside another spelling", fault{claims: func(c map[string]any) { c["iss"], c["i\u017f\u017f"] = "https://other.example.com", c["iss"] }}, "id_token_bad", cannotBeTrusted},
		{"at_hash of another token", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "id_token_bad", cannotBeTrusted},
		{"email not verified", claim("email_verified", false), "id_token_bad", cannotBeTrusted},
		{"user not a text", claim("email", 7), "id_token_bad", cannotBeTrusted},
		{"user with a line feed", claim("email", "a@b\nc"), "id_token_bad", cannotBeTrusted},
		{"no group that may come in", claim("groups", []string{"staff"}), "user_not_allowed", "people of your group may not sign in here"},
		{"signed with another key", fault{key: newKey()}, "id_token_bad", cannotBeTrusted},
		{"GL-10 an access token", fault{typ: "at+jwt"}, "id_token_bad", cannotBeTrusted},
		{"GL-10 a logout token", fault{typ: "application/logout+jwt"}, "id_token_bad", cannotBeTrusted},
		{"not signed", fault{token: func(string) string { return "eyJhbGciOiJub25lIn0.e30." }}, "id_token_bad", cannotBeTrusted},
		{"garbage for a token", fault{token: func(string) string { return "garbage" }}, "id_token_bad", cannotBeTrusted},
		{"no token", fault{token: func(string) string { return "" }}, "provider_answer_bad", cannotBeTrusted},
		{"garbage at the token endpoint", at("/token", text(http.StatusOK, "application/json", "<html>")), "provider_answer_bad", cannotBeTrusted},
		{"refusal at the token endpoint", at("/token", text(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`)), "provider_answer_bad", cannotBeTrusted},
		{"endless answer at the token endpoint", at("/token", text(http.StatusOK, "application/json", long)), "provider_answer_bad", cannotBeTrusted},
		{"redirect at the token endpoint", at("/token", func(wr http.ResponseWriter, r *http.Request) {
			http.Redirect(wr, r, "/other", http.StatusTemporaryRedirect)
		}), "provider_answer_bad", cannotBeTrusted},
		{"token endpoint broken", at("/token", text(http.StatusInternalServerError, "text/plain", "oops")), "provider_unavailable", doesNotAnswer},
		{"token endpoint hangs", at("/token", hangs), "provider_unavailable", doesNotAnswer},
		{"iss of another", fault{redirect: func(v url.Values) { v.Set("iss", "https://other.example.com") }}, "provider_answer_bad", cannotBeTrusted},
		{"iss missing", fault{redirect: func(v url.Values) { v.Del("iss") }}, "provider_answer_bad", cannotBeTrusted},
		{"neither code nor error", fault{redirect: func(v url.Values) { v.Del("code") }}, "provider_answer_bad", cannotBeTrusted},
		{"code twice", fault{redirect: func(v url.Values) { v.Add("code", "x") }}, "request_malformed", "cannot be given"},
		{"state of nobody", fault{redirect: func(v url.Values) { v.Set("state", strings.Repeat("A", 43)) }}, "login_expired", "took too long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w.provider.does(row.fault)
			p := w.person(t)
			v := p.atProvider(t, asking(), "bob")
			if v.status < 400 {
				t.Fatalf("status %d, %s", v.status, v.body)
			}
			v.says(t, v.status, "This did not work", row.sentence, v.header.Get("Request-Id"))
			if last := w.last(t); last.text("event") != "login" || last.text("reason") != row.reason || last.text("provider") != "corp" || last.text("subject") != "" {
				t.Errorf("the audit line is %v", last)
			}
			if a := w.do(t, w.webWorkload(t)); a.status != http.StatusOK {
				t.Errorf("meanwhile a workload gets %d %s", a.status, a.body)
			}
			if row.name == "wrong nonce" || row.reason == "user_not_allowed" {
				w.asExample(t)
			}
			w.provider.does(fault{})
			if row.reason != "request_malformed" && row.reason != "login_expired" { // what leads on does
				p.walk(t, p.get(t, v.link(t, "/consent"))).says(t, http.StatusOK, "Sign in", "Travel Planner")
			}
		})
	}
	w.provider.does(fault{typ: "application/jwt", claims: func(c map[string]any) { c["iat"], c["nbf"] = time.Now().Add(20*time.Second).Unix(), time.Now().Unix() }})
	w.person(t).atProvider(t, asking(), "bob").says(t, http.StatusOK, "Allow access?", "corp:bob@example.net")
	w.provider.does(fault{})
	w.person(t).atProvider(t, asking(), "nobody").says(t, 400, "This did not work", "did not sign you in")
	w.asExample(t)
	if last := w.last(t); last.text("reason") != "provider_refused" {
		t.Errorf("the audit line is %v", last)
	}
	// The twin that is accepted, also with another key of the provider.
	w.person(t).atProvider(t, asking(), "bob").says(t, http.StatusOK, "Allow access?", "corp:bob@example.net")
	w.provider.rotate()
	w.person(t).atProvider(t, asking(), "bob").says(t, http.StatusOK, "Allow access?", "corp:bob@example.net")
}

// TestProviderMetadata: what a provider says of itself is judged before anybody is
// sent there, and one that is away is asked again.
func TestProviderMetadata(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(w *town) (serve func(http.ResponseWriter, *http.Request))
		reason string
	}{
		{"of another issuer", func(w *town) func(http.ResponseWriter, *http.Request) {
			return func(wr http.ResponseWriter, _ *http.Request) {
				writeJSON(wr, 200, map[string]string{"issuer": "https://other.example.com", "authorization_endpoint": "https://a.example.com/", "token_endpoint": "https://a.example.com/", "jwks_uri": "https://a.example.com/"})
			}
		}, "provider_answer_bad"},
		{"with an endpoint in the clear", func(w *town) func(http.ResponseWriter, *http.Request) {
			return func(wr http.ResponseWriter, _ *http.Request) {
				writeJSON(wr, 200, map[string]string{"issuer": w.provider.issuer(), "authorization_endpoint": "javascript:alert(1)", "token_endpoint": "https://a.example.com/", "jwks_uri": "http://a.example.com/"})
			}
		}, "provider_answer_bad"},
		{"garbage", func(*town) func(http.ResponseWriter, *http.Request) {
			return func(wr http.ResponseWriter, _ *http.Request) { io.WriteString(wr, "<html>") }
		}, "provider_answer_bad"},
		{"too long", func(*town) func(http.ResponseWriter, *http.Request) {
			return func(wr http.ResponseWriter, _ *http.Request) {
				wr.Header().Set("Content-Type", "application/json")
				io.WriteString(wr, `{"issuer":"`+strings.Repeat("a", 2<<20)+`"}`)
			}
		}, "provider_answer_bad"},
		{"away", func(*town) func(http.ResponseWriter, *http.Request) {
			return func(wr http.ResponseWriter, _ *http.Request) { wr.WriteHeader(http.StatusBadGateway) }
		}, "provider_unavailable"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newTown(t, "")
			serve := row.change(w)
			w.provider.does(fault{serve: func(wr http.ResponseWriter, r *http.Request, next func()) {
				if strings.HasSuffix(r.URL.Path, "openid-configuration") {
					serve(wr, r)
					return
				}
				next()
			}})
			p := w.person(t)
			begun := time.Now()
			for range 3 {
				v := p.atProvider(t, asking(), "bob")
				v.says(t, v.status, "This did not work", "The service that you sign in at")
			}
			if last := w.last(t); last.text("reason") != row.reason || last.text("client_id") != "travel" {
				t.Errorf("the audit line is %v", last)
			}
			if row.name == "of another issuer" {
				w.asExample(t)
			}
			if n, most := w.provider.times("/.well-known/openid-configuration"), 1+int(time.Since(begun)/(5*time.Second)); n < 1 || n > most {
				t.Errorf("people who try again ask the provider %d times in %v", n, time.Since(begun))
			}
			w.provider.does(fault{})
			until(t, "a sign-in once the provider is back", func() bool {
				return p.atProvider(t, asking(), "bob").heading() == "Allow access?"
			})
			if p := w.person(t); p.signIn(t, asking()).heading() != "Allow access?" {
				t.Error("a local user notices")
			}
		})
	}
}

// TestProviderIsDown: nobody answers at its address.
func TestProviderIsDown(t *testing.T) {
	w := newTown(t, "")
	w.provider.Server.Close()
	p := w.person(t)
	p.atProvider(t, asking(), "bob").says(t, http.StatusServiceUnavailable, "This did not work", "does not answer", "Try again")
	w.asExample(t)
	if last := w.last(t); last.text("reason") != "provider_unavailable" {
		t.Errorf("the audit line is %v", last)
	}
	if a := w.do(t, w.webWorkload(t)); a.status != http.StatusOK {
		t.Errorf("meanwhile a workload gets %d %s", a.status, a.body)
	}
}

// TestCallbackIsBound: what comes back counts once, and in the browser that began.
func TestCallbackIsBound(t *testing.T) {
	w := newTown(t, "")
	begin := func(p *person) string { // the URL that the provider sends back to
		t.Helper()
		v := p.get(t, "/authorize?"+asking())
		v = p.get(t, v.link(t, "/login/start"))
		return p.post(t, v.location, url.Values{"who": {"bob"}}).location
	}
	p, other := w.person(t), w.person(t)
	callback := begin(p)
	begin(other) // has a cookie of its own
	for _, stranger := range []*person{other, w.person(t)} {
		stranger.get(t, callback).says(t, http.StatusBadRequest, "This did not work", "took too long")
		w.asExample(t)
		if last := w.last(t); last.text("reason") != "login_expired" {
			t.Errorf("the audit line is %v", last)
		}
	}
	p.walk(t, p.get(t, callback)).says(t, http.StatusOK, "Allow access?")
	p.walk(t, p.get(t, callback)).says(t, http.StatusOK, "Allow access?") // loaded again: somebody has signed in
	if n := w.provider.times("/token"); n != 1 {
		t.Errorf("the code was redeemed %d times", n)
	}
	// A cookie that says what no cookie says is none: who has none is not signed in by it.
	attacker := w.person(t)
	site := must(url.Parse(issuer))
	cookie := func() string {
		for _, c := range attacker.Jar.Cookies(site) {
			if c.Name == "__Host-svidgate-login" {
				return c.Value
			}
		}
		return ""
	}
	for _, value := range []string{strings.Repeat("A", 43), "short", ""} {
		attacker.Jar.SetCookies(site, []*http.Cookie{{Name: "__Host-svidgate-login", Value: value, Path: "/", Secure: true}})
		callback = begin(attacker)
		if got := cookie(); got == value || len(got) != 43 {
			t.Errorf("AZ-12 with the cookie %q somebody begins with %q", value, got)
		}
		victim := w.person(t)
		victim.get(t, callback).says(t, http.StatusBadRequest, "This did not work", "took too long")
		if last := w.last(t); last.text("reason") != "login_expired" || last.text("subject") != "" {
			t.Errorf("the audit line is %v", last)
		}
		attacker.walk(t, attacker.get(t, callback)).says(t, http.StatusOK, "Allow access?")
		attacker.get(t, "/account").says(t, http.StatusOK, "Your account")
		attacker = w.person(t)
	}
	// What is carried over is the request, and nothing that came beside it (GL-16).
	full := w.person(t)
	kept := fmt.Sprintf("%d.%s", time.Now().Unix(), asking("padding", strings.Repeat("x", 9000)))
	v := full.get(t, "/login/start?"+url.Values{"provider": {"corp"}, "request": {kept}}.Encode())
	v = full.get(t, full.post(t, v.location, url.Values{"who": {"bob"}}).location)
	if len(v.location) > 1000 || !strings.Contains(v.location, "client_id") {
		t.Errorf("it goes on at %.2000s", v.location)
	}
	full.walk(t, v).says(t, http.StatusOK, "Allow access?")
	// Two tabs at once.
	q := w.person(t)
	first, second := begin(q), begin(q)
	q.walk(t, q.get(t, second)).says(t, http.StatusOK, "Allow access?")
	q.walk(t, q.get(t, first)).says(t, http.StatusOK, "Allow access?")
}
