package authorization_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/internal/store"
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
		{"AZ-6 nobody", nil, func(r *authorization.Redeeming) { r.By = authorization.Presenter{} }, badGrant(oauth.ReasonGrantNotYours, "AZ-6")},
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

func TestRefresh(t *testing.T) {
	s := newSite(t)
	for _, row := range []struct {
		name  string
		edit  func(*authorization.Refreshing)
		scope []string
		want  want
	}{
		{"RT-1 a sound one", nil, []string{"read", "write"}, accepted},
		{"RT-2 less scope", func(r *authorization.Refreshing) { r.Scope = []string{"write"} }, []string{"write"}, accepted},
		{"RI-2 the resource of the grant", func(r *authorization.Refreshing) { r.Resources = []string{api} }, []string{"read", "write"}, accepted},
		{"RT-2 more scope", func(r *authorization.Refreshing) { r.Scope = []string{"read", "admin"} }, nil, want{Code: oauth.InvalidScope, Reason: oauth.ReasonScopeDenied, Rule: "RT-2"}},
		{"RI-2 another resource", func(r *authorization.Refreshing) { r.Resources = []string{"https://books.example.com/"} }, nil, want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceDenied, Rule: "RI-2"}},
		{"RT-1 none", func(r *authorization.Refreshing) { r.Token = "" }, nil, invalid(oauth.ReasonRequestMalformed, "RT-1")},
		{"RT-1 something else", func(r *authorization.Refreshing) { r.Token = "x" }, nil, badGrant(oauth.ReasonRefreshTokenUnknown, "RT-1")},
		{"RT-3 one that was cut", func(r *authorization.Refreshing) { r.Token = r.Token[:len(r.Token)-1] }, nil, badGrant(oauth.ReasonRefreshTokenUnknown, "RT-1")},
		{"RT-3 one that was mistyped", func(r *authorization.Refreshing) { r.Token = r.Token[:60] + swap(r.Token[60:61]) + r.Token[61:] }, nil, badGrant(oauth.ReasonRefreshTokenUnknown, "RT-1")},
		{"RT-1 without its prefix", func(r *authorization.Refreshing) { r.Token = strings.TrimPrefix(r.Token, "svidgate_rt_") }, nil, badGrant(oauth.ReasonRefreshTokenUnknown, "RT-1")},
		{"RT-1 another client", func(r *authorization.Refreshing) { r.By.ClientID = "other" }, nil, badGrant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"AK-23 a thief who is a public client", func(r *authorization.Refreshing) { r.By = phoneCaller }, nil, badGrant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"CX-10 another workload of the client", func(r *authorization.Refreshing) { r.By.SPIFFEID = "spiffe://example.org/app2" }, nil, badGrant(oauth.ReasonGrantNotYours, "CX-10")},
		{"CX-10 no workload", func(r *authorization.Refreshing) { r.By.SPIFFEID = "" }, nil, badGrant(oauth.ReasonGrantNotYours, "CX-10")},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := authorization.Refreshing{By: appCaller, Token: s.redeem(t, redeeming(s.granted(t, "scope", "read write")))}
			good := r
			if row.edit != nil {
				row.edit(&r)
			}
			draft, err := s.Grants.Refresh(t.Context(), r)
			row.want.Check(t, err)
			if !slices.Equal(draft.Scope(), row.scope) {
				t.Errorf("the scope is %v", draft.Scope())
			}
			next := good.Token
			if err == nil {
				if token, err := draft.Settle(t.Context()); err != nil || token == "" || string(token) == r.Token {
					t.Fatalf("RT-3 it was not replaced: %v", err)
				} else {
					next = string(token)
				}
			}
			// RT-2 The whole scope again; AK-23 what was refused spoiled nothing.
			again, err := s.Grants.Refresh(t.Context(), authorization.Refreshing{By: appCaller, Token: next})
			accepted.Check(t, err)
			if !slices.Equal(again.Scope(), []string{"read", "write"}) {
				t.Errorf("RT-2 then the scope is %v", again.Scope())
			}
		})
	}
}

// swap is another character of base64url.
func swap(c string) string {
	if c == "A" {
		return "B"
	}
	return "A"
}

