package bundle

import (
	"crypto/elliptic"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// F3: each trust domain is polled by its own hint, within bounds and with jitter.
func TestF3Hints(t *testing.T) {
	tests := []struct {
		name string
		hint any // nil: absent
		want time.Duration
	}{
		{"F3 BU-16 a second", 1, 30 * time.Second},
		{"F3 BE-13 five minutes", 300, 5 * time.Minute},
		{"F3 BU-16 a day", 86400, time.Hour},
		{"F3 BU-15 absent", nil, 5 * time.Minute},
		{"F3 BU-15 zero", 0, 5 * time.Minute},
		{"F3 BU-15 negative", -60, 5 * time.Minute},
		{"F3 BU-15 the lowest", math.MinInt64, 5 * time.Minute},
		{"F3 BU-16 the highest", int64(math.MaxInt64), time.Hour},
		{"F3 BU-16 beyond 64 bits", bigNumber("1" + "000000000000000000000000000000"), time.Hour},
		{"F3 BU-15 a text", "60", 5 * time.Minute},
	}
	synctest.Test(t, func(t *testing.T) {
		var domains []TrustDomain
		var sources []*memory
		for i, tt := range tests {
			members := map[string]any{"spiffe_refresh_hint": tt.hint}
			if tt.hint == nil {
				members = nil
			}
			sources = append(sources, holding(jwtDocument(t, members, "a")))
			domains = append(domains, TrustDomain{Name: trustDomain(t, string(rune('a'+i))), Source: sources[i]})
		}
		stop := run(t, newSet(t, domains...))
		time.Sleep(24 * time.Hour)
		stop()
		for i, tt := range tests {
			all := gaps(sources[i].times())
			if want := int(24 * time.Hour / tt.want); len(all) < want*8/10 || len(all) > want*12/10 {
				t.Errorf("%s: %d polls in a day", tt.name, len(all))
			}
			different := map[time.Duration]bool{}
			for _, gap := range all {
				if different[gap] = true; !near(gap, tt.want) {
					t.Errorf("%s: %v between two polls", tt.name, gap)
				}
			}
			if len(different) < 10 {
				t.Errorf("%s: BE-20 %d different intervals", tt.name, len(different))
			}
		}
	})
}

// bigNumber is a JSON number.
type bigNumber string

func (n bigNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// F4: a key that was added between two polls is there when an SVID needs it; one
// that was removed is gone with the next poll, whatever the hint says.
func TestF4BetweenPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := func(kid string) entry { return keyEntry(t, UseJWT, kid, ecKey(t, elliptic.P256()).Public()) }
		a, b := key("a"), key("b")
		month := map[string]any{"spiffe_refresh_hint": 30 * 86400}
		source := holding(documentOf(t, month, a))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		stop := run(t, s)
		defer stop()
		time.Sleep(20 * time.Minute)
		source.give(documentOf(t, month, a, b))
		if hasKey(s, td, "b") {
			t.Fatal("F4 it is there already")
		}
		if _, ok := mustRefresh(t, s, td).Key(UseJWT, "b"); !ok {
			t.Error("F4 BE-17 the new key is not there")
		}
		source.give(documentOf(t, month, b))
		time.Sleep(66 * time.Minute)
		synctest.Wait()
		if hasKey(s, td, "a") {
			t.Error("F4 BU-16 the removed key lived longer than an interval")
		}
	})
}

// BU-13: a sequence beyond what a float holds decides between two bundles.
func TestSetBU13LargeSequence(t *testing.T) {
	const large = uint64(1)<<53 + 1
	seq := func(n uint64) map[string]any { return map[string]any{"spiffe_sequence": n} }
	source := holding(jwtDocument(t, seq(large), "a"))
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
	s := newSet(t, td)
	mustLoad(t, s)
	source.give(jwtDocument(t, seq(large-1), "lower"))
	if err := s.Load(t.Context()); err == nil || !hasKey(s, td, "a") {
		t.Errorf("BU-13 lower by one: %v", err)
	}
	source.give(jwtDocument(t, seq(math.MaxUint64), "highest"))
	if err := s.Load(t.Context()); err != nil || !hasKey(s, td, "highest") {
		t.Errorf("BU-13 the highest: %v", err)
	}
	if status := s.Status()[0]; status.Sequence != math.MaxUint64 {
		t.Errorf("BU-13 %d", status.Sequence)
	}
}
