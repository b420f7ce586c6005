package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
	"github.com/svidgate/svidgate/oauth"
)

const (
	redirectURI = "https://client.example.com/cb"
	seedClient  = "spiffe://example.org/my-oauth-client"
)

// codeTypes are the grants of clients that people sign in for.
var codeTypes = []oauth.GrantType{oauth.GrantClientCredentials, oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}

// A registrar grants codes as a node of the server does that shares its store: by the
// same code, in another process. Who signs in at that node is none of this suite.
type registrar struct {
	*world
	clients *registration.Registry
	policy  *policy.Table
	records authorization.Records
	people  login.State
}

// newRegistrar has the clients of the seed draft, by one method, and phone, a public
// one. more stands in the configuration.
func newRegistrar(t *testing.T, method oauth.AuthMethod, more string) *registrar {
	t.Helper()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, more+`
store: sqlite:svidgate.db
login: {local: true}
resources:
  - {resource: https://api.example.com/, scopes: [read, write]}
  - {resource: https://ledger.example.com/, scopes: [read]}
clients:
  - {client_id: "`+seedClient+`", token_endpoint_auth_method: `+string(method)+`, grant_types: [client_credentials, authorization_code, refresh_token], redirect_uris: ["`+redirectURI+`"], resources: ["https://api.example.com/"], scope: read write}
  - {client_id: other, spiffe_id: "spiffe://example.org/other", token_endpoint_auth_method: `+string(method)+`, grant_types: [authorization_code, refresh_token], redirect_uris: ["`+redirectURI+`"], resources: ["https://api.example.com/"], scope: read}
  - {client_id: phone, token_endpoint_auth_method: none, grant_types: [authorization_code, refresh_token], redirect_uris: ["`+redirectURI+`"], resources: ["https://api.example.com/"], scope: read}
`, td)
	kept, err := sqlite.Open(t.Context(), sqlite.Config{Address: "sqlite:" + filepath.Join(s.dir, "svidgate.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	clients, err := registration.New([]registration.Metadata{
		{ClientID: seedClient, AuthMethods: []oauth.AuthMethod{method}, RedirectURIs: []string{redirectURI}},
		{ClientID: "phone", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}, RedirectURIs: []string{redirectURI}},
	}, func(spiffeid.TrustDomain) svidgate.Profile { return svidgate.Transition })
	if err != nil {
		t.Fatal(err)
	}
	table := policy.Config{Resources: []policy.Resource{{Resource: apiURL, Scopes: []string{"read", "write"}}}, Lifetime: time.Minute}
	for _, id := range []string{seedClient, "phone"} {
		table.Clients = append(table.Clients, policy.Client{ClientID: id, GrantTypes: codeTypes, Resources: []string{apiURL}, Scope: []string{"read", "write"}})
	}
	return &registrar{world: &world{s, td}, clients: clients, policy: policy.New(table), records: kept.Authorizations(), people: kept.People()}
}

// ask is an authorization request of a client, with changes.
func ask(clientID string, pairs ...string) url.Values {
	v := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI}, "scope": {"read write"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	if clientID == "phone" {
		v.Set("scope", "read")
	}
	return changed(v, pairs)
}

