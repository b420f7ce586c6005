package ratelimit

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// A clock is moved by its test only.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time          { return noon.Add(time.Duration(c.now.Load())) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

func TestNoLimit(t *testing.T) {
	for _, rate := range []float64{0, -1} {
		l := New[string](rate, (&clock{}).Now)
		if l != nil {
			t.Fatalf("a rate of %v has a limiter", rate)
		}
		for range 1000 {
			if wait, spent := l.Spent("a"); spent || wait != 0 || !l.Take("a") {
				t.Fatal("a rate of 0 is a limit")
			}
		}
	}
}

// TestRates: as many at once as a second allows, at least one; then one for each
// interval, and none saved up beyond the burst.
func TestRates(t *testing.T) {
	for _, row := range []struct {
		perSecond float64
		burst     int
		interval  time.Duration
	}{
		{200, 200, 5 * time.Millisecond},
		{2, 2, 500 * time.Millisecond},
		{1, 1, time.Second},
		{0.5, 1, 2 * time.Second}, // 30/m
		{1.5, 1, 666666667 * time.Nanosecond},
	} {
		t.Run(fmt.Sprintf("GL-16 %v a second", row.perSecond), func(t *testing.T) {
			var c clock
			l := New[string](row.perSecond, c.Now)
			take := func(key string, want bool) {
				t.Helper()
				wait, spent := l.Spent(key)
				if spent == want || spent != (wait > 0) || wait > row.interval {
					t.Errorf("spent %t, wait %s, want spent %t within %s", spent, wait, !want, row.interval)
				}
				if got := l.Take(key); got != want {
					t.Errorf("taken: %t, want %t", got, want)
				}
			}
			drain := func() {
				t.Helper()
				for range row.burst {
					take("a", true)
				}
				take("a", false)
			}
			drain()
			take("b", true) // another key has its own
			for range 3 {
				c.advance(row.interval - time.Millisecond)
				take("a", false)
				c.advance(time.Millisecond + time.Microsecond)
				take("a", true)
			}
			c.advance(24 * time.Hour)
			drain()
		})
	}
}

// Asking costs nothing, and a key that nothing was taken from leaves no trace.
func TestSpentTakesNothing(t *testing.T) {
	var c clock
	l := New[string](1, c.Now)
	for i := range 1000 {
		if _, spent := l.Spent(strconv.Itoa(i)); spent {
			t.Fatal("spent before anything was taken")
		}
	}
	if l.order.Len() != 0 || len(l.byKey) != 0 {
		t.Errorf("%d keys are kept", l.order.Len())
	}
	l.Take("a")
	for range 3 {
		if wait, spent := l.Spent("a"); !spent || wait != time.Second {
			t.Errorf("GL-16 spent %t, wait %s", spent, wait)
		}
	}
}

func TestConcurrentTakes(t *testing.T) {
	var c clock
	const burst = 100
	l := New[string](burst, c.Now)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				l.Spent("a")
				if l.Take("a") {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != burst {
		t.Errorf("GL-16 %d of 1,000 were let through, the burst is %d", taken.Load(), burst)
	}
}

// What was quiet longest is forgotten first; what is busy stays.
func TestForgetsTheQuietest(t *testing.T) {
	var c clock
	l := New[string](1, c.Now)
	for i := range maxKeys {
		l.Take(strconv.Itoa(i))
	}
	l.Take("0") // busy again, though it came first
	l.Take("one more")
	if _, spent := l.Spent("0"); !spent {
		t.Error("a busy key was forgotten")
	}
	if _, spent := l.Spent("1"); spent {
		t.Error("the quietest key is kept")
	}
	if _, spent := l.Spent("2"); !spent {
		t.Error("more than one key was forgotten")
	}
	if l.order.Len() != maxKeys || len(l.byKey) != maxKeys {
		t.Errorf("%d keys in order, %d by name, want %d", l.order.Len(), len(l.byKey), maxKeys)
	}
}

// A flood of a million keys takes the memory of maxKeys.
func TestMemoryStaysFlat(t *testing.T) {
	var c clock
	l := New[string](1, c.Now)
	var before, after runtime.MemStats
	grow := func(from, to int) {
		for i := from; i < to; i++ {
			if !l.Take(strconv.Itoa(i)) {
				t.Fatalf("GL-16 key %d was refused its first", i)
			}
		}
	}
	grow(0, 2*maxKeys)
	runtime.GC()
	runtime.ReadMemStats(&before)
	grow(2*maxKeys, 1_000_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if l.order.Len() != maxKeys || len(l.byKey) != maxKeys {
		t.Errorf("%d keys in order, %d by name, want %d", l.order.Len(), len(l.byKey), maxKeys)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the memory grew by %d bytes over 870,000 keys", grown)
	}
}
