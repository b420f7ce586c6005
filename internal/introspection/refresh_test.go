package introspection_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// IN-6: a refresh token is known to the client that it was issued to and to nobody
// else, least of all to the API that its access tokens are for.
func TestRefreshToken(t *testing.T) {
	s := newScene(t)
	token := s.granted(t, "g1")
	now := s.Clock.Now()
	want := map[string]any{
		"active": true, "client_id": billing, "scope": "read", "sub": "alice", "iss": testidentity.Issuer,
		"iat": float64(now.Unix()), "exp": float64(now.Add(time.Hour).Unix()), // idle comes before its lifetime
	}
	a, err := s.in.Introspect(t.Context(), s.callers[billing], token)
	if err != nil || a.Token().Genuine() || a.GrantID() != "g1" {
		t.Fatalf("%v", err)
	}
	if got := decoded(t, a.Body()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("IN-3\ngot  %v\nwant %v", got, want)
	}
	for _, who := range []string{apiA, apiB, nobody} {
		s.inactive(t, who, token, oauth.ReasonTokenNotYours, "IN-6")
	}
	s.inactive(t, billing, token[:len(token)-1], oauth.ReasonTokenMalformed, "GL-11")

	s.Clock.Advance(time.Second)
	next := s.refreshed(t, token)
	s.inactive(t, billing, token, oauth.ReasonGrantRevoked, "RT-6") // it was replaced
	if a, err := s.in.Introspect(t.Context(), s.callers[billing], next); err != nil || !a.Active() {
		t.Errorf("%v", err)
	}
	s.Clock.Advance(time.Hour)
	s.inactive(t, billing, next, oauth.ReasonGrantRevoked, "RT-6") // it was not used for too long
}

// RV-3: with its grant all of a refresh token dies, and the access tokens that were
// issued under it, remembered or not; those of another grant do not.
func TestGrantIsRevoked(t *testing.T) {
	s := newScene(t)
	refresh, other := s.granted(t, "g1"), s.granted(t, "g2")
	access, beside := s.token(t, claim("grant_id", "g1"), claim("jti", "a1")), s.token(t, claim("grant_id", "g2"), claim("jti", "a2"))
	if got := s.active(t, apiA, access); got["grant_id"] != nil {
		t.Errorf("IN-3 the answer has grant_id: %v", got)
	}
	s.active(t, apiA, beside)

	own, err := s.in.Own(t.Context(), s.callers[billing], refresh)
	if err != nil || own.GrantID() != "g1" || own.Token().Genuine() {
		t.Fatalf("%+v, %v", own, err)
	}
	if own, err := s.in.Own(t.Context(), s.callers[billing], access); err != nil || own.GrantID() != "" || own.Token().GrantID() != "g1" {
		t.Errorf("an access token goes alone: %+v, %v", own, err)
	}
	_, err = s.in.Own(t.Context(), s.callers[nobody], refresh)
	testidentity.Want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonTokenNotYours, Rule: "RV-1"}.Check(t, err)

	if err := s.grants.Revoke(t.Context(), "g1"); err != nil {
		t.Fatal(err)
	}
	s.inactive(t, apiA, access, oauth.ReasonGrantRevoked, "RV-3")
	s.inactive(t, apiB, access, oauth.ReasonTokenNotYours, "IN-2")
	s.inactive(t, billing, refresh, oauth.ReasonGrantRevoked, "RT-6")
	s.active(t, apiA, beside)
	if _, err := s.in.Introspect(t.Context(), s.callers[billing], other); err != nil {
		t.Errorf("another grant is dead: %v", err)
	}
	_, err = s.in.Own(t.Context(), s.callers[billing], refresh)
	testidentity.Want{Code: oauth.InvalidToken, Reason: oauth.ReasonGrantRevoked, Rule: "RV-2"}.Check(t, err)
	_, err = s.in.Own(t.Context(), s.callers[nobody], refresh) // is answered as before: that it ended is not told
	testidentity.Want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonTokenNotYours, Rule: "RV-1"}.Check(t, err)
	// A grant that nobody knows any more.
	s.inactive(t, apiA, s.token(t, claim("grant_id", "g3")), oauth.ReasonGrantRevoked, "RV-3")
}

