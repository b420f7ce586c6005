package resource

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// keyedRequest is a right call with a token that is bound to a key; jti names its
// proof.
func keyedRequest(jti string, change ...func(*presentation)) *http.Request {
	p := newPresentation()
	p.keyed("p256b", jose.ES256)
	p.proof.claims["jti"] = jti
	for _, f := range change {
		f(p)
	}
	return p.request()
}

func TestDP3AProofCountsOnce(t *testing.T) {
	v := newVerifier(t)
	r := keyedRequest("1")
	caller, err := v.Verify(t.Context(), r, "read")
	if err != nil {
		t.Fatal(err)
	}
	if !caller.Bound() || caller.Binding() != oauth.BindingKey {
		t.Errorf("the caller is bound: %t, by %s", caller.Bound(), caller.Binding())
	}
	for _, row := range []struct {
		name string
		r    *http.Request
		want error // nil: accepted
	}{
		{"the very same request", r, oauth.ReasonPoPReplayed},
		{"another proof with that jti by that key", keyedRequest("1"), oauth.ReasonPoPReplayed},
		{"another jti", keyedRequest("2"), nil},
		{"that jti by another key", keyedRequest("1", func(p *presentation) { p.keyed("rsa", jose.PS256); p.proof.claims["jti"] = "1" }), nil},
	} {
		explained := v.Explain(t.Context(), row.r, "read")
		if _, err := v.Verify(t.Context(), row.r, "read"); row.want == nil && err != nil || !errors.Is(err, row.want) {
			t.Errorf("%s: got %v", row.name, err)
		} else if row.want != nil && (!errors.Is(err, oauth.InvalidDPoPProof) || oauth.AsError(err).Rule != "DP-3" || Status(err) != 401) {
			t.Errorf("%s: got %v", row.name, err)
		} else if (explained.Refusal == nil) != (err == nil) {
			t.Errorf("%s: explained as %v, judged as %v", row.name, explained.Refusal, err)
		}
	}
}

// DP-3: a request that is refused for another reason does not use up its proof, and
// explaining uses up none.
func TestDP3RefusedRequestsUseUpNothing(t *testing.T) {
	v := newVerifier(t)
	r := keyedRequest("1")
	if _, err := v.Verify(t.Context(), r, "admin"); !errors.Is(err, oauth.ReasonScopeDenied) {
		t.Fatal(err)
	}
	if e := v.Explain(t.Context(), r, "read"); e.Refusal != nil {
		t.Fatal(e.Refusal)
	}
	if _, err := v.Verify(t.Context(), r, "read"); err != nil {
		t.Error(err)
	}
}

// DP-3: of a hundred uses of one proof at the same time one is let through.
func TestDP3OneOfManyAtTheSameTime(t *testing.T) {
	v := newVerifier(t)
	for round := range 10 {
		var passed, replayed atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		r := keyedRequest(fmt.Sprint(round))
		for range 100 {
			all.Go(func() {
				<-start
				switch _, err := v.Verify(t.Context(), r, "read"); {
				case err == nil:
					passed.Add(1)
				case errors.Is(err, oauth.ReasonPoPReplayed):
					replayed.Add(1)
				}
			})
		}
		close(start)
		all.Wait()
		if passed.Load() != 1 || replayed.Load() != 99 {
			t.Errorf("%d let through, %d refused as replayed", passed.Load(), replayed.Load())
		}
	}
}

// DP-3: a proof is remembered for as long as it would be fresh.
func TestDP3RememberedWhileFresh(t *testing.T) {
	clk := new(clock)
	v := newVerifier(t, func(c *Config) { c.Now = clk.now })
	ahead := keyedRequest("1", said("iat", at(10*time.Second)))
	if _, err := v.Verify(t.Context(), ahead, "read"); err != nil {
		t.Fatal(err)
	}
	for clk.now().Before(noon.Add(71 * time.Second)) {
		clk.advance(time.Second)
		_, err := v.Verify(t.Context(), ahead, "read")
		want := oauth.ReasonPoPReplayed
		if clk.now().After(noon.Add(70 * time.Second)) {
			want = oauth.ReasonDPoPBad // too old by now
		}
		if !errors.Is(err, want) {
			t.Fatalf("after %v: got %v, want %s", clk.now().Sub(noon), err, want)
		}
	}
}

