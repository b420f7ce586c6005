package bundle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// loaded is a set of one trust domain that has the key "old", while its source
// has the key "new" already.
func loaded(t *testing.T) (*Set, TrustDomain, *memory) {
	t.Helper()
	source := holding(jwtDocument(t, nil, "old"))
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
	s := newSet(t, td)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	source.give(jwtDocument(t, nil, "new"))
	return s, td, source
}

func mustRefresh(t *testing.T, s *Set, td TrustDomain) *Snapshot {
	t.Helper()
	snapshot, err := s.Refresh(t.Context(), td.Name)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func TestRefreshAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		if _, ok := mustRefresh(t, s, td).Key(UseJWT, "new"); !ok || source.count() != 2 {
			t.Fatalf("BE-17 the first was not allowed: %d fetches", source.count())
		}
		for _, step := range []struct {
			name    string
			after   time.Duration
			fetches int
		}{
			{"BE-17 at once", 0, 2},
			{"BE-17 just before 30 s", 30*time.Second - 1, 2},
			{"BE-17 at 30 s", 1, 3},
			{"BE-17 just before 30 s again", 30*time.Second - 1, 3},
			{"BE-17 an hour later", time.Hour, 4},
		} {
			time.Sleep(step.after)
			mustRefresh(t, s, td)
			if n := source.count(); n != step.fetches {
				t.Fatalf("%s: %d fetches, want %d", step.name, n, step.fetches)
			}
		}
	})
}

// F1: ten thousand key ids that nobody has cost one request.
func TestRefreshFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		answer := source.answer
		source.set(func(ctx context.Context) (Document, error) {
			time.Sleep(time.Second)
			return answer(ctx)
		})
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				if _, ok := mustRefresh(t, s, td).Key(UseJWT, "new"); !ok {
					t.Error("BE-17 a caller who waited got the old bundle")
				}
			})
		}
		wg.Wait()
		if n := source.count(); n != 2 {
			t.Errorf("BE-17 %d fetches", n-1)
		}
	})
}

func TestRefreshPollsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := holding(jwtDocument(t, nil, "old"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source, Refresh: Refresh{Min: time.Second, Max: time.Second}}
		s := newSet(t, td)
		stop := run(t, s)
		defer stop()
		time.Sleep(10 * time.Second)
		if source.count() < 5 {
			t.Fatal("there were no polls")
		}
		source.give(jwtDocument(t, nil, "new"))
		if _, ok := mustRefresh(t, s, td).Key(UseJWT, "new"); !ok {
			t.Error("BE-17 the polls before used up the allowance")
		}
	})
}

// A poll under way may have been answered before the key was there, so the
// source is asked again after it.
func TestRefreshDuringPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, renewed := jwtDocument(t, nil, "old"), jwtDocument(t, nil, "new")
		source := &memory{}
		source.set(func(context.Context) (Document, error) {
			time.Sleep(time.Second)
			return Document{Bytes: old}, nil
		})
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		stop := run(t, s)
		defer stop()
		source.give(renewed)
		if _, ok := mustRefresh(t, s, td).Key(UseJWT, "new"); !ok || source.count() != 2 {
			t.Errorf("BE-17 %d fetches, new key %v", source.count(), ok)
		}
	})
}

func TestRefreshWaits(t *testing.T) {
	tests := []struct {
		name  string
		takes time.Duration
		waits time.Duration
		kid   string // what the caller then has
	}{
		{"BE-17 a quick source", time.Second, time.Second, "new"},
		{"BE-17 a slow source", 5 * time.Second, 2 * time.Second, "old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, td, source := loaded(t)
				answer := source.answer
				source.set(func(ctx context.Context) (Document, error) {
					select {
					case <-time.After(tt.takes):
						return answer(ctx)
					case <-ctx.Done():
						return Document{}, ctx.Err()
					}
				})
				started := time.Now()
				snapshot := mustRefresh(t, s, td)
				if waited := time.Since(started); waited != tt.waits {
					t.Errorf("waited %v", waited)
				}
				if _, ok := snapshot.Key(UseJWT, tt.kid); !ok {
					t.Errorf("the key %q is not there", tt.kid)
				}
				time.Sleep(tt.takes)
				synctest.Wait()
				if !hasKey(s, td, "new") {
					t.Error("the fetch did not go on without its caller")
				}
			})
		})
	}
}

// The caller who began a fetch may leave; who joined it still gets its result.
func TestRefreshCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		answer := source.answer
		source.set(func(ctx context.Context) (Document, error) {
			time.Sleep(time.Second)
			if err := ctx.Err(); err != nil {
				return Document{}, err
			}
			return answer(ctx)
		})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := s.Refresh(ctx, td.Name)
			first <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller who left: %v", err)
		}
		if _, ok := mustRefresh(t, s, td).Key(UseJWT, "new"); !ok || source.count() != 2 {
			t.Errorf("who joined: new key %v, %d fetches", ok, source.count()-1)
		}
		if _, err := s.Refresh(ctx, td.Name); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

func TestRefreshFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, td, source := loaded(t)
		source.fail()
		if _, ok := mustRefresh(t, s, td).Key(UseJWT, "old"); !ok {
			t.Error("BE-15 a failed fetch lost the bundle at hand")
		}
		if s.Status()[0].LastError == "" {
			t.Error("the status does not tell of the failure")
		}
		mustRefresh(t, s, td)
		if n := source.count(); n != 2 {
			t.Errorf("BE-17 a failed fetch did not count: %d", n)
		}

		never := TrustDomain{Name: trustDomain(t, "never.test"), Source: &memory{answer: failing}}
		if _, err := newSet(t, never).Refresh(t.Context(), never.Name); !errors.Is(err, ErrNotReady) {
			t.Errorf("nothing was ever loaded: %v", err)
		}
	})
}

// The allowance is one for each trust domain, and follows the injected clock,
// also when that is set back.
func TestRefreshClock(t *testing.T) {
	now := epoch
	sources := []*memory{holding(jwtDocument(t, nil, "a")), holding(jwtDocument(t, nil, "a"))}
	var domains []TrustDomain
	for i, source := range sources {
		domains = append(domains, TrustDomain{Name: trustDomain(t, fmt.Sprintf("td%d.test", i)), Source: source})
	}
	s, err := NewSet(Config{TrustDomains: domains, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		now    time.Time
		counts [2]int
	}{
		{"BE-17 the first of each", epoch, [2]int{1, 1}},
		{"BE-17 just before 30 s", epoch.Add(30*time.Second - 1), [2]int{1, 1}},
		{"BE-17 at 30 s", epoch.Add(30 * time.Second), [2]int{2, 2}},
		{"BE-17 the clock set back by an hour", epoch.Add(-time.Hour), [2]int{3, 3}},
	} {
		now = step.now
		for i, td := range domains {
			mustRefresh(t, s, td)
			if n := sources[i].count(); n != step.counts[i] {
				t.Errorf("%s: %d fetches of %s", step.name, n, td.Name)
			}
		}
	}
}