// code is one that a person granted so long ago.
func (r *registrar) code(t *testing.T, query url.Values, ago time.Duration) string {
	t.Helper()
	now := func() time.Time { return time.Now().Add(-ago) }
	requests, err := authorization.New(authorization.Config{Issuer: issuer, Clients: r.clients, Policy: r.policy, Records: r.records, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	request, err := requests.Read(t.Context(), query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	location, err := requests.Grant(t.Context(), request, authorization.Subject{User: "local:jo", AuthTime: now()}, storetest.SignedIn(t, r.people, "local:jo", now()), request.Scope())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return secrets.add("code", u.Query().Get("code"))
}

// redeem is a call with a code and a JWT-SVID for an audience; empty clientID is not
// sent.
func (r *registrar) redeem(t *testing.T, clientID, audience, code string) call {
	t.Helper()
	c := withJWT(clientID, r.td.jwt(t, "/my-oauth-client", audience))
	c.set("grant_type", "authorization_code")
	c.set("code", code)
	c.set("code_verifier", verifier)
	return c
}

func (r *registrar) refresh(t *testing.T, token oauth.RefreshToken) call {
	t.Helper()
	c := withJWT(seedClient, r.td.jwt(t, "/my-oauth-client", issuer))
	c.set("grant_type", "refresh_token")
	c.set("refresh_token", string(token))
	return c
}

// Seed requests, 3.1.1, as the draft prints it: no client_id, and the audience of the
// JWT-SVID is the token endpoint. Beside it what each profile says of it.
func TestSeedCodeWithJWTSVID(t *testing.T) {
	seed := func(r *registrar, code string) call {
		assertion := r.td.jwt(t, "/my-oauth-client", tokenURL, func(_, c map[string]any) {
			c["aud"] = []string{tokenURL}
			now := time.Now().Unix()
			c["iat"], c["exp"] = now, now+300
		})
		return call{body: "grant_type=authorization_code&code=" + code +
			"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-spiffe&client_assertion=" + assertion + "&code_verifier=" + verifier}
	}
	for _, profile := range []string{"transition", "seed"} {
		t.Run(profile, func(t *testing.T) {
			r := newRegistrar(t, oauth.MethodJWT, "profile: "+profile)
			g := r.granted(t, seed(r, r.code(t, ask(seedClient), 0)))
			act, _ := g.claims["act"].(map[string]any)
			if g.claim("sub") != "local:jo" || act["sub"] != seedClient || g.claim("client_id") != seedClient || g.claim("grant_id") == "" || g.token.RefreshToken == "" {
				t.Errorf("AT-3 the claims are %v", g.claims)
			}
			if g.audit.text("spiffe_id") != seedClient || g.audit.text("grant_type") != "authorization_code" {
				t.Errorf("CA-14 the audit line is %v", g.audit)
			}
		})
	}
	t.Run("latest", func(t *testing.T) {
		r := newRegistrar(t, oauth.MethodJWT, "profile: latest")
		code := r.code(t, ask(seedClient), 0)
		r.refused(t, seed(r, code), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
		r.refused(t, r.redeem(t, "", issuer, code), refusal{"invalid_request", oauth.ReasonClientIDMissing, "CJ-10"})
		r.granted(t, r.redeem(t, seedClient, issuer, code)) // neither used the code up
	})
}

// Seed requests, 3.2.1, as the draft prints it: client_id is the SPIFFE ID, with its
// colon and slashes as they are. The certificate was renewed in between (CX-10).
func TestSeedRefreshWithX509SVID(t *testing.T) {
	for _, profile := range []string{"transition", "seed", "latest"} {
		t.Run(profile, func(t *testing.T) {
			r := newRegistrar(t, oauth.MethodX509, "profile: "+profile)
			first := r.granted(t, call{
				cert: r.td.svid(t, "/my-oauth-client", seedCertificate),
				form: form("grant_type", "authorization_code", "client_id", seedClient, "code", r.code(t, ask(seedClient), 0), "code_verifier", verifier),
			})
			again := r.granted(t, call{
				cert: r.td.svid(t, "/my-oauth-client", seedCertificate),
				body: "grant_type=refresh_token&refresh_token=" + string(first.token.RefreshToken) + "&client_id=" + seedClient,
			})
			if again.claim("grant_id") != first.claim("grant_id") || again.claim("sub") != "local:jo" || again.thumbprint() == "" || again.thumbprint() == first.thumbprint() {
				t.Errorf("CX-10 MT-1 first %v, then %v", first.claims, again.claims)
			}
			if again.token.RefreshToken == first.token.RefreshToken || again.token.RefreshToken == "" {
				t.Error("RT-3 the refresh token was not replaced")
			}
			// A thief with the token and another workload's certificate.
			r.refused(t, call{cert: r.td.svid(t, "/other"), form: form("grant_type", "refresh_token", "refresh_token", string(again.token.RefreshToken), "client_id", "other")},
				map[string]refusal{"seed": {"invalid_client", oauth.ReasonClientIDMismatch, "CX-3"}}[profile].or(refusal{"invalid_grant", oauth.ReasonGrantNotYours, "AZ-6"}))
		})
	}
}

func (r refusal) or(otherwise refusal) refusal {
	if r == (refusal{}) {
		return otherwise
	}
	return r
}

// AK-22 What is wrong with a code, each beside the code that is redeemed afterwards.
func TestCodeRefusals(t *testing.T) {
	r := newRegistrar(t, oauth.MethodJWT, "")
	grant := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_grant", reason, rule} }
	for _, row := range []struct {
		name   string
		defect func(*call)
		want   refusal
	}{
		{"AZ-5 no verifier", func(c *call) { c.drop("code_verifier") }, grant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AZ-5 another verifier", func(c *call) { c.set("code_verifier", strings.Repeat("a", 43)) }, grant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AZ-6 another code", func(c *call) { c.set("code", strings.Repeat("a", 43)) }, grant(oauth.ReasonCodeUnknown, "AZ-6")},
		{"AZ-6 no code", func(c *call) { c.drop("code") }, refusal{"invalid_request", oauth.ReasonRequestMalformed, "AZ-6"}},
		{"AZ-6 another client", func(c *call) {
			c.set("client_id", "other")
			c.set("client_assertion", r.td.jwt(t, "/other", issuer))
		}, grant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"TK-2 a bad assertion", func(c *call) { c.set("client_assertion", r.td.jwt(t, "/other", issuer)) }, refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"}},
		{"AZ-6 a public client in its place", func(c *call) {
			c.set("client_id", "phone")
			c.drop("client_assertion")
			c.drop("client_assertion_type")
		}, grant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"AZ-14 another redirect_uri", func(c *call) { c.set("redirect_uri", redirectURI+"/") }, grant(oauth.ReasonRedirectURIMismatch, "AZ-14")},
		{"RI-2 another resource", func(c *call) { c.set("resource", "https://ledger.example.com/") }, refusal{"invalid_target", oauth.ReasonResourceDenied, "RI-2"}},
		{"AK-24 the code in the query", func(c *call) { c.target = "/token?code=x" }, refusal{"invalid_request", oauth.ReasonRequestMalformed, "GL-3"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			code := r.code(t, ask(seedClient), 0)
			bad := r.redeem(t, seedClient, issuer, code)
			row.defect(&bad)
			r.refused(t, bad, row.want)
			r.granted(t, r.redeem(t, seedClient, issuer, code)) // AZ-7 nothing was used up
		})
	}
	r.refused(t, r.redeem(t, seedClient, issuer, r.code(t, ask(seedClient), 31*time.Second)), grant(oauth.ReasonCodeExpired, "AZ-6"))
	r.refused(t, call{form: form("client_id", "phone")}, refusal{"unauthorized_client", oauth.ReasonGrantDenied, "CC-1"})
}

// AZ-7 F16 One code, 100 requests at once, over TLS: one gets a token, and what it got
// is revoked because the code was used again.
func TestOneCodeOfManyRequests(t *testing.T) {
	r := newRegistrar(t, oauth.MethodJWT, "")
	connections := make([]*connection, 100)
	for i := range connections {
		connections[i] = r.dial(t, "public", tlsConfig("public", nil))
		connections[i].do(t, call{method: http.MethodGet, target: oauth.PathJWKS}) // a connection may not rest before its first request
	}
	c := r.redeem(t, seedClient, issuer, r.code(t, ask(seedClient), 0))
	answers := make([]answer, len(connections))
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i, conn := range connections {
		group.Go(func() {
			<-begin
			answers[i] = conn.do(t, c)
		})
	}
	close(begin)
	group.Wait()
	var won []answer
	for _, a := range answers {
		switch {
		case a.status == http.StatusOK:
			won = append(won, a)
		case a.status != http.StatusBadRequest || a.audit.text("reason") != string(oauth.ReasonCodeReused):
			t.Errorf("AZ-7 status %d, %s", a.status, a.audit.text("reason"))
		}
	}
	if len(won) != 1 {
		t.Fatalf("AZ-7 %d of 100 got a token", len(won))
	}
	g := r.examine(t, won[0])
	lost := slices.IndexFunc(answers, func(a answer) bool { return a.status != http.StatusOK })
	if id := answers[lost].audit.text("grant_id"); id == "" || id != g.claim("grant_id") {
		t.Errorf("TK-9 the record says grant %q was revoked, the token has %q", id, g.claim("grant_id"))
	}
	r.refused(t, r.refresh(t, g.token.RefreshToken), refusal{"invalid_grant", oauth.ReasonGrantRevoked, "RT-6"})
}

// RT-3 AK-23 A refresh token that was replaced, presented again, ends the family; RT-4
// within the time of grace it does not.
func TestRefreshTheft(t *testing.T) {
	r := newRegistrar(t, oauth.MethodJWT, "")
	first := r.granted(t, r.redeem(t, seedClient, issuer, r.code(t, ask(seedClient), 0))).token.RefreshToken
	narrow := r.refresh(t, first)
	narrow.set("scope", "read")
	second := r.granted(t, narrow)
	if second.claim("scope") != "read" {
		t.Errorf("RT-2 the scope is %q", second.claim("scope"))
	}
	third := r.granted(t, r.refresh(t, second.token.RefreshToken))
	if third.claim("scope") != "read write" {
		t.Errorf("RT-2 the scope is %q", third.claim("scope"))
	}
	wide := r.refresh(t, third.token.RefreshToken)
	wide.set("scope", "read admin")
	r.refused(t, wide, refusal{"invalid_scope", oauth.ReasonScopeDenied, "RT-2"})
	r.refused(t, r.refresh(t, "svidgate_rt_x"), refusal{"invalid_grant", oauth.ReasonRefreshTokenUnknown, "RT-1"})
	fourth := r.granted(t, r.refresh(t, third.token.RefreshToken))

	stolen := r.refused(t, r.refresh(t, first), refusal{"invalid_grant", oauth.ReasonRefreshTokenReused, "RT-3"})
	if stolen.audit.text("grant_id") != fourth.claim("grant_id") || stolen.audit.text("spiffe_id") != seedClient {
		t.Errorf("TK-9 the audit line is %v", stolen.audit)
	}
	r.refused(t, r.refresh(t, fourth.token.RefreshToken), refusal{"invalid_grant", oauth.ReasonGrantRevoked, "RT-6"})
	if n := r.metric(t, `svidgate_refusals_total{endpoint="token",reason="refresh_token_reused",trust_domain="example.org"}`); n != 1 {
		t.Errorf("the metric counts %v", n)
	}

	forgiving := newRegistrar(t, oauth.MethodJWT, "refresh_token: {grace: 30s}")
	first = forgiving.granted(t, forgiving.redeem(t, seedClient, issuer, forgiving.code(t, ask(seedClient), 0))).token.RefreshToken
	next := forgiving.granted(t, forgiving.refresh(t, first)).token.RefreshToken
	if again := forgiving.granted(t, forgiving.refresh(t, first)).token.RefreshToken; string(again) != string(next) {
		t.Error("RT-4 the retry got another successor")
	}
	forgiving.granted(t, forgiving.refresh(t, next))
	forgiving.refused(t, forgiving.refresh(t, first), refusal{"invalid_grant", oauth.ReasonRefreshTokenReused, "RT-3"})
}

// RT-3 RT-6 A public client: its tokens are replaced, and nothing is forgiven.
func TestPublicClientOverTLS(t *testing.T) {
	r := newRegistrar(t, oauth.MethodJWT, "refresh_token: {grace: 30s, rotation: false, idle: 1m}")
	redeem := func(code string) call {
		return call{form: form("grant_type", "authorization_code", "client_id", "phone", "code", code, "code_verifier", verifier)}
	}
	refresh := func(token oauth.RefreshToken) call {
		return call{form: form("grant_type", "refresh_token", "client_id", "phone", "refresh_token", string(token))}
	}
	g := r.granted(t, redeem(r.code(t, ask("phone"), 0)))
	if _, there := g.claims["act"]; there || g.claim("sub") != "local:jo" || g.audit["proven"] != nil || g.audit["spiffe_id"] != nil || g.audit.text("auth_method") != "none" {
		t.Errorf("AT-3 the claims are %v, the audit line %v", g.claims, g.audit)
	}
	next := r.granted(t, refresh(g.token.RefreshToken)).token.RefreshToken
	if next == g.token.RefreshToken {
		t.Error("RT-3 the refresh token was not replaced")
	}
	r.refused(t, refresh(g.token.RefreshToken), refusal{"invalid_grant", oauth.ReasonRefreshTokenReused, "RT-3"})

	// One that was not used for an hour.
	old, err := authorization.NewGrants(authorization.GrantsConfig{
		Records: r.records, Policy: r.policy, LongestToken: time.Minute, Refresh: authorization.Refresh{Rotation: true, Idle: time.Minute, Lifetime: 24 * time.Hour},
		Now: func() time.Time { return time.Now().Add(-time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	draft, err := old.Redeem(t.Context(), authorization.Redeeming{By: authorization.Presenter{ClientID: "phone"}, Code: r.code(t, ask("phone"), time.Hour), Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	token, err := draft.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("refresh token", string(token))
	r.refused(t, refresh(token), refusal{"invalid_grant", oauth.ReasonRefreshTokenExpired, "RT-6"})
}

// PA-1 to PA-5 over TLS, by each method; and the pushed request is one for every node.
func TestPushedRequests(t *testing.T) {
	r := newRegistrar(t, oauth.MethodJWT, "")
	push := func(audience string, pairs ...string) call {
		c := call{target: "/par", form: ask(seedClient, pairs...)}
		c.set("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE)
		c.set("client_assertion", r.td.jwt(t, "/my-oauth-client", audience))
		return c
	}
	pushed := func(a answer) oauth.PushedResponse {
		t.Helper()
		var body oauth.PushedResponse
		if err := json.Unmarshal(a.body, &body); err != nil || a.status != http.StatusCreated || body.ExpiresIn != 60 {
			t.Fatalf("PA-2 status %d %s; audit %v", a.status, a.body, a.audit)
		}
		secrets.add("request_uri", strings.TrimPrefix(body.RequestURI, oauth.RequestURIPrefix))
		return body
	}
	body := pushed(r.do(t, push(issuer)))
	pushed(r.do(t, push(issuer+"/par"))) // CJ-7: the URL of the endpoint called, in profile transition
	pushed(r.do(t, call{target: "/par", form: ask("phone")}))

	query := url.Values{"client_id": {seedClient}, "request_uri": {body.RequestURI}}
	code := r.code(t, query, 0)
	sibling := r.redeem(t, "other", issuer, code)
	sibling.set("client_assertion", r.td.jwt(t, "/other", issuer))
	r.refused(t, sibling, refusal{"invalid_grant", oauth.ReasonGrantNotYours, "AZ-6"})
	r.granted(t, r.redeem(t, seedClient, issuer, code))

	for _, row := range []struct {
		name string
		call call
		want refusal
	}{
		{"PA-1 not authenticated", call{target: "/par", form: ask(seedClient)}, refusal{"invalid_client", oauth.ReasonAssertionMissing, "TK-2"}},
		{"PA-1 client_id missing", push(issuer, "client_id", ""), refusal{"invalid_request", oauth.ReasonClientIDMissing, "PA-1"}},
		{"PA-1 request_uri", push(issuer, "request_uri", body.RequestURI), refusal{"invalid_request", oauth.ReasonRequestMalformed, "PA-1"}},
		{"CJ-6 the token endpoint as audience", push(tokenURL), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"}},
		{"PA-5 no PKCE", push(issuer, "code_challenge", ""), refusal{"invalid_request", oauth.ReasonCodeChallengeBad, "AZ-3"}},
		{"PA-5 plain", push(issuer, "code_challenge_method", "plain"), refusal{"invalid_request", oauth.ReasonCodeChallengeBad, "AZ-3"}},
		{"RD-1 another redirect_uri", push(issuer, "redirect_uri", redirectURI+"?a=b"), refusal{"invalid_request", oauth.ReasonRedirectURIMismatch, "RD-1"}},
		{"AZ-2 implicit", push(issuer, "response_type", "token"), refusal{"unsupported_response_type", oauth.ReasonResponseTypeUnsupported, "AZ-2"}},
		{"JR-2 a request object", push(issuer, "request", "e30.e30."), refusal{"request_not_supported", oauth.ReasonRequestMalformed, "JR-2"}},
		{"TK-5 excess scope", push(issuer, "scope", "admin"), refusal{"invalid_scope", oauth.ReasonScopeDenied, "CC-4"}},
	} {
		t.Run(row.name, func(t *testing.T) { r.refused(t, row.call, row.want) })
	}
	if a := r.do(t, call{target: "/par", method: http.MethodGet}); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
		t.Errorf("PA-5 status %d, Allow %q", a.status, a.header.Get("Allow"))
	}
	latest := newRegistrar(t, oauth.MethodJWT, "profile: latest")
	c := call{target: "/par", form: ask(seedClient)}
	c.set("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE)
	c.set("client_assertion", latest.td.jwt(t, "/my-oauth-client", issuer+"/par"))
	latest.refused(t, c, refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"}) // PA-1
	c.set("client_assertion", latest.td.jwt(t, "/my-oauth-client", issuer))
	pushed(latest.do(t, c))
}

// The whole way: a client pushes its request, a person signs in and allows it, the
// workload redeems the code and goes on with refresh tokens; a reload works until
// then, and a second completion does not (PA-2, PA-4, AZ-7, RT-3).
func TestFromPushToRefresh(t *testing.T) {
	w := newTown(t, "")
	const web = "spiffe://example.org/web"
	svid := func(c call) call {
		c.set("client_id", web)
		c.set("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE)
		c.set("client_assertion", w.td.jwt(t, "/web", issuer))
		return c
	}
	sent, err := url.ParseQuery(asking("client_id", web, "scope", "read", "resource", apiURL))
	if err != nil {
		t.Fatal(err)
	}
	a := w.do(t, svid(call{target: "/par", form: sent}))
	var pushed oauth.PushedResponse
	if err := json.Unmarshal(a.body, &pushed); err != nil || a.status != http.StatusCreated {
		t.Fatalf("PA-2 status %d %s", a.status, a.body)
	}
	query := url.Values{"client_id": {web}, "request_uri": {pushed.RequestURI}}.Encode()
	p := w.person(t)
	p.get(t, "/authorize?"+query).says(t, http.StatusOK, "Sign in")
	q := p.allow(t, query) // which loads it again
	p.get(t, "/authorize?"+query).says(t, http.StatusBadRequest, "This did not work")

	code := q.Get("code")
	redeem := svid(call{form: form("grant_type", "authorization_code", "code", code, "code_verifier", verifier)})
	first := w.granted(t, redeem)
	if act, _ := first.claims["act"].(map[string]any); first.claim("sub") != "local:alice" || act["sub"] != web || first.claim("aud") != apiURL || first.claim("scope") != "read" {
		t.Errorf("AT-3 the claims are %v", first.claims)
	}
	refresh := func(token oauth.RefreshToken) call {
		return svid(call{form: form("grant_type", "refresh_token", "refresh_token", string(token))})
	}
	second := w.granted(t, refresh(first.token.RefreshToken))
	w.refused(t, redeem, refusal{"invalid_grant", oauth.ReasonCodeReused, "AZ-7"})
	w.refused(t, refresh(second.token.RefreshToken), refusal{"invalid_grant", oauth.ReasonGrantRevoked, "RT-6"})
	if v := p.walk(t, p.get(t, "/authorize?"+query)); v.status == http.StatusSeeOther {
		t.Errorf("PA-4 the pushed request was completed twice: %s", v.location)
	}
}
