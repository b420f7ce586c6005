package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/jose"
)

// short are the lives of most tests here.
var short = Config{RotateEvery: 10 * time.Minute, PublishAhead: 3 * time.Minute, LongestToken: 5 * time.Minute}

// running opens a ring and runs it until the test, or stop, ends it. It is for
// synctest.
func running(t testing.TB, cfg Config) (ring *Ring, stop func()) {
	t.Helper()
	ring, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring, run(t, ring)
}

func run(t testing.TB, ring *Ring) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ring.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return stop
}

// life is what List says in short: state and time in the state that is still to
// come, by the order of kids known so far.
func life(ring *Ring, kids *[]string) string {
	var out []string
	for _, k := range ring.List() {
		at := slices.Index(*kids, k.ID)
		if at < 0 {
			*kids, at = append(*kids, k.ID), len(*kids)
		}
		one := fmt.Sprintf("%d %s", at+1, k.State)
		for _, due := range []time.Time{k.ActivatesAt, k.RemovesAt} {
			if !due.IsZero() {
				one += " " + time.Until(due).String()
			}
		}
		out = append(out, one)
	}
	return strings.Join(out, ", ")
}

// agree checks that the views of a ring do not contradict each other.
func agree(t testing.TB, ring *Ring) {
	t.Helper()
	var listed, published []string
	for _, k := range ring.List() {
		listed = append(listed, k.ID+string(k.Algorithm))
	}
	for _, e := range entries(t, ring) {
		published = append(published, e["kid"].(string)+e["alg"].(string))
	}
	if diff := cmp.Diff(listed, published); diff != "" || listed[0] != ring.Signer().KeyID+string(ring.Signer().Algorithm) {
		t.Errorf("the active key is %s: %s", ring.Signer(), diff)
	}
	sorted := slices.Sorted(slices.Values(published))
	if len(slices.Compact(sorted)) != len(published) {
		t.Errorf("KR-1 a kid twice: %v", published)
	}
}

// KR-2: each state at its time, for each algorithm.
func TestKR2WholeLife(t *testing.T) {
	for _, alg := range Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				cfg := short
				cfg.File, cfg.Algorithm, cfg.Log = keyFile(t), alg, slog.New(slog.NewJSONHandler(&log, nil))
				ring, stop := running(t, cfg)
				var kids []string
				start := time.Now()
				for _, row := range []struct {
					at   time.Duration
					want string
				}{
					{0, "1 active"},
					{6*time.Minute + 59*time.Second, "1 active"},
					{7*time.Minute + time.Second, "1 active, 2 pending 2m59s"},
					{9*time.Minute + 59*time.Second, "1 active, 2 pending 1s"},
					{10*time.Minute + time.Second, "2 active, 1 retiring 6m59s"},
					{16*time.Minute + 58*time.Second, "2 active, 1 retiring 2s"},
					{17*time.Minute + time.Second, "2 active, 3 pending 2m59s"},
					{20*time.Minute + time.Second, "3 active, 2 retiring 6m59s"},
				} {
					time.Sleep(time.Until(start.Add(row.at)))
					synctest.Wait()
					if got := life(ring, &kids); got != row.want {
						t.Errorf("after %v: %s, not %s", row.at, got, row.want)
					}
					agree(t, ring)
					if diff := cmp.Diff([]jose.Algorithm{alg}, ring.Algorithms()); diff != "" {
						t.Error(diff)
					}
					// A process that starts now knows the same.
					again, err := Open(cfg)
					if err != nil || cmp.Diff(ring.List(), again.List()) != "" || !bytes.Equal(again.JWKS(), ring.JWKS()) {
						t.Errorf("after %v a restart has %v, %v", row.at, again, err)
					}
				}
				stop()
				var lines []string
				for line := range strings.Lines(log.String()) {
					for i, kid := range kids {
						line = strings.ReplaceAll(line, kid, fmt.Sprint(i+1))
					}
					_, line, _ = strings.Cut(line, `"msg":`)
					line, _, _ = strings.Cut(line, `,"until"`)
					lines = append(lines, strings.Trim(line, "}\n"))
				}
				want := []string{}
				for _, l := range []string{"1 new active", "2 new pending", "1 active retiring", "2 pending active", "1 retiring removed", "3 new pending", "2 active retiring", "3 pending active"} {
					f := strings.Fields(l)
					want = append(want, fmt.Sprintf(`"signing key","key_id":"%s","alg":"%s","from":"%s","to":"%s"`, f[0], alg, f[1], f[2]))
				}
				if diff := cmp.Diff(want, lines); diff != "" {
					t.Error(diff)
				}
				for _, secret := range secretsOf(t, cfg.File) {
					if strings.Contains(log.String(), secret) {
						t.Error("the log shows a private key")
					}
				}
			})
		})
	}
}