// RT-3 AK-23 A refresh token that was replaced revokes the family, the newest too.
func TestRefreshTokenReused(t *testing.T) {
	for name, old := range map[string]int{"the one before": 3, "one of long ago": 1, "the first": 0} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			tokens := []string{s.redeem(t, redeeming(s.granted(t)))}
			for range 4 {
				next, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: tokens[len(tokens)-1]})
				accepted.Check(t, err)
				if slices.Contains(tokens, next) {
					t.Fatal("RT-3 a token came back")
				}
				tokens = append(tokens, next)
			}
			draft, err := s.Grants.Refresh(t.Context(), authorization.Refreshing{By: appCaller, Token: tokens[old]})
			badGrant(oauth.ReasonRefreshTokenReused, "RT-3").Check(t, err)
			_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: tokens[4]})
			badGrant(oauth.ReasonGrantRevoked, "RT-6").Check(t, err)
			if g, err := s.Grants.ByID(t.Context(), draft.Grant().ID); err != nil || !g.Revoked {
				t.Errorf("RT-3 introspection is told %t, %v", g.Revoked, err)
			}
		})
	}
}

// RT-3 A replaced token in hands that cannot prove to be its client revokes nothing.
func TestReuseByAnotherRevokesNothing(t *testing.T) {
	s := newSite(t)
	old := s.redeem(t, redeeming(s.granted(t)))
	latest, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: old})
	accepted.Check(t, err)
	for _, by := range []authorization.Presenter{phoneCaller, {ClientID: "other", SPIFFEID: "spiffe://example.org/other"}, {ClientID: app, SPIFFEID: app + "2"}, {}} {
		draft, err := s.Grants.Refresh(t.Context(), authorization.Refreshing{By: by, Token: old})
		if !errors.Is(err, oauth.ReasonGrantNotYours) || draft.Grant() != nil {
			t.Errorf("%v: %v", by, err)
		}
	}
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: latest})
	accepted.Check(t, err)
}

// RT-3 Of 100 that use one refresh token at the same time, one gets a successor.
func TestRefreshedAtOnce(t *testing.T) {
	s := newSite(t)
	token := s.redeem(t, redeeming(s.granted(t)))
	got := s.atOnce(t, 100, authorization.Refreshing{By: appCaller, Token: token})
	if len(got) != 1 {
		t.Errorf("RT-3 %d got a successor", len(got))
	}
	if _, live, err := s.Grants.ByRefreshToken(t.Context(), got[0]); live || err != nil {
		t.Errorf("RT-3 it is good: %t, %v", live, err)
	}
}

// atOnce uses a refresh token many times at once and returns what came back.
func (s *site) atOnce(t *testing.T, n int, r authorization.Refreshing) (tokens []string) {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	for range n {
		group.Go(func() {
			token, err := s.refresh(t, r)
			if err != nil {
				if !errors.Is(err, oauth.InvalidGrant) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			tokens = append(tokens, token)
			mu.Unlock()
		})
	}
	group.Wait()
	return tokens
}

// RT-4 Within the time of grace a retry gets the same successor, if it comes from the
// client that proved who it is.
func TestGrace(t *testing.T) {
	s := newSite(t, grace(10*time.Second))
	old := s.redeem(t, redeeming(s.granted(t)))
	r := authorization.Refreshing{By: appCaller, Token: old}
	first, err := s.refresh(t, r)
	accepted.Check(t, err)
	s.Clock.Advance(10 * time.Second)
	if again, err := s.refresh(t, r); err != nil || again != first {
		t.Fatalf("RT-4 the retry got another: %v", err)
	}
	if next, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: first}); err != nil || next == first {
		t.Fatalf("RT-4 the successor: %v", err)
	}
	_, err = s.refresh(t, r) // whose successor was used: the answer was not lost
	badGrant(oauth.ReasonRefreshTokenReused, "RT-3").Check(t, err)

	old = s.redeem(t, redeeming(s.granted(t)))
	r.Token = old
	_, err = s.refresh(t, r)
	accepted.Check(t, err)
	s.Clock.Advance(10*time.Second + time.Microsecond)
	_, err = s.refresh(t, r)
	badGrant(oauth.ReasonRefreshTokenReused, "RT-3").Check(t, err)

	r.Token = s.redeem(t, redeeming(s.granted(t)))
	if got := s.atOnce(t, 50, r); len(got) != 50 || len(slices.Compact(sorted(got))) != 1 {
		t.Errorf("RT-4 %d were answered, with %d tokens", len(got), len(slices.Compact(sorted(got))))
	}

	phone := s.redeem(t, authorization.Redeeming{By: phoneCaller, Code: s.granted(t, "client_id", "phone", "redirect_uri", "com.example.app:/cb"), Verifier: verifier})
	_, err = s.refresh(t, authorization.Refreshing{By: phoneCaller, Token: phone})
	accepted.Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: phoneCaller, Token: phone})
	badGrant(oauth.ReasonRefreshTokenReused, "RT-3").Check(t, err)
}

