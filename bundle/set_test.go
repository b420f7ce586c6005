package bundle

import (
	"cmp"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A memory is a source whose answer the test sets. It remembers when it was
// asked.
type memory struct {
	mu     sync.Mutex
	answer func(context.Context) (Document, error)
	asked  []time.Time
	origin string // "memory" when empty
}

func (m *memory) Origin() string { return cmp.Or(m.origin, "memory") }

func (m *memory) Fetch(ctx context.Context) (Document, error) {
	m.mu.Lock()
	m.asked = append(m.asked, time.Now())
	answer := m.answer
	m.mu.Unlock()
	return answer(ctx)
}

func (m *memory) set(answer func(context.Context) (Document, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *memory) give(document []byte) { m.set(always(Document{Bytes: document})) }
func (m *memory) fail()                { m.set(failing) }

func (m *memory) times() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Time(nil), m.asked...)
}

func (m *memory) count() int { return len(m.times()) }

var errSource = errors.New("the source is out of order")

func failing(context.Context) (Document, error) { return Document{}, errSource }

func always(document Document) func(context.Context) (Document, error) {
	return func(context.Context) (Document, error) { return document, nil }
}

// hanging answers nothing until it is told to stop.
func hanging(ctx context.Context) (Document, error) {
	<-ctx.Done()
	return Document{}, ctx.Err()
}

func holding(document []byte) *memory {
	m := &memory{}
	m.give(document)
	return m
}

func newSet(t *testing.T, domains ...TrustDomain) *Set {
	t.Helper()
	s, err := NewSet(Config{TrustDomains: domains})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run starts the set and returns what stops it and waits for its end.
func run(t *testing.T, s *Set) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func hasKey(s *Set, td TrustDomain, kid string) bool {
	snapshot, err := s.Bundle(td.Name)
	if err != nil {
		return false
	}
	_, ok := snapshot.Key(UseJWT, kid)
	return ok
}

func gaps(times []time.Time) []time.Duration {
	var all []time.Duration
	for i := 1; i < len(times); i++ {
		all = append(all, times[i].Sub(times[i-1]))
	}
	return all
}

// near reports whether got is want with no more jitter than BE-20 allows.
func near(got, want time.Duration) bool { return got >= want*9/10 && got <= want*11/10 }

func TestNewSet(t *testing.T) {
	td, other := trustDomain(t, "example.org"), trustDomain(t, "other.test")
	source := holding(nil)
	tests := []struct {
		name    string
		domains []TrustDomain
		texts   []string // in the error; none: accepted
	}{
		{"no trust domain at all", nil, nil},
		{"BE-1 two trust domains", []TrustDomain{{Name: td, Source: source}, {Name: other, Source: source}}, nil},
		{"BE-1 no name", []TrustDomain{{Source: source}}, []string{"missing"}},
		{"BE-1 no source", []TrustDomain{{Name: td}}, []string{"no source"}},
		{"BE-1 a trust domain twice", []TrustDomain{{Name: td, Source: source}, {Name: td, Source: source}}, []string{"twice"}},
		{"BU-16 bounds", []TrustDomain{{Name: td, Source: source, Refresh: Refresh{time.Second, time.Second}}}, nil},
		{"BU-16 min above the default of max", []TrustDomain{{Name: td, Source: source, Refresh: Refresh{Min: 2 * time.Hour}}}, nil},
		{"BU-16 max below the default of min", []TrustDomain{{Name: td, Source: source, Refresh: Refresh{Max: 2 * time.Second}}}, nil},
		{"BU-16 min below a second", []TrustDomain{{Name: td, Source: source, Refresh: Refresh{Min: time.Second - 1}}}, []string{"refresh.min"}},
		{"BU-16 min negative", []TrustDomain{{Name: td, Source: source, Refresh: Refresh{Min: -time.Second}}}, []string{"refresh.min"}},
		{"BU-16 max below min", []TrustDomain{{Name: td, Source: source, Refresh: Refresh{time.Minute, time.Second}}}, []string{"refresh.max"}},
		{"every fault at once", []TrustDomain{{Source: source}, {Name: td, Refresh: Refresh{Min: 1}}}, []string{"missing", "no source", "refresh.min"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewSet(Config{TrustDomains: tt.domains})
			if (err == nil) != (tt.texts == nil) {
				t.Fatalf("error %v", err)
			}
			for _, text := range tt.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q lacks %q", err, text)
				}
			}
		})
	}
	if source.count() != 0 {
		t.Error("NewSet fetched")
	}
}

