package bundle

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A change that the source told of is asked for until it is answered, with back-off:
// an attempt that fails or is given up loses nothing.
func TestWatchChangeIsNotLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(t *testing.T, s *Set, td TrustDomain, source *watched, changed func())
	}{
		{"BE-17 a poll that fails", func(_ *testing.T, _ *Set, _ TrustDomain, source *watched, changed func()) {
			source.fail()
			changed()
		}},
		{"BE-17 a document that is refused", func(_ *testing.T, _ *Set, _ TrustDomain, source *watched, changed func()) {
			source.give([]byte("{}"))
			changed()
		}},
		{"BE-17 an operator who gave up", func(t *testing.T, s *Set, td TrustDomain, source *watched, changed func()) {
			ctx, cancel := context.WithCancel(t.Context())
			source.set(func(context.Context) (Document, error) {
				changed() // while the operator asks
				cancel()
				source.fail()
				return Document{}, ctx.Err()
			})
			if _, err := s.Fetch(ctx, td.Name, FetchOptions{}); err == nil {
				t.Error("it succeeded")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := watching(jwtDocument(t, map[string]any{"spiffe_refresh_hint": 3600}, "a"))
				td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
				s := newSet(t, td)
				stop := run(t, s)
				defer stop()
				changed := <-source.changed
				synctest.Wait()
				tt.fail(t, s, td, source, changed)
				synctest.Wait()
				before := source.count()
				time.Sleep(10 * time.Minute)
				if n := source.count() - before; n < 12 || n > 20 {
					t.Errorf("%d polls in ten minutes: one a minute after the first ones", n)
				}
				source.give(jwtDocument(t, map[string]any{"spiffe_refresh_hint": 3600}, "b"))
				time.Sleep(lastBackOff)
				synctest.Wait()
				if !hasKey(s, td, "b") {
					t.Error("known to be outdated, and not asked for within a minute")
				}
				before = source.count()
				time.Sleep(30 * time.Minute)
				if n := source.count() - before; n != 0 {
					t.Errorf("BE-14 %d polls after the answer", n)
				}
			})
		})
	}
}

// A fetch on demand that fails after a change does not put it off either.
func TestWatchChangeAndDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := watching(jwtDocument(t, map[string]any{"spiffe_refresh_hint": 3600}, "a"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		stop := run(t, s)
		defer stop()
		changed := <-source.changed
		synctest.Wait()
		d, _ := s.domain(td.Name)
		source.fail()
		d.mu.Lock() // so that the poller does not see it before the demand
		d.told++
		d.mu.Unlock()
		_, _ = s.Refresh(t.Context(), td.Name)
		source.give(jwtDocument(t, nil, "b"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !hasKey(s, td, "b") {
			t.Error("BE-17 a change is lost with a fetch on demand")
		}
		_ = changed
	})
}

// After Run has returned, no fetch on demand writes, stores or begins.
func TestDemandEndsWithRun(t *testing.T) {
	for name, listens := range map[string]bool{"BE-17 a source that listens": true, "BE-17 one that does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var record recorder
				dir := t.TempDir()
				source := holding(jwtDocument(t, nil, "a"))
				td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
				s := keeping(t, dir, &record, td)
				stop := run(t, s)
				late := jwtDocument(t, nil, "late")
				source.set(func(ctx context.Context) (Document, error) {
					if listens {
						select {
						case <-ctx.Done():
							return Document{}, ctx.Err()
						case <-time.After(5 * time.Second):
						}
					} else {
						time.Sleep(5 * time.Second)
					}
					return Document{Bytes: late}, nil
				})
				_, _ = s.Refresh(t.Context(), td.Name)
				started := time.Now()
				stop()
				if took := time.Since(started); listens && took != 0 {
					t.Errorf("the end of Run took %v", took)
				}
				read := func() string {
					data, err := os.ReadFile(filepath.Join(dir, "td-example.org.bundle"))
					if err != nil {
						t.Error(err)
					}
					return string(data)
				}
				before, bundle, asked := read(), s.Status()[0].Generation, source.count()
				time.Sleep(time.Minute)
				_, _ = s.Refresh(t.Context(), td.Name)
				time.Sleep(time.Minute)
				if read() != before || s.Status()[0].Generation != bundle || source.count() != asked {
					t.Error("something was asked, stored or written after Run had returned")
				}
				// The next Run lets them begin again.
				source.give(late)
				stop = run(t, s)
				defer stop()
				asked = source.count()
				if _, err := s.Refresh(t.Context(), td.Name); err != nil || source.count() != asked+1 {
					t.Errorf("in the next Run: %v", err)
				}
			})
		})
	}
}