// KR-2: a key of another algorithm is published before it signs, whether a
// restart or Configure asks for it.
func TestKR2AnotherAlgorithm(t *testing.T) {
	for _, by := range []string{"restart", "Configure"} {
		t.Run(by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Config{File: keyFile(t), Algorithm: jose.ES256, PublishAhead: 3 * time.Minute, LongestToken: 5 * time.Minute}
				ring, stop := running(t, cfg)
				var kids []string
				for i, row := range []struct {
					alg   jose.Algorithm
					after time.Duration
					want  string
					algs  []jose.Algorithm
				}{
					{jose.ES256, 0, "1 active", []jose.Algorithm{"ES256"}},
					{jose.EdDSA, time.Minute, "1 active, 2 pending 2m0s", []jose.Algorithm{"ES256", "EdDSA"}},
					{jose.ES256, time.Minute, "1 active", []jose.Algorithm{"ES256"}}, // not wanted any more
					{jose.EdDSA, 0, "1 active, 3 pending 3m0s", []jose.Algorithm{"ES256", "EdDSA"}},
					{jose.EdDSA, time.Minute, "1 active, 3 pending 2m0s", []jose.Algorithm{"ES256", "EdDSA"}}, // the same one
					{jose.RS256, 0, "1 active, 4 pending 3m0s", []jose.Algorithm{"ES256", "RS256"}},
					{jose.PS256, 4 * time.Minute, "5 active, 1 retiring 6m0s", []jose.Algorithm{"PS256", "ES256"}},
					{jose.ES256, 4 * time.Minute, "6 active, 5 retiring 6m0s, 1 retiring 2m0s", []jose.Algorithm{"ES256", "PS256"}}, // no key comes back
					{jose.ES256, 7 * time.Minute, "6 active", []jose.Algorithm{"ES256"}},
				} {
					cfg.Algorithm = row.alg
					if by == "restart" {
						stop()
						ring, stop = running(t, cfg)
					} else if err := ring.Configure(cfg); err != nil {
						t.Fatal(err)
					}
					time.Sleep(row.after)
					synctest.Wait()
					if got := life(ring, &kids); got != row.want {
						t.Errorf("step %d: %s, not %s", i, got, row.want)
					}
					if diff := cmp.Diff(row.algs, ring.Algorithms()); diff != "" {
						t.Errorf("step %d: %s", i, diff)
					}
					agree(t, ring)
				}
				stop()
			})
		})
	}
}

func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 3 * time.Minute, LongestToken: 5 * time.Minute}
		ring, stop := running(t, cfg)
		var kids []string
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := life(ring, &kids); got != want {
				t.Errorf("%s, not %s", got, want)
			}
			agree(t, ring)
		}
		rotate := func(now bool, want ...State) Change {
			t.Helper()
			c, err := ring.Rotate(now)
			var got []State
			for _, s := range c.Steps {
				got = append(got, s.From, s.To)
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v: %s", err, diff)
			}
			return c
		}
		check("1 active")
		first := rotate(false, StateNew, StatePending)
		check("1 active, 2 pending 3m0s")
		time.Sleep(time.Minute)
		if again := rotate(false); again.Key != first.Key || first.Key.State != StatePending || time.Until(first.Key.ActivatesAt) != 2*time.Minute {
			t.Errorf("%+v after %+v", again, first)
		}
		check("1 active, 2 pending 2m0s")
		time.Sleep(2 * time.Minute)
		check("2 active, 1 retiring 7m0s")
		rotate(false, StateNew, StatePending)
		if c := rotate(true, StateActive, StateRetiring, StatePending, StateActive); c.Key.ID != ring.Signer().KeyID || c.Key.State != StateActive {
			t.Errorf("%+v", c)
		}
		check("3 active, 2 retiring 7m0s, 1 retiring 7m0s")
		rotate(true, StateActive, StateRetiring, StateNew, StateActive)
		check("4 active, 3 retiring 7m0s, 2 retiring 7m0s, 1 retiring 7m0s")
		time.Sleep(7 * time.Minute)
		check("4 active")
		time.Sleep(24 * time.Hour) // by itself nothing rotates
		check("4 active")
		stop()
	})
}

