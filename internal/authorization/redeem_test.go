package authorization_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/oauth"
)

func TestRedeem(t *testing.T) {
	long := strings.Repeat("v", 128)
	for _, row := range []struct {
		name string
		ask  []string // changes of the authorization request
		edit func(*authorization.Redeeming)
		want want
	}{
		{"AZ-6 a sound one", nil, nil, accepted},
		{"AZ-14 the redirect_uri of the request", nil, func(r *authorization.Redeeming) { r.RedirectURI = callback }, accepted},
		{"RI-2 the resource of the grant", nil, func(r *authorization.Redeeming) { r.Resources = []string{api} }, accepted},
		{"AZ-5 the longest verifier", []string{"code_challenge", s256(long)}, func(r *authorization.Redeeming) { r.Verifier = long }, accepted},
		{"AZ-5 every kind of character", []string{"code_challenge", s256(long[:43] + "-._~")}, func(r *authorization.Redeeming) { r.Verifier = long[:43] + "-._~" }, accepted},

		{"AZ-6 no code", nil, func(r *authorization.Redeeming) { r.Code = "" }, invalid(oauth.ReasonRequestMalformed, "AZ-6")},
		{"AZ-6 another code", nil, func(r *authorization.Redeeming) { r.Code += "x" }, badGrant(oauth.ReasonCodeUnknown, "AZ-6")},
		{"AK-22 no verifier", nil, func(r *authorization.Redeeming) { r.Verifier = "" }, badGrant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AK-22 another verifier", nil, func(r *authorization.Redeeming) { r.Verifier = verifier[1:] + "A" }, badGrant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AK-22 the challenge for the verifier", nil, func(r *authorization.Redeeming) { r.Verifier = challenge }, badGrant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AZ-5 42 characters", []string{"code_challenge", s256(long[:42])}, func(r *authorization.Redeeming) { r.Verifier = long[:42] }, badGrant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AZ-5 129 characters", []string{"code_challenge", s256(long + "v")}, func(r *authorization.Redeeming) { r.Verifier = long + "v" }, badGrant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AZ-5 another character", []string{"code_challenge", s256(long[:43] + "+")}, func(r *authorization.Redeeming) { r.Verifier = long[:43] + "+" }, badGrant(oauth.ReasonCodeVerifierBad, "AZ-5")},
		{"AZ-6 another client", nil, func(r *authorization.Redeeming) {
			r.By = authorization.Presenter{ClientID: "other", SPIFFEID: "spiffe://example.org/other"}
		}, badGrant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"AZ-6 a public client", nil, func(r *authorization.Redeeming) { r.By = phoneCaller }, badGrant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"TK-5 nobody", nil, func(r *authorization.Redeeming) { r.By = authorization.Presenter{} }, grantDenied},
		{"TK-5 a client without the grant type", nil, func(r *authorization.Redeeming) { r.By = deniedCaller }, grantDenied},
		{"TK-5 the same, and a code nobody gave out", nil, func(r *authorization.Redeeming) { r.By, r.Code, r.Verifier = deniedCaller, "x", "" }, grantDenied},
		{"AZ-14 another redirect_uri", nil, func(r *authorization.Redeeming) { r.RedirectURI = callback + "/" }, badGrant(oauth.ReasonRedirectURIMismatch, "AZ-14")},
		{"RI-2 a resource that was not granted", nil, func(r *authorization.Redeeming) { r.Resources = []string{"https://books.example.com/"} }, want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceDenied, Rule: "RI-2"}},
		{"RI-2 one more resource", nil, func(r *authorization.Redeeming) { r.Resources = []string{api, "https://books.example.com/"} }, want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceDenied, Rule: "RI-2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t)
			code := s.granted(t, row.ask...)
			r := redeeming(code)
			if row.edit != nil {
				row.edit(&r)
			}
			draft, err := s.Grants.Redeem(t.Context(), r)
			row.want.Check(t, err)
			if err == nil && (draft.Grant().Subject.User != "jo" || !slices.Equal(draft.Scope(), []string{"read"}) || draft.Grant().Resource != api) {
				t.Errorf("drafted %v", draft.Grant())
			}
			if err != nil {
				// AK-22 A bad attempt spoils nothing for the client.
				if len(row.ask) == 0 {
					s.redeem(t, redeeming(code))
				}
				if _, err := draft.Settle(t.Context()); err == nil {
					t.Error("what was refused is settled")
				}
			}
		})
	}
	if _, err := (authorization.Draft{}).Settle(t.Context()); !errors.Is(err, oauth.ServerError) {
		t.Errorf("the zero Draft: %v", err)
	}
}

