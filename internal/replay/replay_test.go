package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
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

func digest(n int) [32]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// owner shares what is used out among so many that none comes to its share.
func owner(n int) string { return fmt.Sprint(n % 64) }

func use(t testing.TB, m *Memory, n int, until time.Time, want bool) {
	t.Helper()
	if unused, err := m.Use(owner(n), digest(n), until); err != nil || unused != want {
		t.Fatalf("digest %d: unused %t, %v; want %t", n, unused, err, want)
	}
}

func size(m *Memory) (n int) {
	for i := range m.shards {
		m.shards[i].mu.Lock()
		n += len(m.shards[i].used)
		m.shards[i].mu.Unlock()
	}
	return n
}

func TestUse(t *testing.T) {
	var c clock
	m := New(1000, c.Now)
	until := noon.Add(time.Minute)
	use(t, m, 1, until, true)
	use(t, m, 1, until, false)
	use(t, m, 1, until.Add(time.Hour), false) // says nothing new about when it ends
	use(t, m, 2, until, true)

	c.advance(time.Minute - 1)
	use(t, m, 1, until, false)
	c.advance(1)
	use(t, m, 1, c.Now().Add(time.Second), true)
	use(t, m, 1, c.Now().Add(time.Second), false)
}

// What has ended was perhaps used, and forgotten since: it counts as used. A second
// later it does no harm to whoever comes with something that lasts.
func TestEndedCountsAsUsed(t *testing.T) {
	var c clock
	m := New(1000, c.Now)
	use(t, m, 1, noon.Add(-time.Hour), false)
	use(t, m, 1, noon, false)
	if n := size(m); n != 0 {
		t.Errorf("%d digests are kept that had ended", n)
	}
	use(t, m, 1, noon.Add(1), true)
	use(t, m, 2, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), true)
	c.advance(time.Hour)
	use(t, m, 2, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), false)
}

