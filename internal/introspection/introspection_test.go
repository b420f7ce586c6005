package introspection_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/introspection"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// IN-3: the answer is what the token says, and how it is to be presented.
func TestActive(t *testing.T) {
	s := newScene(t)
	now := s.Clock.Now()
	for _, row := range []struct {
		name   string
		change func(*paper)
		extra  map[string]any
	}{
		{"bearer", func(*paper) {}, nil},
		{"bound to a certificate", claim("cnf", map[string]any{"x5t#S256": "abc"}), map[string]any{"cnf": map[string]any{"x5t#S256": "abc"}}},
		{"bound to a key", claim("cnf", map[string]any{"jkt": "abc"}), map[string]any{"cnf": map[string]any{"jkt": "abc"}, "token_type": "DPoP"}},
		{"nbf", claim("nbf", now.Unix()), map[string]any{"nbf": float64(now.Unix())}},
		{"an actor", claim("act", map[string]any{"sub": billing}), map[string]any{"act": map[string]any{"sub": billing}}},
		{"what later documents add", func(p *paper) {
			for _, name := range []string{"may_act", "authorization_details", "txn", "auth_time", "acr", "amr"} {
				p.claims[name] = "x"
			}
		}, map[string]any{"may_act": "x", "authorization_details": "x", "txn": "x", "auth_time": "x", "acr": "x", "amr": "x"}},
		{"what nobody defined stays away", func(p *paper) { p.claims["secret"] = "x" }, nil},
		{"no scope", claim("scope", nil), map[string]any{"scope": nil}},
		{"two audiences", claim("aud", []string{books, api}), map[string]any{"aud": []any{books, api}}},
		{"text that needs an escape", claim("sub", "a\"\\\u2028é"), map[string]any{"sub": "a\"\\\u2028é"}},
	} {
		t.Run("IN-3 "+row.name, func(t *testing.T) {
			token := s.token(t, row.change)
			want := map[string]any{
				"active": true, "token_type": "Bearer", "iss": testidentity.Issuer, "sub": billing, "aud": api, "client_id": billing, "jti": "j1", "scope": "read",
				"iat": float64(now.Unix()), "exp": float64(now.Add(5 * time.Minute).Unix()),
			}
			for name, value := range row.extra {
				if want[name] = value; value == nil {
					delete(want, name)
				}
			}
			for _, time := range []string{"at first", "again"} {
				if got := s.active(t, apiA, token); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s\ngot  %v\nwant %v", time, got, want)
				}
			}
		})
	}
}

