package authorization_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/reasonexample"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

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

func TestConfigIsComplete(t *testing.T) {
	if _, err := authorization.New(authorization.Config{}); err == nil {
		t.Error("Requests are made of nothing")
	}
	if _, err := authorization.NewGrants(authorization.GrantsConfig{}); err == nil {
		t.Error("Grants are made of nothing")
	}
}
