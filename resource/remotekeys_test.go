package resource

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

var (
	oldKey = keyOf("es256", jose.ES256, "p256")
	newKey = keyOf("new", jose.ES256, "p256b")
)

func TestNewRemoteKeys(t *testing.T) {
	for _, row := range []struct {
		name string
		c    RemoteKeysConfig
		ok   bool
	}{
		{"AM-2 zero config", RemoteKeysConfig{}, false},
		{"AM-2 http issuer", RemoteKeysConfig{Issuer: "http://127.0.0.1:1"}, false},
		{"AM-2 https issuer", RemoteKeysConfig{Issuer: issuerA}, true},
		{"FX-1 http keys", RemoteKeysConfig{Issuer: issuerA, JWKSURL: "http://127.0.0.1/keys"}, false},
		{"FX-1 https keys", RemoteKeysConfig{Issuer: issuerA, JWKSURL: issuerA + "/keys?v=1"}, true},
		{"AM-9 refresh below a minute", RemoteKeysConfig{Issuer: issuerA, Refresh: MinRefresh - 1}, false},
		{"AM-9 refresh of a minute", RemoteKeysConfig{Issuer: issuerA, Refresh: MinRefresh}, true},
		{"LD-3 refresh above an hour", RemoteKeysConfig{Issuer: issuerA, Refresh: MaxRefresh + 1}, false},
		{"LD-3 negative refresh", RemoteKeysConfig{Issuer: issuerA, Refresh: -1}, false},
		{"LD-3 expire before refresh", RemoteKeysConfig{Issuer: issuerA, ExpireAfter: DefaultRefresh - 1}, false},
		{"LD-3 expire with refresh", RemoteKeysConfig{Issuer: issuerA, ExpireAfter: DefaultRefresh}, true},
		{"LD-3 expire after more than a month", RemoteKeysConfig{Issuer: issuerA, ExpireAfter: MaxExpireAfter + 1}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if k, err := NewRemoteKeys(row.c); (err == nil) != row.ok || (k != nil) != row.ok {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := NewRemoteKeys(RemoteKeysConfig{JWKSURL: "x", Refresh: -1, ExpireAfter: -1})
	if n := strings.Count(fmt.Sprint(err), "\n"); n != 3 {
		t.Errorf("not all four faults: %v", err)
	}
	k := must(NewRemoteKeys(RemoteKeysConfig{Issuer: issuerA}))
	if k.http.Transport.(*http.Transport).Proxy != nil {
		t.Error("FX-1 a proxy of the environment is used")
	}
}

// AM-1: the well-known path stands between host and path.
func TestMetadataURL(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://h":             "https://h/.well-known/oauth-authorization-server",
		"https://h/":            "https://h/.well-known/oauth-authorization-server",
		"https://h/t1":          "https://h/.well-known/oauth-authorization-server/t1",
		"https://h:8443/t1/":    "https://h:8443/.well-known/oauth-authorization-server/t1",
		"https://[::1]:1/a/b%2": "https://[::1]:1/.well-known/oauth-authorization-server/a/b%2",
	} {
		if got := metadataURL(issuer); got != want {
			t.Errorf("%s: got %s", issuer, got)
		}
	}
}

func TestKeysAreFound(t *testing.T) {
	for _, path := range []string{"", "/", "/t1", "/t1/t2"} {
		t.Run("AM-1 issuer with path "+path, func(t *testing.T) {
			s := newAuthServer(t, path)
			r := newRemote(t, s)
			r.run(t)
			set, err := r.KeySet(t.Context(), "es256")
			if err != nil || set.Len() != 1 || r.Issuer() != s.issuer {
				t.Errorf("got %v", err)
			}
			st := r.Status()
			if !st.Usable || st.Stale || st.Err != nil || !st.FetchedAt.Equal(noon) || len(st.KeyIDs) != 1 || st.Issuer != s.issuer {
				t.Errorf("status %+v", st)
			}
		})
	}
	t.Run("a given JWKS URL needs no metadata", func(t *testing.T) {
		s := newAuthServer(t, "")
		s.answerMetadata(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		r := newRemote(t, s, func(c *RemoteKeysConfig) { c.JWKSURL = s.URL + "/keys" })
		r.run(t)
		if _, err := r.KeySet(t.Context(), "es256"); err != nil || s.asked(oauth.PathASMetadata) != 0 {
			t.Errorf("got %v, metadata asked for %d times", err, s.asked(oauth.PathASMetadata))
		}
	})
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

func TestMetadataRefused(t *testing.T) {
	for _, row := range []struct {
		name string
		doc  string // %[1]s is the server's URL
		ok   bool
	}{
		{"AM-2 the right one", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, true},
		{"AM-2 issuer of another", `{"issuer":"https://rogue.example.com","jwks_uri":"%[1]s/keys"}`, false},
		{"AM-2 slash at the end", `{"issuer":"%[1]s/","jwks_uri":"%[1]s/keys"}`, false},
		{"AM-2 no issuer", `{"jwks_uri":"%[1]s/keys"}`, false},
		{"AM-2 issuer is an array", `{"issuer":["%[1]s"],"jwks_uri":"%[1]s/keys"}`, false},
		{"GL-11 two issuers", `{"issuer":"%[1]s","issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, false},
		{"GL-11 data at the end", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}x`, false},
		{"AM-4 no jwks_uri", `{"issuer":"%[1]s"}`, false},
		{"FX-1 more than 256 KiB", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}` + strings.Repeat(" ", MaxKeySet), false},
		{"FX-1 not quite 256 KiB", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}` + strings.Repeat(" ", MaxKeySet-500), true},
		{"FX-1 keys by http", `{"issuer":"%[1]s","jwks_uri":"http://127.0.0.1/keys"}`, false},
		{"FX-1 keys in a file", `{"issuer":"%[1]s","jwks_uri":"file:///keys"}`, false},
		{"FX-1 relative jwks_uri", `{"issuer":"%[1]s","jwks_uri":"/keys"}`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newAuthServer(t, "")
			s.answerMetadata(answer(200, fmt.Sprintf(row.doc, s.URL)))
			r := newRemote(t, s)
			r.run(t)
			_, err := r.KeySet(t.Context(), "es256")
			if (err == nil) != row.ok || !row.ok && !errors.Is(err, ErrKeysUnavailable) {
				t.Errorf("got %v", err)
			}
			if !row.ok && (s.fetches() != 0 || r.Status().Err == nil) {
				t.Errorf("keys were asked for %d times, status %+v", s.fetches(), r.Status())
			}
		})
	}
}

// LD-4: whatever goes wrong, the keys at hand stay; a good answer replaces them,
// an empty one takes them all away.
func TestRefreshKeepsTheLastGood(t *testing.T) {
	good := string(jwks(newKey.jwk(t, true)))
	for _, row := range []struct {
		name string
		keys http.HandlerFunc
		want string
	}{
		{"LD-4 a good answer", answer(200, good), "new"},
		{"LD-4 an empty set", answer(200, `{"keys":[]}`), ""},
		{"LD-4 nothing usable in it", answer(200, string(jwks(entry(t, newKey, map[string]any{"use": "enc"})))), ""},
		{"LD-4 status 500", answer(500, good), "es256"},
		{"LD-4 status 404", answer(404, good), "es256"},
		{"LD-4 status 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "es256"},
		{"LD-4 status 206", answer(206, good), "es256"},
		{"LD-4 empty body", answer(200, ""), "es256"},
		{"LD-4 no JSON", answer(200, "<html>"), "es256"},
		{"LD-4 JSON without keys", answer(200, `{}`), "es256"},
		{"LD-4 connection cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "es256"},
		{"LD-4 body cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(good))
			panic(http.ErrAbortHandler)
		}, "es256"},
		{"FX-1 101 keys", answer(200, `{"keys":[`+strings.Repeat("{},", 100)+`{}]}`), "es256"},
		{"FX-1 256 KiB and a byte", answer(200, good+strings.Repeat(" ", MaxKeySet+1-len(good))), "es256"},
		{"FX-1 256 KiB", answer(200, good+strings.Repeat(" ", MaxKeySet-len(good))), "new"},
		{"FX-1 a body without end", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
					return
				}
			}
		}, "es256"},
		{"FX-2 redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "es256"},
		{"FX-2 permanent redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusPermanentRedirect)
		}, "es256"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newAuthServer(t, "")
			r := newRemote(t, s)
			r.run(t)
			s.answerKeys(row.keys)
			r.clk.advance(DefaultRefresh)
			r.poll()
			if got := r.kids(t); got != row.want {
				t.Errorf("the kids are %q, want %q", got, row.want)
			}
			if st := r.Status(); (st.Err != nil) != (row.want == "es256") || !st.Usable {
				t.Errorf("status %+v", st)
			}
			if s.asked("/elsewhere") != 0 {
				t.Error("FX-2 a redirect was followed")
			}
			if s.fetches() != 2 {
				t.Errorf("%d fetches", s.fetches())
			}
		})
	}
}