// Every rule refuses its one defect, beside a twin that is active; and again when the
// twin is remembered.
func TestInactive(t *testing.T) {
	s := newScene(t)
	other, err := keys.Open(keys.Config{File: filepath.Join(t.TempDir(), "other.json"), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) int64 { return s.Clock.Now().Add(d).Unix() }
	none := func(*paper) {}
	for _, row := range []struct {
		name   string
		reason oauth.Reason
		bad    func(*paper)
		twin   func(*paper)
	}{
		{"GL-8 a token of more than 16 KiB", oauth.ReasonAssertionTooLarge, claim("x", strings.Repeat("a", 16<<10)), claim("x", strings.Repeat("a", 8<<10))},
		{"GL-11 an opaque token", oauth.ReasonTokenMalformed, edit(func(string) string { return "2YotnFZFEjr1zCsicMWpAA" }), none},
		{"GL-11 padding", oauth.ReasonTokenMalformed, edit(func(t string) string { return t + "=" }), none},
		{"GL-11 four parts", oauth.ReasonTokenMalformed, edit(func(t string) string { return t + ".AAAA" }), none},
		{"GL-10 an SVID", oauth.ReasonWrongTokenType, head("typ", "JWT"), head("typ", "AT+JWT")},
		{"GL-10 no typ", oauth.ReasonWrongTokenType, head("typ", nil), head("typ", "application/at+jwt")},
		{"GL-14 another issuer", oauth.ReasonIssuerMismatch, claim("iss", testidentity.Issuer+"/"), none},
		{"GL-14 no issuer", oauth.ReasonIssuerMismatch, claim("iss", nil), none},
		{"KR-7 another key", oauth.ReasonKIDUnknown, func(p *paper) { p.signer = other.Signer(); p.header["kid"] = p.signer.KeyID }, none},
		{"KR-7 no kid", oauth.ReasonKIDMissing, head("kid", nil), none},
		{"GL-9 none", oauth.ReasonAlgNotAllowed, head("alg", "none"), none},
		{"GL-9 an algorithm of another key", oauth.ReasonAlgNotAllowed, head("alg", "EdDSA"), none},
		{"GL-9 HS256", oauth.ReasonAlgNotAllowed, head("alg", "HS256"), none},
		{"GL-9 crit", oauth.ReasonHeaderNotAllowed, head("crit", []string{"x"}), head("x", "y")},
		{"AT-8 another key under our kid", oauth.ReasonSignatureBad, func(p *paper) { p.signer = other.Signer() }, none},
		{"AT-8 another claim", oauth.ReasonSignatureBad, edit(func(t string) string {
			parts := strings.Split(t, ".")
			payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "read", "root", 1)))
			return strings.Join(parts, ".")
		}), none},
		{"AT-2 no sub", oauth.ReasonClaimMalformed, claim("sub", nil), none},
		{"AT-2 no client_id", oauth.ReasonClaimMalformed, claim("client_id", nil), none},
		{"AT-2 no jti", oauth.ReasonClaimMalformed, claim("jti", nil), none},
		{"AT-2 no aud", oauth.ReasonClaimMalformed, claim("aud", nil), none},
		{"AT-2 no exp", oauth.ReasonClaimMalformed, claim("exp", nil), none},
		{"AT-2 exp a text", oauth.ReasonClaimMalformed, claim("exp", "tomorrow"), none},
		{"AT-2 no iat", oauth.ReasonClaimMalformed, claim("iat", nil), none},
		{"AT-2 nbf a text", oauth.ReasonClaimMalformed, claim("nbf", "now"), claim("nbf", at(0))},
		{"GL-12 expired this second", oauth.ReasonExpired, claim("exp", at(0)), claim("exp", at(time.Second))},
		{"GL-12 not yet valid", oauth.ReasonNotYetValid, claim("nbf", at(11*time.Second)), claim("nbf", at(10*time.Second))},
		{"IN-2 for another API", oauth.ReasonTokenNotYours, claim("aud", books), claim("aud", []string{books, api})},
		{"IN-2 for an API whose name begins so", oauth.ReasonTokenNotYours, claim("aud", api+"x"), none},
	} {
		t.Run(row.name, func(t *testing.T) {
			rule, _, _ := strings.Cut(row.name, " ")
			s.active(t, apiA, s.token(t, row.twin))
			for range 2 {
				s.inactive(t, apiA, s.token(t, row.bad), row.reason, rule)
			}
		})
	}
}

// IN-2, AK-28: who may not ask is told of a foreign token what it is told of one that
// does not exist, and neither memory nor revocations are of any use to it.
func TestWhoAsks(t *testing.T) {
	s := newScene(t)
	list := &counting{Revocations: s.list}
	s.use(t, list)
	token := s.token(t)
	for _, who := range []string{apiB, nobody, billing} {
		s.inactive(t, who, token, oauth.ReasonTokenNotYours, "IN-2")
	}
	s.active(t, apiA, token)
	asked := list.asked
	for _, who := range []string{apiB, nobody} { // now that it is remembered for another
		s.inactive(t, who, token, oauth.ReasonTokenNotYours, "IN-2")
	}
	s.revoke(t, revocation.TokenID, "j1")
	s.inactive(t, apiB, token, oauth.ReasonTokenNotYours, "IN-2")
	if list.asked != asked {
		t.Error("AK-28 whether a foreign token was revoked makes a difference")
	}
	s.inactive(t, apiA, token, oauth.ReasonTokenRevoked, "RV-4")

	_, err := s.in.Introspect(t.Context(), clientauth.Caller{}, s.token(t))
	testidentity.Want{Code: oauth.InvalidClient, Reason: oauth.ReasonAssertionMissing, Rule: "IN-1"}.Check(t, err)
	_, err = s.in.Own(t.Context(), clientauth.Caller{}, s.token(t))
	testidentity.Want{Code: oauth.InvalidClient, Reason: oauth.ReasonAssertionMissing, Rule: "RV-1"}.Check(t, err)
}