// AK-10: no proof that a verifier let through is let through by one that begins
// after it, at any time; an honest one is asked for a nonce for ten seconds.
func TestDP3OverARestart(t *testing.T) {
	for _, made := range []time.Duration{-60 * time.Second, 0, 5 * time.Second, 10 * time.Second} {
		clk := new(clock)
		r := keyedRequest("1", said("iat", at(made)))
		if _, err := newVerifier(t, func(c *Config) { c.Now = clk.now }).Verify(t.Context(), r, "read"); err != nil {
			t.Fatal(err)
		}
		clk.advance(time.Millisecond)
		next := newVerifier(t, func(c *Config) { c.Now = clk.now })
		for range 80 {
			if _, err := next.Verify(t.Context(), r, "read"); err == nil {
				t.Fatalf("made at %s: let through again at %s", made, clk.now().Sub(noon))
			}
			clk.advance(time.Second)
		}
	}
	clk := new(clock)
	clk.advance(time.Millisecond)
	v := newVerifier(t, func(c *Config) { c.Now = clk.now })
	for second := range 12 {
		resp := serve(v.Require("read")(hello), keyedRequest(fmt.Sprint(second), said("iat", at(time.Duration(second)*time.Second))))
		if want := second > 10; want != (resp.StatusCode == 200) || !want && resp.StatusCode != 401 || want != (resp.Header.Get(oauth.HeaderDPoPNonce) == "") {
			t.Errorf("after %d s: got %d, %v", second, resp.StatusCode, resp.Header)
		}
		clk.advance(time.Second)
	}
}

// DP-6: a process that has just begun takes a proof with its nonce, once; the nonce of
// the process before it is worth nothing, and neither mends what else is wrong.
func TestDP6NonceAfterAStart(t *testing.T) {
	clk := new(clock)
	clk.advance(time.Millisecond)
	begun := func() *Verifier { return newVerifier(t, func(c *Config) { c.Now = clk.now }) }
	v, before := begun(), begun()
	guarded := v.Require("read")(hello)

	resp := serve(guarded, keyedRequest("1"))
	nonce := resp.Header.Get(oauth.HeaderDPoPNonce)
	if resp.StatusCode != http.StatusUnauthorized || nonce == "" || resp.Header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), `DPoP realm="`+api+`", error="use_dpop_nonce"`) {
		t.Fatalf("got %d, %v", resp.StatusCode, resp.Header)
	}
	with := func(jti, nonce string, change ...func(*presentation)) *http.Request {
		return keyedRequest(jti, append([]func(*presentation){said("nonce", nonce)}, change...)...)
	}
	if resp := serve(guarded, with("1", nonce)); resp.StatusCode != http.StatusOK || resp.Header.Get(oauth.HeaderDPoPNonce) != "" {
		t.Errorf("with the nonce: got %d, %v", resp.StatusCode, resp.Header)
	}
	for _, row := range []struct {
		name string
		r    *http.Request
		want oauth.Reason
	}{
		{"the same proof again", with("1", nonce), oauth.ReasonPoPReplayed},
		{"the nonce of another process", with("2", before.nonce), oauth.ReasonDPoPNonce},
		{"part of the nonce", with("2", nonce[1:]), oauth.ReasonDPoPNonce},
		{"an empty nonce", with("2", ""), oauth.ReasonDPoPNonce},
		{"too old", with("2", nonce, said("iat", at(-61*time.Second))), oauth.ReasonDPoPBad},
		{"for another method", with("2", nonce, said("htm", "POST")), oauth.ReasonDPoPBad},
		{"signed by another key", with("2", nonce, func(p *presentation) { p.proof.key = signers()["p256"] }), oauth.ReasonDPoPBad},
		{"without the scope", with("2", nonce, set("scope", "write")), oauth.ReasonScopeDenied},
	} {
		_, err := v.Verify(t.Context(), row.r, "read")
		if !errors.Is(err, row.want) || (v.Nonce(err) != "") != (row.want == oauth.ReasonDPoPNonce) {
			t.Errorf("%s: got %v, nonce %q", row.name, err, v.Nonce(err))
		}
		if err != nil && strings.Contains(fmt.Sprint(err), nonce) {
			t.Errorf("%s: the refusal repeats the nonce", row.name)
		}
	}
	_, err := v.Verify(t.Context(), with("2", before.nonce), "read")
	if !errors.Is(err, oauth.UseDPoPNonce) || oauth.AsError(err).Rule != "DP-6" || Status(err) != 401 ||
		v.Challenge(err, "read") != `DPoP realm="`+api+`", error="use_dpop_nonce", error_description="`+oauth.UseDPoPNonce.Description()+`", scope="read", algs="`+proofAlgorithms+`"` {
		t.Errorf("got %v, %s", err, v.Challenge(err, "read"))
	}
	if _, err := v.Verify(t.Context(), with("2", nonce), "read"); err != nil {
		t.Errorf("what was refused used something up: %v", err)
	}
	if resp := serve(guarded, newPresentation().request()); resp.StatusCode != http.StatusOK {
		t.Errorf("a bearer token needs no nonce: got %d", resp.StatusCode)
	}
}

