package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// Of RFC 7636 appendix B.
const (
	codeVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	codeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	callback      = "https://app.example.com/cb"
)

// newCodeSite is a site whose clients billing (by JWT-SVID), orders (by X.509-SVID)
// and phone (public) people sign in for.
func newCodeSite(t testing.TB, change ...func(*policy.Config)) *site {
	t.Helper()
	s := newSite(t, func(c *Config) {
		public := []oauth.AuthMethod{oauth.MethodNone}
		verifier := c.Authenticator.Verifier
		clients, err := registration.New([]registration.Metadata{
			{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}, RedirectURIs: []string{callback}},
			{ClientID: orders, AuthMethods: []oauth.AuthMethod{oauth.MethodX509}, RedirectURIs: []string{callback}},
			{ClientID: "phone", AuthMethods: public, RedirectURIs: []string{callback}},
		}, verifier.Profile)
		if err != nil {
			t.Fatal(err)
		}
		c.Authenticator = &clientauth.Authenticator{Verifier: verifier, Used: c.Authenticator.Used, Clients: clients}
		table := policy.Config{Resources: c.Resources, Lifetime: 5 * time.Minute}
		for _, id := range []string{billing, orders, "phone"} {
			table.Clients = append(table.Clients, policy.Client{
				ClientID: id, Resources: []string{api}, Scope: []string{"read", "write"},
				GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials, oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
			})
		}
		for _, f := range change {
			f(&table)
		}
		c.Policy = policy.New(table)
		kept := c.Store.(*sqlite.Store)
		if c.Desk, err = login.New(login.Config{State: kept.People(), Now: c.Now}); err != nil {
			t.Fatal(err)
		}
		records := kept.Authorizations()
		if c.Requests, err = authorization.New(authorization.Config{Issuer: c.Issuer, Clients: clients, Policy: c.Policy, Records: records, Now: c.Now}); err != nil {
			t.Fatal(err)
		}
		granted, err := authorization.NewGrants(authorization.GrantsConfig{
			Records: records, Policy: c.Policy, LongestToken: 5 * time.Minute, Now: c.Now, Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: time.Hour},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Grants = grant.New()
		c.Grants.OfferCodes(granted)
	})
	return s
}

func asked(clientID string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {callback}, "scope": {"read"},
		"code_challenge": {codeChallenge}, "code_challenge_method": {"S256"},
	}
}

// code is one that a person granted to a client.
func (s *site) code(t testing.TB, clientID string) string {
	t.Helper()
	r, err := s.config.Requests.Read(t.Context(), asked(clientID).Encode())
	if err != nil {
		t.Fatal(err)
	}
	return s.codeOf(t, r)
}

// codeOf is one for a request that a person granted whole.
func (s *site) codeOf(t testing.TB, r authorization.Request) string {
	t.Helper()
	by := authorization.Subject{User: "jo", AuthTime: s.Clock.Now(), AMR: []string{"pwd", "otp"}, ACR: "silver"}
	location, err := s.config.Requests.Grant(t.Context(), r, by, storetest.SignedIn(t, s.people, "jo", s.Clock.Now()), r.Scope())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("code")
}

func redemption(form url.Values, code string) url.Values {
	return testidentity.With(form, "grant_type", "authorization_code", "code", code, "code_verifier", codeVerifier)
}

// public is the form of the public client.
func public() url.Values { return url.Values{"client_id": {"phone"}} }

