package bundle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func mustReplace(t *testing.T, s *Set, domains ...TrustDomain) {
	t.Helper()
	if err := s.Replace(domains); err != nil {
		t.Fatal(err)
	}
}

// F10, BE-16: a trust domain that is taken out is unknown at once, is not asked
// any more, and leaves nothing behind.
func TestF10ReplaceTakesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		folder := t.TempDir()
		goes, stays := holding(jwtDocument(t, nil, "a")), holding(jwtDocument(t, nil, "b"))
		gone := TrustDomain{Name: trustDomain(t, "gone.test"), Source: goes}
		left := TrustDomain{Name: trustDomain(t, "left.test"), Source: stays}
		s := keeping(t, folder, &record, gone, left)
		stop := run(t, s)
		defer stop()
		if !hasKey(s, gone, "a") || len(names(t, folder)) != 2 {
			t.Fatalf("it was not there: %q", names(t, folder))
		}
		before, asked := s.Status()[1], goes.count()
		mustReplace(t, s, left)
		if _, err := s.Bundle(gone.Name); !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("BE-16 Bundle: %v", err)
		}
		if _, err := s.Refresh(t.Context(), gone.Name); !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("BE-16 Refresh: %v", err)
		}
		if _, err := s.Fetch(t.Context(), gone.Name, FetchOptions{}); !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("BE-16 Fetch: %v", err)
		}
		if _, err := s.Peek(t.Context(), gone.Name); !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("BE-16 Peek: %v", err)
		}
		if got := names(t, folder); !slices.Equal(got, []string{"td-left.test.bundle"}) {
			t.Errorf("BE-16 the folder holds %q", got)
		}
		if all := s.Status(); len(all) != 1 || !all[0].NextRefresh.Equal(before.NextRefresh) || stays.count() != 1 {
			t.Errorf("BE-16 the other one was disturbed: %+v", all)
		}
		time.Sleep(time.Hour)
		if goes.count() != asked || stays.count() < 11 {
			t.Errorf("BE-16 it was asked %d times, the other one %d", goes.count()-asked, stays.count())
		}

		// It may come back, and then begins anew.
		goes.fail()
		mustReplace(t, s, left, gone)
		if _, err := s.Bundle(gone.Name); !errors.Is(err, ErrNotReady) {
			t.Errorf("BE-16 put back: %v", err)
		}
		synctest.Wait()
		if goes.count() != asked+1 {
			t.Error("BE-16 put back, it is not polled")
		}
	})
}

// What was on its way when a trust domain was taken out is not used any more,
// and whoever waits for it gets an answer.
func TestF10ReplaceDuringAttempt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source func(string) *memory // of the same trust domain afterwards; nil: it is gone
		want   error
	}{
		{"BE-16 gone", nil, ErrUnknownTrustDomain},
		{"BE-16 another origin", func(string) *memory { return &memory{answer: hanging, origin: "elsewhere"} }, ErrNotReady},
		{"BE-16 another source of the same origin", func(string) *memory { return &memory{answer: hanging} }, ErrNotReady},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var record recorder
				folder := t.TempDir()
				document := jwtDocument(t, nil, "late")
				stubborn := &memory{answer: func(context.Context) (Document, error) {
					time.Sleep(time.Second) // whatever becomes of its context
					return Document{Bytes: document}, nil
				}}
				td := TrustDomain{Name: trustDomain(t, "example.org"), Source: stubborn}
				s := keeping(t, folder, &record, td)
				stop := run(t, s)
				defer stop()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						if _, err := s.Refresh(t.Context(), td.Name); !errors.Is(err, tt.want) {
							t.Errorf("who waits gets %v, want %v", err, tt.want)
						}
					})
				}
				wg.Go(func() {
					if _, err := s.Fetch(t.Context(), td.Name, FetchOptions{}); !errors.Is(err, errEnded) {
						t.Errorf("the operator gets %v", err)
					}
				})
				synctest.Wait()
				started := time.Now()
				var next []TrustDomain
				if tt.source != nil {
					next = []TrustDomain{{Name: td.Name, Source: tt.source(td.Name.Name())}}
				}
				mustReplace(t, s, next...)
				wg.Wait()
				if waited := time.Since(started); waited != 0 {
					t.Errorf("they waited for %v", waited)
				}
				time.Sleep(3 * time.Second)
				if hasKey(s, td, "late") {
					t.Error("the late answer was used")
				}
				if got := names(t, folder); len(got) != 0 {
					t.Errorf("the late answer was kept: %q", got)
				}
			})
		})
	}
}