// RT-5 RT-3 Without rotation a token works again, but for a public client's.
func TestNoRotation(t *testing.T) {
	s := newSite(t, noRotation)
	token := s.redeem(t, redeeming(s.granted(t)))
	for range 3 {
		if next, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: token}); err != nil || next != token {
			t.Fatalf("RT-5 it was replaced: %v", err)
		}
	}
	phone := s.redeem(t, authorization.Redeeming{By: phoneCaller, Code: s.granted(t, "client_id", "phone", "redirect_uri", "com.example.app:/cb"), Verifier: verifier})
	next, err := s.refresh(t, authorization.Refreshing{By: phoneCaller, Token: phone})
	if err != nil || next == phone {
		t.Fatalf("RT-3 that of a public client stays: %v", err)
	}
	_, err = s.refresh(t, authorization.Refreshing{By: phoneCaller, Token: phone})
	badGrant(oauth.ReasonRefreshTokenReused, "RT-3").Check(t, err)
}

// RT-6 One hour without use, two hours in all.
func TestRefreshTokenExpires(t *testing.T) {
	s := newSite(t)
	expired := badGrant(oauth.ReasonRefreshTokenExpired, "RT-6")
	token := s.redeem(t, redeeming(s.granted(t)))
	s.Clock.Advance(time.Hour - time.Microsecond)
	token, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	accepted.Check(t, err)
	s.Clock.Advance(time.Hour)
	if _, live, err := s.Grants.ByRefreshToken(t.Context(), token); live || err != nil {
		t.Errorf("RT-6 it is good: %t, %v", live, err)
	}
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token}) // a microsecond before the end of all
	expired.Check(t, err)

	token = s.redeem(t, redeeming(s.granted(t)))
	for range 3 {
		s.Clock.Advance(39 * time.Minute)
		token, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
		accepted.Check(t, err)
	}
	s.Clock.Advance(3 * time.Minute)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	expired.Check(t, err)
	s.Clock.Advance(6 * time.Minute) // when the last access token has expired, too, nothing is kept
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	badGrant(oauth.ReasonRefreshTokenUnknown, "RT-1").Check(t, err)
	if _, _, err := s.Grants.ByRefreshToken(t.Context(), token); !errors.Is(err, authorization.ErrNotFound) {
		t.Error(err)
	}
}

// RT-6 A person whose way of signing in was taken away grants nothing more; it is not
// revoked, and goes on when that is offered again.
func TestNotOffered(t *testing.T) {
	offered := true
	s := newSite(t, func(set *settings) { set.grants.Offered = func(user string) bool { return user != "jo" || offered } })
	token := s.redeem(t, redeeming(s.granted(t)))
	code := s.granted(t)
	refresh := func() (string, error) {
		return s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	}
	offered = false
	_, err := s.Grants.Redeem(t.Context(), redeeming(code))
	badGrant(oauth.ReasonGrantRevoked, "RT-6").Check(t, err)
	_, err = refresh()
	badGrant(oauth.ReasonGrantRevoked, "RT-6").Check(t, err)
	if _, live, err := s.Grants.ByRefreshToken(t.Context(), token); err != nil || live {
		t.Errorf("RT-6 it is good: %t, %v", live, err)
	}
	offered = true
	if _, live, err := s.Grants.ByRefreshToken(t.Context(), token); err != nil || !live {
		t.Errorf("it is good: %t, %v", live, err)
	}
	_, err = refresh()
	accepted.Check(t, err)
}