// issued is the answer of the token endpoint and the claims of its token.
func issued(t testing.TB, w *httptest.ResponseRecorder) (oauth.TokenResponse, map[string]any) {
	t.Helper()
	var body oauth.TokenResponse
	if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != http.StatusOK || err != nil {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("GL-6 it may be cached")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(body.AccessToken), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return body, claims
}

func refusedWith(t testing.TB, w *httptest.ResponseRecorder, status int, code oauth.ErrorCode) {
	t.Helper()
	var body oauth.ErrorResponse
	if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != status || err != nil || body.Error != code {
		t.Errorf("status %d: %s; want %d, %s", w.Code, w.Body, status, code)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("GL-6 it may be cached")
	}
}

// AT-3 AT-7 CC-3 TK-6 What a token for a person says, by each way to authenticate, and what
// the record says of it.
func TestTokenForAPerson(t *testing.T) {
	s := newCodeSite(t)
	for _, row := range []struct {
		name, client string
		send         func(form url.Values) *httptest.ResponseRecorder
		actor        string
		method       string
	}{
		{"a JWT-SVID", billing, func(f url.Values) *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), pairs(f)...), nil)
		}, billing, "spiffe_jwt"},
		{"an X.509-SVID", orders, func(f url.Values) *httptest.ResponseRecorder {
			return post(s.server.MTLS(), testidentity.With(testidentity.Certificate(orders), pairs(f)...), s.Chain(t, orders))
		}, orders, "spiffe_x509"},
		{"a public client", "phone", func(f url.Values) *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.With(public(), pairs(f)...), nil)
		}, "", "none"},
	} {
		t.Run(row.name, func(t *testing.T) {
			signedIn := s.Clock.Now().Unix()
			code := s.code(t, row.client)
			body, claims := issued(t, row.send(redemption(nil, code)))
			check := func(claims map[string]any) {
				t.Helper()
				if claims["sub"] != "jo" || claims["client_id"] != row.client || claims["aud"] != api || claims["scope"] != "read" || claims["acr"] != "silver" ||
					fmt.Sprint(claims["amr"]) != "[pwd otp]" || int64(claims["auth_time"].(float64)) != signedIn || len(claims["grant_id"].(string)) != 26 {
					t.Errorf("AT-3 the claims are %v", claims)
				}
				act, _ := claims["act"].(map[string]any)
				if _, there := claims["act"]; there != (row.actor != "") || there && (act["sub"] != row.actor || len(act) != 1) {
					t.Errorf("act is %v", claims["act"])
				}
				if _, bound := claims["cnf"]; bound != (row.method == "spiffe_x509") {
					t.Errorf("cnf is %v", claims["cnf"])
				}
			}
			check(claims)
			if body.RefreshToken == "" || body.Scope != "read" || body.TokenType != "Bearer" {
				t.Errorf("TK-6 answered %v", body)
			}
			line := s.last(t)
			proven, _ := line["proven"].(bool)
			if line["event"] != "token" || line["outcome"] != "granted" || line["grant_id"] != claims["grant_id"] || line["subject"] != "jo" || line["client_id"] != row.client ||
				line["grant_type"] != "authorization_code" || line["auth_method"] != row.method || proven != (row.actor != "") || row.actor != "" && line["spiffe_id"] != row.actor {
				t.Errorf("TK-9 recorded %v", line)
			}

			s.Clock.Advance(time.Minute)
			refreshed, again := issued(t, row.send(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(body.RefreshToken)}}))
			check(again)
			if again["grant_id"] != claims["grant_id"] || again["jti"] == claims["jti"] || refreshed.RefreshToken == body.RefreshToken {
				t.Errorf("refreshed %v", again)
			}
			// RT-3 The old one again: the family is revoked, and the record says which.
			refusedWith(t, row.send(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(body.RefreshToken)}}), 400, oauth.InvalidGrant)
			if line := s.last(t); line["reason"] != "refresh_token_reused" || line["grant_id"] != claims["grant_id"] {
				t.Errorf("TK-9 recorded %v", line)
			}
			refusedWith(t, row.send(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(refreshed.RefreshToken)}}), 400, oauth.InvalidGrant)
			refusedWith(t, row.send(redemption(nil, code)), 400, oauth.InvalidGrant)
			if line := s.last(t); line["reason"] != "code_reused" || line["grant_id"] != claims["grant_id"] {
				t.Errorf("TK-9 recorded %v", line)
			}
			// AU-2 None of it is written anywhere.
			record, err := os.ReadFile(s.record)
			if err != nil {
				t.Fatal(err)
			}
			for what, secret := range map[string]string{"code": code, "refresh token": string(body.RefreshToken), "successor": string(refreshed.RefreshToken), "verifier": codeVerifier, "access token": string(body.AccessToken)} {
				if strings.Contains(string(record)+s.log.String(), secret) {
					t.Errorf("AU-2 the %s is written down", what)
				}
			}
		})
	}
}

func pairs(form url.Values) []string {
	var all []string
	for name := range form {
		all = append(all, name, form.Get(name))
	}
	return all
}