func TestKR3Remove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 3 * time.Minute, LongestToken: 5 * time.Minute}
		ring, stop := running(t, cfg)
		var kids []string
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := life(ring, &kids); got != want {
				t.Errorf("%s, not %s", got, want)
			}
			agree(t, ring)
			if again, err := Open(cfg); err != nil || cmp.Diff(ring.List(), again.List()) != "" {
				t.Errorf("on disk is %v, %v", again, err)
			}
		}
		remove := func(number int, was State) {
			t.Helper()
			c, err := ring.Remove(kids[number-1])
			if err != nil || c.Key.ID != kids[number-1] || c.Key.State != was || c.Steps[0].KeyID != c.Key.ID || c.Steps[0].To != StateRemoved {
				t.Errorf("%+v, %v", c, err)
			}
			if bytes.Contains(ring.JWKS(), []byte(kids[number-1])) {
				t.Error("the key is published")
			}
		}
		check("1 active")
		for _, kid := range []string{"", "nobody", kids[0] + "x", kids[0][:42]} {
			if _, err := ring.Remove(kid); !errors.Is(err, ErrUnknownKey) || !strings.HasPrefix(err.Error(), "keys: ") {
				t.Errorf("%q: %v", kid, err)
			}
		}
		check("1 active")
		remove(1, StateActive) // no other key
		check("2 active")
		if _, err := ring.Remove(kids[0]); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("it is removed twice: %v", err)
		}
		if _, err := ring.Rotate(false); err != nil {
			t.Fatal(err)
		}
		check("2 active, 3 pending 3m0s")
		remove(2, StateActive)
		check("3 active")
		if _, err := ring.Rotate(false); err != nil {
			t.Fatal(err)
		}
		check("3 active, 4 pending 3m0s")
		remove(4, StatePending)
		check("3 active")
		if _, err := ring.Rotate(true); err != nil {
			t.Fatal(err)
		}
		check("5 active, 3 retiring 7m0s")
		remove(3, StateRetiring)
		check("5 active")

		// A pending key that is wanted comes back as another one.
		cfg.Algorithm = jose.EdDSA
		if err := ring.Configure(cfg); err != nil {
			t.Fatal(err)
		}
		check("5 active, 6 pending 3m0s")
		time.Sleep(time.Minute)
		remove(6, StatePending)
		check("5 active, 7 pending 3m0s")
		stop()
	})
}

// KR-2: the longest life that a token can have had counts, not that of today.
func TestKR2LongestTokenIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{File: keyFile(t), PublishAhead: 3 * time.Minute, LongestToken: 5 * time.Minute}
		ring, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var kids []string
		cfg.LongestToken = time.Hour - 10*time.Millisecond // rounded up
		if err := ring.Configure(cfg); err != nil {
			t.Fatal(err)
		}
		cfg.LongestToken = time.Minute
		if err := ring.Configure(cfg); err != nil {
			t.Fatal(err)
		}
		ring, stop := running(t, cfg)
		if _, err := ring.Rotate(true); err != nil {
			t.Fatal(err)
		}
		if got := life(ring, &kids); got != "1 active, 2 retiring 1h2m0s" {
			t.Error(got)
		}
		if _, err := ring.Rotate(true); err != nil {
			t.Fatal(err)
		}
		if got := life(ring, &kids); got != "3 active, 1 retiring 3m0s, 2 retiring 1h2m0s" {
			t.Error(got)
		}
		time.Sleep(time.Hour + 2*time.Minute - time.Second)
		synctest.Wait()
		if got := life(ring, &kids); got != "3 active, 2 retiring 1s" {
			t.Error(got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := life(ring, &kids); got != "3 active" {
			t.Error(got)
		}
		stop()
	})
}

