package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// MaxAge is how long a copy counts that could not be compared with the store.
	MaxAge = 10 * time.Second

	pollEvery   = 500 * time.Millisecond
	pageTimeout = 2 * time.Second // of one read: a full list takes many
	pageSize    = 1000            // entries of one read

	// maxSingle and maxWide bound the copy: single tokens, which clients revoke, never
	// take the room of what an operator revokes.
	maxSingle = 1 << 17
	maxWide   = 1 << 16
	// maxOfOne is how many tokens one client may revoke within their life.
	maxOfOne = 1 << 16
)

var (
	// ErrStale is the cause when the copy is too old to answer.
	ErrStale = errors.New("the store could not be asked what is revoked")
	// ErrFull is the cause when there is no room for another entry.
	ErrFull = errors.New("too much is revoked already")
)

// A Store keeps entries until they expire. Its errors are store.ErrUnavailable, or
// of the context.
type Store interface {
	// AddRevocation keeps an entry. It is on the disk when this returns nil; with an
	// error nothing was kept.
	AddRevocation(context.Context, Entry) error
	// Revocations are the entries behind a position that have not expired at now, in
	// the order in which they were added, at most limit of them, and the position to
	// go on from. The first position is 0. Nothing is ever added before a position
	// that was handed out, whoever else adds at the same time.
	Revocations(ctx context.Context, after int64, now time.Time, limit int) (entries []Entry, position int64, err error)
}

// Config is what a List is made of. All of it is required.
type Config struct {
	Store Store
	Now   func() time.Time
	Log   *slog.Logger
}

// A List answers what is revoked. Any number of goroutines may use it.
type List struct {
	config Config

	looking  sync.Mutex // held while the store is read
	position int64      // guarded by looking
	tried    time.Time  // guarded by looking; by the injected clock

	mu        sync.RWMutex
	held      *held     // guarded by mu
	confirmed time.Time // guarded by mu; when the copy was what the store had
}

// Open reads all that is revoked.
func Open(ctx context.Context, c Config) (*List, error) {
	if c.Store == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("revocation: the configuration is not complete")
	}
	l := &List{config: c, held: newHeld()}
	if err := l.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	return l, nil
}

// Run keeps the copy what the store has, until ctx ends.
func (l *List) Run(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch err := l.Refresh(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			failing = true
			l.config.Log.Error("what other processes revoked is not known; introspection ends when that lasts", "after", MaxAge, "error", err.Error())
		case err == nil && failing:
			failing = false
			l.config.Log.Info("it is known again what other processes revoked")
		}
	}
}

// Refresh takes over what was added to the store since the last look.
func (l *List) Refresh(ctx context.Context) error {
	l.looking.Lock()
	defer l.looking.Unlock()
	return l.look(ctx)
}

// look is Refresh; its caller holds looking.
func (l *List) look(ctx context.Context) error {
	began := l.config.Now()
	l.tried = began
	for {
		entries, position, err := l.page(ctx, began)
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, e := range entries {
			l.held.put(e)
		}
		whole := len(entries) < pageSize
		if whole {
			l.held.forget(began)
			l.confirmed = began
		}
		l.mu.Unlock()
		if l.position = position; whole {
			return nil
		}
	}
}

// page is one read; its caller holds looking.
func (l *List) page(ctx context.Context, now time.Time) ([]Entry, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return l.config.Store.Revocations(ctx, l.position, now, pageSize)
}

// Revoke writes an entry to the store and takes it over. With an error nothing was
// revoked. What is revoked already, and as long, is not written again.
func (l *List) Revoke(ctx context.Context, e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	l.mu.RLock()
	known, twice := l.held.byKind[e.Kind][e.Value]
	full := !twice && l.full(e)
	l.mu.RUnlock()
	if twice && e.Kind == TokenID && !known.Expires.Before(e.Expires) {
		return nil
	}
	if full {
		return ErrFull
	}
	if err := l.config.Store.AddRevocation(ctx, e); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held.put(e)
	return nil
}

// full is judged under mu.
func (l *List) full(e Entry) bool {
	if e.Kind == TokenID {
		return len(l.held.byKind[TokenID]) >= maxSingle || l.held.by[e.By] >= maxOfOne
	}
	return l.held.wide() >= maxWide
}

// Revoked is the entry by which a token is dead; false when there is none. The error
// is ErrStale when that is not known.
func (l *List) Revoked(ctx context.Context, t Token) (Entry, bool, error) {
	if !l.fresh() && !l.again(ctx) {
		return Entry{}, false, ErrStale
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.held.find(t)
	return e, ok, nil
}

// fresh reports whether the copy is young enough. A clock that was set back makes it
// no younger.
func (l *List) fresh() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	age := l.config.Now().Sub(l.confirmed)
	return age <= MaxAge && age >= -MaxAge
}

// again looks at the store for who asks a copy that is too old: the machine may have
// slept. Who finds the store silent is not followed by everybody else.
func (l *List) again(ctx context.Context) bool {
	l.looking.Lock()
	defer l.looking.Unlock()
	if l.fresh() {
		return true
	}
	if since := l.config.Now().Sub(l.tried); since >= 0 && since < pollEvery {
		return false
	}
	return l.look(ctx) == nil
}

// All is everything that is revoked now, the latest first.
func (l *List) All() []Entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.held.all(l.config.Now())
}

// Counts is how many entries there are of each kind.
func (l *List) Counts() map[Kind]int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	counts := make(map[Kind]int, len(Kinds))
	for kind, of := range l.held.byKind {
		counts[kind] = len(of)
	}
	return counts
}

// Age is how long ago the copy was what the store had.
func (l *List) Age() time.Duration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.config.Now().Sub(l.confirmed)
}
