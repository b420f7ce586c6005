package resource

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// afresh is VerifyToken without a memory.
func (v *Verifier) afresh(ctx context.Context, token string, peer *x509.Certificate, scopes ...string) (Caller, error) {
	s := v.tokenAttempt(token, peer, scopes)
	s.afresh = true
	return s.verify(ctx)
}

// A scene is a token that was accepted twice, so it is remembered, and all that
// may change before it is presented again.
type scene struct {
	v      *Verifier
	clk    clock
	set    *KeySet
	token  string
	peer   *x509.Certificate
	scopes []string
}

func newScene(t *testing.T, key testKey, mine *x509.Certificate) *scene {
	t.Helper()
	s := &scene{set: staticA(t).set, peer: mine, scopes: []string{"read"}}
	s.v = newVerifier(t, func(c *Config) {
		c.Now = s.clk.now
		c.Issuers = []KeySource{staticB(t), sourceFunc(func() (*KeySet, error) {
			if s.set == nil {
				return nil, ErrKeysUnavailable
			}
			return s.set, nil
		})}
	})
	p := newPresentation()
	p.as(key)
	p.bound(mine)
	p.claims["nbf"] = noon.Unix()
	s.token = p.sign()
	for want := range uint64(2) {
		if err := s.verify(t); err != nil {
			t.Fatal(err)
		}
		if m := s.v.Remembered(); m.Hits != want || m.Misses != 1 || m.Held != 1 {
			t.Fatalf("%d times before: %+v", want, m)
		}
	}
	return s
}

// verify also holds the memory to what is said without it.
func (s *scene) verify(t *testing.T) error {
	t.Helper()
	want, wantErr := s.v.afresh(t.Context(), s.token, s.peer, s.scopes...)
	caller, err := s.v.VerifyToken(t.Context(), s.token, s.peer, s.scopes...)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || caller != want {
		t.Errorf("with memory %+v, %v; without %+v, %v", caller, err, want, wantErr)
	}
	if e := s.v.ExplainToken(t.Context(), s.token, s.peer, s.scopes...).Refusal; (e == nil) != (err == nil) || e != nil && e.Error() != err.Error() {
		t.Errorf("verify says %v, explain %v", err, e)
	}
	return err
}

func (s *scene) keys(entries ...[]byte) {
	raw := make([]string, len(entries))
	for i, e := range entries {
		raw[i] = string(e)
	}
	s.set = must(ParseKeySet([]byte(`{"keys":[` + strings.Join(raw, ",") + `]}`)))
}