func TestSetBundle(t *testing.T) {
	configured := TrustDomain{Name: trustDomain(t, "example.org")}
	source := holding(jwtDocument(t, nil, "a"))
	configured.Source = source
	s := newSet(t, configured)
	if _, err := s.Bundle(configured.Name); !errors.Is(err, ErrNotReady) {
		t.Errorf("before the first fetch: %v", err)
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	snapshot, err := s.Bundle(configured.Name)
	if err != nil || snapshot.TrustDomain() != configured.Name {
		t.Errorf("BU-18 %v, %v", snapshot, err)
	}
	unknown := trustDomain(t, "unknown.test")
	if _, err := s.Bundle(unknown); !errors.Is(err, ErrUnknownTrustDomain) {
		t.Errorf("JS-13 Bundle: %v", err)
	}
	if _, err := s.Refresh(t.Context(), unknown); !errors.Is(err, ErrUnknownTrustDomain) {
		t.Errorf("JS-13 Refresh: %v", err)
	}
	if source.count() != 1 {
		t.Errorf("JS-13 %d fetches", source.count())
	}
}

func TestSetInterval(t *testing.T) {
	tests := []struct {
		name    string
		hint    any // nil: absent
		refresh Refresh
		want    time.Duration
	}{
		{"BE-13 no hint", nil, Refresh{}, 300 * time.Second},
		{"BE-13 a hint", 60, Refresh{}, 60 * time.Second},
		{"BU-15 a hint of zero", 0, Refresh{}, 300 * time.Second},
		{"BU-16 a hint of a second", 1, Refresh{}, 30 * time.Second},
		{"BU-16 a hint of four weeks", 2419200, Refresh{}, time.Hour},
		{"BU-16 a hint without bounds", int64(1) << 62, Refresh{}, time.Hour},
		{"BU-16 the operator's min", 60, Refresh{Min: 2 * time.Minute}, 2 * time.Minute},
		{"BU-16 the operator's max", 60, Refresh{Min: time.Second, Max: 5 * time.Second}, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				members := map[string]any{}
				if tt.hint != nil {
					members["spiffe_refresh_hint"] = tt.hint
				}
				source := holding(jwtDocument(t, members, "a"))
				stop := run(t, newSet(t, TrustDomain{Name: trustDomain(t, "example.org"), Source: source, Refresh: tt.refresh}))
				time.Sleep(50 * tt.want)
				stop()
				all := gaps(source.times())
				if len(all) < 40 {
					t.Fatalf("only %d polls", len(all))
				}
				different := map[time.Duration]bool{}
				for _, gap := range all {
					if !near(gap, tt.want) {
						t.Fatalf("%v between two polls, want about %v", gap, tt.want)
					}
					different[gap] = true
				}
				if len(different) < 10 {
					t.Errorf("BE-20 %d different intervals among %d", len(different), len(all))
				}
			})
		})
	}
}

func TestSetBE14BackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &memory{answer: failing}
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		stop := run(t, s)
		defer stop()
		time.Sleep(10 * time.Minute)
		wanted := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}
		all := gaps(source.times())
		if len(all) < len(wanted) {
			t.Fatalf("only %d attempts", len(all))
		}
		for i, want := range wanted {
			if want *= time.Second; !near(all[i], want) || all[i] > time.Minute {
				t.Errorf("BE-14 attempt %d after %v, want about %v", i+2, all[i], want)
			}
		}
		if _, err := s.Bundle(td.Name); !errors.Is(err, ErrNotReady) {
			t.Errorf("F9 while nothing was loaded: %v", err)
		}

		// Once loaded, a failure waits for the next interval like anything else.
		source.give(jwtDocument(t, nil, "a"))
		time.Sleep(66 * time.Second)
		if !hasKey(s, td, "a") {
			t.Fatal("not loaded within a minute")
		}
		source.fail()
		before := source.count()
		time.Sleep(50 * time.Minute)
		if n := source.count() - before; n < 9 || n > 12 {
			t.Errorf("BE-14 %d attempts in 50 minutes with an interval of 5", n)
		}
		if !hasKey(s, td, "a") {
			t.Error("BE-15 the last good bundle was dropped")
		}
	})
}