// TK-8 RT-8 What a client gets in its own name says nothing of a person.
func TestTokenForAClientIsAsBefore(t *testing.T) {
	s := newCodeSite(t)
	body, claims := issued(t, post(s.server.Public(), s.good(t), nil))
	for _, name := range []string{"act", "grant_id", "auth_time", "amr", "acr"} {
		if _, there := claims[name]; there {
			t.Errorf("AT-3 %s is %v", name, claims[name])
		}
	}
	if body.RefreshToken != "" {
		t.Error("TK-8 there is a refresh token")
	}
}

// CC-1 TK-2 What a public client may not do.
func TestPublicClient(t *testing.T) {
	s := newCodeSite(t)
	h := s.server.Public()
	for _, row := range []struct {
		name   string
		form   url.Values
		status int
		code   oauth.ErrorCode
		reason string
	}{
		{"CC-1 ask in its own name", testidentity.With(public(), "grant_type", "client_credentials"), 400, oauth.UnauthorizedClient, "grant_denied"},
		{"TK-2 show a credential", testidentity.With(testidentity.Assertion("phone", s.JWT(t, billing)), "grant_type", "authorization_code", "code", "x"), 401, oauth.InvalidClient, "method_not_allowed"},
		{"TK-2 show a secret", testidentity.With(public(), "grant_type", "authorization_code", "client_secret", "x"), 401, oauth.InvalidClient, "method_not_allowed"},
		{"TK-2 a confidential client that shows nothing", url.Values{"client_id": {billing}, "grant_type": {"authorization_code"}, "code": {"x"}}, 401, oauth.InvalidClient, "assertion_missing"},
		{"TK-2 nobody", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, 401, oauth.InvalidClient, "assertion_missing"},
		{"TK-2 a public client that is none", url.Values{"client_id": {"tablet"}, "grant_type": {"authorization_code"}, "code": {"x"}}, 401, oauth.InvalidClient, "client_not_found"},
	} {
		t.Run(row.name, func(t *testing.T) {
			refusedWith(t, post(h, row.form, nil), row.status, row.code)
			if line := s.last(t); line["reason"] != row.reason {
				t.Errorf("recorded %v", line)
			}
		})
	}
	t.Run("TK-2 show a certificate", func(t *testing.T) {
		code := s.code(t, "phone")
		refusedWith(t, post(s.server.MTLS(), redemption(public(), code), s.Chain(t, orders)), 401, oauth.InvalidClient)
		issued(t, post(s.server.MTLS(), redemption(public(), code), nil))
	})
	// An endpoint that says nothing of public clients takes none.
	req := testidentity.Request(t, testidentity.With(public(), "grant_type", "authorization_code"), nil)
	caller, _, err := s.config.Authenticator.Authenticate(t.Context(), req, nil)
	if err != nil || !caller.Public() || caller.Authenticated() {
		t.Fatal(caller.Public(), caller.Authenticated(), err)
	}
	if err := s.server.admit(formEndpoint{}, caller); err == nil {
		t.Error("TK-2 a public client is let in everywhere")
	}
	if err := s.server.admit(formEndpoint{public: true}, clientauth.Caller{}); err == nil {
		t.Error("TK-2 nobody is let in")
	}
}

// AK-18 AU-2 Anybody can take a public client's name, so what is said in it does not fill
// the record, also where nothing is refused; what is decided for it is written whole.
func TestPublicClientFillsNoRecord(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("read ", 2000))
	s := newCodeSite(t, func(c *policy.Config) {
		c.Resources[0].Scopes = append(c.Resources[0].Scopes, strings.Repeat("s", 1000))
		c.Clients[2].Scope = append(c.Clients[2].Scope, strings.Repeat("s", 1000))
	})
	for path, form := range map[string]url.Values{
		oauth.PathPAR:    testidentity.With(asked("phone"), "scope", long),
		oauth.PathRevoke: testidentity.With(public(), "token", "x", "scope", long, "grant_type", long, "resource", long),
	} {
		w := post(s.server.Public(), form, nil, func(r *http.Request) { r.URL.Path = path })
		line := s.last(t)
		if w.Code >= 300 || line["outcome"] != "granted" || line["client_id"] != "phone" {
			t.Fatalf("%s: status %d, recorded %v", path, w.Code, line)
		}
		for name, value := range line {
			if text, ok := value.(string); ok && len(text) > maxClaimed+len(cutMark) {
				t.Errorf("AK-18 %s: %s has %d bytes", path, name, len(text))
			}
		}
	}
	r, err := s.config.Requests.Read(t.Context(), testidentity.With(asked("phone"), "scope", "").Encode())
	if err != nil {
		t.Fatal(err)
	}
	issued(t, post(s.server.Public(), redemption(public(), s.codeOf(t, r)), nil))
	if line := s.last(t); line["scope"] != "read write "+strings.Repeat("s", 1000) {
		t.Errorf("TK-9 recorded %v", line)
	}
}

