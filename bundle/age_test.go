package bundle

import (
	"strings"
	"testing"
	"time"
)

// aged gives the bundle in use other times: as after a clock was set back.
func aged(t *testing.T, s *Set, td TrustDomain, fetchedAt, obtainedAt time.Time, age time.Duration) {
	t.Helper()
	d, err := s.domain(td.Name)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := *d.current.Load()
	snapshot.confirmedAt(fetchedAt, obtainedAt, age)
	d.current.Store(&snapshot)
}

func TestAge(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name                  string
		fetchedAt, obtainedAt time.Time
		age                   time.Duration // when obtained
		now                   time.Time
		want                  time.Duration
	}{
		{"BE-15 new", now, now, 0, now, 0},
		{"BE-15 both clocks agree", now.Add(-time.Hour), now.Add(-time.Hour), 0, now, time.Hour},
		{"BE-15 the machine slept", now.Add(-3 * time.Hour), now.Add(-time.Hour), 0, now, 3 * time.Hour},
		{"BE-15 the clock was ahead and set right", now.Add(60 * 24 * time.Hour), now.Add(-2 * time.Hour), 0, now, 2 * time.Hour},
		{"BE-15 set back after a restart", now.Add(60 * 24 * time.Hour), now.Add(-2 * time.Hour), time.Hour, now, 3 * time.Hour},
		{"BE-15 a clock of somebody's own", now.Add(-time.Hour), now.Add(-2 * time.Hour), 0, now.Round(0), time.Hour},
		{"BE-15 such a clock set back", now.Add(time.Hour), now.Add(-2 * time.Hour), 0, now.Round(0), 0},
		{"BE-15 without a moment", now.Add(-time.Hour), time.Time{}, 0, now, time.Hour},
	} {
		var s Snapshot
		s.confirmedAt(tt.fetchedAt, tt.obtainedAt, tt.age)
		// The monotonic clock goes on while this runs.
		if got := s.Age(tt.now); got < tt.want || got > tt.want+time.Minute {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// FetchedAt goes by the wall clock wherever a snapshot comes from: the monotonic
// one stands still while a machine sleeps.
func TestFetchedAtIsOfTheWallClock(t *testing.T) {
	parsed, err := Parse(trustDomain(t, "example.org"), jwtDocument(t, nil, "a"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	first := TrustDomain{Name: parsed.trustDomain, Source: &memory{answer: failing, origin: "2"}, First: parsed}
	s := newSet(t, TrustDomain{Name: parsed.trustDomain, Source: holding(nil)})
	mustReplace(t, s, first)
	given, _ := s.Bundle(first.Name)
	source := first.Source.(*memory)
	source.give(jwtDocument(t, nil, "b"))
	mustLoad(t, s)
	fetched, _ := s.Bundle(first.Name)
	mustLoad(t, s)
	confirmed, _ := s.Bundle(first.Name)
	for name, snapshot := range map[string]*Snapshot{"parsed": parsed, "First": given, "fetched": fetched, "confirmed": confirmed} {
		if strings.Contains(snapshot.FetchedAt().String(), "m=") {
			t.Errorf("BE-15 %s: %v", name, snapshot.FetchedAt())
		}
		if !strings.Contains(snapshot.obtainedAt.String(), "m=") {
			t.Errorf("BE-15 %s: the moment has no monotonic reading: %v", name, snapshot.obtainedAt)
		}
	}
}

// LD-7: a clock that was ahead and is set right makes no bundle young: it gets too old by
// what has passed, and alarms are raised; an answer makes it new.
func TestAgeWithClockSetBack(t *testing.T) {
	source := holding(jwtDocument(t, nil, "a"))
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source, MaxAge: time.Hour}
	s := newSet(t, td)
	mustLoad(t, s)
	now := time.Now()
	aged(t, s, td, now.AddDate(0, 2, 0), now.Add(-2*time.Hour), 0)
	source.fail()
	_ = s.Load(t.Context())
	if status := s.Status()[0]; status.Age < 2*time.Hour || !raised(status, "older than 1h0m0s") || !raised(status, "has not confirmed") {
		t.Errorf("BE-15 %+v", status)
	}
	source.give(jwtDocument(t, nil, "a"))
	mustLoad(t, s) // unchanged
	if status := s.Status()[0]; status.Age > time.Minute || len(status.Alarm) != 0 {
		t.Errorf("BE-15 after an answer: %+v", status)
	}
}

// A restored bundle begins with the age it has by the wall clock.
func TestAgeOfRestored(t *testing.T) {
	var record recorder
	folder := t.TempDir()
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "a"))}
	s := keeping(t, folder, &record, td)
	d, _ := s.domain(td.Name)
	document := jwtDocument(t, nil, "a")
	confirmed := time.Now().Add(-3 * time.Hour)
	data, err := kept{TrustDomain: "example.org", Origin: "memory", Confirmed: confirmed, document: document}.encode()
	if err == nil {
		err = d.file.folder.write(d.file.name, data, func() bool { return false })
	}
	if err != nil {
		t.Fatal(err)
	}
	s = keeping(t, folder, &record, td)
	snapshot, err := s.Bundle(td.Name)
	if err != nil {
		t.Fatal(err)
	}
	if age := snapshot.obtainedAge; age < 3*time.Hour || age > 3*time.Hour+time.Minute {
		t.Errorf("BE-15 restored with the age %v", age)
	}
	back := *snapshot
	back.fetchedAt = time.Now().Add(time.Hour) // the clock was set back
	if age := back.Age(time.Now()); age < 3*time.Hour {
		t.Errorf("BE-15 afterwards %v", age)
	}
}
