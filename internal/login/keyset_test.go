package login_test

import (
	"crypto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// TestKindsOfKey: what a provider says of a key counts, and a key that is weak or says
// that it is for something else verifies no ID token.
func TestKindsOfKey(t *testing.T) {
	_, state, c := opened(t)
	u := newUpstream(t, c.Now)
	ec, rsa2048, rsa1024 := newKey(t), newRSAKey(t, 2048), newRSAKey(t, 1024)
	with := func(name string, value any) func() { return func() { u.keys[0][name] = value } }
	for _, row := range []struct {
		name   string
		key    crypto.Signer
		alg    string
		change func() // of what is published, or of the token's header
		cause  string // of the refusal; empty for none
	}{
		{"no use", ec, "ES256", nil, ""},
		{"KR-5 use sig", ec, "ES256", with("use", "sig"), ""},
		{"KR-5 use enc", ec, "ES256", with("use", "enc"), "its use is not sig"},
		{"KR-5 use of another case", ec, "ES256", with("use", "SIG"), "its use is not sig"},
		{"KR-5 use empty", ec, "ES256", with("use", ""), "its use is not sig"},
		{"KR-5 use no text", ec, "ES256", with("use", []string{"sig"}), "its use is not sig"},
		{"KR-5 key_ops with verify", ec, "ES256", with("key_ops", []string{"sign", "verify"}), ""},
		{"KR-5 key_ops without verify", ec, "ES256", with("key_ops", []string{"sign", "encrypt"}), "its key_ops do not hold verify"},
		{"KR-5 key_ops empty", ec, "ES256", with("key_ops", []string{}), "its key_ops do not hold verify"},
		{"KR-5 key_ops no list", ec, "ES256", with("key_ops", "verify"), "its key_ops do not hold verify"},
		{"GL-9 alg of the token", ec, "ES256", with("alg", "ES256"), ""},
		{"GL-9 alg of another curve", ec, "ES256", with("alg", "ES384"), "its alg is another"},
		{"GL-9 alg of another kind", ec, "ES256", with("alg", "ECDH-ES"), "its alg is another"},
		{"GL-9 alg empty", ec, "ES256", with("alg", ""), "its alg is empty or no string"},
		{"GL-9 alg no text", ec, "ES256", with("alg", 7), "its alg is empty or no string"},
		{"GL-9 RSA", rsa2048, "RS256", nil, ""},
		{"GL-9 RSA for what the token is signed with", rsa2048, "PS256", with("alg", "PS256"), ""},
		{"GL-9 RSA for another padding", rsa2048, "PS256", with("alg", "RS256"), "its alg is another"},
		{"GL-9 a key of another kind", ec, "ES256", func() { u.header["kid"], u.keys = "rsa", append(u.keys, published(rsa2048, "rsa")) }, "ES256 does not go with a key of type RSA 2048"},
		{"KR-4 RSA of 1024 bits", rsa1024, "RS256", nil, "RSA of 1024 bits"},
		{"KR-1 a private key", ec, "ES256", with("d", "AAAA"), jose.ErrPrivateKey.Error()},
		{"a broken key beside it", ec, "ES256", func() {
			u.keys = append(u.keys, map[string]any{"kty": "EC", "crv": "P-256"}, map[string]any{"kty": "new"})
		}, ""},

		{"KR-6 no kid, one key", ec, "ES256", func() { delete(u.header, "kid") }, ""},
		{"KR-6 no kid, one key that fits", ec, "ES256", func() {
			delete(u.header, "kid")
			other := published(newKey(t), "other")
			other["use"] = "enc"
			u.keys = append(u.keys, other, published(rsa2048, "rsa"))
		}, ""},
		{"KR-6 no kid, several keys", ec, "ES256", func() { delete(u.header, "kid"); u.keys = append(u.keys, published(newKey(t), "other")) }, "there are several such keys"},
		{"a kid, several keys", ec, "ES256", func() { u.keys = append(u.keys, published(newKey(t), "other")) }, ""},
		{"several keys of one kid", ec, "ES256", func() { u.keys = append([]map[string]any{published(newKey(t), "one")}, u.keys...) }, ""},
		{"the kid of another key", ec, "ES256", func() { u.header["kid"] = "other"; u.keys = append(u.keys, published(newKey(t), "other")) }, jose.ErrSignature.Error()},
		{"a kid that is not there", ec, "ES256", func() { u.header["kid"] = "other" }, "there is no such key"},
		{"no keys", ec, "ES256", func() { u.keys = []map[string]any{} }, "there is no such key"},
		{"GL-9 a key that the token brings", ec, "ES256", func() { u.header["jwk"] = u.keys[0]; u.keys = []map[string]any{published(newKey(t), "one")} }, jose.ErrSignature.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			u.signsWith(row.key, row.alg, "one")
			if row.change != nil {
				u.set(row.change)
			}
			err := signIn(t, u.desk(t, state))
			if row.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := oauth.AsError(err); err == nil || e.Reason != oauth.ReasonIDTokenBad || e.Err == nil || !strings.Contains(e.Err.Error(), row.cause) {
				t.Errorf("%v, want the cause %q", err, row.cause)
			}
		})
	}
}

