package resource

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// numbered are n good tokens, signed fast.
func numbered(n int) func(yield func(string) bool) {
	key := signers()["ed25519"].(ed25519.PrivateKey)
	p := newPresentation()
	p.as(keyOf("eddsa", jose.EdDSA, "ed25519"))
	p.claims["jti"] = "t-000000"
	parts := strings.Split(p.sign(), ".")
	claims := string(must(base64.RawURLEncoding.DecodeString(parts[1])))
	return func(yield func(string) bool) {
		for i := range n {
			input := parts[0] + "." + encoded([]byte(strings.Replace(claims, "t-000000", fmt.Sprintf("t-%06d", i), 1)))
			if !yield(input + "." + encoded(ed25519.Sign(key, []byte(input)))) {
				return
			}
		}
	}
}

// AK-18: a flood of distinct good tokens leaves a bounded memory; each is judged
// as ever, and so is the first when it comes again.
func TestMemoryIsBoundedUnderDistinctTokens(t *testing.T) {
	const limit = 64
	v := newVerifier(t)
	v.use(newMemory(limit, 1))
	var first string
	for token := range numbered(2000) {
		if first == "" {
			first = token
		}
		if _, err := v.VerifyToken(t.Context(), token, nil); err != nil {
			t.Fatal(err)
		}
		if held := v.Remembered().Held; held > limit {
			t.Fatalf("%d held of %d", held, limit)
		}
	}
	before := v.Remembered()
	if _, err := v.VerifyToken(t.Context(), first, nil); err != nil || v.Remembered().Misses != before.Misses+1 {
		t.Errorf("the first comes again: %v, %+v", err, v.Remembered())
	}
}

// AK-18: the same with the real bound and 100,000 results, without their
// signatures: they are what takes the time, and not what is bounded here.
func TestMemoryIsBoundedUnder100000Results(t *testing.T) {
	v := newVerifier(t)
	s := v.tokenAttempt("", nil, nil)
	s.issuer, s.key, s.keys = v.issuers[issuerA], staticA(t).set.keys[0], staticA(t).set
	s.caller.issuer = issuerA
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range 100_000 {
		s.digest = sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
		s.said = &reading{subject: claim[string]{true, true, fmt.Sprintf("spiffe://example.org/%0200d", i)}}
		s.remember()
	}
	held := v.Remembered().Held
	if held > maxResults || held < maxResults/2 {
		t.Errorf("%d held, the bound is %d", held, maxResults)
	}
	if grown := heap() - before; grown > maxResults<<11 {
		t.Errorf("%d bytes for %d results", grown, held)
	}
	runtime.KeepAlive(v)
}

// AK-18: one issuer, however many good tokens it makes, pushes out its own only.
func TestIssuersHaveTheirShares(t *testing.T) {
	v := newVerifier(t)
	v.use(newMemory(64, 2))
	other := newPresentation()
	other.as(keyOf("only-b", jose.ES256, "p256b"))
	other.claims["iss"] = issuerB
	quiet := other.sign()
	if _, err := v.VerifyToken(t.Context(), quiet, nil); err != nil {
		t.Fatal(err)
	}
	for token := range numbered(500) {
		if _, err := v.VerifyToken(t.Context(), token, nil); err != nil {
			t.Fatal(err)
		}
	}
	before := v.Remembered()
	if _, err := v.VerifyToken(t.Context(), quiet, nil); err != nil || v.Remembered().Hits != before.Hits+1 {
		t.Errorf("the quiet issuer's was pushed out: %v, %+v", err, v.Remembered())
	}
}

// AK-18: who has no good token leaves nothing.
func TestBadTokensAreNotRemembered(t *testing.T) {
	v := newVerifier(t)
	for token := range numbered(500) {
		if _, err := v.VerifyToken(t.Context(), token[:len(token)-8]+"AAAAAAAA", nil); err == nil {
			t.Fatal("accepted")
		}
	}
	if held := v.Remembered().Held; held != 0 {
		t.Errorf("%d held", held)
	}
}

