package resource

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/replay"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }
func encoded(b []byte) string      { return base64.RawURLEncoding.EncodeToString(b) }

// Nothing but the token that was signed is accepted, whatever is done to it.
// EdDSA, because its signatures have no second form.
func FuzzVerifyToken(f *testing.F) {
	v, mine := newVerifier(f), leaf(f)
	p := newPresentation()
	p.as(keyOf("eddsa", jose.EdDSA, "ed25519"))
	p.bound(mine)
	valid := p.sign()
	if _, err := v.VerifyToken(f.Context(), valid, mine, "read"); err != nil {
		f.Fatal(err)
	}
	dot := strings.IndexByte(valid, '.')
	for _, seed := range []string{valid, "", ".", "..", "a.b.c", valid + "=", valid[1:], valid[:dot], valid[:len(valid)-1],
		encoded([]byte(`{"alg":"none","typ":"at+jwt"}`)) + valid[dot:], strings.ToUpper(valid), strings.Replace(valid, ".", "..", 1)} {
		f.Add(seed, 0, byte(0))
	}
	f.Add(valid, 3, byte(1))
	f.Fuzz(func(t *testing.T, token string, at int, flip byte) {
		if at >= 0 && at < len(token) { // a bit of the valid token, so that mutations stay near it
			b := []byte(token)
			b[at] ^= flip
			token = string(b)
		}
		caller, err := v.VerifyToken(t.Context(), token, mine, "read")
		if (err == nil) != (token == valid) {
			t.Fatalf("%q: %v", token, err)
		}
		if caller.Proven() != (err == nil) {
			t.Fatalf("%q: proven without acceptance", token)
		}
		if _, again := v.VerifyToken(t.Context(), token, mine, "read"); (again == nil) != (err == nil) || err != nil && again.Error() != err.Error() {
			t.Fatalf("%q: %v, then %v", token, err, again)
		}
		if e := v.ExplainToken(t.Context(), token, mine, "read"); (e.Refusal == nil) != (err == nil) {
			t.Fatalf("%q: verify %v, explain %v", token, err, e.Refusal)
		}
	})
}

// A verifier that remembers says of anything exactly what one without memory says,
// at any time, on any connection and for any scope. ES256, because its signatures
// have a second form.
func FuzzRemembered(f *testing.F) {
	var clk clock
	set := staticA(f).set
	v := newVerifier(f, func(c *Config) {
		c.Now = clk.now
		c.Issuers = []KeySource{sourceFunc(func() (*KeySet, error) { return set, nil }), staticB(f)}
	})
	mine, other := leaf(f), leaf(f)
	peers := []*x509.Certificate{mine, other, nil}
	sets := []*KeySet{set, must(ParseKeySet(jwks(keyOf("es256", jose.ES256, "p256").jwk(f, true)))), staticB(f).set}
	bearer, bound := newPresentation(), newPresentation()
	bearer.claims["nbf"] = noon.Unix()
	bound.bound(mine)
	valid := []string{bearer.sign(), bound.sign()}
	f.Add("", uint8(0), 0, byte(0), int64(0), uint8(0), "read", uint8(0))
	f.Add("", uint8(1), 7, byte(1), int64(305), uint8(1), "write", uint8(1))
	f.Add(valid[0][:40], uint8(1), 500, byte(4), int64(-11), uint8(2), "admin", uint8(2))
	f.Fuzz(func(t *testing.T, token string, which uint8, at int, flip byte, seconds int64, peer uint8, scope string, keys uint8) {
		if token == "" { // near a valid one
			b := []byte(valid[int(which)%len(valid)])
			if at >= 0 && at < len(b) {
				b[at] ^= flip
			}
			token = string(b)
		}
		for _, now := range []time.Duration{0, time.Duration(seconds%100_000) * time.Second, 0} {
			clk.offset.Store(int64(now))
			for _, set = range []*KeySet{sets[0], sets[int(keys)%len(sets)], sets[0]} {
				for _, p := range []*x509.Certificate{mine, peers[int(peer)%len(peers)]} {
					want, wantErr := v.afresh(t.Context(), token, p, scope)
					for range 2 {
						if got, err := v.VerifyToken(t.Context(), token, p, scope); got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
							t.Fatalf("%q at %v: with memory %+v, %v; without %+v, %v", token, now, got, err, want, wantErr)
						}
					}
				}
			}
		}
	})
}

// Every single character of a valid token matters.
func TestEveryChangedCharacterIsRefused(t *testing.T) {
	v := newVerifier(t)
	valid := newPresentation().sign()
	if _, err := v.VerifyToken(t.Context(), valid, nil); err != nil { // it is remembered
		t.Fatal(err)
	}
	for i := range valid {
		for _, flip := range []byte{1, 2, 4, 0x20} {
			b := []byte(valid)
			b[i] ^= flip
			if _, err := v.VerifyToken(t.Context(), string(b), nil); err == nil {
				t.Errorf("character %d changed by %d: accepted", i, flip)
			}
		}
	}
}