// GL-15: the memory is bounded; where it is full nobody gets through, and the
// answer says that it passes.
func TestDP3FullMemoryRefuses(t *testing.T) {
	clk := new(clock)
	v := newVerifier(t, func(c *Config) { c.Proofs, c.Now = 64, clk.now })
	var full error
	for i := 0; full == nil && i < 200; i++ {
		_, full = v.Verify(t.Context(), keyedRequest(fmt.Sprint(i), set("sub", fmt.Sprint("user ", i/4))), "read")
	}
	if !errors.Is(full, oauth.Unavailable) || oauth.AsError(full).Rule != "DP-3" || Status(full) != http.StatusServiceUnavailable || v.Challenge(full) != "" {
		t.Fatalf("got %v", full)
	}
	if _, err := v.Verify(t.Context(), newPresentation().request(), "read"); err != nil {
		t.Errorf("a bearer token needs no room: %v", err)
	}
	clk.advance(2 * time.Minute)
	if _, err := v.Verify(t.Context(), keyedRequest("later", said("iat", at(2*time.Minute))), "read"); err != nil {
		t.Errorf("after the proofs ended: %v", err)
	}
}

// AK-18: a caller that uses more proofs than its share, with however many keys, is
// told so alone.
func TestDP3ShareOfTheMemory(t *testing.T) {
	clk := new(clock)
	v := newVerifier(t, func(c *Config) { c.Proofs, c.Now = 64, clk.now })
	guarded := v.Require("read")(hello)
	for i := range 20 {
		r := keyedRequest(fmt.Sprint(i), func(p *presentation) {
			if i%2 == 0 {
				p.keyed("rsa", jose.PS256)
				p.proof.claims["jti"] = fmt.Sprint(i)
			}
		})
		switch resp := serve(guarded, r); {
		case i < 8 && resp.StatusCode != http.StatusOK:
			t.Errorf("number %d: got %d", i, resp.StatusCode)
		case i >= 8 && (resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != ""):
			t.Errorf("number %d: got %d, %v", i, resp.StatusCode, resp.Header)
		}
	}
	_, err := v.Verify(t.Context(), keyedRequest("over"), "read")
	if !errors.Is(err, oauth.TooMany) || !errors.Is(err, oauth.ReasonRateLimited) || oauth.AsError(err).Rule != "DP-3" {
		t.Errorf("got %v", err)
	}
	if _, err := v.Verify(t.Context(), keyedRequest("other", set("sub", "alice")), "read"); err != nil {
		t.Errorf("another caller: got %v", err)
	}
	clk.advance(2 * time.Minute)
	if _, err := v.Verify(t.Context(), keyedRequest("later", said("iat", at(2*time.Minute))), "read"); err != nil {
		t.Errorf("after the proofs ended: got %v", err)
	}
}

