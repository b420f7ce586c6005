package client_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

func TestRetryAfterIsHonoured(t *testing.T) { // LC-3, F38
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := newWorld(t)
			c := w.client(w.config(client.JWTSVID(w.jwt)))
			w.edge.answers(func(n int, _ captured) reply {
				if n == 1 {
					return reply{status: status, header: map[string]string{"Retry-After": "120"}}
				}
				return reply{}
			})
			_, err := c.Token(t.Context(), client.Request{})
			refusal, ok := errors.AsType[*client.ResponseError](err)
			if !ok || refusal.Status != status || refusal.RetryAfter != 2*time.Minute || refusal.RequestID != "req-1" {
				t.Fatalf("got %v", err)
			}
			for range 11 {
				// Also for other keys: it is the server that asked for a pause.
				for _, scope := range []string{"", "other"} {
					if _, err := c.Token(t.Context(), client.Request{Scope: scope}); !errors.Is(err, refusal.Unwrap()) {
						t.Fatalf("got %v, want the same refusal", err)
					}
				}
				w.advance(10 * time.Second)
			}
			if n := len(w.edge.seen()); n != 1 {
				t.Fatalf("%d requests within Retry-After", n)
			}
			w.advance(40 * time.Second) // 150 s, past the fifth that is added by chance
			w.token(c, client.Request{})
			w.token(c, client.Request{Scope: "other"})
		})
	}
}

func TestRefusalsAreNotRepeatedAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	w.edge.answers(func(_ int, r captured) reply {
		if r.form.Get("scope") == "admin" {
			return reply{status: 400, body: `{"error":"invalid_scope","error_description":"The scope is malformed or wider than this client may have."}`}
		}
		return reply{}
	})
	for range 50 {
		_, err := c.Token(t.Context(), client.Request{Scope: "admin"})
		refusal, ok := errors.AsType[*client.ResponseError](err)
		if !ok || !errors.Is(err, oauth.InvalidScope) || refusal.Status != 400 || refusal.Scope != "admin" {
			t.Fatalf("got %v", err)
		}
		for _, want := range []string{"client: ", "invalid_scope", "admin", "req-1"} {
			if !strings.Contains(err.Error(), want) {
				t.Fatalf("does not say %q: %v", want, err)
			}
		}
	}
	if n := len(w.edge.seen()); n != 1 {
		t.Errorf("%d requests for 50 calls at once", n)
	}
	w.token(c, client.Request{Scope: "read"}) // others are not held back
}

func TestBrokenConnectionIsTriedOnceMore(t *testing.T) {
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	w.edge.answers(func(n int, _ captured) reply { return reply{hangUp: n == 1} })
	w.token(c, client.Request{})
	if n := len(w.edge.seen()); n != 2 {
		t.Fatalf("%d requests, want 2", n)
	}
	w.edge.answers(func(int, captured) reply { return reply{hangUp: true} })
	if _, err := c.Token(t.Context(), client.Request{Scope: "other"}); err == nil {
		t.Fatal("got a token out of nowhere")
	}
	if n := len(w.edge.seen()); n != 4 {
		t.Errorf("%d requests, want one retry and no more", n-2)
	}
}

func TestAnswersThatAreNoToken(t *testing.T) {
	long := `{"access_token":"` + strings.Repeat("x", 64<<10) + `","token_type":"Bearer","expires_in":300}`
	for _, tt := range []struct {
		name  string
		reply reply
		want  string // empty: accepted
	}{
		{"as it should be", reply{status: 200, body: `{"access_token":"a","token_type":"Bearer","expires_in":300}`}, ""},
		{"redirect", reply{status: 307, header: map[string]string{"Location": "https://elsewhere.example/token"}}, "redirects are not followed"},
		{"created", reply{status: 201, body: `{"access_token":"a","token_type":"Bearer","expires_in":300}`}, "201"},
		{"page of a proxy", reply{status: 200, header: map[string]string{"Content-Type": "text/html"}, body: "<html>"}, "application/json"},
		{"DPoP token", reply{status: 200, body: `{"access_token":"a","token_type":"DPoP","expires_in":300}`}, "DPoP"},
		{"longer than 64 KiB", reply{status: 200, body: long}, "longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.edge.answers(func(int, captured) reply { return tt.reply })
			c := w.client(w.config(client.JWTSVID(w.jwt)))
			_, err := c.Token(t.Context(), client.Request{})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestInvalidClientDropsTheAssertion(t *testing.T) {
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	w.edge.answers(func(n int, _ captured) reply {
		if n == 1 {
			return reply{status: 401, body: `{"error":"invalid_client"}`}
		}
		return reply{}
	})
	if _, err := c.Token(t.Context(), client.Request{}); !errors.Is(err, oauth.InvalidClient) {
		t.Fatalf("got %v", err)
	}
	w.advance(time.Second)
	w.token(c, client.Request{})
	seen := w.edge.seen()
	if seen[0].form.Get("client_assertion") == seen[1].form.Get("client_assertion") {
		t.Error("the JWT-SVID that was refused was sent again")
	}
}

func TestNothingSecretIsLogged(t *testing.T) { // AU-2
	w := newWorld(t)
	config := w.config(client.JWTSVID(w.jwt))
	var log syncBuffer
	config.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := w.client(config)
	var all strings.Builder
	for i, r := range []reply{
		{status: 401, body: `{"error":"invalid_client","error_description":"no"}`},
		{status: 200, body: `{"access_token":"canary","token_type":"DPoP"}`},
		{status: 200, body: `{"access_token":"canary"`},
		{status: 500, body: `canary`},
		{hangUp: true},
	} {
		w.edge.answers(func(int, captured) reply { return r })
		w.advance(time.Minute)
		_, err := c.Token(t.Context(), client.Request{Scope: fmt.Sprint("s", i)})
		if err == nil {
			t.Fatal("got a token")
		}
		fmt.Fprintln(&all, err)
	}
	all.WriteString(log.String())
	if strings.Contains(all.String(), "canary") {
		t.Error("a token was shown")
	}
	for _, r := range w.edge.seen() {
		if parts := strings.Split(r.form.Get("client_assertion"), "."); strings.Contains(all.String(), parts[2]) || strings.Contains(all.String(), parts[1]) {
			t.Error("an assertion was shown")
		}
	}
}