// TestKindsOfToken: an ID token says that it is a JWT, or nothing, and brings nothing
// critical (GL-9, GL-10).
func TestKindsOfToken(t *testing.T) {
	_, state, c := opened(t)
	u := newUpstream(t, c.Now)
	for _, row := range []struct {
		member string
		value  any
		rule   string // of the refusal; empty for none
	}{
		{"typ", "JWT", ""},
		{"typ", "jwt", ""},
		{"typ", "application/jwt", ""},
		{"typ", "Application/JWT", ""},
		{"typ", "at+jwt", "GL-10"},
		{"typ", "application/at+jwt", "GL-10"},
		{"typ", "logout+jwt", "GL-10"},
		{"typ", "token-introspection+jwt", "GL-10"},
		{"typ", "dpop+jwt", "GL-10"},
		{"typ", "JOSE", "GL-10"},
		{"typ", "JWT ", "GL-10"},
		{"typ", "", "GL-10"},
		{"typ", []string{"JWT"}, "GL-10"},
		{"x", "y", ""},
		{"crit", []string{"x"}, "GL-9"},
		{"crit", []string{}, "GL-9"},
		{"kid", "", "AZ-12"},
		{"kid", 7, "AZ-12"},
	} {
		u.signsWith(newKey(t), "ES256", "one")
		u.set(func() { u.header[row.member] = row.value })
		err := signIn(t, u.desk(t, state))
		if row.rule == "" {
			if err != nil {
				t.Errorf("%s %q: %v", row.member, row.value, err)
			}
			continue
		}
		if e := oauth.AsError(err); err == nil || e.Reason != oauth.ReasonIDTokenBad || e.Rule != row.rule {
			t.Errorf("%s %s %q: %v", row.rule, row.member, row.value, err)
		}
	}
}

// TestKeysAreFetchedAgain: a token whose key is not there has them fetched once a
// minute at most, however many come (KR-6).
func TestKeysAreFetchedAgain(t *testing.T) {
	_, state, c := opened(t)
	u := newUpstream(t, c.Now)
	d := u.desk(t, state)
	wants := func(what string, reason oauth.Reason, fetches int) {
		t.Helper()
		if err := signIn(t, d); reasonOf(err) != reason {
			t.Errorf("%s: %v, want %q", what, err, reason)
		}
		if n := u.times("/keys"); n != fetches {
			t.Errorf("KR-6 %s: the keys were fetched %d times, want %d", what, n, fetches)
		}
	}
	together := func(what string, reason oauth.Reason, fetches int) {
		t.Helper()
		var group sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			group.Go(func() { errs[i] = signIn(t, d) })
		}
		group.Wait()
		for _, err := range errs {
			if reasonOf(err) != reason {
				t.Errorf("%s: %v, want %q", what, err, reason)
			}
		}
		if n := u.times("/keys"); n != fetches {
			t.Errorf("KR-6 %s: the keys were fetched %d times, want %d", what, n, fetches)
		}
	}
	together("the first", "", 1)
	old := u.signer
	u.set(func() { u.signer = newKey(t) })
	wants("a bad signature under a kid that is there", oauth.ReasonIDTokenBad, 1)
	u.signsWith(newKey(t), "ES256", "two")
	together("a new key", "", 2)
	u.set(func() { u.signer, u.header["kid"] = old, "one" })
	together("a key that is gone", oauth.ReasonIDTokenBad, 2)
	u.signsWith(newKey(t), "ES256", "three")
	wants("another new key within a minute", oauth.ReasonIDTokenBad, 2)
	c.advance(time.Minute - time.Second)
	together("still within the minute", oauth.ReasonIDTokenBad, 2)
	c.advance(time.Second)
	together("a minute later", "", 3)
	u.set(func() { u.header["kid"] = "nobody's" })
	c.advance(time.Minute)
	together("a kid of nobody", oauth.ReasonIDTokenBad, 4)

	c.advance(time.Minute)
	u.signsWith(newKey(t), "ES256", "")
	u.set(func() { delete(u.header, "kid") })
	wants("a new key without a kid", "", 5)
	u.signsWith(newKey(t), "ES256", "")
	u.set(func() { delete(u.header, "kid") })
	c.advance(time.Minute)
	wants("the next one", "", 6)
	u.signsWith(newKey(t), "ES256", "three")
	c.advance(time.Minute)
	wants("one that has a kid again", "", 7)

	// While the keys cannot be had, those that are there are good, and nobody asks again
	// for a moment.
	c.advance(time.Minute)
	u.set(func() { u.broken, u.header["kid"] = "/keys", "nobody's" })
	together("the keys cannot be had", oauth.ReasonProviderUnavailable, 8)
	u.set(func() { u.header["kid"] = "three" })
	together("a key that is there", "", 8)
	u.set(func() { u.broken, u.header["kid"] = "", "nobody's" })
	c.advance(5*time.Second - 1)
	together("within the moment", oauth.ReasonProviderUnavailable, 8)
	c.advance(1)
	together("after it", oauth.ReasonIDTokenBad, 9)
}