// A refresh token that was replaced still stands for its grant, to its own client: the
// answer with the next one may have been lost. Another client is answered as about one in
// force, and so does not learn that it was replaced (AK-28).
func TestReplacedRefreshToken(t *testing.T) {
	s := newScene(t)
	token := s.granted(t, "g1")
	s.refreshed(t, token)
	if own, err := s.in.Own(t.Context(), s.callers[billing], token); err != nil || own.GrantID() != "g1" {
		t.Errorf("%+v, %v", own, err)
	}
	_, err := s.in.Own(t.Context(), s.callers[nobody], token)
	testidentity.Want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonTokenNotYours, Rule: "RV-1"}.Check(t, err)
}

// RV-4: what an operator revokes of a client or a workload takes its refresh tokens
// along, to introspection as to the token endpoint.
func TestRefreshTokenIsRevokedWithItsClient(t *testing.T) {
	for _, row := range []struct {
		kind  revocation.Kind
		value string
	}{{revocation.Client, billing}, {revocation.SPIFFEID, billing}, {revocation.SPIFFEIDPrefix, "spiffe://example.org/*"}, {revocation.TrustDomain, "example.org"}} {
		s := newScene(t)
		token := s.granted(t, "g1")
		s.revoke(t, row.kind, row.value)
		s.inactive(t, billing, token, oauth.ReasonTokenRevoked, "RV-4")
		_, err := s.grants.Refresh(t.Context(), authorization.Refreshing{By: s.presenter(), Token: token})
		testidentity.Want{Code: oauth.InvalidGrant, Reason: oauth.ReasonGrantRevoked, Rule: "RT-6"}.Check(t, err)
		s.Clock.Advance(time.Second)
		later := s.granted(t, "g2")
		if _, err := s.in.Introspect(t.Context(), s.callers[billing], later); err != nil {
			t.Errorf("%s: what was granted later is dead: %v", row.kind, err)
		}
		s.refreshed(t, later)
	}
}

// A dumb store does not answer.
type dumb struct{ introspection.Grants }

func (dumb) ByID(context.Context, string) (authorization.Grant, error) {
	return authorization.Grant{}, store.ErrUnavailable
}

func (dumb) ByRefreshToken(context.Context, string) (authorization.Grant, bool, error) {
	return authorization.Grant{}, false, store.ErrUnavailable
}

// GL-15: whether a grant is in force only the store knows. Tokens without one need it
// not.
func TestGrantIsUnknown(t *testing.T) {
	s := newScene(t)
	refresh := s.granted(t, "g1")
	in, err := introspection.New(introspection.Config{Tokens: s.tokens, Revocations: s.list, Grants: dumb{}, Blocked: func(string, spiffeid.ID) bool { return false }, Introspects: map[string][]string{apiA: {api}}})
	if err != nil {
		t.Fatal(err)
	}
	unavailable := func(err error) {
		t.Helper()
		if e := oauth.AsError(err); e.Code != oauth.Unavailable || e.Reason != oauth.ReasonStoreUnavailable {
			t.Errorf("%v", err)
		}
	}
	_, err = in.Introspect(t.Context(), s.callers[apiA], s.token(t, claim("grant_id", "g1")))
	unavailable(err)
	_, err = in.Introspect(t.Context(), s.callers[billing], refresh)
	unavailable(err)
	_, err = in.Own(t.Context(), s.callers[billing], refresh)
	unavailable(err)
	if _, err := in.Introspect(t.Context(), s.callers[apiA], s.token(t)); err != nil {
		t.Error(err)
	}
}
