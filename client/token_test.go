package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

func TestHundredCallersOneRequest(t *testing.T) { // F37, LC-3
	w := newWorld(t)
	release := make(chan struct{})
	w.edge.answers(func(int, captured) reply { <-release; return reply{} })
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	var wg sync.WaitGroup
	var calling atomic.Int64
	for range 100 {
		wg.Go(func() {
			calling.Add(1)
			if token, err := c.Token(t.Context(), client.Request{Scope: "read"}); err != nil || token.AccessToken != "token-1-" {
				t.Errorf("got %v, %v", token, err)
			}
		})
	}
	w.until("all have come", func() bool { return calling.Load() == 100 && len(w.edge.seen()) > 0 })
	close(release)
	wg.Wait()
	if n := len(w.edge.seen()); n != 1 {
		t.Errorf("%d requests for 100 callers of one key", n)
	}
	if n := w.jwt.calls.Load(); n != 1 {
		t.Errorf("F40: %d questions to the Workload API", n)
	}
}

func TestCacheKeys(t *testing.T) { // F37, F41
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	requests := []client.Request{
		{}, {Scope: "ab"}, {Scope: "a b"}, {Resource: "https://a.example/", Scope: "b"}, {Resource: "https://a.example/b"}, {Resource: "https://a.example/"},
	}
	seen := map[oauth.AccessToken]bool{}
	for range 3 {
		for _, request := range requests {
			seen[w.token(c, request).AccessToken] = true
		}
	}
	if len(seen) != len(requests) || len(w.edge.seen()) != len(requests) {
		t.Errorf("%d tokens of %d requests for %d keys", len(seen), len(w.edge.seen()), len(requests))
	}
	// A caller who changes his copy changes nobody else's.
	w.token(c, requests[0]).AccessToken = "mine"
	if got := w.token(c, requests[0]).AccessToken; got == "mine" {
		t.Error("callers share one token in memory")
	}
}

func TestCacheIsBounded(t *testing.T) { // F41
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	kept, gone := client.Request{Scope: "kept"}, client.Request{Scope: "gone"}
	w.token(c, kept)
	w.token(c, gone)
	for i := range 999 {
		w.token(c, client.Request{Scope: fmt.Sprint("s", i)})
		w.token(c, kept)
	}
	n := len(w.edge.seen())
	if n != 1001 {
		t.Fatalf("%d requests, want 1001", n)
	}
	w.token(c, kept)
	if len(w.edge.seen()) != n {
		t.Error("the key that is used most was given up")
	}
	w.token(c, gone)
	if len(w.edge.seen()) != n+1 {
		t.Error("more than 1,000 keys are kept")
	}
}

func TestRenewalInTheBackground(t *testing.T) { // LD-5
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	first := w.token(c, client.Request{})
	w.advance(149 * time.Second)
	if got := w.token(c, client.Request{}); got.AccessToken != first.AccessToken || len(w.edge.seen()) != 1 {
		t.Fatal("renewed before half of its life")
	}
	w.advance(92 * time.Second) // past 80 %
	release := make(chan struct{})
	w.edge.answers(func(int, captured) reply { <-release; return reply{} })
	for range 10 {
		if got := w.token(c, client.Request{}); got.AccessToken != first.AccessToken {
			t.Fatal("waited for the renewal, or has a token out of nowhere")
		}
	}
	close(release)
	w.until("the new token is there", func() bool { return w.token(c, client.Request{}).AccessToken == "token-2-" })
	if n := len(w.edge.seen()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestOldTokenIsServedWhileTheServerIsDown(t *testing.T) { // LD-5, F39
	w := newWorld(t)
	w.edge.answers(func(n int, _ captured) reply {
		if n == 1 {
			return reply{status: 200, body: `{"access_token":"first","token_type":"Bearer","expires_in":900,"scope":"read"}`}
		}
		return reply{status: 503}
	})
	config := w.config(client.JWTSVID(w.jwt))
	var log syncBuffer
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	c := w.client(config)
	first := w.token(c, client.Request{})
	for range 89 { // ten seconds at a time, down for 14 min 50 s
		w.advance(10 * time.Second)
		if got := w.token(c, client.Request{}); got.AccessToken != first.AccessToken {
			t.Fatal("another token")
		}
	}
	if !strings.Contains(log.String(), "no new access token") {
		t.Error("F22: nobody heard of the failures")
	}
	w.advance(15 * time.Second)
	if token, err := c.Token(t.Context(), client.Request{}); !errors.Is(err, oauth.Unavailable) {
		t.Fatalf("after its end: got %v, %v", token, err)
	}
	w.edge.answers(func(int, captured) reply { return reply{} })
	w.advance(time.Minute)
	w.token(c, client.Request{})
}

func TestNoSVIDYet(t *testing.T) { // F22, F46
	w := newWorld(t)
	w.jwt.fail.Store(true)
	w.x509.svid.Store(nil)
	for what, credential := range map[string]client.Credential{"JWT": client.JWTSVID(w.jwt), "X.509": client.X509SVID(w.x509)} {
		c := w.client(w.config(credential)) // needs none yet
		if _, err := c.Token(t.Context(), client.Request{}); err == nil || !strings.Contains(err.Error(), "no identity issued") {
			t.Errorf("%s: got %v, want the source's error", what, err)
		}
		if n := len(w.edge.seen()); n != 0 {
			t.Errorf("%s: %d requests without a credential", what, n)
		}
		w.jwt.fail.Store(false)
		w.x509.rotate()
		w.advance(time.Second)
		w.token(c, client.Request{})
		w.jwt.fail.Store(true)
		w.x509.svid.Store(nil)
		w.edge.mu.Lock()
		w.edge.requests = nil
		w.edge.mu.Unlock()
	}
}

func TestExpiredX509SVIDIsNotShown(t *testing.T) {
	w := newWorld(t)
	c := w.client(w.config(client.X509SVID(w.x509)))
	w.token(c, client.Request{})
	w.advance(61 * time.Minute)
	if _, err := c.Token(t.Context(), client.Request{}); err == nil || !strings.Contains(err.Error(), "ended at") {
		t.Fatalf("got %v", err)
	}
	w.x509.rotate()
	w.token(c, client.Request{})
}

func TestRotationMeansANewToken(t *testing.T) { // MT-4b
	w := newWorld(t)
	c := w.client(w.config(client.X509SVID(w.x509)))
	first := w.token(c, client.Request{})
	again := w.token(c, client.Request{})
	if again.AccessToken != first.AccessToken {
		t.Fatal("a new token without a new certificate")
	}
	if !w.edge.open(w.edge.last().connection) {
		t.Fatal("the connection was not kept")
	}
	thumbprint := w.x509.rotate()
	second := w.token(c, client.Request{})
	if second.AccessToken == first.AccessToken {
		t.Fatal("MT-4b: the old token after a rotation")
	}
	seen := w.edge.seen()
	if len(seen) != 2 || seen[1].thumbprint != thumbprint || seen[1].connection == seen[0].connection {
		t.Error("MT-4b: the new certificate came on the old connection, or not at all")
	}
	w.until("the connections of the old certificate are closed", func() bool { return !w.edge.open(seen[0].connection) })
}

func TestCallerStopsWaiting(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	defer close(release)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	ctx, cancel := context.WithCancel(t.Context())
	w.edge.answers(func(int, captured) reply { cancel(); <-release; return reply{} })
	if _, err := c.Token(ctx, client.Request{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// syncBuffer collects log lines of many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