// What was accepted once is judged again by all that can change.
func TestRememberedTokenIsJudged(t *testing.T) {
	mine, other := leaf(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Hour) }), leaf(t)
	short := leaf(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Minute) })
	es256, es256b := keyOf("es256", jose.ES256, "p256"), keyOf("es256-b", jose.ES256, "p256b")
	rs256 := keyOf("rsa", jose.RS256, "rsa")
	later := func(d time.Duration) func(*scene) { return func(s *scene) { s.clk.advance(d) } }
	at := func(resource string, sources ...KeySource) func(*scene) {
		return func(s *scene) {
			s.v = newVerifier(t, func(c *Config) { c.Resource, c.Now, c.Issuers = resource, s.clk.now, sources })
		}
	}
	changed := func(part int, change func([]byte) []byte) func(*scene) {
		return func(s *scene) {
			parts := strings.Split(s.token, ".")
			raw := must(base64.RawURLEncoding.DecodeString(parts[part]))
			parts[part] = encoded(change(raw))
			s.token = strings.Join(parts, ".")
		}
	}
	same := func(b []byte) []byte { return b }
	for _, row := range []struct {
		name      string // begins with the id of the rule that must refuse
		key       testKey
		mine      *x509.Certificate
		reason    oauth.Reason
		bad, twin func(*scene)
	}{
		{"GL-12 it has expired", es256, mine, oauth.ReasonExpired, later(5*time.Minute + 5*time.Second), later(5*time.Minute + 4*time.Second)},
		{"GL-12 the clock was set back", es256, mine, oauth.ReasonNotYetValid, later(-11 * time.Second), later(-10 * time.Second)},
		{"MT-2 on another connection", es256, mine, oauth.ReasonCnfMismatch, func(s *scene) { s.peer = other }, func(s *scene) { s.peer = must(x509.ParseCertificate(mine.Raw)) }},
		{"MT-2 on a connection without certificate", es256, mine, oauth.ReasonCnfMismatch, func(s *scene) { s.peer = nil }, func(*scene) {}},
		{"MT-7 its certificate has ended", es256, short, oauth.ReasonCertChainBad, later(61 * time.Second), later(time.Minute)},
		{"LR-3 for what needs another scope", es256, mine, oauth.ReasonScopeDenied, func(s *scene) { s.scopes = []string{"admin"} }, func(s *scene) { s.scopes = []string{"write"} }},
		{"AT-4 at another API", es256, mine, oauth.ReasonAudMismatch, at("https://data.example.com/", staticA(t)), at(api, staticA(t))},
		{"GL-14 where its issuer is not accepted", es256, mine, oauth.ReasonIssuerMismatch, at(api, staticB(t)), at(api, staticB(t), staticA(t))},

		{"LD-3 the keys are too old", es256, mine, oauth.ReasonKeysUnavailable, func(s *scene) { s.set = nil }, func(s *scene) { s.set = staticA(t).set }},
		{"KR-7 its key was withdrawn", es256, mine, oauth.ReasonKIDUnknown, func(s *scene) { s.keys(es256b.jwk(t, true)) }, func(s *scene) { s.keys(es256.jwk(t, true)) }},
		{"KR-7 all keys were withdrawn (LD-4)", es256, mine, oauth.ReasonKIDUnknown, func(s *scene) { s.keys() }, func(s *scene) { s.keys(es256b.jwk(t, true), es256.jwk(t, true)) }},
		{"AT-8 another key has its kid", es256, mine, oauth.ReasonSignatureBad, func(s *scene) { s.keys(keyOf("es256", jose.ES256, "p256b").jwk(t, true)) },
			func(s *scene) { s.keys(es256.jwk(t, false)) }},
		{"AT-8 the keys are those of another issuer that has this kid", es256, mine, oauth.ReasonSignatureBad, func(s *scene) { s.set = staticB(t).set }, func(s *scene) { s.set = staticA(t).set }},
		{"AT-8 its key is for another algorithm now", rs256, mine, oauth.ReasonAlgNotAllowed, func(s *scene) { s.keys(keyOf("rsa", jose.PS256, "rsa").jwk(t, true)) }, func(s *scene) { s.keys(rs256.jwk(t, true)) }},

		{"AT-8 one bit of its signature", es256, mine, oauth.ReasonSignatureBad, changed(2, func(b []byte) []byte { b[5] ^= 1; return b }), changed(2, same)},
		{"AT-8 one claim", es256, mine, oauth.ReasonSignatureBad, changed(1, func(b []byte) []byte { return []byte(strings.Replace(string(b), "read write", "read admin", 1)) }), changed(1, same)},
		{"AT-8 one space", es256, mine, oauth.ReasonSignatureBad, changed(1, func(b []byte) []byte { return append(b, ' ') }), changed(1, same)},
		{"AT-8 another header", es256, mine, oauth.ReasonSignatureBad, changed(0, func(b []byte) []byte { return append([]byte(`{"x":1,`), b[1:]...) }), changed(0, same)},
		{"GL-11 padding", es256, mine, oauth.ReasonTokenMalformed, func(s *scene) { s.token += "=" }, func(*scene) {}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene(t, row.key, row.mine)
			row.bad(s)
			for range 2 { // what is refused stays refused
				err := s.verify(t)
				rule, _, _ := strings.Cut(row.name, " ")
				if e := oauth.AsError(err); err == nil || e.Rule != rule || e.Reason != row.reason {
					t.Errorf("want a refusal by %s for %s, got %v", rule, row.reason, err)
				}
			}
			if held := s.v.Remembered().Held; held > 1 {
				t.Errorf("%d held after a refusal", held)
			}
			s = newScene(t, row.key, row.mine)
			row.twin(s)
			for range 2 {
				if err := s.verify(t); err != nil {
					t.Errorf("the twin is refused: %v", err)
				}
			}
		})
	}
}

// PRODUCT: a result counts for one content of the key set. Another one has the
// signature verified again; the same keys in another document do not.
func TestRememberedSignatureAndTheKeySet(t *testing.T) {
	es256, es256b := keyOf("es256", jose.ES256, "p256"), keyOf("es256-b", jose.ES256, "p256b")
	one, two := es256.jwk(t, true), es256b.jwk(t, true)
	s := newScene(t, es256, leaf(t))
	for _, row := range []struct {
		name    string
		change  func()
		verdict uint64 // misses
	}{
		{"one key only", func() { s.keys(one) }, 1},
		{"the same in a new document", func() { s.keys(one) }, 0},
		{"one more", func() { s.keys(one, two) }, 1},
		{"in another order", func() { s.keys(two, one) }, 0},
		{"with an entry that is left out", func() { s.keys(two, []byte(`{"kty":"oct"}`), one) }, 0},
		{"another kid for the other", func() { s.keys(one, keyOf("x", jose.ES256, "p256b").jwk(t, true)) }, 1},
		{"no alg", func() { s.keys(one, keyOf("x", jose.ES256, "p256b").jwk(t, false)) }, 1},
		{"back to the first", func() { s.keys(one) }, 1},
	} {
		row.change()
		for i, want := range []uint64{row.verdict, 0} {
			before := s.v.Remembered()
			if err := s.verify(t); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
			if now := s.v.Remembered(); now.Misses-before.Misses != want || now.Hits-before.Hits != 1-want || now.Held != 1 {
				t.Errorf("%s, time %d: %+v, then %+v", row.name, i+1, before, now)
			}
		}
	}
}