// A fetch on demand under way ends with its trust domain, and who waits for it
// does not wait for a source that does not listen.
func TestF10ReplaceDuringDemand(t *testing.T) {
	for name, listens := range map[string]bool{"BE-16 a source that listens": true, "BE-16 one that does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan time.Duration, 1)
				started := time.Now()
				source := &memory{answer: func(ctx context.Context) (Document, error) {
					select {
					case <-time.After(5 * time.Second):
					case <-ctx.Done():
					}
					if ended <- time.Since(started); !listens {
						time.Sleep(5 * time.Second)
					}
					return Document{}, ctx.Err()
				}}
				td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
				s := newSet(t, td)
				answer := make(chan error, 1)
				go func() {
					_, err := s.Refresh(t.Context(), td.Name)
					answer <- err
				}()
				time.Sleep(time.Second)
				mustReplace(t, s)
				if err := <-answer; !errors.Is(err, ErrUnknownTrustDomain) || time.Since(started) != time.Second {
					t.Errorf("after %v: %v", time.Since(started), err)
				}
				time.Sleep(10 * time.Second)
				if after := <-ended; after != time.Second {
					t.Errorf("the source was told to stop after %v", after)
				}
			})
		})
	}
}

// BU-14: an open conflict is no secret of the source that showed it.
func TestReplaceKeepsConflict(t *testing.T) {
	seq := map[string]any{"spiffe_sequence": 5}
	source := holding(jwtDocument(t, seq, "a"))
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
	s := newSet(t, td)
	mustLoad(t, s)
	source.give(jwtDocument(t, seq, "b"))
	mustLoad(t, s)
	td.Source = &memory{answer: failing}
	mustReplace(t, s, td)
	if !raised(s.Status()[0], "its sequence did not") {
		t.Errorf("BU-14 of the same origin: %q", s.Status()[0].Alarm)
	}
	td.Source = &memory{answer: failing, origin: "elsewhere"}
	mustReplace(t, s, td)
	if len(s.Status()[0].Alarm) != 0 {
		t.Errorf("BU-14 of another origin: %q", s.Status()[0].Alarm)
	}
}

// What stays of a trust domain whose source is another one.
func TestReplaceSource(t *testing.T) {
	seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
	tests := []struct {
		name   string
		same   bool // the same Source value
		origin string
		stays  bool
	}{
		{"BE-16 the same source", true, "", true},
		{"BE-16 another source of the same origin", false, "memory", true},
		{"BE-16 another origin", false, "elsewhere", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var record recorder
				folder := t.TempDir()
				first := holding(jwtDocument(t, seq(5), "a"))
				td := TrustDomain{Name: trustDomain(t, "example.org"), Source: first}
				s := keeping(t, folder, &record, td)
				stop := run(t, s)
				defer stop()
				mustRefresh(t, s, td) // uses up the allowance
				before, _ := s.Bundle(td.Name)
				next, asked := first, first.count()
				if !tt.same {
					next = &memory{answer: failing, origin: tt.origin}
					td.Source = next
					asked = 0
				}
				mustReplace(t, s, td)
				after, err := s.Bundle(td.Name)
				if tt.stays != (after == before && err == nil) || !tt.stays && !errors.Is(err, ErrNotReady) {
					t.Errorf("the bundle afterwards: %v, %v", after, err)
				}
				if (len(names(t, folder)) == 1) != tt.stays {
					t.Errorf("kept is %q", names(t, folder))
				}
				synctest.Wait()
				if n := next.count() - asked; (n == 0) != tt.same {
					t.Errorf("it was asked %d times at once", n)
				}
				if n := first.count(); n != 2 {
					t.Errorf("the first source was asked %d times", n)
				}
				if _, _ = s.Refresh(t.Context(), td.Name); tt.stays && next.count()-asked > 1 {
					t.Error("BE-17 the change gave strangers another fetch")
				}
				next.give(jwtDocument(t, seq(4), "older"))
				_ = s.Load(t.Context())
				if hasKey(s, td, "older") == tt.stays {
					t.Errorf("BU-14 a lower sequence was taken: %v", !tt.stays)
				}
				next.give(jwtDocument(t, seq(6), "newer"))
				mustLoad(t, s)
				if !hasKey(s, td, "newer") {
					t.Error("a newer document was not taken")
				}
				// What is on disk is the new source's.
				again := keeping(t, folder, &record, td)
				if !hasKey(again, td, "newer") {
					t.Error("BE-15 it was not kept")
				}
			})
		})
	}
}

