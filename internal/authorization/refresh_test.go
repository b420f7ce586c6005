package authorization_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/oauth"
)

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
		{"RT-1 another client", func(r *authorization.Refreshing) { r.By.ClientID = "several" }, nil, badGrant(oauth.ReasonGrantNotYours, "AZ-6")},
		{"TK-5 a client with codes and no refresh tokens", func(r *authorization.Refreshing) { r.By.ClientID = "other" }, nil, grantDenied},
		{"TK-5 the same, and a refresh token nobody gave out", func(r *authorization.Refreshing) { r.By.ClientID, r.Token = "other", "x" }, nil, grantDenied},
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
	for _, by := range []authorization.Presenter{phoneCaller, {ClientID: "several"}, {ClientID: app, SPIFFEID: app + "2"}} {
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

// RT-4 A lost answer is forgiven also where nothing is replaced any more since: what
// comes back is the latest token, and not the one that revokes the grant next time.
func TestGraceAfterRotationEnded(t *testing.T) {
	s := newSite(t, grace(10*time.Second))
	still := newSite(t, grace(10*time.Second), noRotation, func(set *settings) { set.grants.Records, set.grants.Now = s.Records, s.Clock.Now })
	r := authorization.Refreshing{By: appCaller, Token: s.redeem(t, redeeming(s.granted(t)))}
	latest, err := s.refresh(t, r)
	accepted.Check(t, err)
	again, err := still.refresh(t, r)
	if accepted.Check(t, err); again != latest {
		t.Error("RT-4 the retry got another than the latest")
	}
	s.Clock.Advance(time.Minute)
	_, err = still.refresh(t, authorization.Refreshing{By: appCaller, Token: again})
	accepted.Check(t, err)
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