// CJ-13: an ECDSA signature (r, s) has the twin (r, n-s). It is another token.
func TestRememberedSignatureHasATwin(t *testing.T) {
	s := newScene(t, keyOf("es256", jose.ES256, "p256"), leaf(t))
	dot := strings.LastIndexByte(s.token, '.') + 1
	sig := must(base64.RawURLEncoding.DecodeString(s.token[dot:]))
	n := elliptic.P256().Params().N
	new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:])).FillBytes(sig[32:])
	s.token = s.token[:dot] + encoded(sig)
	before := s.v.Remembered()
	if err := s.verify(t); err != nil { // a valid signature of the same claims
		t.Error(err)
	}
	if now := s.v.Remembered(); now.Misses != before.Misses+1 || now.Hits != before.Hits {
		t.Errorf("the twin was taken from memory: %+v, then %+v", before, now)
	}
}

// Every defect that a rule knows is refused by a verifier that remembers its sound
// twin, as often as it comes, and leaves nothing behind.
func TestRememberedTwinsOfAllRules(t *testing.T) {
	for _, row := range ruleRows(t) {
		bad, twin := newPresentation(), newPresentation()
		row.bad(bad)
		if row.twin != nil {
			row.twin(twin)
		}
		v := newVerifier(t, bad.config...)
		sound := newVerifier(t, twin.config...)
		if len(bad.config) == 0 {
			sound = v
		}
		for range 3 {
			if _, err := sound.Verify(t.Context(), twin.request(), twin.scopes...); err != nil {
				t.Fatalf("%s: the twin is refused: %v", row.name, err)
			}
		}
		held := v.Remembered().Held
		r := bad.request()
		want := v.Explain(t.Context(), r, bad.scopes...).Refusal
		for range 3 {
			if _, err := v.Verify(t.Context(), r, bad.scopes...); want == nil || err == nil || err.Error() != want.Error() {
				t.Errorf("%s: with memory %v, without %v", row.name, err, want)
			}
		}
		if now := v.Remembered().Held; now != held {
			t.Errorf("%s: %d held before the refusals, %d after", row.name, held, now)
		}
	}
}

// F50: what is held is neither the token nor its signature.
func TestMemoryHasNoToken(t *testing.T) {
	s := newScene(t, keyOf("es256", jose.ES256, "p256"), leaf(t))
	a := s.v.tokenAttempt(s.token, s.peer, nil)
	if !a.recall() || a.said == nil {
		t.Fatal("it is not remembered")
	}
	held := fmt.Sprintf("%+v %+v", *a.said, a.proven)
	parts := strings.Split(s.token, ".")
	for _, secret := range []string{parts[0], parts[1], parts[2], string(must(base64.RawURLEncoding.DecodeString(parts[2])))} {
		if strings.Contains(held, secret) {
			t.Errorf("the memory holds a part of the token: %s", held)
		}
	}
	if !strings.Contains(held, worker) {
		t.Errorf("this test would see nothing: %s", held)
	}
}

// What a handler does with a Caller changes nothing that is remembered.
func TestRememberedCallerIsItsOwn(t *testing.T) {
	s := newScene(t, keyOf("es256", jose.ES256, "p256"), leaf(t))
	for range 3 {
		c, err := s.v.VerifyToken(t.Context(), s.token, s.peer)
		if err != nil || !slices.Equal(c.Scopes(), []string{"read", "write"}) || c.Subject() != worker {
			t.Fatal(c, err)
		}
		c.Scopes()[0] = "admin"
	}
}

// Explaining takes nothing from memory and leaves nothing there.
func TestExplainIsOutsideTheMemory(t *testing.T) {
	v := newVerifier(t)
	token := newPresentation().sign()
	for range 2 {
		if e := v.ExplainToken(t.Context(), token, nil); e.Refusal != nil {
			t.Fatal(e.Refusal)
		}
	}
	if m := v.Remembered(); m != (Remembered{}) {
		t.Errorf("got %+v", m)
	}
}

// A judgement that ends before the signature counts as nothing.
func TestRememberedCounts(t *testing.T) {
	v := newVerifier(t)
	for _, row := range []struct {
		change func(*presentation)
		reason oauth.Reason
		want   Remembered
	}{
		{func(*presentation) {}, "", Remembered{Misses: 1, Held: 1}},
		{func(p *presentation) { p.claims["iss"] = "https://rogue.example.com" }, oauth.ReasonIssuerMismatch, Remembered{Misses: 1, Held: 1}},
		{func(p *presentation) { p.key = keyOf("", jose.ES256, "p256b") }, oauth.ReasonSignatureBad, Remembered{Misses: 2, Held: 1}},
		{func(p *presentation) { p.claims["aud"] = issuerA }, oauth.ReasonAudMismatch, Remembered{Misses: 3, Held: 1}},
		{raw(func(string) string { return "" }), oauth.ReasonTokenMalformed, Remembered{Misses: 3, Held: 1}},
	} {
		p := newPresentation()
		row.change(p)
		if _, err := v.VerifyToken(t.Context(), p.sign(), nil); (row.reason == "") != (err == nil) || err != nil && !errors.Is(err, row.reason) {
			t.Fatalf("want %q, got %v", row.reason, err)
		}
		if got := v.Remembered(); got != row.want {
			t.Errorf("%s: got %+v, want %+v", row.reason, got, row.want)
		}
	}
}