// Bounds and greatest age may change under a source that stays.
func TestReplaceBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		source := holding(jwtDocument(t, map[string]any{"spiffe_refresh_hint": 3600}, "a"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := logged(t, &record, td)
		stop := run(t, s)
		defer stop()
		time.Sleep(10 * time.Minute)
		td.Refresh = Refresh{Max: time.Minute}
		mustReplace(t, s, td)
		synctest.Wait()
		if source.count() != 2 {
			t.Fatalf("BU-16 %d polls: one is overdue by the new bounds", source.count())
		}
		time.Sleep(10 * time.Minute)
		for _, gap := range gaps(source.times())[1:] {
			if !near(gap, time.Minute) {
				t.Errorf("BU-16 %v between two polls", gap)
			}
		}
		source.fail()
		time.Sleep(10 * time.Minute)
		td.MaxAge = 5 * time.Minute
		mustReplace(t, s, td)
		synctest.Wait()
		if status := s.Status()[0]; status.MaxAge != td.MaxAge || !raised(status, "older than 5m") {
			t.Errorf("BE-15 %+v", status)
		}
		if !strings.Contains(record.String(), "too old") {
			t.Error("BE-15 the alarm is not in the log")
		}
	})
}

// Every fault is reported, and then nothing has changed.
func TestReplaceFaults(t *testing.T) {
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "a"))}
	s := newSet(t, td)
	mustLoad(t, s)
	other := TrustDomain{Name: trustDomain(t, "other.test"), Source: holding(nil)}
	for _, tt := range []struct {
		name    string
		domains []TrustDomain
		texts   []string
	}{
		{"BE-1 no name", []TrustDomain{other, {Source: other.Source}}, []string{"missing"}},
		{"BE-1 no source", []TrustDomain{other, {Name: td.Name}}, []string{"no source"}},
		{"BE-1 twice", []TrustDomain{other, other}, []string{"twice"}},
		{"BU-16 bounds", []TrustDomain{{Name: td.Name, Source: td.Source, Refresh: Refresh{Min: 1}}}, []string{"refresh.min"}},
		{"BE-15 greatest age", []TrustDomain{{Name: td.Name, Source: td.Source, MaxAge: -1}}, []string{"greatest age"}},
		{"every fault at once", []TrustDomain{{}, {Name: td.Name, MaxAge: -1}}, []string{"missing", "no source", "greatest age"}},
	} {
		err := s.Replace(tt.domains)
		if err == nil {
			t.Fatalf("%s: accepted", tt.name)
		}
		for _, text := range tt.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %q lacks %q", tt.name, err, text)
			}
		}
		if _, err := NewSet(Config{TrustDomains: tt.domains}); err == nil {
			t.Errorf("%s: NewSet accepts it", tt.name)
		}
		if _, err := s.Bundle(other.Name); !hasKey(s, td, "a") || !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("%s: something changed", tt.name)
		}
	}
	mustReplace(t, s, td, other)
	if _, err := s.Bundle(other.Name); !errors.Is(err, ErrNotReady) || !hasKey(s, td, "a") {
		t.Errorf("the accepted twin: %v", err)
	}
}

// A slice is a source that Go cannot compare.
type slice []byte

func (s slice) Fetch(context.Context) (Document, error) { return Document{Bytes: s}, nil }
func (s slice) Origin() string                          { return "slice" }