// RV-3, RV-4: whatever of a token is revoked ends it at once, remembered or not, and
// says so to the operator.
func TestRevoked(t *testing.T) {
	const user = "8f1c"
	for _, row := range []struct {
		kind  revocation.Kind
		value func(*scene) string
		of    func(*paper)
	}{
		{revocation.TokenID, func(*scene) string { return "j1" }, func(*paper) {}},
		{revocation.Client, func(*scene) string { return billing }, func(*paper) {}},
		{revocation.SPIFFEID, func(*scene) string { return billing }, func(*paper) {}},
		{revocation.SPIFFEID, func(*scene) string { return billing }, func(p *paper) {
			p.claims["sub"], p.claims["client_id"], p.claims["act"] = user, "app", map[string]any{"sub": billing}
		}},
		{revocation.SPIFFEID, func(*scene) string { return billing }, func(p *paper) {
			p.claims["sub"], p.claims["act"] = user, map[string]any{"sub": apiA, "act": map[string]any{"sub": billing}}
		}},
		{revocation.SPIFFEIDPrefix, func(*scene) string { return "spiffe://example.org/*" }, func(*paper) {}},
		{revocation.TrustDomain, func(*scene) string { return "example.org" }, func(*paper) {}},
		{revocation.Key, func(s *scene) string { return s.ring.Signer().KeyID }, func(*paper) {}},
	} {
		t.Run("RV-4 "+string(row.kind), func(t *testing.T) {
			s := newScene(t)
			token := s.token(t, row.of)
			s.active(t, apiA, token)
			value := row.value(s)
			s.revoke(t, row.kind, value)
			s.inactive(t, apiA, token, oauth.ReasonTokenRevoked, "RV-4")
			_, err := s.ask(t, apiA, token)
			if e := oauth.AsError(err); !strings.Contains(e.Presented, string(row.kind)+" "+value) {
				t.Errorf("presented %q does not say what was revoked", e.Presented)
			}
			s.Clock.Advance(time.Second)
			later := s.token(t, row.of, claim("jti", "j2"))
			if row.kind == revocation.Key { // dead whenever it is issued
				s.inactive(t, apiA, later, oauth.ReasonTokenRevoked, "RV-4")
				return
			}
			s.active(t, apiA, later)
		})
	}
}

// GL-15: what is not known is neither active nor inactive.
func TestUnknown(t *testing.T) {
	s := newScene(t)
	token := s.token(t)
	s.active(t, apiA, token)
	s.use(t, unknowing{})
	_, err := s.ask(t, apiA, token)
	if e := oauth.AsError(err); e.Code != oauth.Unavailable || e.Reason != oauth.ReasonStoreUnavailable {
		t.Errorf("%v", err)
	}
	s.inactive(t, apiB, token, oauth.ReasonTokenNotYours, "IN-2")
}

// A key that is gone ends its tokens at once, remembered or not; one that signs no
// more does not (KR-2).
func TestKeyChanges(t *testing.T) {
	s := newScene(t)
	token, kid := s.token(t), s.ring.Signer().KeyID
	s.active(t, apiA, token)
	if _, err := s.ring.Rotate(true); err != nil {
		t.Fatal(err)
	}
	if s.ring.Signer().KeyID == kid {
		t.Fatal("the key is the same")
	}
	s.active(t, apiA, token)
	s.active(t, apiA, s.token(t, claim("jti", "j2")))
	if _, err := s.ring.Remove(kid); err != nil {
		t.Fatal(err)
	}
	s.inactive(t, apiA, token, oauth.ReasonKIDUnknown, "KR-7")
}

// A remembered token is judged by the time of each question.
func TestRememberedExpires(t *testing.T) {
	s := newScene(t)
	token := s.token(t)
	s.active(t, apiA, token)
	s.Clock.Advance(5*time.Minute - 1)
	s.active(t, apiA, token)
	s.Clock.Advance(1)
	s.inactive(t, apiA, token, oauth.ReasonExpired, "GL-12")
}

