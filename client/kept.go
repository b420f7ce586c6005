package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A lease is a fetched value and how long it serves.
type lease[T any] struct {
	value   T
	renewAt time.Time // from here on it is renewed behind the caller's back
	waitAt  time.Time // from here on callers wait for the renewal
	end     time.Time // from here on it is worthless
}

// A kept value is fetched once for all who ask at the same time, renewed early,
// and served to its end while renewal fails (LD-5, F37, F39). Access tokens,
// JWT-SVIDs and the server's metadata are all kept this way.
//
// Nothing runs while nobody asks: a renewal begins with the first get after
// renewAt. It is not bound to that caller's context, because others may come to
// wait for it, so every fetch needs its own deadline.
type kept[T any] struct {
	now   func() time.Time
	fetch func(context.Context) (lease[T], error)
	// failed hears of each failed fetch. While a value is still served nobody else
	// would (F22).
	failed func(err error)

	mu       sync.Mutex // guards all below, never held during a fetch
	lease    lease[T]
	started  bool
	flight   *flight[T]
	backoff  backoff
	replaced time.Time // when replace last began a fetch
}

type flight[T any] struct {
	done  chan struct{} // closed when value and err are set
	value T
	err   error
}

func (k *kept[T]) get(ctx context.Context) (T, error) {
	now := k.now()
	k.mu.Lock()
	k.renew(ctx, now)
	old, f, err := k.lease, k.flight, k.backoff.blocked(now)
	k.mu.Unlock()

	if now.Before(old.waitAt) {
		return old.value, nil
	}
	var value T
	if f != nil {
		value, err = f.wait(ctx)
	}
	if err != nil && k.now().Before(old.end) {
		return old.value, nil
	}
	return value, err
}

// prepare begins a fetch if one is due, and waits for nothing.
func (k *kept[T]) prepare(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renew(ctx, k.now())
}

// renew begins a fetch if one is due. k.mu is held.
func (k *kept[T]) renew(ctx context.Context, now time.Time) {
	due := !now.Before(k.lease.renewAt) || !now.Before(k.lease.waitAt)
	if due && k.flight == nil && k.backoff.blocked(now) == nil {
		k.start(ctx)
	}
}

// peek returns the value if it is alive, and fetches nothing.
func (k *kept[T]) peek() (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.value, k.now().Before(k.lease.end)
}

// spent reports whether nothing would be lost by forgetting k: no value for a while,
// no fetch, and no attempt that has to wait. One that has not begun its first fetch
// is in the hands of a caller who is about to.
func (k *kept[T]) spent() bool {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.started && k.flight == nil && now.After(k.lease.end.Add(time.Minute)) && k.backoff.blocked(now) == nil
}

// errReplacedLately is the answer of replace to those who ask too often.
var errReplacedLately = errors.New("replaced a moment ago")

// replaceInterval is how often a value may be replaced before its time. An API
// that answers every token with invalid_token must not turn each of its
// requests into one at the authorization server.
const replaceInterval = 10 * time.Second

// replace gets another value because the peer called this one bad. A value that
// was replaced in the meantime is returned as it is. The bad value stays, as
// good as it was, when the fetch fails: its judge may be the one at fault.
func (k *kept[T]) replace(ctx context.Context, bad func(T) bool) (T, error) {
	now := k.now()
	k.mu.Lock()
	if now.Before(k.lease.end) && !bad(k.lease.value) {
		defer k.mu.Unlock()
		return k.lease.value, nil
	}
	if k.flight == nil {
		err := k.backoff.blocked(now)
		if err == nil && now.Before(k.replaced.Add(replaceInterval)) {
			err = errReplacedLately
		}
		if err != nil {
			k.mu.Unlock()
			var none T
			return none, err
		}
		k.replaced = now
		k.start(ctx)
	}
	f := k.flight
	k.mu.Unlock()
	return f.wait(ctx)
}

// drop makes the value worthless if it is the bad one: the next get fetches.
func (k *kept[T]) drop(bad func(T) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if bad(k.lease.value) {
		k.lease = lease[T]{}
	}
}

// start begins a fetch. k.mu is held.
func (k *kept[T]) start(ctx context.Context) {
	f := &flight[T]{done: make(chan struct{})}
	k.flight, k.started = f, true
	ctx = context.WithoutCancel(ctx)
	go func() {
		fetched, err := k.fetch(ctx)
		now := k.now()
		k.mu.Lock()
		k.flight = nil
		if err == nil {
			k.lease = fetched
			k.backoff = backoff{}
		} else {
			k.backoff.fail(now, err)
		}
		k.mu.Unlock()
		if err != nil {
			k.failed(err)
		}
		f.value, f.err = fetched.value, err
		close(f.done)
	}()
}

func (f *flight[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// A waitError says that a request was not made because it would come too early.
type waitError struct {
	until time.Time
	cause error
}

func (e *waitError) Error() string {
	return fmt.Sprintf("%v (not asked again before %s)", e.cause, e.until.UTC().Format(time.RFC3339))
}

func (e *waitError) Unwrap() error { return e.cause }

const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
)

// A backoff spaces out attempts after failures: half a second, doubling up to 30
// seconds, each a fifth shorter or longer by chance so that a fleet does not
// return in step (F38).
type backoff struct {
	failures int
	until    time.Time
	err      error
}

// blocked is nil when an attempt may be made, else the last failure.
func (b *backoff) blocked(now time.Time) error {
	if now.Before(b.until) {
		return &waitError{b.until, b.err}
	}
	return nil
}

func (b *backoff) fail(now time.Time, err error) {
	// Somebody else has said when to ask again: that was no attempt of ours.
	if w, ok := errors.AsType[*waitError](err); ok {
		b.until, b.err = w.until, w.cause
		return
	}
	delay := firstDelay << min(b.failures, 10)
	b.failures++
	b.until, b.err = now.Add(jitter(min(delay, maxDelay), 0.8, 1.2)), err
}

// jitter is d times a random factor between low and high.
func jitter(d time.Duration, low, high float64) time.Duration {
	return time.Duration(float64(d) * (low + (high-low)*rand.Float64()))
}