// A token that is remembered is held to its proof each time (DP-5, AK-27).
func TestDP5RememberedTokenNeedsItsProof(t *testing.T) {
	v := newVerifier(t)
	p := newPresentation()
	p.keyed("p256b", jose.ES256)
	token := p.sign()
	p.token = func(string) string { return token }
	for range 3 {
		if _, err := v.Verify(t.Context(), p.request(), "read"); err != nil {
			t.Fatal(err)
		}
	}
	if v.Remembered().Hits != 2 {
		t.Fatalf("the token is not remembered: %+v", v.Remembered())
	}
	for name, row := range map[string]struct {
		change func(*presentation)
		want   oauth.Reason
	}{
		"as Bearer":           {values(func(t string) []string { return []string{"Bearer " + t} }), oauth.ReasonPoPMissing},
		"no proof":            {proofs(func(string) []string { return nil }), oauth.ReasonPoPMissing},
		"by another key":      {by("p256", jose.ES256), oauth.ReasonCnfMismatch},
		"for another request": {said("htu", "https://api.example.com/other"), oauth.ReasonDPoPBad},
		"an old proof":        {said("iat", at(-time.Hour)), oauth.ReasonDPoPBad},
	} {
		q := newPresentation()
		q.keyed("p256b", jose.ES256)
		q.token = p.token
		row.change(q)
		if _, err := v.Verify(t.Context(), q.request(), "read"); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := v.VerifyToken(t.Context(), token, nil); !errors.Is(err, oauth.ReasonPoPMissing) {
		t.Errorf("without a request: got %v", err)
	}
}

// One Require inside another judges one request twice, and the proof counts once.
func TestDP3NestedRequire(t *testing.T) {
	v, other := newVerifier(t), newVerifier(t)
	r := keyedRequest("1")
	if resp := serve(v.Require("read")(v.Require("write")(hello)), r); resp.StatusCode != 200 {
		t.Errorf("got %d, %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}
	if resp := serve(v.Require("read")(hello), r); resp.StatusCode != 401 {
		t.Errorf("the same request again: got %d", resp.StatusCode)
	}
	if resp := serve(other.Require("read")(other.Require("admin")(hello)), keyedRequest("1")); resp.StatusCode != 403 {
		t.Errorf("the inner scope is missing: got %d", resp.StatusCode)
	}
	// What a handler finds out for itself counts for a request with another proof.
	outer := v.Require("read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := v.Verify(r.Context(), keyedRequest("1"), "read"); !errors.Is(err, oauth.ReasonPoPReplayed) {
			t.Errorf("an old proof in the context of another request: got %v", err)
		}
	}))
	serve(outer, keyedRequest("2"))
}

// PX-7: a prefix that a router cuts off belongs to the target.
func TestDP2BehindStripPrefix(t *testing.T) {
	v := newVerifier(t)
	h := http.StripPrefix("/v1", v.Require("read")(hello))
	for i, row := range []struct {
		htu, target string
		status      int
	}{
		{"/v1/books", "/v1/books", 200},
		{"/books", "/v1/books", 401},
		// In absolute form (RFC 9112 section 3.2.2) the target has the prefix, too.
		{"/v1/books", "https://api.example.com/v1/books?x=1", 200},
		{"/books", "https://api.example.com/v1/books?x=1", 401},
	} {
		r := keyedRequest(fmt.Sprint(i), said("htu", "https://api.example.com"+row.htu), target(row.target))
		if resp := serve(h, r); resp.StatusCode != row.status {
			t.Errorf("%s for %s: got %d, %s", row.htu, row.target, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestOrigins(t *testing.T) {
	for s, want := range map[string]string{
		"https://api.example.com":      "https://api.example.com",
		"https://API.example.com:443/": "https://api.example.com",
		"HTTPS://api.example.com:8443": "https://api.example.com:8443",
		"https://[::1]:443":            "https://[::1]",
		"http://api.example.com":       "",
		"https://api.example.com/v1":   "",
		"https://api.example.com?x":    "",
		"https://u@api.example.com":    "",
		"https://":                     "",
		"api.example.com":              "",
		"":                             "",
	} {
		v, err := New(Config{Resource: "urn:api", Issuers: []KeySource{staticA(t)}, Origins: []string{s}})
		if (err == nil) != (want != "") || err == nil && v.origins[0] != want {
			t.Errorf("%q: got %v, %v", s, v, err)
		}
	}
	if _, err := New(Config{Resource: "urn:api", Issuers: []KeySource{staticA(t)}, Proofs: -1}); err == nil {
		t.Error("a negative number of proofs is taken")
	}
}

func TestNormalPath(t *testing.T) {
	for path, want := range map[string]string{
		"": "/", "/": "/", "/a": "/a", "/a/": "/a/", "//a": "//a", "/a//b": "/a//b",
		"/%7euser": "/~user", "/%2f": "/%2F", "/%2F%41": "/%2FA", "/%": "/%", "/%zz": "/%zz", "/%4": "/%4",
		"/.": "/", "/..": "/", "/a/.": "/a/", "/a/..": "/", "/a/./b": "/a/b", "/a/../../b": "/b", "/a/%2E%2e/b": "/b", "/.a/..b": "/.a/..b",
	} {
		if got := normalPath(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func BenchmarkKeyed(b *testing.B) {
	v := newVerifier(b)
	p := newPresentation()
	p.keyed("p256b", jose.ES256)
	token := p.sign()
	p.token = func(string) string { return token }
	requests := make([]*http.Request, 1<<14)
	for i := range requests {
		requests[i] = p.request()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(requests) == 0 {
			v.proofs = newVerifier(b).proofs
		}
		if _, err := v.Verify(b.Context(), requests[i%len(requests)], "read"); err != nil {
			b.Fatal(err)
		}
	}
}