// A trust domain whose source hangs holds up no other.
func TestSetSlowDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &memory{answer: hanging}
		quick := holding(jwtDocument(t, nil, "a"))
		td := TrustDomain{Name: trustDomain(t, "quick.test"), Source: quick}
		s := newSet(t, TrustDomain{Name: trustDomain(t, "slow.test"), Source: slow}, td)
		stop := run(t, s)
		if !hasKey(s, td, "a") {
			t.Error("the quick one is not there at once")
		}
		time.Sleep(time.Hour)
		if n := quick.count(); n < 11 {
			t.Errorf("%d polls of the quick one in an hour", n)
		}
		// Its attempts take 10 s each, with up to a minute between them.
		if n := slow.count(); n < 50 {
			t.Errorf("BE-9 %d attempts at the slow one in an hour: it was not cut off after 10 s", n)
		}
		stop()
	})
}

// Whatever a source says next: which bundle holds afterwards?
func TestSetReplaces(t *testing.T) {
	seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
	key := func(kid string) entry { return keyEntry(t, UseJWT, kid, ecKey(t, elliptic.P256()).Public()) }
	first, second := key("first"), key("second")
	tests := []struct {
		name   string
		stored []byte
		next   []byte // nil: the source fails
		local  bool
		taken  bool
		text   string // in the last error
	}{
		{"BU-2 a good document", documentOf(t, nil, first), documentOf(t, nil, second), false, true, ""},
		{"BU-2 no keys", documentOf(t, nil, first), []byte(`{}`), false, false, "BU-2"},
		{"BU-1 not JSON", documentOf(t, nil, first), []byte(`<html>`), false, false, "BU-1"},
		{"BU-1 not JSON, in a file", documentOf(t, nil, first), []byte(`<html>`), true, false, "BU-1"},
		{"BU-11 a conflict", documentOf(t, nil, first), documentOf(t, nil, second, key("second")), false, false, "BU-11"},
		{"BE-15 no answer", documentOf(t, nil, first), nil, false, false, errSource.Error()},
		{"BU-3 keys empty", documentOf(t, nil, first), documentOf(t, nil), false, true, ""},
		{"BU-3 nothing usable", documentOf(t, nil, first), documentOf(t, nil, second.with(entry{"use": "sig"})), false, true, ""},
		{"BU-14 higher sequence", documentOf(t, seq(5), first), documentOf(t, seq(6), second), false, true, ""},
		{"BU-14 lower sequence", documentOf(t, seq(5), first), documentOf(t, seq(4), second), false, false, "BU-14"},
		{"BU-14 lower sequence, no keys", documentOf(t, seq(5), first), documentOf(t, seq(4)), false, false, "BU-14"},
		{"BU-14 lower sequence in a file", documentOf(t, seq(5), first), documentOf(t, seq(4), second), true, true, ""},
		{"BU-14 equal sequence, other content", documentOf(t, seq(5), first), documentOf(t, seq(5), second), false, true, ""},
		{"BU-14 sequence gone", documentOf(t, seq(5), first), documentOf(t, nil, second), false, true, ""},
		{"BU-14 sequence new", documentOf(t, nil, first), documentOf(t, seq(0), second), false, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := &memory{answer: always(Document{Bytes: tt.stored, Local: tt.local})}
			td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
			s := newSet(t, td)
			if err := s.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, _ := s.Bundle(td.Name)
			if source.fail(); tt.next != nil {
				source.set(always(Document{Bytes: tt.next, Local: tt.local}))
			}
			err := s.Load(t.Context())
			after, _ := s.Bundle(td.Name)
			if hasKey(s, td, "first") == tt.taken || (err == nil) != tt.taken {
				t.Fatalf("taken %v, error %v", !hasKey(s, td, "first"), err)
			}
			status := s.Status()[0]
			if !strings.Contains(status.LastError, tt.text) || (status.LastError == "") != tt.taken || !status.Ready {
				t.Errorf("status %+v", status)
			}
			switch {
			case !tt.taken && after != before:
				t.Error("the snapshot was replaced, or its age renewed")
			case tt.taken && after.Generation() <= before.Generation():
				t.Errorf("generation %d after %d", after.Generation(), before.Generation())
			}
			if _, ok := before.Key(UseJWT, "first"); !ok {
				t.Error("a snapshot changed")
			}
		})
	}
}

