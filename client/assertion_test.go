package client

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

func newAuthority(t testing.TB, now func() time.Time) *devca.Authority {
	t.Helper()
	a, err := devca.New("example.org", devca.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParseAssertion(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	authority := newAuthority(t, func() time.Time { return now })
	issue := func(t *testing.T, change func(header, claims map[string]any)) string {
		t.Helper()
		token, err := authority.JWTSVID("/billing", []string{testIssuer}, change)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	claim := func(name string, value any) func(header, claims map[string]any) {
		return func(_, claims map[string]any) { claims[name] = value }
	}
	without := func(name string) func(header, claims map[string]any) {
		return func(_, claims map[string]any) { delete(claims, name) }
	}
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	both := func(a, b func(header, claims map[string]any)) func(header, claims map[string]any) {
		return func(h, c map[string]any) { a(h, c); b(h, c) }
	}

	for _, tt := range []struct {
		name       string
		change     func(header, claims map[string]any)
		renew, end time.Duration
	}{
		{"CL-7 five minutes: half of the life", func(_, _ map[string]any) {}, 150 * time.Second, 290 * time.Second},
		{"CL-7 forty seconds: thirty before the end", claim("exp", in(40*time.Second)), 10 * time.Second, 30 * time.Second},
		{"CL-7 half used up already", claim("iat", in(-100*time.Second)), 100 * time.Second, 290 * time.Second},
		{"F40 past half of its life: not asked for at once", claim("iat", in(-600*time.Second)), refetchAfter, 290 * time.Second},
		{"no iat", without("iat"), 150 * time.Second, 290 * time.Second},
		{"iat in the future", claim("iat", in(60*time.Second)), 150 * time.Second, 290 * time.Second},
		{"audience as text", claim("aud", testIssuer), 150 * time.Second, 290 * time.Second},
		{"eleven seconds left", both(claim("exp", in(11*time.Second)), without("iat")), refetchAfter, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := issue(t, tt.change)
			l, err := parseAssertion(token, testIssuer, now)
			if err != nil {
				t.Fatal(err)
			}
			if l.value.token != token || l.value.id.String() != "spiffe://example.org/billing" {
				t.Fatalf("got %v", l.value.id)
			}
			if l.renewAt.Sub(now) != tt.renew || l.end.Sub(now) != tt.end || l.waitAt != l.end {
				t.Fatalf("renewed after %v, ends after %v; want %v, %v", l.renewAt.Sub(now), l.end.Sub(now), tt.renew, tt.end)
			}
		})
	}

	for _, tt := range []struct {
		name   string
		change func(header, claims map[string]any)
		want   string
	}{
		{"CJ-6 two audiences", claim("aud", []string{testIssuer, "https://other.example"}), "2 audiences"},
		{"CJ-6 the issuer twice", claim("aud", []string{testIssuer, testIssuer}), "2 audiences"},
		{"CJ-6 another audience", claim("aud", []string{"https://other.example"}), `"https://other.example"`},
		{"CJ-6 a slash more", claim("aud", []string{testIssuer + "/"}), "CJ-6"},
		{"no audience", without("aud"), "aud is missing"},
		{"empty audience list", claim("aud", []string{}), "aud is missing"},
		{"audience of another kind", claim("aud", 7), "aud is missing"},
		{"F22 sub that is no SPIFFE ID", claim("sub", "billing"), `sub "billing"`},
		{"F22 sub without a path", claim("sub", "spiffe://example.org"), "sub"},
		{"F22 no sub", without("sub"), "sub"},
		{"F22 sub that is a number", claim("sub", 7), "sub"},
		{"no exp", without("exp"), "exp"},
		{"exp as text", claim("exp", "soon"), "exp"},
		{"expired", claim("exp", in(-time.Second)), "expires at"},
		{"CL-7 ten seconds left", claim("exp", in(10*time.Second)), "clock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := issue(t, tt.change)
			_, err := parseAssertion(token, testIssuer, now)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), token[len(token)-20:]) {
				t.Fatal("the error shows the assertion")
			}
		})
	}
	for name, token := range map[string]string{
		"F22 empty": "", "no JWT": "canary", "two parts": "a.b", "GL-8 too long": strings.Repeat("a", maxAssertion+1),
		"two tokens": issue(t, func(_, _ map[string]any) {}) + " " + issue(t, func(_, _ map[string]any) {}),
	} {
		if _, err := parseAssertion(token, testIssuer, now); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// issuing is a JWTSource that counts, stalls and fails on demand.
type issuing struct {
	authority *devca.Authority
	calls     atomic.Int64
	stall     atomic.Int64 // nanoseconds
	fail      atomic.Bool
}

var errAgent = errors.New("the agent is away")

func (s *issuing) FetchJWTSVID(ctx context.Context, audience string) (string, error) {
	s.calls.Add(1)
	if d := time.Duration(s.stall.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if s.fail.Load() {
		return "", errAgent
	}
	return s.authority.JWTSVID("/billing", []string{audience})
}

func TestAssertionsPerHalfLife(t *testing.T) { // F40, CL-7
	synctest.Test(t, func(t *testing.T) {
		source := &issuing{authority: newAuthority(t, time.Now)}
		a := newAssertions(source, time.Now, slog.New(slog.DiscardHandler))
		for range 3600 { // an hour of requests, one a second, SVIDs of five minutes
			if _, err := a.get(t.Context(), testIssuer); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := source.calls.Load(); n > 25 {
			t.Fatalf("%d questions to the agent in an hour, want at most 24 and the first", n)
		}
	})
}

// lines is a log that fetches in the background write while the test reads.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAssertionsSurviveAnAgentThatStalls(t *testing.T) { // F39, F22
	synctest.Test(t, func(t *testing.T) {
		var log lines
		source := &issuing{authority: newAuthority(t, time.Now)}
		a := newAssertions(source, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
		first, err := a.get(t.Context(), testIssuer)
		if err != nil {
			t.Fatal(err)
		}
		source.stall.Store(int64(30 * time.Second))
		for range 280 {
			time.Sleep(time.Second)
			start := time.Now()
			got, err := a.get(t.Context(), testIssuer)
			if err != nil || got != first {
				t.Fatalf("while the agent stalls: %v", err)
			}
			if time.Since(start) != 0 {
				t.Fatalf("a caller waited %v for the agent", time.Since(start))
			}
		}
		synctest.Wait()
		if !strings.Contains(log.String(), "no new JWT-SVID") {
			t.Fatal("F22: the failures were swallowed")
		}
		time.Sleep(20 * time.Second) // past exp − 10 s
		start := time.Now()
		if _, err := a.get(t.Context(), testIssuer); err == nil {
			t.Fatal("CL-7: used past its end")
		}
		if waited := time.Since(start); waited >= 5*time.Second {
			t.Fatalf("F39: a caller waited %v", waited)
		}
		source.stall.Store(0)
		time.Sleep(maxDelay * 2)
		if got, err := a.get(t.Context(), testIssuer); err != nil || got == first {
			t.Fatalf("after the agent is back: %v", err)
		}
	})
}

func TestAssertionsSurfaceTheAgentsError(t *testing.T) { // F22
	synctest.Test(t, func(t *testing.T) {
		source := &issuing{authority: newAuthority(t, time.Now)}
		source.fail.Store(true)
		a := newAssertions(source, time.Now, slog.New(slog.DiscardHandler))
		if _, err := a.get(t.Context(), testIssuer); !errors.Is(err, errAgent) {
			t.Fatalf("got %v, want the agent's error", err)
		}
		if _, err := a.get(t.Context(), testIssuer); !errors.Is(err, errAgent) || source.calls.Load() != 1 {
			t.Fatalf("at once again: got %v after %d questions", err, source.calls.Load())
		}
		source.fail.Store(false)
		time.Sleep(time.Second)
		if _, err := a.get(t.Context(), testIssuer); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAssertionsAreBounded(t *testing.T) { // F41, BC-7
	source := &issuing{authority: newAuthority(t, time.Now)}
	a := newAssertions(source, time.Now, slog.New(slog.DiscardHandler))
	var tokens []string
	for i := range 3 * maxAudiences {
		got, err := a.get(t.Context(), testIssuer+strings.Repeat("/x", i))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(tokens, got.token) {
			t.Fatal("BC-7: one JWT-SVID for two audiences")
		}
		tokens = append(tokens, got.token)
	}
	if n := len(a.byAudience); n > maxAudiences {
		t.Fatalf("%d audiences kept", n)
	}
}

func FuzzParseAssertion(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	authority := newAuthority(f, func() time.Time { return now })
	good, err := authority.JWTSVID("/billing", []string{testIssuer})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := parseAssertion(token, testIssuer, now)
		again, err2 := parseAssertion(token, testIssuer, now)
		if (err == nil) != (err2 == nil) || l != again {
			t.Fatal("two answers")
		}
		if err == nil && (l.value.id.Path() == "" || !l.end.After(now)) {
			t.Fatalf("accepted %v", l.value.id)
		}
		if err == nil {
			if _, err := parseAssertion(token, "https://other.example", now); err == nil {
				t.Fatal("CJ-6: good for two audiences")
			}
		}
	})
}