// F16: one of any number of callers, for many digests at the same time.
func TestParallelUse(t *testing.T) {
	var c clock
	m := New(1<<16, c.Now)
	const digests, callers = 50, 20
	var granted [digests]atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := range digests {
				unused, err := m.Use(owner(n), digest(n), noon.Add(time.Hour))
				if err != nil {
					t.Error(err)
				}
				if unused {
					granted[n].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for n := range granted {
		if g := granted[n].Load(); g != 1 {
			t.Errorf("F16 digest %d was granted %d times", n, g)
		}
	}
}

// fill uses fresh digests until one does not fit, and gives the first one after.
func fill(t *testing.T, m *Memory, until time.Time) (next int) {
	t.Helper()
	for n := range 1 << 20 {
		if _, err := m.Use(owner(n), digest(n), until); errors.Is(err, ErrFull) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("GL-15 the memory has no end")
	return 0
}

func TestFull(t *testing.T) {
	for _, limit := range []int{1, 64, 6400} {
		t.Run(fmt.Sprintf("GL-15 limit %d", limit), func(t *testing.T) {
			var c clock
			m := New(limit, c.Now)
			next := fill(t, m, noon.Add(time.Hour))
			if n := size(m); n > limit || next < limit/2 {
				t.Errorf("%d digests were kept, the first refused was number %d", n, next)
			}
			use(t, m, 0, noon.Add(time.Hour), false) // what was used stays used
			if unused, err := m.Use(owner(next), digest(next), noon.Add(time.Hour)); unused || !errors.Is(err, ErrFull) {
				t.Errorf("GL-15 unused %t, %v", unused, err)
			}
			c.advance(time.Hour) // all have expired
			use(t, m, next, noon.Add(2*time.Hour), true)
			use(t, m, next, noon.Add(2*time.Hour), false)
		})
	}
}

// Room comes back soon after the digests that took it have expired.
func TestRoomAfterExpiry(t *testing.T) {
	var c clock
	m := New(64, c.Now)
	next := fill(t, m, noon.Add(10*time.Second))
	c.advance(9 * time.Second)
	if _, err := m.Use(owner(next), digest(next), c.Now().Add(time.Hour)); !errors.Is(err, ErrFull) { // and sweeps
		t.Fatalf("got %v", err)
	}
	c.advance(sweepFull)
	use(t, m, next, c.Now().Add(time.Hour), true)
}

// A full memory is not searched at every call: that is work for whoever cannot
// get in.
func TestFullMemoryIsSweptOnceASecond(t *testing.T) {
	var c clock
	m := New(64, c.Now)
	next := fill(t, m, noon.Add(time.Hour))
	s := &m.shards[0]
	for range 3 {
		c.advance(sweepFull)
		for range 5 {
			if _, err := m.Use(owner(next), digest(next), noon.Add(time.Hour)); !errors.Is(err, ErrFull) {
				t.Fatalf("got %v", err)
			}
			if !s.swept.Equal(c.Now()) {
				t.Fatalf("swept at %s, it is %s", s.swept, c.Now())
			}
			c.advance(sweepFull / 10)
			if _, err := m.Use(owner(next), digest(next), noon.Add(time.Hour)); !errors.Is(err, ErrFull) || s.swept.Equal(c.Now()) {
				t.Fatalf("swept again after %s, %v", sweepFull/10, err)
			}
			c.advance(-sweepFull / 10)
		}
	}
}

// AK-30: a clock that is set back brings nothing back to life, and does not keep
// the memory from making room.
func TestClockSetBack(t *testing.T) {
	var c clock
	m := New(1000, c.Now)
	c.advance(24 * time.Hour)
	use(t, m, 1, c.Now().Add(time.Minute), true)
	c.advance(-24 * time.Hour)
	use(t, m, 1, c.Now().Add(time.Minute), false)

	// Nor does it keep what it remembers for good: there is room for two.
	small := New(2, c.Now)
	c.advance(24 * time.Hour)
	use(t, small, 1, c.Now().Add(time.Minute), true) // and sweeps, a day ahead
	c.advance(-24 * time.Hour)
	use(t, small, 2, c.Now().Add(10*time.Second), true)
	c.advance(10 * time.Second)
	use(t, small, 3, c.Now().Add(time.Minute), true)
	use(t, small, 1, c.Now().Add(time.Minute), false)
}

// AK-30: a clock that jumps ahead and back lets nothing be used again that was
// forgotten in between; what lasts longer than that is used as ever.
func TestClockThereAndBack(t *testing.T) {
	var c clock
	m := New(1000, c.Now)
	use(t, m, 1, noon.Add(time.Minute), true)
	c.advance(time.Hour)
	use(t, m, 2, c.Now().Add(time.Minute), true) // and sweeps
	if n := size(m); n != 1 {
		t.Fatalf("%d digests are kept, of which one has ended", n)
	}
	c.advance(-time.Hour)
	use(t, m, 1, noon.Add(time.Minute), false)
	use(t, m, 3, noon.Add(time.Minute+1), true)
	use(t, m, 2, noon.Add(time.Hour+time.Minute), false)
}

// AK-18: whoever uses up more than its share is refused alone, whatever digests it
// chooses; others go on, and so does it when what it used has ended.
func TestShareOfTheMemory(t *testing.T) {
	for _, limit := range []int{64, 1000, 1 << 18} {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			var c clock
			m := New(limit, c.Now)
			until := noon.Add(time.Minute)
			// All begin alike, as whoever aims at one part would choose them.
			aimed := func(n int) (d [32]byte) {
				binary.LittleEndian.PutUint64(d[24:], uint64(n))
				return d
			}
			mine, refused := 0, 0
			for n := range limit {
				switch unused, err := m.Use("greedy", aimed(n), until); {
				case unused && err == nil:
					mine++
				case !unused && errors.Is(err, ErrShare):
					refused++
				default:
					t.Fatalf("number %d: %t, %v", n, unused, err)
				}
			}
			if mine > limit/8 || mine < limit/10 || refused != limit-mine {
				t.Errorf("one owner had %d of %d, and was refused %d times", mine, limit, refused)
			}
			for n := range limit / 64 {
				use(t, m, n, until, true)
			}
			if unused, err := m.Use("other", aimed(0), until); unused || err != nil {
				t.Errorf("what one owner used is %t for another, %v", unused, err)
			}
			c.advance(time.Minute)
			if unused, err := m.Use("greedy", aimed(limit), c.Now().Add(time.Minute)); !unused || err != nil {
				t.Errorf("after all has ended: %t, %v", unused, err)
			}
			for n := range limit {
				m.Use("greedy", aimed(n), c.Now().Add(time.Minute))
			}
			for i := range m.shards {
				if n := len(m.shards[i].owned); n > 1 {
					t.Errorf("%d owners are kept of whom one has something", n)
				}
			}
		})
	}
}

// What was used in another memory counts for nobody, up to the whole memory.
func TestRecall(t *testing.T) {
	var c clock
	m := New(64, c.Now)
	for n := range 60 {
		if err := m.Recall(digest(n), noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	use(t, m, 1, noon.Add(time.Minute), false)
	use(t, m, 60, noon.Add(time.Minute), true)
	for n := 61; n < 64; n++ {
		if err := m.Recall(digest(n), noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Recall(digest(64), noon.Add(time.Minute)); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	if err := m.Recall(digest(65), noon); err != nil {
		t.Errorf("what has ended needs no room: %v", err)
	}
	c.advance(time.Minute)
	use(t, m, 66, noon.Add(2*time.Minute), true)
}

// A million digests that expire one after the other take the room of those that
// are alive.
func TestMemoryStaysFlat(t *testing.T) {
	var c clock
	m := New(1<<16, c.Now)
	var before, after runtime.MemStats
	grow := func(from, to int) {
		for n := from; n < to; n++ {
			use(t, m, n, c.Now().Add(2*time.Minute), true)
			c.advance(10 * time.Millisecond) // so that 12,000 are alive, and 18,000 kept
		}
	}
	grow(0, 100_000)
	runtime.GC()
	runtime.ReadMemStats(&before)
	grow(100_000, 1_000_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := size(m); n > 20_000 {
		t.Errorf("%d digests are kept", n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the memory grew by %d bytes over 900,000 digests", grown)
	}
}

// Used tells and marks nothing.
func TestUsed(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	m := New(100, func() time.Time { return now })
	d := [32]byte{1}
	for range 2 {
		if m.Used(d) {
			t.Fatal("a digest that nobody used counts as used")
		}
	}
	if unused, err := m.Use("a", d, now.Add(time.Minute)); err != nil || !unused {
		t.Fatal("asking used it up")
	}
	if !m.Used(d) || m.Used([32]byte{2}) {
		t.Error("it is not the digest that was used")
	}
	if now = now.Add(time.Minute); m.Used(d) {
		t.Error("it counts as used after its time")
	}
}