func TestServerIsAuthenticated(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*RemoteKeysConfig)
		ok     bool
	}{
		{"its own root", func(*RemoteKeysConfig) {}, true},
		{"no root", func(c *RemoteKeysConfig) { c.RootCAs = x509.NewCertPool() }, false},
		{"the system's roots", func(c *RemoteKeysConfig) { c.RootCAs = nil }, false},
		{"another name", func(c *RemoteKeysConfig) { c.Issuer = strings.Replace(c.Issuer, "127.0.0.1", "localhost", 1) }, false},
		// TLS reads the injected clock too.
		{"its certificate has ended", func(c *RemoteKeysConfig) { c.Now = func() time.Time { return noon.AddDate(200, 0, 0) } }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newAuthServer(t, "")
			r := newRemote(t, s, row.change)
			r.run(t)
			if _, err := r.KeySet(t.Context(), "es256"); (err == nil) != row.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIntervals(t *testing.T) {
	within := func(t *testing.T, d, lo, hi time.Duration) {
		t.Helper()
		if d < lo || d > hi {
			t.Errorf("waits %v, want %v to %v", d, lo, hi)
		}
	}
	s := newAuthServer(t, "")
	s.answerKeys(answer(500, ""))
	r := newRemote(t, s, func(c *RemoteKeysConfig) { c.Refresh = 30 * time.Minute })
	if d := r.run(t); d != MinRefresh {
		t.Errorf("without keys waits %v", d)
	}
	s.answerKeys(nil)
	seen := map[time.Duration]bool{}
	for range 20 {
		d := r.poll()
		within(t, d, 24*time.Minute, 30*time.Minute)
		seen[d] = true
	}
	if len(seen) < 2 {
		t.Error("F38 there is no jitter")
	}
	s.answerKeys(answer(500, ""))
	within(t, r.poll(), 24*time.Minute, 30*time.Minute) // LD-8: no retry storm
	r.clk.advance(DefaultExpireAfter)
	if d := r.poll(); d != MinRefresh {
		t.Errorf("with expired keys waits %v", d)
	}
}

// LD-3: used and stale from an hour, refused from expire-after.
func TestStaleAndExpired(t *testing.T) {
	s := newAuthServer(t, "")
	r := newRemote(t, s, func(c *RemoteKeysConfig) { c.ExpireAfter = 72 * time.Hour })
	r.run(t)
	s.answerKeys(answer(500, ""))
	for _, row := range []struct {
		age           time.Duration
		usable, stale bool
	}{
		{time.Hour - 1, true, false}, {time.Hour, true, true}, {72*time.Hour - 1, true, true}, {72 * time.Hour, false, true}, {1000 * time.Hour, false, true},
	} {
		r.clk.offset.Store(int64(row.age))
		set, err := r.KeySet(t.Context(), "es256")
		if (err == nil) != row.usable || (set != nil) != row.usable || err != nil && !errors.Is(err, ErrKeysUnavailable) {
			t.Errorf("at %v: %v", row.age, err)
		}
		if st := r.Status(); st.Stale != row.stale || st.Usable != row.usable {
			t.Errorf("at %v: %+v", row.age, st)
		}
	}
	// And it recovers by itself with the first answer.
	s.answerKeys(nil)
	r.poll()
	if _, err := r.KeySet(t.Context(), "es256"); err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	s := newAuthServer(t, "")
	k := must(NewRemoteKeys(RemoteKeysConfig{Issuer: s.issuer, RootCAs: s.roots()}))
	if _, err := k.KeySet(t.Context(), "es256"); !errors.Is(err, ErrKeysUnavailable) || !strings.Contains(err.Error(), "Run was not called") {
		t.Errorf("before Run: %v", err)
	}
	if s.fetches() != 0 {
		t.Error("something was fetched before Run")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	for k.current.Load() == nil {
		_, _ = k.KeySet(t.Context(), "es256") // waits for the first fetch
	}
	if err := k.Run(t.Context()); err == nil {
		t.Error("Run was called twice")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := k.KeySet(t.Context(), "es256"); err != nil {
		t.Errorf("requests that are still answered after the end of Run: %v", err)
	}
}

func TestLogOfKeys(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	s := newAuthServer(t, "")
	r := newRemote(t, s, func(c *RemoteKeysConfig) { c.Log = slog.New(slog.NewTextHandler(locked{&mu, &log}, nil)) })
	r.run(t)
	lines := func() string {
		mu.Lock()
		defer mu.Unlock()
		text := log.String()
		log.Reset()
		return text
	}
	if text := lines(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "key_ids=[es256]") {
		t.Errorf("first: %s", text)
	}
	r.poll()
	if text := lines(); text != "" {
		t.Errorf("unchanged: %s", text)
	}
	s.answerKeys(answer(200, string(jwks(newKey.jwk(t, true), entry(t, oldKey, map[string]any{"use": "enc"})))))
	r.poll()
	if text := lines(); !strings.Contains(text, "key_ids=[new]") || !strings.Contains(text, "left out") || !strings.Contains(text, "KR-5") ||
		!strings.Contains(text, `why="its use is not sig"`) || strings.Contains(text, "reason=") { // reasons are codes
		t.Errorf("changed: %s", text)
	}
	s.answerKeys(answer(503, "secret-canary"))
	r.clk.advance(2 * time.Hour)
	r.poll()
	if text := lines(); !strings.Contains(text, "status 503") || !strings.Contains(text, "stale=true") || strings.Contains(text, "canary") {
		t.Errorf("failed: %s", text)
	}
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// remoteVerifier accepts tokens of s only.
func remoteVerifier(t *testing.T, r *remote) *Verifier {
	return newVerifier(t, func(c *Config) { c.Issuers, c.Now = []KeySource{r}, r.clk.now })
}

func tokenBy(s *authServer, k testKey, kid string, clk *clock) string {
	p := newPresentation()
	p.as(k)
	p.header["kid"] = kid
	p.claims["iss"], p.claims["iat"], p.claims["exp"] = s.issuer, clk.now().Unix(), clk.now().Add(time.Minute).Unix()
	return p.sign()
}

// KR-6: whatever a caller puts into kid, the authorization server is asked once a
// minute.
func TestUnknownKidFlood(t *testing.T) {
	s := newAuthServer(t, "")
	r := newRemote(t, s)
	r.run(t)
	v := remoteVerifier(t, r)
	p := newPresentation()
	p.claims["iss"] = s.issuer
	for i := range 10_000 {
		p.header["kid"] = fmt.Sprintf("kid-%d", i)
		if i%10 == 0 {
			r.clk.advance(59 * time.Millisecond) // 59 s in all
		}
		header := must(jsonOf(p.header))
		token := encoded(header) + "." + encoded(must(jsonOf(p.claims))) + ".AAAA"
		if _, err := v.VerifyToken(t.Context(), token, nil); !errors.Is(err, oauth.InvalidToken) {
			t.Fatalf("token %d: %v", i, err)
		}
	}
	if n := s.fetches(); n != 2 { // that of Run, and one on demand
		t.Errorf("%d fetches", n)
	}
	r.clk.advance(2 * time.Second)
	_, _ = v.VerifyToken(t.Context(), tokenBy(s, newKey, "x", r.clk), nil)
	if n := s.fetches(); n != 3 {
		t.Errorf("%d fetches after a minute", n)
	}
}

// F1, F11: a key published a moment ago is accepted at first sight.
func TestRotation(t *testing.T) {
	s := newAuthServer(t, "/t1")
	r := newRemote(t, s)
	r.run(t)
	v := remoteVerifier(t, r)
	verify := func(k testKey, kid string) error {
		_, err := v.VerifyToken(t.Context(), tokenBy(s, k, kid, r.clk), nil)
		return err
	}
	if err := verify(newKey, "new"); !errors.Is(err, oauth.ReasonKIDUnknownAfterRefresh) {
		t.Errorf("before it is published: %v", err)
	}
	s.publish(t, oldKey, newKey)
	r.clk.advance(time.Second)
	if err := verify(newKey, "new"); !errors.Is(err, oauth.ReasonKIDUnknown) {
		t.Errorf("within the minute: %v", err)
	}
	r.clk.advance(time.Minute)
	if err := verify(newKey, "new"); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := verify(oldKey, "es256"); err != nil {
		t.Errorf("the old key while it is published: %v", err)
	}
	s.publish(t, newKey)
	r.poll()
	r.clk.advance(time.Minute)
	if err := verify(oldKey, "es256"); !errors.Is(err, oauth.ReasonKIDUnknownAfterRefresh) {
		t.Errorf("KR-3 the old key after its removal: %v", err)
	}
	for i := range 60 { // a new key every minute: never refused
		kid := fmt.Sprintf("key-%d", i)
		r.clk.advance(time.Minute)
		k := newKey
		k.id = kid
		s.publish(t, k)
		if err := verify(k, kid); err != nil {
			t.Errorf("rotation %d: %v", i, err)
		}
	}
	// LD-4: the server says that it has no keys any more.
	s.publish(t)
	r.poll()
	if err := verify(newKey, "key-59"); !errors.Is(err, oauth.InvalidToken) {
		t.Errorf("after the empty set: %v", err)
	}
}

// One fetch serves all who wait, and those who know their key do not wait.
func TestSingleFlight(t *testing.T) {
	s := newAuthServer(t, "")
	r := newRemote(t, s)
	r.run(t)
	release, asked := make(chan struct{}), make(chan struct{}, 300)
	s.answerKeys(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		w.Write(jwks(newKey.jwk(t, true), oldKey.jwk(t, true)))
	})
	r.demandWait = time.Minute
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if set, err := r.KeySet(t.Context(), "new"); err != nil || set.byID["new"] == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	<-asked
	for range 1000 { // LD-1: while the server hangs
		if set, err := r.KeySet(t.Context(), "es256"); err != nil || set.byID["es256"] == nil {
			t.Fatalf("known kid: %v", err)
		}
	}
	close(release)
	wg.Wait()
	if n := s.fetches(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// The one who caused a fetch may leave; it goes on for the others, and nobody
// waits longer than the bound.
func TestWaitIsBounded(t *testing.T) {
	s := newAuthServer(t, "")
	r := newRemote(t, s)
	r.run(t)
	release, asked := make(chan struct{}), make(chan struct{})
	s.answerKeys(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		w.Write(jwks(newKey.jwk(t, true)))
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		if set, err := r.KeySet(ctx, "new"); err != nil || set.byID["new"] != nil {
			t.Errorf("the one who left: %v", err)
		}
	}()
	<-asked
	cancel()
	<-left
	r.demandWait = time.Millisecond
	if set, err := r.KeySet(t.Context(), "new"); err != nil || set.byID["new"] != nil {
		t.Errorf("the one who waited in vain: %v", err)
	}
	r.demandWait = time.Minute
	close(release)
	if set, err := r.KeySet(t.Context(), "new"); err != nil || set.byID["new"] == nil {
		t.Errorf("the one who waited long enough: %v", err)
	}
}

// FX-1: a server that never answers is given up.
func TestFetchTimeIsBounded(t *testing.T) {
	s := newAuthServer(t, "")
	release := make(chan struct{})
	defer close(release)
	s.answerKeys(func(http.ResponseWriter, *http.Request) {
		<-release
		panic(http.ErrAbortHandler) // no answer, not even a late one
	})
	r := newRemote(t, s)
	r.fetchTime = 50 * time.Millisecond
	r.run(t)
	if err := r.Status().Err; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := r.KeySet(t.Context(), "es256"); !errors.Is(err, ErrKeysUnavailable) {
		t.Errorf("got %v", err)
	}
}

// AK-30: a clock that is set back does not put off the next fetch for longer.
func TestClockSetBack(t *testing.T) {
	s := newAuthServer(t, "")
	r := newRemote(t, s)
	r.run(t)
	_, _ = r.KeySet(t.Context(), "new")
	r.clk.advance(-24 * time.Hour)
	_, _ = r.KeySet(t.Context(), "new")
	if n := s.fetches(); n != 3 {
		t.Errorf("%d fetches", n)
	}
}

// KR-7: two servers with the same kid; each key verifies its own tokens only.
func TestSameKidAtTwoIssuers(t *testing.T) {
	a, b := newAuthServer(t, "/a"), newAuthServer(t, "/b")
	other := testKey{"es256", jose.ES256, signers()["p256b"]}
	b.publish(t, other)
	ra, rb := newRemote(t, a), newRemote(t, b)
	ra.run(t)
	rb.run(t)
	v := newVerifier(t, func(c *Config) { c.Issuers = []KeySource{ra, rb} })
	for _, row := range []struct {
		name string
		iss  *authServer
		key  testKey
		ok   bool
	}{{"a by a", a, oldKey, true}, {"b by b", b, other, true}, {"a by b", a, other, false}, {"b by a", b, oldKey, false}} {
		_, err := v.VerifyToken(t.Context(), tokenBy(row.iss, row.key, "es256", ra.clk), nil)
		if (err == nil) != row.ok || !row.ok && !errors.Is(err, oauth.ReasonSignatureBad) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
