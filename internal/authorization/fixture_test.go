package authorization_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// A want is the outcome of a row: the zero value is acceptance.
type want = testidentity.Want

var accepted = want{}

const (
	app      = "spiffe://example.org/app"
	callback = "https://app.example.com/cb"
	api      = "https://api.example.com/"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636 appendix B
)

// challenge is that of verifier.
const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

// A site is Requests and Grants over a store in memory.
type site struct {
	*testidentity.World
	Requests *authorization.Requests
	Grants   *authorization.Grants
	Records  authorization.Records
	people   login.State
	policy   *policy.Table
}

// settings are what a test changes.
type settings struct {
	requests authorization.Config
	grants   authorization.GrantsConfig
}

func newSite(t testing.TB, change ...func(*settings)) *site {
	t.Helper()
	s := &site{World: testidentity.New(t)}
	kept, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	s.Records, s.people = kept.Authorizations(), kept.People()

	jwt, none := []oauth.AuthMethod{oauth.MethodJWT}, []oauth.AuthMethod{oauth.MethodNone}
	clients := s.Registry(t,
		registration.Metadata{ClientID: app, AuthMethods: jwt, RedirectURIs: []string{callback}},
		registration.Metadata{ClientID: "other", SPIFFEID: pattern(t, "spiffe://example.org/other"), AuthMethods: jwt, RedirectURIs: []string{callback}},
		registration.Metadata{ClientID: "several", AuthMethods: none, RedirectURIs: []string{"https://app.example.com/a", "https://app.example.com/b?c=d"}},
		registration.Metadata{ClientID: "phone", AuthMethods: none, Name: "The phone", RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}},
		registration.Metadata{ClientID: "pushes", AuthMethods: none, RedirectURIs: []string{callback}, RequirePushed: true},
		registration.Metadata{ClientID: "machine", SPIFFEID: pattern(t, "spiffe://example.org/machine"), AuthMethods: jwt},
		registration.Metadata{ClientID: "denied", AuthMethods: none, RedirectURIs: []string{callback}},
	)
	codes := []oauth.GrantType{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	c := policy.Config{
		Lifetime: 5 * time.Minute,
		Resources: []policy.Resource{
			{Resource: api, Scopes: []string{"read", "write"}}, {Resource: "https://books.example.com/", Scopes: []string{"read"}}, {Resource: "https://nobody.example.com/"},
		},
	}
	for _, id := range []string{app, "other", "several", "phone", "pushes"} {
		c.Clients = append(c.Clients, policy.Client{ClientID: id, GrantTypes: codes, Resources: []string{api}, Scope: []string{"read", "write"}})
	}
	c.Clients[1].Resources = []string{api, "https://books.example.com/"}
	c.Clients[1].GrantTypes = codes[:1] // no refresh tokens
	c.Clients = append(c.Clients, policy.Client{ClientID: "denied", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api}})
	s.policy = policy.New(c)

	set := settings{
		authorization.Config{Issuer: testidentity.Issuer, Clients: clients, Policy: s.policy, Records: s.Records, Now: s.Clock.Now},
		authorization.GrantsConfig{
			Records: s.Records, Policy: s.policy, LongestToken: 5 * time.Minute, Now: s.Clock.Now,
			Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: 2 * time.Hour},
		},
	}
	for _, f := range change {
		f(&set)
	}
	if s.Requests, err = authorization.New(set.requests); err != nil {
		t.Fatal(err)
	}
	if s.Grants, err = authorization.NewGrants(set.grants); err != nil {
		t.Fatal(err)
	}
	return s
}

func grace(d time.Duration) func(*settings) {
	return func(s *settings) { s.grants.Refresh.Grace = d }
}

func noRotation(s *settings) { s.grants.Refresh.Rotation = false }

// query is a sound authorization request of app with changes; an empty value removes
// a parameter.
func query(pairs ...string) string { return values(pairs...).Encode() }

func values(pairs ...string) url.Values {
	return testidentity.With(url.Values{
		"response_type": {"code"}, "client_id": {app}, "redirect_uri": {callback}, "state": {"xyz"}, "scope": {"read"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}, pairs...)
}

func jo(s *site) authorization.Subject {
	return authorization.Subject{User: "jo", AuthTime: s.Clock.Now(), AMR: []string{"pwd"}}
}

// signedIn is the permission of jo.
func (s *site) signedIn(t testing.TB) authorization.Permission {
	t.Helper()
	return storetest.SignedIn(t, s.people, "jo", s.Clock.Now())
}

// granted is the code of a sound request that a person granted whole.
func (s *site) granted(t testing.TB, pairs ...string) (code string) {
	t.Helper()
	r, err := s.Requests.Read(t.Context(), query(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	location, err := s.Requests.Grant(t.Context(), r, jo(s), s.signedIn(t), r.Scope())
	if err != nil {
		t.Fatal(err)
	}
	return answer(t, location).Get("code")
}

// answer is what a browser brings to a redirect URI.
func answer(t testing.TB, location string) url.Values {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

var (
	appCaller   = authorization.Presenter{ClientID: app, SPIFFEID: app}
	phoneCaller = authorization.Presenter{ClientID: "phone"}
	// deniedCaller may use no grant of this package.
	deniedCaller = authorization.Presenter{ClientID: "denied"}
)

// grantDenied is TK-5, whatever else is wrong.
var grantDenied = want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonGrantDenied, Rule: "TK-5"}

// redeeming is a sound redemption of a code of app.
func redeeming(code string) authorization.Redeeming {
	return authorization.Redeeming{By: appCaller, Code: code, Verifier: verifier}
}

// redeem redeems a code whole and returns the refresh token.
func (s *site) redeem(t testing.TB, r authorization.Redeeming) string {
	t.Helper()
	draft, err := s.Grants.Redeem(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	token, err := draft.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// refresh uses a refresh token, and returns the one that comes back.
func (s *site) refresh(t testing.TB, r authorization.Refreshing) (string, error) {
	t.Helper()
	draft, err := s.Grants.Refresh(t.Context(), r)
	if err != nil {
		return "", err
	}
	token, err := draft.Settle(t.Context())
	return string(token), err
}

// push is a request to the PAR endpoint.
func push(t testing.TB, form url.Values) *tokenrequest.Request {
	t.Helper()
	r := httptest.NewRequest("POST", testidentity.Issuer+"/par", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req, err := tokenrequest.Parse(httptest.NewRecorder(), r, tokenrequest.Endpoint{Name: "par", URL: testidentity.Issuer + "/par", Parameters: authorization.Parameters})
	if err != nil {
		t.Fatal(err)
	}
	return &req
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func invalid(reason oauth.Reason, rule string) want {
	return want{Code: oauth.InvalidRequest, Reason: reason, Rule: rule}
}

func badGrant(reason oauth.Reason, rule string) want {
	return want{Code: oauth.InvalidGrant, Reason: reason, Rule: rule}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