// KR-2: copies that were handed out while they might be kept for longer are gone
// before a key signs that they have not.
func TestKR2CopiesOfALongerLife(t *testing.T) {
	for _, by := range []string{"restart", "Configure"} {
		t.Run(by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Config{File: keyFile(t)}
				ring, stop := running(t, cfg)
				if ring.CacheFor() != 5*time.Minute {
					t.Fatal(ring.CacheFor())
				}
				cfg.PublishAhead = 30 * time.Second
				if by == "restart" {
					stop()
					ring, stop = running(t, cfg)
				} else if err := ring.Configure(cfg); err != nil {
					t.Fatal(err)
				}
				if ring.CacheFor() != 10*time.Second {
					t.Error(ring.CacheFor())
				}
				for _, want := range []time.Duration{6 * time.Minute, 30 * time.Second} {
					c, err := ring.Rotate(false)
					if err != nil || time.Until(c.Key.ActivatesAt) != want {
						t.Errorf("%v to go, %v", time.Until(c.Key.ActivatesAt), err)
					}
					time.Sleep(want - time.Second)
					if synctest.Wait(); ring.Signer().KeyID == c.Key.ID {
						t.Error("it signs too early")
					}
					time.Sleep(2 * time.Second)
					if synctest.Wait(); ring.Signer().KeyID != c.Key.ID {
						t.Error("it does not sign")
					}
				}
				stop()
			})
		})
	}
}

// A file of version 1 gets its times when it is first seen, and keeps them.
func TestVersion1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := keyFile(t)
		now := func() time.Time {
			return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).Add(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
		}
		var made []key
		for range 2 {
			k, err := makeKey(jose.ES256, now())
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, k)
		}
		document := oldDocumentOf(oldEntryOf(t, made[0].private, "ES256", "active"), oldEntryOf(t, made[1].private, "ES256", "retiring"))
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := Config{File: path, LongestToken: time.Hour, Now: now}
		created := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
		want := []Key{
			{ID: made[0].id, Algorithm: "ES256", State: StateActive, Created: created, Activated: created},
			{ID: made[1].id, Algorithm: "ES256", State: StateRetiring, Created: created, RemovesAt: now().Add(time.Hour + 2*time.Minute)},
		}
		for range 2 {
			ring, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, ring.List()); diff != "" {
				t.Error(diff)
			}
			time.Sleep(30 * time.Minute)
		}
		ring, stop := running(t, cfg)
		time.Sleep(3 * time.Minute)
		if synctest.Wait(); len(ring.List()) != 1 {
			t.Errorf("%+v", ring.List())
		}
		stop()
	})
}

func TestConfigureIsChecked(t *testing.T) {
	path := keyFile(t)
	ring := open(t, path, "")
	before, _ := os.ReadFile(path)
	for want, cfg := range map[string]Config{
		"cannot become another one":  {File: path + "2", Algorithm: jose.EdDSA},
		"the file is " + path:        {Algorithm: jose.EdDSA},
		"not one of":                 {File: path, Algorithm: "HS256"},
		"at least twice":             {File: path, Algorithm: jose.EdDSA, RotateEvery: time.Minute},
		"publish ahead is 1ns":       {File: path, Algorithm: jose.EdDSA, PublishAhead: 1},
		"the longest life of a toke": {File: path, Algorithm: jose.EdDSA, LongestToken: -1},
	} {
		if err := ring.Configure(cfg); err == nil || !strings.HasPrefix(err.Error(), "keys: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) || len(ring.List()) != 1 {
		t.Error("something was changed")
	}
	if err := ring.Configure(Config{File: path, Algorithm: jose.EdDSA}); err != nil || len(ring.List()) != 2 {
		t.Errorf("%v, %v", ring, err)
	}
}
