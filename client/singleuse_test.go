package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

func invalidClient() reply { return reply{status: 401, body: `{"error":"invalid_client"}`} }

// once makes the edge accept each assertion once, as single_use does (CJ-13). A
// request that it breaks off has been read.
func (e *edge) once(hangUp func(n int) bool) {
	var mu sync.Mutex
	used := map[string]bool{}
	e.answers(func(n int, r captured) reply {
		assertion := r.form.Get("client_assertion")
		mu.Lock()
		defer mu.Unlock()
		switch {
		case used[assertion]:
			return invalidClient()
		case hangUp(n):
			used[assertion] = true
			return reply{hangUp: true}
		}
		used[assertion] = true
		return reply{}
	})
}

func resource(n int) client.Request {
	return client.Request{Resource: fmt.Sprintf("https://api-%d.example.com/", n)}
}

func TestAssertionsThatCountOnce(t *testing.T) { // CJ-13, F15
	never := func(int) bool { return false }
	t.Run("two resources", func(t *testing.T) {
		w := newWorld(t)
		w.edge.once(never)
		c := w.client(w.config(client.JWTSVID(w.jwt)))
		if w.token(c, resource(1)).AccessToken == w.token(c, resource(2)).AccessToken {
			t.Error("one token for two resources")
		}
		if n := len(w.edge.seen()); n != 3 {
			t.Errorf("%d requests, want one, one that is refused and its retry", n)
		}
	})
	t.Run("many resources at the same time", func(t *testing.T) {
		w := newWorld(t)
		w.edge.once(never)
		c := w.client(w.config(client.JWTSVID(w.jwt)))
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := c.Token(t.Context(), resource(i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("a broken connection", func(t *testing.T) {
		w := newWorld(t)
		w.edge.once(func(n int) bool { return n == 1 })
		w.token(w.client(w.config(client.JWTSVID(w.jwt))), resource(1))
		if n := len(w.edge.seen()); n != 2 {
			t.Errorf("%d requests, want the broken one and another with a fresh assertion", n)
		}
	})
	t.Run("a source with one assertion", func(t *testing.T) {
		w := newWorld(t)
		w.edge.once(never)
		c := w.client(w.config(client.JWTSVID(&sameSource{jwtSource: w.jwt})))
		w.token(c, resource(1))
		if _, err := c.Token(t.Context(), resource(2)); !errors.Is(err, oauth.InvalidClient) {
			t.Fatalf("got %v", err)
		}
		if n := len(w.edge.seen()); n != 2 {
			t.Errorf("%d requests, want no retry with the same assertion", n)
		}
	})
	t.Run("a source that fails", func(t *testing.T) {
		w := newWorld(t)
		w.edge.once(never)
		c := w.client(w.config(client.JWTSVID(w.jwt)))
		w.token(c, resource(1))
		w.jwt.fail.Store(true)
		if _, err := c.Token(t.Context(), resource(2)); !errors.Is(err, oauth.InvalidClient) {
			t.Fatalf("got %v, want the server's refusal", err)
		}
	})
}

// sameSource has one JWT-SVID, as a file has.
type sameSource struct {
	*jwtSource
	once  sync.Once
	token string
}

func (s *sameSource) FetchJWTSVID(ctx context.Context, audience string) (string, error) {
	var err error
	s.once.Do(func() { s.token, err = s.jwtSource.FetchJWTSVID(ctx, audience) })
	return s.token, err
}

// The twin: a server that means it is asked once more at most.
func TestInvalidClientIsRetriedOnceAtMost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sent   bool // the assertion has got a token before
		answer func(n int) reply
		want   int
	}{
		{"a fresh assertion", false, func(int) reply { return invalidClient() }, 1},
		{"one that was sent before", true, func(int) reply { return invalidClient() }, 2},
		{"a fresh one after a broken connection", false, func(n int) reply {
			if n == 1 {
				return reply{hangUp: true}
			}
			return invalidClient()
		}, 2},
		{"one that was sent before, and the server is busy", true, func(int) reply {
			return reply{status: 429, body: `{"error":"invalid_client"}`}
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client(w.config(client.JWTSVID(w.jwt)))
			if tt.sent {
				w.token(c, resource(0))
			}
			before := len(w.edge.seen())
			w.edge.answers(func(n int, _ captured) reply { return tt.answer(n - before) })
			for range 5 { // and then not at once
				_, err := c.Token(t.Context(), resource(1))
				if refusal, ok := errors.AsType[*client.ResponseError](err); !ok || refusal.Code != oauth.InvalidClient || refusal.Method != oauth.MethodJWT {
					t.Fatalf("got %v", err)
				}
			}
			seen := w.edge.seen()
			if n := len(seen) - before; n != tt.want {
				t.Fatalf("%d requests, want %d", n, tt.want)
			}
			w.edge.answers(func(int, captured) reply { return reply{} })
			w.advance(time.Minute)
			w.token(c, resource(1))
			seen = append(seen, w.edge.last())
			used := map[string]bool{}
			for _, r := range seen[before:] {
				used[r.form.Get("client_assertion")] = true
			}
			if len(used) != tt.want+1 {
				t.Errorf("%d assertions in %d requests, want a fresh one each", len(used), tt.want+1)
			}
		})
	}
}
