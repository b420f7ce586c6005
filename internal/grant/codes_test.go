package grant_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/grant"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// codes are the grants of a server at which people sign in, over an empty store.
func codes(t *testing.T, w *testidentity.World) *grant.Grants {
	t.Helper()
	kept, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	both := []oauth.GrantType{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	granted, err := authorization.NewGrants(authorization.GrantsConfig{
		Records: kept.Authorizations(), Policy: policy.New(policy.Config{Clients: []policy.Client{{ClientID: billing, GrantTypes: both}, {ClientID: "phone", GrantTypes: both}}}), LongestToken: time.Minute, Now: w.Clock.Now,
		Refresh: authorization.Refresh{Rotation: true, Idle: time.Hour, Lifetime: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := grant.New()
	g.OfferCodes(granted)
	return g
}

// sent is a parsed token request with these parameters.
func sent(t *testing.T, form url.Values) *tokenrequest.Request {
	t.Helper()
	r := httptest.NewRequest("POST", testidentity.TokenURL, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req, err := tokenrequest.Parse(httptest.NewRecorder(), r, tokenrequest.Endpoint{Name: "token", URL: testidentity.TokenURL, Parameters: grant.Parameters})
	if err != nil {
		t.Fatal(err)
	}
	return &req
}

// What is judged before the store is asked; what the store knows is the subject of
// internal/authorization, and the whole way of internal/server.
func TestCodesAndRefreshTokens(t *testing.T) {
	w := testidentity.New(t)
	g := codes(t, w)
	if types := g.Types(); !slices.Equal(types, []oauth.GrantType{oauth.GrantClientCredentials, oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}) {
		t.Errorf("AM-4 the grant types are %v", types)
	}
	who := caller(t, w)
	public, _, err := (&clientauth.Authenticator{Verifier: w.Verifier, Clients: w.Registry(t, registration.Metadata{ClientID: "phone", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}})}).
		Authenticate(t.Context(), testidentity.Request(t, testidentity.Certificate("phone"), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	verifier := strings.Repeat("v", 43)
	unknownCode, unknownToken := want{oauth.InvalidGrant, oauth.ReasonCodeUnknown, "AZ-6"}, want{oauth.InvalidGrant, oauth.ReasonRefreshTokenUnknown, "RT-1"}
	for _, row := range []struct {
		name   string
		grant  oauth.GrantType
		caller clientauth.Caller
		form   url.Values
		want   want
	}{
		{"AZ-6 a code nobody gave out", oauth.GrantAuthorizationCode, who, url.Values{"code": {"x"}, "code_verifier": {verifier}}, unknownCode},
		{"AZ-6 the same by a public client", oauth.GrantAuthorizationCode, public, url.Values{"code": {"x"}, "code_verifier": {verifier}}, unknownCode},
		{"AZ-6 no code", oauth.GrantAuthorizationCode, who, url.Values{"code_verifier": {verifier}}, want{oauth.InvalidRequest, oauth.ReasonRequestMalformed, "AZ-6"}},
		{"AZ-5 no verifier", oauth.GrantAuthorizationCode, who, url.Values{"code": {"x"}}, want{oauth.InvalidGrant, oauth.ReasonCodeVerifierBad, "AZ-5"}},
		{"RI-1 a relative resource", oauth.GrantAuthorizationCode, who, url.Values{"code": {"x"}, "code_verifier": {verifier}, "resource": {"/api"}}, want{oauth.InvalidTarget, oauth.ReasonResourceUnknown, "TK-5"}},
		{"TK-2 a code by nobody", oauth.GrantAuthorizationCode, clientauth.Caller{}, url.Values{"code": {"x"}, "code_verifier": {verifier}}, want{oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "TK-2"}},
		{"RT-1 a refresh token nobody gave out", oauth.GrantRefreshToken, who, url.Values{"refresh_token": {"x"}}, unknownToken},
		{"RT-1 the same by a public client", oauth.GrantRefreshToken, public, url.Values{"refresh_token": {"x"}}, unknownToken},
		{"RT-1 no refresh token", oauth.GrantRefreshToken, who, url.Values{}, want{oauth.InvalidRequest, oauth.ReasonRequestMalformed, "RT-1"}},
		{"TK-5 scope malformed", oauth.GrantRefreshToken, who, url.Values{"refresh_token": {"x"}, "scope": {"read  write"}}, want{oauth.InvalidScope, oauth.ReasonScopeMalformed, "TK-5"}},
		{"RI-1 a fragment", oauth.GrantRefreshToken, who, url.Values{"refresh_token": {"x"}, "resource": {"https://a/#b"}}, want{oauth.InvalidTarget, oauth.ReasonResourceUnknown, "TK-5"}},
		{"TK-2 a refresh token by nobody", oauth.GrantRefreshToken, clientauth.Caller{}, url.Values{"refresh_token": {"x"}}, want{oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "TK-2"}},
		{"CC-1 a public client in its own name", oauth.GrantClientCredentials, public, url.Values{}, want{oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "CC-1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			authorize, err := g.For(row.grant)
			if err != nil {
				t.Fatal(err)
			}
			a, err := authorize(t.Context(), row.caller, sent(t, row.form))
			check(t, a, err, row.want)
			if a.Grant() != nil {
				t.Error("there is a grant")
			}
		})
	}
	for _, grantType := range []oauth.GrantType{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken} {
		authorize, err := g.For(grantType)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := authorize(context.Background(), who, &tokenrequest.Request{}); !errors.Is(err, oauth.ServerError) {
			t.Errorf("CA-16 %s of nothing: %v", grantType, err)
		}
	}
}
