package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counter is a fetch whose every result is one more than the last.
type counter struct {
	calls atomic.Int64
	takes time.Duration
	life  time.Duration
	fail  atomic.Pointer[error]
	warns atomic.Int64
}

func (c *counter) keep() *kept[int64] {
	return &kept[int64]{
		now: time.Now,
		fetch: func(context.Context) (lease[int64], error) {
			n, now := c.calls.Add(1), time.Now()
			time.Sleep(c.takes) // in a synctest bubble this costs nothing
			if err := c.fail.Load(); err != nil {
				return lease[int64]{}, *err
			}
			return lease[int64]{n, now.Add(c.life / 2), now.Add(c.life * 9 / 10), now.Add(c.life)}, nil
		},
		failed: func(error) { c.warns.Add(1) },
	}
}

func mustGet(t *testing.T, k *kept[int64], want int64) {
	t.Helper()
	got, err := k.get(t.Context())
	if err != nil || got != want {
		t.Fatalf("got %d, %v; want %d", got, err, want)
	}
}

func TestKeptSharesOneFetch(t *testing.T) { // F37, LC-3
	synctest.Test(t, func(t *testing.T) {
		c := &counter{takes: time.Second, life: time.Hour}
		k := c.keep()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { mustGet(t, k, 1) })
		}
		wg.Wait()
		if n := c.calls.Load(); n != 1 {
			t.Fatalf("%d fetches for 100 callers, want 1", n)
		}
	})
}

func TestKeptRenewsBehindTheCallersBack(t *testing.T) { // LD-5
	synctest.Test(t, func(t *testing.T) {
		c := &counter{takes: time.Second, life: time.Hour}
		k := c.keep()
		mustGet(t, k, 1)
		time.Sleep(29 * time.Minute)
		mustGet(t, k, 1)
		synctest.Wait()
		if n := c.calls.Load(); n != 1 {
			t.Fatalf("%d fetches before half of the life, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		start := time.Now()
		mustGet(t, k, 1) // the old one, at once
		if waited := time.Since(start); waited != 0 {
			t.Fatalf("the caller waited %v for a renewal in the background", waited)
		}
		time.Sleep(2 * time.Second)
		mustGet(t, k, 2)
		if n := c.calls.Load(); n != 2 {
			t.Fatalf("%d fetches, want 2", n)
		}
	})
}

func TestKeptServesToTheEndWhileFetchesFail(t *testing.T) { // LD-5, F22, F39
	synctest.Test(t, func(t *testing.T) {
		c := &counter{life: time.Hour}
		k := c.keep()
		mustGet(t, k, 1)
		down := errors.New("down")
		c.fail.Store(&down)
		for range 59 {
			time.Sleep(time.Minute)
			mustGet(t, k, 1)
			synctest.Wait()
		}
		if c.warns.Load() == 0 {
			t.Fatal("F22: nobody heard of the failures")
		}
		time.Sleep(time.Minute)
		if v, err := k.get(t.Context()); !errors.Is(err, down) {
			t.Fatalf("after its end: got %d, %v; want the cause", v, err)
		}
		c.fail.Store(nil)
		time.Sleep(maxDelay * 2)
		if _, err := k.get(t.Context()); err != nil {
			t.Fatalf("after the source came back: %v", err)
		}
	})
}

func TestKeptWaitsShortlyBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{takes: time.Second, life: time.Hour}
		k := c.keep()
		mustGet(t, k, 1)
		time.Sleep(55 * time.Minute)
		mustGet(t, k, 2) // waited for it
	})
}

func TestKeptBacksOff(t *testing.T) { // LC-3, F38
	synctest.Test(t, func(t *testing.T) {
		c := &counter{life: time.Hour}
		down := errors.New("down")
		c.fail.Store(&down)
		k := c.keep()
		start := time.Now()
		for time.Since(start) < 10*time.Minute {
			if _, err := k.get(t.Context()); !errors.Is(err, down) {
				t.Fatalf("got %v, want the cause", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// 0.5+1+2+4+8+16+30+30+…: about 24 attempts in ten minutes of 60,000 calls.
		if n := c.calls.Load(); n < 20 || n > 32 {
			t.Fatalf("%d attempts in ten minutes, want about 24", n)
		}
		if _, err := k.get(t.Context()); err != nil {
			if w, ok := errors.AsType[*waitError](err); ok && time.Until(w.until) > maxDelay*12/10 {
				t.Fatalf("the next attempt is %v away", time.Until(w.until))
			}
		}
	})
}

func TestBackoffHasJitter(t *testing.T) { // F38: a fleet must not return in step
	now := time.Unix(1e9, 0)
	seen := map[time.Duration]bool{}
	for range 200 {
		var b backoff
		b.fail(now, errors.New("down"))
		d := b.until.Sub(now)
		if d < firstDelay*8/10 || d > firstDelay*12/10 {
			t.Fatalf("first delay %v, want %v ± 20 %%", d, firstDelay)
		}
		seen[d] = true
	}
	if len(seen) < 100 {
		t.Fatalf("only %d different delays in 200", len(seen))
	}
}

func TestKeptCallerLeavesOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{takes: time.Second, life: time.Hour}
		k := c.keep()
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := k.get(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient caller got %v", err)
			}
		})
		synctest.Wait()
		mustGet(t, k, 1) // the fetch of the one who left is not lost
		wg.Wait()
		if n := c.calls.Load(); n != 1 {
			t.Fatalf("%d fetches, want 1", n)
		}
	})
}

func TestKeptReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{life: time.Hour}
		k := c.keep()
		mustGet(t, k, 1)
		is := func(bad int64) func(int64) bool { return func(v int64) bool { return v == bad } }
		if v, err := k.replace(t.Context(), is(1)); err != nil || v != 2 {
			t.Fatalf("got %d, %v; want 2", v, err)
		}
		if v, err := k.replace(t.Context(), is(1)); err != nil || v != 2 {
			t.Fatalf("already replaced: got %d, %v; want 2", v, err)
		}
		if v, err := k.replace(t.Context(), is(2)); !errors.Is(err, errReplacedLately) {
			t.Fatalf("at once again: got %d, %v; want a refusal", v, err)
		}
		mustGet(t, k, 2) // stays as good as it was
		time.Sleep(replaceInterval)
		if v, err := k.replace(t.Context(), is(2)); err != nil || v != 3 {
			t.Fatalf("later: got %d, %v; want 3", v, err)
		}
	})
}