// RT-6 Who is revoked or blocked gets nothing more.
func TestRevokedAndBlocked(t *testing.T) {
	blocked := spiffeid.ID{}
	s := newSite(t, func(set *settings) {
		set.grants.Blocked = func(clientID string, id spiffeid.ID) bool { return clientID == app && id == blocked }
	})
	token := s.redeem(t, redeeming(s.granted(t)))
	blocked = spiffeid.RequireFromString(app)
	code := s.granted(t)
	_, err := s.Grants.Redeem(t.Context(), redeeming(code))
	badGrant(oauth.ReasonClientBlocked, "RT-6").Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	badGrant(oauth.ReasonClientBlocked, "RT-6").Check(t, err)
	blocked = spiffeid.ID{}
	token, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	accepted.Check(t, err)

	g, live, err := s.Grants.ByRefreshToken(t.Context(), token)
	if err != nil || !live {
		t.Fatal(live, err)
	}
	draft, err := s.Grants.Refresh(t.Context(), authorization.Refreshing{By: appCaller, Token: token})
	accepted.Check(t, err)
	accepted.Check(t, s.Grants.Revoke(t.Context(), g.ID))
	_, err = draft.Settle(t.Context()) // between draft and settling
	badGrant(oauth.ReasonGrantRevoked, "RT-3").Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	badGrant(oauth.ReasonGrantRevoked, "RT-6").Check(t, err)
}

// CW-8 CW-9 A grant is bound to the key and the workload that pushed its request, or
// else to those that redeemed its code.
func TestBoundToKeyAndWorkload(t *testing.T) {
	s := newSite(t)
	one := authorization.Presenter{ClientID: app, SPIFFEID: app, Key: "key-1"}
	rotated := one
	rotated.Key = "key-2"
	sibling := one
	sibling.SPIFFEID += "2"
	noKey := one
	noKey.Key = ""

	pushed, err := s.Requests.Push(t.Context(), one, push(t, values()))
	accepted.Check(t, err)
	r, err := s.Requests.Read(t.Context(), "client_id="+app+"&request_uri="+pushed.RequestURI)
	accepted.Check(t, err)
	location, err := s.Requests.Grant(t.Context(), r, jo(s), s.signedIn(t), r.Scope())
	accepted.Check(t, err)
	code := answer(t, location).Get("code")
	for by, rule := range map[authorization.Presenter]string{rotated: "CW-8", noKey: "CW-8", sibling: "CX-10"} {
		_, err := s.Grants.Redeem(t.Context(), authorization.Redeeming{By: by, Code: code, Verifier: verifier})
		badGrant(oauth.ReasonGrantNotYours, rule).Check(t, err)
	}
	token := s.redeem(t, authorization.Redeeming{By: one, Code: code, Verifier: verifier})
	for by, rule := range map[authorization.Presenter]string{rotated: "CW-8", noKey: "CW-8", sibling: "CX-10"} {
		_, err := s.refresh(t, authorization.Refreshing{By: by, Token: token})
		badGrant(oauth.ReasonGrantNotYours, rule).Check(t, err)
	}
	_, err = s.refresh(t, authorization.Refreshing{By: one, Token: token})
	accepted.Check(t, err)

	// Not pushed: whoever of the client redeems it is the one.
	token = s.redeem(t, authorization.Redeeming{By: rotated, Code: s.granted(t), Verifier: verifier})
	_, err = s.refresh(t, authorization.Refreshing{By: one, Token: token})
	badGrant(oauth.ReasonGrantNotYours, "CW-8").Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: rotated, Token: token})
	accepted.Check(t, err)

	// CX-10 Without a key, the certificate may change.
	token = s.redeem(t, redeeming(s.granted(t)))
	_, err = s.refresh(t, authorization.Refreshing{By: rotated, Token: token})
	accepted.Check(t, err)
}

// GL-15 A store that does not answer is a refusal, and never a token.
func TestStoreFails(t *testing.T) {
	s := newSite(t)
	code := s.granted(t)
	token := s.redeem(t, redeeming(s.granted(t)))
	draft, err := s.Grants.Redeem(t.Context(), redeeming(code))
	accepted.Check(t, err)
	permission := s.signedIn(t)
	s.Records.(interface{ Close() error }).Close()
	for name, call := range map[string]func() error{
		"redeem": func() error { _, err := s.Grants.Redeem(t.Context(), redeeming(code)); return err },
		"settle": func() error { _, err := draft.Settle(t.Context()); return err },
		"refresh": func() error {
			_, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
			return err
		},
		"push": func() error { _, err := s.Requests.Push(t.Context(), appCaller, push(t, values())); return err },
		"pushed": func() error {
			_, err := s.Requests.Read(t.Context(), "client_id=phone&request_uri="+oauth.RequestURIPrefix+"x")
			return err
		},
		"grant": func() error {
			r, err := s.Requests.Read(t.Context(), query())
			accepted.Check(t, err)
			location, err := s.Requests.Grant(t.Context(), r, jo(s), permission, nil)
			if fault, ok := errors.AsType[*authorization.Fault](err); location != "" || !ok || answer(t, fault.Location()).Get("error") != "temporarily_unavailable" {
				t.Errorf("AZ-8 the browser is sent to %q, %v", location, err)
			}
			return err
		},
	} {
		if err := call(); !errors.Is(err, oauth.Unavailable) || !errors.Is(err, oauth.ReasonStoreUnavailable) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("GL-15 %s: %v", name, err)
		}
	}
}