// TestKeySetsRefused: what is no JWK Set is an answer that cannot be trusted.
func TestKeySetsRefused(t *testing.T) {
	_, state, c := opened(t)
	u := newUpstream(t, c.Now)
	many := func(n int) func() {
		return func() {
			for range n - 1 {
				u.keys = append(u.keys, map[string]any{"kty": "new"})
			}
		}
	}
	for name, row := range map[string]struct {
		change func()
		want   oauth.Reason
	}{
		"100 keys":                 {many(100), ""},
		"FX-1 101 keys":            {many(101), oauth.ReasonProviderAnswerBad},
		"FX-1 a megabyte":          {func() { u.keys[0]["x5t"] = strings.Repeat("x", 1<<20) }, oauth.ReasonProviderAnswerBad},
		"no list":                  {func() { u.keys = nil }, oauth.ReasonProviderAnswerBad},
		"an endpoint that is away": {func() { u.broken = "/keys" }, oauth.ReasonProviderUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			u.signsWith(newKey(t), "ES256", "one")
			u.set(row.change)
			defer u.set(func() { u.broken = "" })
			if err := signIn(t, u.desk(t, state)); reasonOf(err) != row.want {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

// TestProviderAway: what a provider said is used for a day after it stopped saying it,
// and no longer; a key that it withdrew, for an hour while it answers (AK-32).
func TestProviderAway(t *testing.T) {
	const discovery = "/.well-known/openid-configuration"
	_, state, c := opened(t)
	u := newUpstream(t, c.Now)
	d := u.desk(t, state)
	wants := func(what string, reason oauth.Reason) {
		t.Helper()
		if err := signIn(t, d); reasonOf(err) != reason {
			t.Errorf("AK-32 %s: %v, want %q", what, err, reason)
		}
	}
	wants("the first", "")
	withdrawn := u.signer
	u.signsWith(newKey(t), "ES256", "two")
	u.set(func() { u.signer, u.header["kid"] = withdrawn, "one" })
	c.advance(time.Hour - time.Second)
	wants("a key that was withdrawn since", "")
	c.advance(time.Second)
	wants("an hour later", oauth.ReasonIDTokenBad)

	d = u.desk(t, state)
	u.signsWith(newKey(t), "ES256", "three")
	wants("the first", "")
	u.set(func() { u.broken = discovery })
	for range 23 {
		c.advance(time.Hour)
		wants("while it is away", "")
	}
	c.advance(time.Hour - 1)
	wants("almost a day later", "")
	finish, err := begin(t, d)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(1)
	if err := finish(); reasonOf(err) != oauth.ReasonProviderUnavailable {
		t.Errorf("AK-32 somebody who went there a moment before: %v", err)
	}
	wants("a day later", oauth.ReasonProviderUnavailable)
	asked := u.times(discovery)
	wants("once more", oauth.ReasonProviderUnavailable)
	if n := u.times(discovery); n > asked {
		t.Errorf("it was asked %d times more", n-asked)
	}
	u.set(func() { u.broken = "" })
	c.advance(5 * time.Second)
	wants("it is back", "")
}
