package bundle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// demandInterval is the time between the beginnings of two fetches on
	// demand for one trust domain (BE-17).
	demandInterval = 30 * time.Second
	// demandWait is how long a caller waits for one (BE-17).
	demandWait = 2 * time.Second
)

// Refresh fetches a trust domain's bundle now, because a key was not found in
// the one at hand, and returns the newest good one (BE-17). Callers at the same
// time share one fetch. After a fetch began, Refresh starts no other for 30 s
// and returns the bundle at hand; polls do not count. So strangers who invent
// key ids cause two requests a minute, however many they send.
//
// It waits at most 2 s; a fetch that takes longer goes on without its caller, but
// not longer than Run. Once Run has ended, none begins.
// That a fetch failed is no error here: the bundle before it still holds, and
// the status tells. The error is ErrUnknownTrustDomain, ErrNotReady, or that of
// ctx when it ends first.
func (s *Set) Refresh(ctx context.Context, td spiffeid.TrustDomain) (*Snapshot, error) {
	d, err := s.domain(td)
	if err != nil {
		return nil, err // and nothing is fetched (JS-13)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("bundle: refresh: %w", err)
	}
	if done := s.demand(ctx, d); done != nil {
		timer := time.NewTimer(demandWait)
		defer timer.Stop()
		select {
		case <-done:
		case <-d.ended: // BE-16
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("bundle: refresh: %w", ctx.Err())
		}
	}
	return s.Bundle(td)
}

// demand returns the end of the fetch that a caller may wait for: the one under
// way or a new one. It is nil when the allowance is used up.
func (s *Set) demand(ctx context.Context, d *domain) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isEnded() {
		return nil
	}
	if d.flight != nil {
		return d.flight
	}
	now := s.now()
	// A clock that was set back must not end all refreshing, hence the 0.
	if since := now.Sub(d.demanded); !d.demanded.IsZero() && since >= 0 && since < demandInterval {
		d.demands.Limited++
		return nil
	}
	// The caller who happened to come first may leave; the others still wait.
	ctx = context.WithoutCancel(ctx)
	done := make(chan struct{})
	begun := s.flights.begin(ctx, func(ctx context.Context) {
		// A poll may be under way. Its answer may be older than the key that is
		// missing, so it is waited for and the source asked again. What became of it
		// is in the log and in the status.
		f, err := s.fetch(ctx, d, FetchOptions{})
		if f.recorded && err != nil {
			d.planRetry(s.now())
		}
		d.mu.Lock()
		d.flight = nil
		d.demands.count(&f)
		d.mu.Unlock()
		close(done)
	})
	if !begun {
		return nil
	}
	d.demanded, d.flight = now, done
	return done
}

// flights are the fetches on demand. They outlive those who asked for them, but
// not Run.
type flights struct {
	mu    sync.Mutex
	over  chan struct{} // closed when Run has ended, until the next
	group sync.WaitGroup
}

// open lets them begin. Before the first Run they may anyway.
func (f *flights) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isOver() {
		f.over = make(chan struct{})
	}
}

// isOver is for callers who hold mu.
func (f *flights) isOver() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}

// begin does something in a goroutine until it is over, and reports whether it
// still may.
func (f *flights) begin(ctx context.Context, do func(context.Context)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isOver() {
		return false
	}
	over := f.over
	f.group.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-over:
				cancel()
			case <-ctx.Done():
			}
		}()
		do(ctx)
	})
	return true
}

// close ends those under way, waits for them, and lets no other begin.
func (f *flights) close() {
	f.mu.Lock()
	close(f.over)
	f.mu.Unlock()
	f.group.Wait()
}