// A long token is judged like any other, each time.
func TestLongTokensAreNotRemembered(t *testing.T) {
	for _, row := range []struct {
		over bool
		want Remembered
	}{{false, Remembered{Hits: 1, Misses: 1, Held: 1}}, {true, Remembered{Misses: 2}}} {
		v, p := newVerifier(t), newPresentation()
		for p.claims["pad"] = strings.Repeat("a", 2700); len(p.sign()) <= maxRemembered; p.claims["pad"] = p.claims["pad"].(string) + "a" {
		}
		if !row.over {
			p.claims["pad"] = p.claims["pad"].(string)[3:]
		}
		token := p.sign()
		for range 2 {
			if _, err := v.VerifyToken(t.Context(), token, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := v.Remembered(); got != row.want {
			t.Errorf("%d bytes: got %+v, want %+v", len(token), got, row.want)
		}
	}
}

// PERFORMANCE: a repeated token allocates at most twice, bound or not, and no token
// with a known key touches the network.
func TestRepeatedTokensAreCheap(t *testing.T) {
	s := newAuthServer(t, "")
	r := newRemote(t, s)
	r.run(t)
	v := newVerifier(t, func(c *Config) { c.Issuers, c.Now = []KeySource{r}, r.clk.now })
	mine := leaf(t)
	scopes := []string{"read", "write"}
	for _, change := range []func(*presentation){func(*presentation) {}, boundTo(mine)} {
		p := newPresentation()
		p.claims["iss"] = s.issuer
		change(p)
		request := p.request()
		asked := s.fetches()
		if allocs := testing.AllocsPerRun(100, func() {
			if _, err := v.Verify(t.Context(), request, scopes...); err != nil {
				t.Fatal(err)
			}
		}); allocs > 2 {
			t.Errorf("%v allocations", allocs)
		}
		if s.fetches() != asked {
			t.Error("keys were fetched")
		}
	}
	if m := v.Remembered(); m.Misses != 2 || m.Hits < 200 {
		t.Errorf("got %+v", m)
	}
}

// KR-7 over the network: with the fetch that shows a key gone, its tokens end,
// remembered or not, on the way through middleware as well.
func TestRememberedTokenEndsWithItsKey(t *testing.T) {
	s := newAuthServer(t, "")
	s.publish(t, oldKey, newKey)
	r := newRemote(t, s)
	r.run(t)
	v := newVerifier(t, func(c *Config) { c.Issuers, c.Now = []KeySource{r}, r.clk.now })
	h := v.Require("read")(hello)
	p := newPresentation()
	p.claims["iss"] = s.issuer
	request := p.request()
	status := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		return w.Code
	}
	for range 2 {
		if got := status(); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	r.poll() // the same keys
	before := v.Remembered()
	if got := status(); got != http.StatusOK || v.Remembered().Hits != before.Hits+1 {
		t.Errorf("after the same keys were fetched again: %d, %+v", got, v.Remembered())
	}
	s.publish(t, newKey)
	r.poll()
	if got := status(); got != http.StatusUnauthorized {
		t.Errorf("its key is gone: %d", got)
	}
	s.publish(t, oldKey)
	r.poll()
	if got := status(); got != http.StatusOK {
		t.Errorf("its key is back: %d", got)
	}
}

// Many goroutines, with keys that come and go: no answer but the two that are
// right, and from when a key is gone for good only one.
func TestRememberedTokensInParallel(t *testing.T) {
	with, without := staticA(t).set, staticB(t).set
	var current atomic.Pointer[KeySet]
	current.Store(with)
	v := newVerifier(t, func(c *Config) {
		c.Issuers = []KeySource{sourceFunc(func() (*KeySet, error) { return current.Load(), nil })}
	})
	v.use(newMemory(8, 1)) // so that results are pushed out, too
	var tokens []string
	for token := range numbered(12) {
		tokens = append(tokens, token)
	}
	work := func(ctx context.Context, rounds int, allowed func(error) bool) {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range rounds {
					c, err := v.VerifyToken(ctx, tokens[(g+i*i)%len(tokens)], nil, "read")
					if !allowed(err) || c.Proven() != (err == nil) || err == nil && c.Subject() != worker {
						t.Errorf("got %v, %v", c, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	unknown := func(err error) bool { return errors.Is(err, oauth.ReasonKIDUnknown) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			current.Store(without)
			current.Store(with)
		}
		current.Store(without)
	}()
	work(t.Context(), 200, func(err error) bool { return err == nil || unknown(err) })
	<-done
	work(t.Context(), 20, unknown)
	current.Store(with)
	work(t.Context(), 20, func(err error) bool { return err == nil })
	if m := v.Remembered(); m.Hits == 0 || m.Held > 8 {
		t.Errorf("got %+v", m)
	}
}
