package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/internal/store"
)

// TestRevocations is what [revocation.Store] promises.
func TestRevocations(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	from := func(s Store, position int64, limit int) ([]revocation.Entry, int64) {
		t.Helper()
		entries, next, err := s.Revocations(t.Context(), position, clock.Now(), limit)
		if err != nil {
			t.Fatal(err)
		}
		return entries, next
	}
	entry := func(value string, life time.Duration) revocation.Entry {
		return revocation.Entry{
			Kind: revocation.TokenID, Value: value, Before: clock.Now().Add(123 * time.Microsecond), Expires: clock.Now().Add(life),
			Reason: "a laptop was lost — ask Zoë", By: "client spiffe://example.org/billing",
		}
	}
	add := func(e revocation.Entry) {
		t.Helper()
		if err := s.AddRevocation(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if entries, position := from(s, 0, 10); len(entries) != 0 || position != 0 {
		t.Errorf("a new store has %v up to %d", entries, position)
	}

	// What was added is found whole, in order, page by page.
	var want []revocation.Entry
	for i := range 5 {
		want = append(want, entry(fmt.Sprint(i), time.Hour))
		add(want[i])
	}
	var got []revocation.Entry
	var position int64
	for {
		entries, next := from(s, position, 2)
		if got = append(got, entries...); len(entries) < 2 {
			if position = next; len(entries) == 0 {
				t.Errorf("the position moved to %d by nothing", next)
			}
			break
		}
		position = next
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	// Contention: whoever goes on from position to position misses none, whatever is
	// added meanwhile.
	seen := map[string]bool{}
	var reading sync.WaitGroup
	added := make(chan struct{})
	reading.Go(func() {
		for last := false; ; {
			entries, next, err := s.Revocations(t.Context(), position, clock.Now(), 7)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range entries {
				if seen[e.Value] {
					t.Errorf("%s came twice", e.Value)
				}
				seen[e.Value] = true
			}
			if position = next; len(entries) > 0 {
				continue
			}
			if last {
				return
			}
			select {
			case <-added:
				last = true
			default:
			}
		}
	})
	AtOnce(t, func(i int) (bool, error) {
		for j := range 5 {
			if err := s.AddRevocation(t.Context(), entry(fmt.Sprintf("caller %d, %d", i, j), time.Hour)); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	close(added)
	reading.Wait()
	if len(seen) != 5*callers {
		t.Errorf("%d of %d were seen", len(seen), 5*callers)
	}

	// Time: what has expired is not found, deleted or not, and its position does not
	// come again.
	add(entry("short", time.Minute))
	clock.Advance(time.Minute - 1)
	if entries, _ := from(s, position, 10); len(entries) != 1 {
		t.Errorf("a moment before its end: %v", entries)
	}
	clock.Advance(1)
	if entries, _ := from(s, position, 10); len(entries) != 0 {
		t.Errorf("at its end: %v", entries)
	}
	_, before := from(s, 0, 1000)
	clock.Advance(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if entries, _, err := s.Revocations(t.Context(), 0, time.Time{}, 1000); err == nil && len(entries) == 0 { // at a time when none had expired
			break
		}
	}
	cancel()
	running.Wait()
	if entries, _, err := s.Revocations(t.Context(), 0, time.Time{}, 1000); err != nil || len(entries) != 0 {
		t.Errorf("%d that have expired are kept, %v", len(entries), err)
	}
	add(entry("fresh", time.Hour))
	if entries, after := from(s, before, 10); len(entries) != 1 || after <= before {
		t.Errorf("behind position %d, up to %d: %v", before, after, entries)
	}

	// Full disk: a plain error, nothing kept, and what is there is read.
	mend := place.Fill()
	if err := s.AddRevocation(t.Context(), entry("on a full disk", time.Hour)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("on a full disk: %v", err)
	}
	if entries, _ := from(s, 0, 10); len(entries) != 1 {
		t.Errorf("on a full disk: %v", entries)
	}
	mend()

	// Who no longer waits adds nothing.
	ended, stop := context.WithCancel(t.Context())
	stop()
	if err := s.AddRevocation(ended, entry("late", time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}

	// Restart.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.AddRevocation(t.Context(), entry("closed", time.Hour)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("closed, it says %v", err)
	}
	if _, _, err := s.Revocations(t.Context(), 0, clock.Now(), 10); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("closed, it says %v", err)
	}
	s = place.Open(t, clock.Now)
	defer s.Close()
	if entries, _ := from(s, 0, 10); len(entries) != 1 || entries[0].Value != "fresh" {
		t.Errorf("after a restart: %v", entries)
	}
}