// AZ-6 30 seconds, and not one more.
func TestCodeExpires(t *testing.T) {
	s := newSite(t)
	code := s.granted(t)
	s.Clock.Advance(30*time.Second - time.Microsecond)
	s.redeem(t, redeeming(code))

	badGrant(oauth.ReasonCodeExpired, "AZ-6").Check(t, s.lateCode(t))
	code = s.granted(t)
	s.Clock.Advance(30 * time.Second)
	_, err := s.Grants.Redeem(t.Context(), redeeming(code))
	badGrant(oauth.ReasonCodeExpired, "AZ-6").Check(t, err)
	s.Clock.Advance(10 * time.Minute)
	_, err = s.Grants.Redeem(t.Context(), redeeming(code))
	badGrant(oauth.ReasonCodeUnknown, "AZ-6").Check(t, err) // nothing is kept of it
}

// lateCode redeems a code one second too late.
func (s *site) lateCode(t *testing.T) error {
	t.Helper()
	code := s.granted(t)
	s.Clock.Advance(31 * time.Second)
	_, err := s.Grants.Redeem(t.Context(), redeeming(code))
	return err
}

// AZ-7 AK-22 A second use that is valid in every other way revokes all; one that is
// not revokes nothing.
func TestCodeReused(t *testing.T) {
	s := newSite(t)
	code := s.granted(t)
	token := s.redeem(t, redeeming(code))
	alive := func(want bool) {
		t.Helper()
		_, live, err := s.Grants.ByRefreshToken(t.Context(), token)
		if err != nil || live != want {
			t.Fatalf("AZ-7 the refresh token is good: %t, %v", live, err)
		}
	}
	for name, edit := range map[string]func(*authorization.Redeeming){
		"another client":       func(r *authorization.Redeeming) { r.By = phoneCaller },
		"another workload":     func(r *authorization.Redeeming) { r.By.SPIFFEID += "2" },
		"another verifier":     func(r *authorization.Redeeming) { r.Verifier = verifier[1:] + "A" },
		"no verifier":          func(r *authorization.Redeeming) { r.Verifier = "" },
		"another redirect_uri": func(r *authorization.Redeeming) { r.RedirectURI = "https://evil.test/" },
	} {
		r := redeeming(code)
		edit(&r)
		if _, err := s.Grants.Redeem(t.Context(), r); !errors.Is(err, oauth.InvalidGrant) || errors.Is(err, oauth.ReasonCodeReused) {
			t.Errorf("AZ-7 %s: %v", name, err)
		}
		alive(true)
	}
	// The client that replays may have hung up by now.
	gone, cancel := context.WithCancel(t.Context())
	s.Clock.Advance(time.Minute) // a code that was redeemed is known for longer than it is good
	draft, err := s.Grants.Redeem(gone, redeeming(code))
	cancel()
	badGrant(oauth.ReasonCodeReused, "AZ-7").Check(t, err)
	if draft.Grant() == nil || draft.Grant().ID == "" {
		t.Error("TK-9 nobody is told which grant it was")
	}
	alive(false)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	badGrant(oauth.ReasonGrantRevoked, "RT-6").Check(t, err)
	g, err := s.Grants.ByID(t.Context(), draft.Grant().ID)
	if err != nil || !g.Revoked {
		t.Errorf("AZ-7 introspection is told %t, %v", g.Revoked, err)
	}
}

// AZ-7 F16 Of 100 that redeem one code at the same time, one succeeds; the others used
// it a second time, so what that one got is revoked.
func TestCodeRedeemedAtOnce(t *testing.T) {
	s := newSite(t)
	code := s.granted(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var tokens []string
	for range 100 {
		group.Go(func() {
			draft, err := s.Grants.Redeem(t.Context(), redeeming(code))
			if err == nil {
				var token oauth.RefreshToken
				if token, err = draft.Settle(t.Context()); err == nil {
					mu.Lock()
					tokens = append(tokens, string(token))
					mu.Unlock()
					return
				}
			}
			if !errors.Is(err, oauth.InvalidGrant) || !errors.Is(err, oauth.ReasonCodeReused) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(tokens) != 1 {
		t.Fatalf("AZ-7 %d redeemed one code", len(tokens))
	}
	if _, live, err := s.Grants.ByRefreshToken(t.Context(), tokens[0]); live || err != nil {
		t.Errorf("AZ-7 the refresh token is good: %t, %v", live, err)
	}
}

// TK-8 A client gets a refresh token where it has the grant, and else none.
func TestRefreshTokenOnlyWithTheGrant(t *testing.T) {
	s := newSite(t)
	other := authorization.Presenter{ClientID: "other", SPIFFEID: "spiffe://example.org/other"}
	code := s.granted(t, "client_id", "other", "resource", api)
	if token := s.redeem(t, authorization.Redeeming{By: other, Code: code, Verifier: verifier}); token != "" {
		t.Error("TK-8 a client without the grant got a refresh token")
	}
	if token := s.redeem(t, redeeming(s.granted(t))); !strings.HasPrefix(token, "svidgate_rt_") {
		t.Errorf("a client with the grant got %d characters", len(token))
	}
}