// Replace works before Load, between, while Run runs, and after it.
func TestReplaceAtAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		td := func(name string) TrustDomain {
			return TrustDomain{Name: trustDomain(t, name), Source: slice(jwtDocument(t, nil, name))}
		}
		a, b, c, d := td("a"), td("b"), td("c"), td("d")
		s := newSet(t, a)
		mustReplace(t, s, a, b)
		mustLoad(t, s)
		mustReplace(t, s, a, b, c)
		stop := run(t, s)
		mustReplace(t, s, a, c, d)
		synctest.Wait()
		for _, td := range []TrustDomain{a, c, d} {
			if !hasKey(s, td, td.Name.Name()) {
				t.Errorf("%s is not ready", td.Name)
			}
		}
		if _, err := s.Bundle(b.Name); !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("BE-16 b: %v", err)
		}
		stop()
		mustReplace(t, s, b)
		if _, err := s.Bundle(b.Name); !errors.Is(err, ErrNotReady) {
			t.Errorf("after the end of Run: %v", err)
		}
		stop = run(t, s)
		if !hasKey(s, b, "b") {
			t.Error("the next Run does not poll it")
		}
		mustReplace(t, s)
		stop()
		if len(s.Status()) != 0 {
			t.Error("something is left")
		}
	})
}

// Requests, polls, operators and changes all at once: for the race detector. What
// must hold: a trust domain that never leaves is never missing, and none has the
// key of another (BU-19).
func TestReplaceConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		folder := t.TempDir()
		var all []TrustDomain
		for i := range 5 {
			name := fmt.Sprintf("td%d.test", i)
			all = append(all, TrustDomain{
				Name: trustDomain(t, name), Source: holding(jwtDocument(t, nil, name)),
				Refresh: Refresh{Min: time.Second, Max: time.Second}, MaxAge: time.Hour,
			})
		}
		s := keeping(t, filepath.Join(folder, "kept"), &record, all...)
		mustLoad(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		check := func(i int, snapshot *Snapshot, err error) {
			switch {
			case err == nil:
				if _, ok := snapshot.Key(UseJWT, all[i].Name.Name()); !ok || snapshot.TrustDomain() != all[i].Name {
					t.Errorf("BU-19 %s has the bundle of %s", all[i].Name, snapshot.TrustDomain())
				}
			case i == 0, !errors.Is(err, ErrUnknownTrustDomain) && !errors.Is(err, ErrNotReady) && !errors.Is(err, context.Canceled) && !errors.Is(err, errEnded):
				t.Errorf("%s: %v", all[i].Name, err)
			}
		}
		loop := func(pause time.Duration, do func(i int)) {
			wg.Go(func() {
				for ctx.Err() == nil {
					do(rand.IntN(len(all)))
					time.Sleep(pause)
				}
			})
		}
		for range 4 {
			loop(time.Millisecond, func(i int) {
				snapshot, err := s.Bundle(all[i].Name)
				check(i, snapshot, err)
			})
			loop(10*time.Millisecond, func(i int) {
				snapshot, err := s.Refresh(t.Context(), all[i].Name)
				check(i, snapshot, err)
			})
		}
		loop(50*time.Millisecond, func(i int) {
			change, err := s.Fetch(t.Context(), all[i].Name, FetchOptions{AcceptOlder: true})
			if err == nil || i != 0 {
				check(i, change.After, err)
			}
		})
		loop(70*time.Millisecond, func(int) { s.Status() })
		loop(20*time.Millisecond, func(int) {
			some := []TrustDomain{all[0]}
			for _, td := range all[1:] {
				switch rand.IntN(4) {
				case 0: // gone
				case 1: // another source
					td.Source = holding(jwtDocument(t, nil, td.Name.Name()))
					fallthrough
				case 2:
					td.MaxAge = time.Duration(rand.IntN(1e9))
					fallthrough
				default:
					some = append(some, td)
				}
			}
			mustReplace(t, s, some...)
		})
		time.Sleep(2 * time.Second)
		cancel()
		wg.Wait()
		mustReplace(t, s, all[0])
		if got := names(t, filepath.Join(folder, "kept")); !slices.Equal(got, []string{"td-td0.test.bundle"}) {
			t.Errorf("BE-16 the folder holds %q", got)
		}
		if _, err := s.Bundle(spiffeid.TrustDomain{}); !errors.Is(err, ErrUnknownTrustDomain) {
			t.Errorf("no trust domain: %v", err)
		}
	})
}