// RV-1, RV-2: whose token it is, for one who wants it revoked.
func TestOwn(t *testing.T) {
	s := newScene(t)
	token := s.token(t)
	own, err := s.in.Own(t.Context(), s.callers[billing], token)
	if err != nil || own.GrantID() != "" || own.Token().ID() != "j1" || own.Token().Subject() != billing || !own.Token().ExpiresAt().Equal(s.Clock.Now().Add(5*time.Minute)) {
		t.Errorf("%+v, %v", own, err)
	}
	foreign := testidentity.Want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonTokenNotYours, Rule: "RV-1"}
	for _, who := range []string{nobody, apiA} { // also one who may introspect it
		_, err := s.in.Own(t.Context(), s.callers[who], token)
		foreign.Check(t, err)
	}
	_, err = s.in.Own(t.Context(), s.callers[billing], "2YotnFZFEjr1zCsicMWpAA")
	testidentity.Want{Code: oauth.InvalidToken, Reason: oauth.ReasonTokenMalformed, Rule: "GL-11"}.Check(t, err)
	s.Clock.Advance(5 * time.Minute)
	for _, who := range []string{nobody, billing} {
		_, err = s.in.Own(t.Context(), s.callers[who], token)
		testidentity.Want{Code: oauth.InvalidToken, Reason: oauth.ReasonExpired, Rule: "GL-12"}.Check(t, err)
	}
	if (introspection.Token{}).Genuine() || (introspection.Token{}).ID() != "" || (introspection.Answer{}).Active() {
		t.Error("a zero value is something")
	}
}

// The answer is the caller's own: nobody changes what is remembered.
func TestAnswerIsACopy(t *testing.T) {
	s := newScene(t)
	token := s.token(t)
	a, err := s.in.Introspect(t.Context(), s.callers[apiA], token)
	if err != nil {
		t.Fatal(err)
	}
	before := string(a.Body())
	clear(a.Body())
	if body, _ := s.ask(t, apiA, token); body != before {
		t.Errorf("%s", body)
	}
}

// FuzzIntrospect: no panic, and nothing is active but what was issued.
func FuzzIntrospect(f *testing.F) {
	s := newScene(f)
	token := s.token(f)
	for _, seed := range []string{token, "", "a.b.c", token + "=", strings.Replace(token, ".", "..", 1), "2YotnFZFEjr1zCsicMWpAA", token[:len(token)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := s.in.Introspect(t.Context(), s.callers[apiA], text)
		if a.Active() != (text == token) || (err == nil) != (text == token) {
			t.Fatalf("%q is active: %t, %v", text, a.Active(), err)
		}
	})
}

// RU-8: while a client or a workload is blocked its tokens are inactive, its refresh
// tokens too; those of others are not.
func TestBlocked(t *testing.T) {
	s := newScene(t)
	token, refresh := s.token(t), s.granted(t, "g1")
	person := s.token(t, claim("sub", "alice"), claim("act", map[string]any{"sub": billing}), claim("client_id", "app"))
	public := s.token(t, claim("sub", "alice"), claim("client_id", "app"))
	for _, row := range []struct {
		blocked string
		token   string
		dead    bool
	}{
		{billing, token, true}, {billing, person, true}, {billing, public, false}, {"app", person, true}, {"app", public, true}, {"app", token, false},
		{"spiffe://example.org/other", token, false},
	} {
		s.active(t, apiA, row.token)
		s.blocked[row.blocked] = true
		if row.dead {
			s.inactive(t, apiA, row.token, oauth.ReasonClientBlocked, "RU-8")
		} else {
			s.active(t, apiA, row.token)
		}
		delete(s.blocked, row.blocked)
	}
	s.blocked[billing] = true
	s.inactive(t, billing, refresh, oauth.ReasonClientBlocked, "RU-8")
}

// TestFirstUseIntrospectsNothing: the right to ask is one of the configuration's
// clients, and not of whoever registered under the same name.
func TestFirstUseIntrospectsNothing(t *testing.T) {
	s := newScene(t)
	db, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ledger, err := registration.OpenLedger(t.Context(), db, s.Clock.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pattern, err := svidgate.ParsePattern(apiA)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := s.Registry(t).WithFirstUse([]registration.FirstUse{{
		TrustDomain: pattern.TrustDomain(), Mode: registration.OnFirstUse, Quota: registration.Quota{MaxClients: 1, Idle: registration.DefaultIdle},
		Templates: []registration.Template{{Name: "t", Allow: []svidgate.Pattern{pattern}, Methods: []oauth.AuthMethod{oauth.MethodJWT}}},
	}}, ledger)
	if err != nil {
		t.Fatal(err)
	}
	a := &clientauth.Authenticator{Verifier: s.Verifier, Clients: clients}
	caller, _, err := a.Authenticate(t.Context(), testidentity.Request(t, testidentity.Assertion(apiA, s.JWT(t, apiA)), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	token := s.token(t)
	s.active(t, apiA, token)
	s.callers[apiA] = caller
	s.inactive(t, apiA, token, oauth.ReasonTokenNotYours, "IN-2")
}