// GL-16 Guessing at codes in the name of a public client counts against the source.
func TestPublicClientGuesses(t *testing.T) {
	s := newCodeSite(t)
	s.config.FailuresPerSource = 5
	server, err := New(s.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	statuses := []int{}
	for range 20 {
		statuses = append(statuses, post(server.Public(), redemption(public(), "guess"), nil, from("192.0.2.1:1")).Code)
	}
	if statuses[0] != 400 || !slices.Contains(statuses, 429) {
		t.Errorf("GL-16 answered %v", statuses)
	}
	issued(t, post(server.Public(), redemption(public(), s.code(t, "phone")), nil, from("192.0.2.2:1")))
}

// AZ-7 What policy refuses uses no code up.
func TestPolicyRefusesBeforeTheCodeIsUsed(t *testing.T) {
	s := newCodeSite(t, func(c *policy.Config) { c.Binding = policy.BindRequired })
	code := s.code(t, billing)
	form := testidentity.Assertion(billing, s.JWT(t, billing))
	refusedWith(t, post(s.server.Public(), redemption(form, code), nil), 400, oauth.InvalidRequest)
	if line := s.last(t); line["reason"] != "binding_required" {
		t.Errorf("recorded %v", line)
	}
	body, _ := issued(t, post(s.server.MTLS(), redemption(form, code), s.Chain(t, billing)))
	refresh := testidentity.With(form, "grant_type", "refresh_token", "refresh_token", string(body.RefreshToken))
	refusedWith(t, post(s.server.Public(), refresh, nil), 400, oauth.InvalidRequest)
	issued(t, post(s.server.MTLS(), refresh, s.Chain(t, billing))) // CX-10: by another certificate
}

// AZ-7 F16 One of 100.
func TestOneCodeManyRequests(t *testing.T) {
	s := newCodeSite(t)
	code := s.code(t, billing)
	form := redemption(testidentity.Assertion(billing, s.JWT(t, billing)), code)
	var group sync.WaitGroup
	got := make([]*httptest.ResponseRecorder, 100)
	for i := range got {
		group.Go(func() { got[i] = post(s.server.Public(), form, nil) })
	}
	group.Wait()
	n := 0
	for _, w := range got {
		if w.Code == http.StatusOK {
			n++
			body, _ := issued(t, w)
			refusedWith(t, post(s.server.Public(), testidentity.With(form, "grant_type", "refresh_token", "refresh_token", string(body.RefreshToken)), nil), 400, oauth.InvalidGrant)
			continue
		}
		refusedWith(t, w, 400, oauth.InvalidGrant)
	}
	if n != 1 {
		t.Errorf("AZ-7 %d of 100 got a token", n)
	}
}

// GL-15 TK-9 A decision that cannot be recorded is not given, and neither is its
// refresh token.
func TestNoRecordNoRefreshToken(t *testing.T) {
	s := newCodeSite(t)
	form := redemption(testidentity.Assertion(billing, s.JWT(t, billing)), s.code(t, billing))
	s.config.Audit.Close()
	if w := post(s.server.Public(), form, nil); w.Code == http.StatusOK || strings.Contains(w.Body.String(), "token\":") {
		t.Errorf("GL-15 status %d: %s", w.Code, w.Body)
	}
}

func toPAR(r *http.Request) {
	r.URL.Path, r.RequestURI = "/par", "/par"
}

// PA-1 PA-2 PA-5 The endpoint for pushed requests.
func TestPAR(t *testing.T) {
	s := newCodeSite(t)
	h := s.server.Public()
	authenticated := func(pairs ...string) url.Values {
		form := testidentity.Assertion(billing, s.JWT(t, billing))
		form.Del("grant_type")
		for name, values := range asked(billing) {
			form[name] = values
		}
		return testidentity.With(form, pairs...)
	}
	for name, send := range map[string]func() *httptest.ResponseRecorder{
		"PA-1 a JWT-SVID": func() *httptest.ResponseRecorder { return post(h, authenticated(), nil, toPAR) },
		"PA-1 an X.509-SVID": func() *httptest.ResponseRecorder {
			return post(s.server.MTLS(), asked(orders), s.Chain(t, orders), toPAR)
		},
		"PA-1 a public client": func() *httptest.ResponseRecorder { return post(h, asked("phone"), nil, toPAR) },
	} {
		t.Run(name, func(t *testing.T) {
			w := send()
			var body oauth.PushedResponse
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusCreated || !strings.HasPrefix(body.RequestURI, oauth.RequestURIPrefix) || body.ExpiresIn != 60 {
				t.Fatalf("PA-2 status %d: %s", w.Code, w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("GL-6 the headers are %v", w.Header())
			}
			line := s.last(t)
			if line["event"] != "par" || line["outcome"] != "granted" || line["scope"] != "read" || strings.Contains(fmt.Sprint(line)+s.log.String(), strings.TrimPrefix(body.RequestURI, oauth.RequestURIPrefix)) {
				t.Errorf("recorded %v", line)
			}
		})
	}
	for _, row := range []struct {
		name   string
		w      *httptest.ResponseRecorder
		status int
		code   oauth.ErrorCode
	}{
		{"PA-1 nobody", post(h, asked(billing), nil, toPAR), 401, oauth.InvalidClient},
		{"PA-1 another workload", post(h, testidentity.With(authenticated(), "client_assertion", s.JWT(t, orders)), nil, toPAR), 401, oauth.InvalidClient},
		{"PA-1 no client_id", post(h, authenticated("client_id", ""), nil, toPAR), 400, oauth.InvalidRequest},
		{"PA-1 request_uri", post(h, authenticated("request_uri", oauth.RequestURIPrefix+"x"), nil, toPAR), 400, oauth.InvalidRequest},
		{"PA-5 no PKCE", post(h, authenticated("code_challenge", ""), nil, toPAR), 400, oauth.InvalidRequest},
		{"PA-5 another redirect_uri", post(h, authenticated("redirect_uri", callback+"/"), nil, toPAR), 400, oauth.InvalidRequest},
		{"PA-5 excess scope", post(h, authenticated("scope", "post"), nil, toPAR), 400, oauth.InvalidScope},
		{"AK-24 a parameter in the query", post(h, authenticated(), nil, toPAR, func(r *http.Request) { r.URL.RawQuery = "state=x" }), 400, oauth.InvalidRequest},
		{"AK-24 a parameter twice", post(h, withTwice(authenticated(), "state"), nil, toPAR), 400, oauth.InvalidRequest},
		{"CJ-6 the token endpoint as audience", post(h, testidentity.With(authenticated(), "client_assertion", s.JWT(t, billing, func(_, c map[string]any) { c["aud"] = testidentity.TokenURL })), nil, toPAR), 401, oauth.InvalidClient},
	} {
		t.Run(row.name, func(t *testing.T) { refusedWith(t, row.w, row.status, row.code) })
	}
	// PRODUCT: in profile transition the URL of the endpoint called is an audience.
	w := post(h, authenticated("client_assertion", s.JWT(t, billing, func(_, c map[string]any) { c["aud"] = testidentity.Issuer + "/par" })), nil, toPAR)
	if w.Code != http.StatusCreated {
		t.Errorf("CJ-7 status %d: %s", w.Code, w.Body)
	}
	if w := post(h, nil, nil, toPAR, func(r *http.Request) { r.Method = http.MethodGet }); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("PA-5 status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := post(h, url.Values{"x": {strings.Repeat("x", 1<<17)}}, nil, toPAR); w.Code != 413 {
		t.Errorf("PA-5 status %d", w.Code)
	}
	// Without clients that people sign in for there is none of it.
	plain := newSite(t)
	if w := post(plain.server.Public(), asked(billing), nil, toPAR); w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

func withTwice(form url.Values, name string) url.Values {
	form = testidentity.With(form)
	form[name] = []string{"a", "b"}
	return form
}

// CW-9 A request that a workload pushed is redeemed by that workload.
func TestPushedAndRedeemed(t *testing.T) {
	s := newCodeSite(t)
	w := post(s.server.MTLS(), asked(orders), s.Chain(t, orders), toPAR)
	var body oauth.PushedResponse
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusCreated {
		t.Fatal(w.Body)
	}
	r, err := s.config.Requests.Read(t.Context(), url.Values{"client_id": {orders}, "request_uri": {body.RequestURI}}.Encode())
	if err != nil || r.SPIFFEID() != orders {
		t.Fatal(r.SPIFFEID(), err)
	}
}

// AZ-4 IS-1 JR-3 PA-6 What the metadata says once people can sign in, and only then.
func TestMetadataOfCodes(t *testing.T) {
	s := newCodeSite(t)
	s.config.Methods = append(slices.Clone(s.config.Methods), oauth.MethodNone)
	server, err := New(s.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "metadata-codes.json", server.metadata.plain)
	s.config.Desk = nil
	if server, err = New(s.config, nil); err != nil {
		t.Fatal(err)
	}
	plain := newSite(t)
	if string(server.metadata.plain) != string(plain.server.metadata.plain) {
		t.Errorf("MD-1 nobody can sign in, and the metadata says %s", server.metadata.plain)
	}
}

// TK-9 RT-3 AZ-7 A request whose record failed used nothing up: the client, which got no
// answer, comes again with what it has, and is not taken for a thief.
func TestNoRecordNothingUsedUp(t *testing.T) {
	s := newCodeSite(t)
	good := s.config.Audit
	full, err := audit.Open(audit.Config{File: "/dev/full", Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	twice := func(pairs ...string) oauth.TokenResponse {
		t.Helper()
		send := func() *httptest.ResponseRecorder {
			return post(s.server.Public(), testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), pairs...), nil)
		}
		s.server.config.Audit = full
		if w := send(); w.Code < 500 || strings.Contains(w.Body.String(), "token\":") {
			t.Fatalf("GL-15 status %d: %s", w.Code, w.Body)
		}
		s.server.config.Audit = good
		body, _ := issued(t, send())
		return body
	}
	body := twice("grant_type", "authorization_code", "code", s.code(t, billing), "code_verifier", codeVerifier)
	first := body.RefreshToken
	for range 2 {
		if next := twice("grant_type", "refresh_token", "refresh_token", string(body.RefreshToken)); next.RefreshToken == body.RefreshToken {
			t.Error("RT-3 the token was not replaced")
		} else {
			body = next
		}
	}
	// What was used up and answered still counts.
	old := testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), "grant_type", "refresh_token", "refresh_token", string(first))
	refusedWith(t, post(s.server.Public(), old, nil), 400, oauth.InvalidGrant)
}

// GL-16 F42 Requests that anybody pushes in the name of a public client are bounded by
// where they come from.
func TestPushesPerSource(t *testing.T) {
	s := newCodeSite(t)
	push := func(form url.Values, source string) int {
		t.Helper()
		return post(s.server.Public(), form, nil, toPAR, func(r *http.Request) { r.RemoteAddr = source }).Code
	}
	n := 0
	for push(asked("phone"), "[2001:db8::1]:1") == http.StatusCreated {
		if n++; n > authorization.MaxPushedFrom {
			t.Fatal("one source pushes without end")
		}
	}
	if n == 0 || push(asked("phone"), "[2001:db8::2]:1") != http.StatusTooManyRequests {
		t.Errorf("after %d, a neighbour of the source gets in", n)
	}
	if push(asked("phone"), "[2001:db8:1::1]:1") != http.StatusCreated {
		t.Error("another source does not get in")
	}
	authenticated := testidentity.Assertion(billing, s.JWT(t, billing))
	authenticated.Del("grant_type")
	for name, values := range asked(billing) {
		authenticated[name] = values
	}
	if push(authenticated, "[2001:db8::1]:1") != http.StatusCreated {
		t.Error("a client that authenticates does not get in")
	}
	for total := n; total < authorization.MaxPushedFrom; total += n { // slowly, it fills its room
		s.Clock.Advance(time.Second)
		for range n {
			push(asked("phone"), "[2001:db8::1]:1")
		}
	}
	s.Clock.Advance(time.Second)
	if push(asked("phone"), "[2001:db8::1]:1") != http.StatusTooManyRequests || push(asked("phone"), "[2001:db8:1::1]:1") != http.StatusCreated {
		t.Error("GL-16 a source has more than its room, or fills another's")
	}
}