// The examples of docs/reason-codes.md are what the rules say.
func TestReasonExamples(t *testing.T) {
	s := newSite(t)
	said := map[oauth.Reason][]string{}
	note := func(err error) {
		t.Helper()
		e, ok := errors.AsType[*oauth.Error](err)
		if !ok {
			t.Fatalf("not refused: %v", err)
		}
		said[e.Reason] = append(said[e.Reason], fmt.Sprint(e.Rule, ": ", e.Expected, ", ", e.Presented))
	}
	read := func(query string) error { _, err := s.Requests.Read(t.Context(), query); return err }
	redeem := func(r authorization.Redeeming) error { _, err := s.Grants.Redeem(t.Context(), r); return err }
	note(read(query("redirect_uri", callback+"/")))
	note(read(query("response_type", "token")))
	note(read(query("code_challenge_method", "plain")))
	note(read(query("request_uri", oauth.RequestURIPrefix)))
	note(read(query("client_id", "pushes")))
	note(redeem(redeeming("x")))
	code := s.granted(t)
	r := redeeming(code)
	r.Verifier = verifier[1:] + "A"
	note(redeem(r))
	r = redeeming(code)
	r.By.ClientID = "other"
	note(redeem(r))
	token := s.redeem(t, redeeming(code))
	note(redeem(redeeming(code)))
	_, err := s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	note(err)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: "x"})
	note(err)
	token = s.redeem(t, redeeming(s.granted(t)))
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	accepted.Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	note(err)
	token = s.redeem(t, redeeming(s.granted(t)))
	s.Clock.Advance(time.Hour + time.Second)
	_, err = s.refresh(t, authorization.Refreshing{By: appCaller, Token: token})
	note(err)
	note(s.lateCode(t))
	for _, reason := range []oauth.Reason{
		oauth.ReasonRedirectURIMismatch, oauth.ReasonResponseTypeUnsupported, oauth.ReasonCodeChallengeBad, oauth.ReasonRequestURIUnknown, oauth.ReasonPARRequired,
		oauth.ReasonCodeUnknown, oauth.ReasonCodeExpired, oauth.ReasonCodeReused, oauth.ReasonCodeVerifierBad,
		oauth.ReasonRefreshTokenUnknown, oauth.ReasonRefreshTokenExpired, oauth.ReasonRefreshTokenReused, oauth.ReasonGrantNotYours, oauth.ReasonGrantRevoked,
	} {
		e := reasonexample.Of(reason)
		if text := fmt.Sprint(e.Rule, ": ", e.Expected, ", ", e.Presented); !slices.Contains(said[reason], text) {
			t.Errorf("%s: the example is %q, and these are said: %q", reason, text, said[reason])
		}
	}
}

// CX-10 A refresh token of a client that was public is not one of its workloads, should
// it authenticate since. Before the code is redeemed nobody is known.
func TestWasPublic(t *testing.T) {
	s := newSite(t)
	now := authorization.Presenter{ClientID: "phone", SPIFFEID: "spiffe://example.org/phone"}
	phone := func(by authorization.Presenter) authorization.Redeeming {
		r := redeeming(s.granted(t, "client_id", "phone", "redirect_uri", "http://127.0.0.1/cb"))
		r.By, r.RedirectURI = by, "http://127.0.0.1/cb"
		return r
	}
	token := s.redeem(t, phone(phoneCaller))
	_, err := s.refresh(t, authorization.Refreshing{By: now, Token: token})
	want{Code: oauth.InvalidGrant, Reason: oauth.ReasonGrantNotYours, Rule: "CX-10"}.Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: phoneCaller, Token: token})
	accepted.Check(t, err)
	_, err = s.refresh(t, authorization.Refreshing{By: now, Token: s.redeem(t, phone(now))})
	accepted.Check(t, err)
}
