package ratelimit

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the memory: at about 200 bytes a key, some 13 MB.
const maxKeys = 1 << 16

// A Limiter limits the rate of events per key. The nil Limiter allows all. It is
// safe for concurrent use.
type Limiter[K comparable] struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu    sync.Mutex
	byKey map[K]*list.Element // guarded by mu; values are *bucket[K]
	order *list.List          // guarded by mu; the longest quiet one last
}

type bucket[K comparable] struct {
	key K
	*rate.Limiter
}

// New limits each key to perSecond events with a burst of as many, at least one.
// A rate of 0 is no limit: New returns nil.
func New[K comparable](perSecond float64, now func() time.Time) *Limiter[K] {
	if perSecond <= 0 {
		return nil
	}
	return &Limiter[K]{limit: rate.Limit(perSecond), burst: max(1, int(perSecond)), now: now, byKey: make(map[K]*list.Element), order: list.New()}
}

// Spent reports whether key has nothing left, and how long it has to wait.
func (l *Limiter[K]) Spent(key K) (wait time.Duration, spent bool) {
	if l == nil {
		return 0, false
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if !ok {
		return 0, false
	}
	left := e.Value.(*bucket[K]).TokensAt(now)
	if left >= 1 {
		return 0, false
	}
	return time.Duration((1 - left) / float64(l.limit) * float64(time.Second)), true
}

// Take takes one event from key and reports whether there was one.
func (l *Limiter[K]) Take(key K) bool {
	if l == nil {
		return true
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(key).AllowN(now, 1)
}

// Charge takes one event from key even when none is left: what many callers at
// once took too much is owed, so that the rate holds on average. At most a
// second's worth is.
func (l *Limiter[K]) Charge(key K) {
	if l == nil {
		return
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.bucket(key); b.TokensAt(now) > -float64(l.burst) {
		b.ReserveN(now, 1)
	}
}

// bucket finds or makes the bucket of key. The caller holds mu.
func (l *Limiter[K]) bucket(key K) *bucket[K] {
	e, ok := l.byKey[key]
	if ok {
		l.order.MoveToFront(e)
		return e.Value.(*bucket[K])
	}
	if l.order.Len() >= maxKeys {
		oldest := l.order.Back()
		delete(l.byKey, oldest.Value.(*bucket[K]).key)
		l.order.Remove(oldest)
	}
	b := &bucket[K]{key, rate.NewLimiter(l.limit, l.burst)}
	l.byKey[key] = l.order.PushFront(b)
	return b
}
