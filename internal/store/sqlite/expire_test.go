package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// short is a table of this test, the only one whose rows expire.
func short(t *testing.T, s *Store) {
	t.Helper()
	do(t, s, func(w *writing) error {
		if _, err := w.exec(`CREATE TABLE IF NOT EXISTS short (name TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT`); err != nil {
			return err
		}
		_, err := w.exec(`CREATE INDEX IF NOT EXISTS short_expires ON short (expires)`)
		return err
	})
	before := expiring
	expiring = nil
	expires("short", "expires")
	t.Cleanup(func() { expiring = before })
}

func names(t *testing.T, s *Store) int {
	t.Helper()
	return len(found(t, s, "short"))
}

// F42: what has expired is deleted, in pieces between the writes of others; what has
// not, and what never does, stays.
func TestF42ExpiredRowsGo(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	s := opened(t, Config{Address: "sqlite:" + filepath.Join(t.TempDir(), "x.db"), Now: func() time.Time { return now }})
	short(t, s)
	const many = 3*maxExpired + 7
	do(t, s, func(w *writing) error {
		for i := range many {
			if _, err := w.exec(`INSERT INTO short VALUES (?, ?)`, fmt.Sprint("expired ", i), stamp(now.Add(-time.Duration(i)*time.Second))); err != nil {
				return err
			}
		}
		for name, at := range map[string]time.Time{"in a moment": now.Add(time.Microsecond), "tomorrow": now.Add(24 * time.Hour), "never": {}} {
			if _, err := w.exec(`INSERT INTO short VALUES (?, ?)`, name, stamp(at)); err != nil {
				return err
			}
		}
		return nil
	})
	// Others get their turn in between: more of them than one commit holds would wait
	// behind one long deletion.
	goOn := stopped(s)
	ended := make(chan struct{})
	before := len(s.queue)
	go func() { s.Expire(context.Background()); close(ended) }()
	for len(s.queue) == before {
		time.Sleep(time.Millisecond)
	}
	left := -1
	other := queued(t, s, t.Context(), func(w *writing) error { return w.row(`SELECT count(*) FROM short`, nil, &left) })
	goOn()
	if err := <-other; err != nil || left != many+3-maxExpired {
		t.Errorf("another write met %d rows, %v", left, err)
	}
	<-ended
	if got := found(t, s, "short"); len(got) != 3 || !got["in a moment"] || !got["tomorrow"] || !got["never"] {
		t.Errorf("there are %v", got)
	}
	now = now.Add(time.Hour)
	if err := s.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := names(t, s); n != 2 {
		t.Errorf("there are %d", n)
	}
}

// F42: a table that fails holds up no other.
func TestF42ExpiryGoesOn(t *testing.T) {
	s := opened(t, Config{Address: "memory:"})
	short(t, s)
	do(t, s, func(w *writing) error {
		_, err := w.exec(`INSERT INTO short VALUES ('expired', 1)`)
		return err
	})
	expiring = nil
	for _, table := range []string{"gone", "short", "lost"} {
		expires(table, "expires")
	}
	err := s.Expire(t.Context())
	if err == nil || !strings.Contains(err.Error(), "table gone") || !strings.Contains(err.Error(), "table lost") || strings.Contains(err.Error(), "table short") {
		t.Errorf("the error is %v", err)
	}
	if n := names(t, s); n != 0 {
		t.Errorf("there are %d", n)
	}
}

// F42: at a steady rate, for a hundred minutes, the table and the file stay as large as
// what is alive.
func TestF42SizeStaysFlat(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	s := opened(t, Config{Address: "sqlite:" + filepath.Join(t.TempDir(), "x.db"), VFS: newDisk(t).VFS(), Now: func() time.Time { return now }}) // its syncs take no time
	short(t, s)
	const perMinute, life = 50, 10 // rows that live ten minutes
	sizes := map[int]int64{}
	for minute := range 100 {
		do(t, s, func(w *writing) error {
			for i := range perMinute {
				if _, err := w.exec(`INSERT INTO short VALUES (?, ?)`, fmt.Sprintf("%060d", minute*perMinute+i), stamp(now.Add(life*time.Minute))); err != nil {
					return err
				}
			}
			return nil
		})
		now = now.Add(time.Minute)
		if err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := names(t, s); n > perMinute*life {
			t.Fatalf("minute %d: %d rows", minute, n)
		}
		do(t, s, func(w *writing) error {
			var pages int64
			err := w.row(`PRAGMA page_count`, nil, &pages)
			sizes[minute] = pages
			return err
		})
	}
	if early, late := sizes[2*life], sizes[len(sizes)-1]; late > early+early/2 {
		t.Errorf("after %d minutes it has %d pages, and %d in the end", 2*life, early, late)
	}
}

// Run looks every minute, and ends with its context.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, Config{Address: "memory:"})
		short(t, s)
		do(t, s, func(w *writing) error {
			_, err := w.exec(`INSERT INTO short VALUES ('a', ?), ('b', ?)`, stamp(time.Now().Add(30*time.Second)), stamp(time.Now().Add(90*time.Second)))
			return err
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		for minute, want := range []int{2, 1, 0} {
			synctest.Wait()
			if n := names(t, s); n != want {
				t.Errorf("after %d minutes there are %d", minute, n)
			}
			time.Sleep(tendEvery)
		}
		cancel()
		running.Wait()
		s.Close()
	})
}

// told are the metrics: the value of each, or how often it was observed.
func told(t *testing.T, s *Store) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s)
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range all {
		for _, m := range family.Metric {
			name := family.GetName()
			if len(m.Label) == 1 {
				name += " " + m.Label[0].GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

// The metrics tell rows, bytes and health.
func TestFigures(t *testing.T) {
	s := opened(t, Config{Address: "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
	do(t, s, insert("a", 1))
	got := told(t, s)
	for name, want := range map[string]float64{
		"svidgate_store_rows things": 1, "svidgate_store_rows documents": 0, "svidgate_store_healthy": 1,
		"svidgate_store_writes_refused_total": 0, "svidgate_store_commit_writes": 2, "svidgate_store_commit_duration_seconds": 2,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %v, %v", name, n, ok)
		}
	}
	if got["svidgate_store_bytes"] < 4096 {
		t.Errorf("it has %v bytes", got["svidgate_store_bytes"])
	}
	if _, there := got["svidgate_store_rows store_probe"]; there {
		t.Error("its own tables are told of")
	}
}