// A source that says the same again confirms what there is.
func TestSetConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := keyEntry(t, UseJWT, "a", ecKey(t, elliptic.P256()).Public())
		b := keyEntry(t, UseJWT, "b", ecKey(t, elliptic.P256()).Public())
		source := holding(documentOf(t, nil, a, b))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		var before *Snapshot
		for _, step := range []struct {
			name     string
			document []byte
			same     bool
		}{
			{"the first", documentOf(t, nil, a, b), false},
			{"the same bytes", documentOf(t, nil, a, b), true},
			{"another order", documentOf(t, nil, b, a), true},
			{"another sequence", documentOf(t, map[string]any{"spiffe_sequence": 4}, a, b), true},
			{"a key fewer", documentOf(t, map[string]any{"spiffe_sequence": 5}, a), false},
			{"the key again", documentOf(t, map[string]any{"spiffe_sequence": 6}, a, b), false},
		} {
			source.give(step.document)
			time.Sleep(time.Minute)
			if err := s.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			after, _ := s.Bundle(td.Name)
			if !after.FetchedAt().Equal(time.Now()) {
				t.Errorf("%s: fetched at %v", step.name, after.FetchedAt())
			}
			if before != nil && (after.Generation() == before.Generation()) != step.same {
				t.Errorf("%s: generation %d after %d", step.name, after.Generation(), before.Generation())
			}
			if before != nil && before.FetchedAt().Equal(after.FetchedAt()) {
				t.Errorf("%s: the earlier snapshot changed", step.name)
			}
			before = after
		}
	})
}

// BE-15: the age is counted from the question, not from a late answer.
func TestSetAgeOfSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		document := jwtDocument(t, nil, "a")
		source := &memory{answer: func(context.Context) (Document, error) {
			time.Sleep(7 * time.Second)
			return Document{Bytes: document}, nil
		}}
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		if err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if age := s.Status()[0].Age; age != 7*time.Second {
			t.Errorf("age %v", age)
		}
	})
}

// BU-19: trust domains that use one source still share nothing, and no two
// bundles of a set have the same generation.
func TestSetGenerations(t *testing.T) {
	var domains []TrustDomain
	for i := range 20 {
		document := jwtDocument(t, nil, "same")
		domains = append(domains, TrustDomain{Name: trustDomain(t, fmt.Sprintf("td%d.test", i)), Source: holding(document)})
	}
	s := newSet(t, domains...)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, td := range domains {
		snapshot, err := s.Bundle(td.Name)
		if err != nil {
			t.Fatal(err)
		}
		if g := snapshot.Generation(); g == 0 || seen[g] {
			t.Errorf("generation %d is zero or used twice", g)
		}
		seen[snapshot.Generation()] = true
		if len(snapshot.Keys(UseJWT)) != 1 {
			t.Errorf("BU-19 %d keys", len(snapshot.Keys(UseJWT)))
		}
	}
}

func TestSetLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := TrustDomain{Name: trustDomain(t, "good.test"), Source: holding(jwtDocument(t, nil, "a"))}
		bad := TrustDomain{Name: trustDomain(t, "bad.test"), Source: &memory{answer: failing}}
		slow := TrustDomain{Name: trustDomain(t, "slow.test"), Source: &memory{answer: hanging}}
		s := newSet(t, good, bad, slow)
		started := time.Now()
		err := s.Load(t.Context())
		if !errors.Is(err, errSource) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "bad.test") || strings.Contains(err.Error(), "good.test") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(started); took != 10*time.Second {
			t.Errorf("BE-9 it took %v", took)
		}
		if !hasKey(s, good, "a") {
			t.Error("F9 the good one is not ready")
		}

		// Run goes on: nothing is fetched a second time.
		stop := run(t, s)
		if n := good.Source.(*memory).count(); n != 1 {
			t.Errorf("%d fetches right after Load and Run", n)
		}
		stop()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started = time.Now()
		if err := s.Load(ctx); err == nil || time.Since(started) != time.Second {
			t.Errorf("with a deadline of a second: %v after %v", err, time.Since(started))
		}
	})
}

func TestSetRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "a"))})
		stop := run(t, s)
		if err := s.Run(t.Context()); !errors.Is(err, errAlreadyRunning) {
			t.Errorf("a second Run: %v", err)
		}
		stop()
		run(t, s)() // and again, once the first has ended
		run(t, newSet(t))()
	})
}

// Stopping is no failure of the source.
func TestSetStopsInMidFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, TrustDomain{Name: trustDomain(t, "example.org"), Source: &memory{answer: hanging}})
		run(t, s)()
		if status := s.Status()[0]; status.LastError != "" || !status.LastAttempt.IsZero() {
			t.Errorf("status %+v", status)
		}
	})
}