// A header is accepted only as Bearer and the token, once.
func FuzzAuthorization(f *testing.F) {
	v := newVerifier(f)
	valid := newPresentation().sign()
	for _, seed := range []string{"Bearer " + valid, "bearer  " + valid, "Bearer", "Bearer ", "", "Basic eA==", "Bearer " + valid + "=", "Bearer " + valid + ", Bearer " + valid, valid, "Bearer\t" + valid} {
		f.Add(seed, "", false)
		f.Add(seed, "access_token=x", false)
		f.Add(seed, "a=b", true)
	}
	f.Fuzz(func(t *testing.T, header, query string, twice bool) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		if r.Header["Authorization"] = []string{header}; twice {
			r.Header.Add("Authorization", header)
		}
		_, err := v.Verify(t.Context(), r)
		if err == nil {
			name, token, _ := strings.Cut(header, " ")
			if twice || !strings.EqualFold(name, "bearer") || strings.TrimLeft(token, " ") != valid || r.URL.Query().Has("access_token") {
				t.Fatalf("accepted %q with query %q", header, query)
			}
		}
		if _, again := v.Verify(t.Context(), r); (again == nil) != (err == nil) || err != nil && again.Error() != err.Error() {
			t.Fatalf("%v, then %v", err, again)
		}
		if c := v.Challenge(err); strings.ContainsAny(c, "\r\n") {
			t.Fatalf("challenge %q", c)
		}
	})
}

func FuzzParseKeySet(f *testing.F) {
	f.Add(jwks())
	f.Add(staticJWKS(f))
	f.Add([]byte(`{"keys":[{"kty":"EC","kid":"","use":"sig","key_ops":["verify"],"alg":1},{"kty":"oct","k":"AA"},[]]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := ParseKeySet(doc)
		if err != nil {
			return
		}
		if set.Len() > MaxKeys || set.Len() < len(set.byID) || set.Len()+len(set.LeftOut()) > MaxKeys {
			t.Fatalf("%d keys, %d left out", set.Len(), len(set.LeftOut()))
		}
		for _, k := range set.keys {
			fits := false
			for _, alg := range algorithms {
				fits = fits || jose.Fits(alg, k.public) == nil && (k.algorithm == "" || k.algorithm == alg)
			}
			if !fits {
				t.Fatalf("a key that no algorithm goes with: %s", k)
			}
		}
		again, err := ParseKeySet(doc)
		if err != nil || again.Len() != set.Len() || len(again.LeftOut()) != len(set.LeftOut()) {
			t.Fatal("another answer the second time")
		}
	})
}

func staticJWKS(tb testing.TB) []byte {
	return jwks(oldKey.jwk(tb, true), keyOf("rsa", jose.RS256, "rsa").jwk(tb, true), keyOf("eddsa", jose.EdDSA, "ed25519").jwk(tb, false))
}

// Of all that a DPoP header can hold, only the proof that was made is accepted for a
// token that is bound to a key. EdDSA, because its signatures have no second form.
func FuzzProof(f *testing.F) {
	p := newPresentation()
	p.keyed("ed25519", jose.EdDSA)
	p.proof.claims["jti"] = "1"
	request := p.request()
	valid := request.Header["Dpop"][0]
	dot := strings.IndexByte(valid, '.')
	for _, seed := range []string{valid, "", ".", "..", "a.b.c", valid + "=", valid[1:], valid + "," + valid, valid[:dot],
		encoded([]byte(`{"alg":"none","typ":"dpop+jwt","jwk":{}}`)) + valid[dot:], p.sign()} {
		f.Add(seed, 0, byte(0))
	}
	f.Add(valid, 3, byte(1))
	v := newVerifier(f)
	f.Fuzz(func(t *testing.T, proof string, at int, flip byte) {
		if at >= 0 && at < len(proof) {
			b := []byte(proof)
			b[at] ^= flip
			proof = string(b)
		}
		r := request.Clone(t.Context())
		r.Header["Dpop"] = []string{proof}
		e := v.Explain(t.Context(), r, "read")
		_, err := v.Verify(t.Context(), r, "read")
		if (err == nil) != (proof == valid) || (e.Refusal == nil) != (err == nil) {
			t.Fatalf("%q: verify %v, explain %v", proof, err, e.Refusal)
		}
		if err == nil {
			if _, err := v.Verify(t.Context(), r, "read"); err == nil {
				t.Fatal("it counts twice")
			}
			v.proofs = replay.New(64, atNoon)
		}
	})
}
