package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// fetchTimeout bounds what any source may take (BE-9).
const fetchTimeout = 10 * time.Second

// A domain is one configured trust domain and what was learnt of it.
type domain struct {
	name    spiffeid.TrustDomain
	source  Source
	refresh Refresh

	// current is read without a lock. It is stored by whoever holds fetching.
	current atomic.Pointer[Snapshot]

	// fetching holds a value while the source is being asked, so that an older
	// answer can never replace a newer one. It guards document as well.
	fetching chan struct{}
	document [sha256.Size]byte // of the bytes that current came from

	mu sync.Mutex // guards what follows; never held while the source is asked

	local       bool // as the last Document said
	origin      string
	failures    int // attempts in a row that failed
	lastAttempt time.Time
	lastError   string
	nextPoll    time.Time
	demanded    time.Time     // when the last fetch on demand began
	flight      chan struct{} // closed when the one under way ends; nil without one
}

func newDomain(name spiffeid.TrustDomain, source Source, refresh Refresh) *domain {
	return &domain{name: name, source: source, refresh: refresh, fetching: make(chan struct{}, 1)}
}

// fetch asks the source once and takes what it gives. It waits for its turn if
// the source is being asked already. The error is also in the status.
func (s *Set) fetch(ctx context.Context, d *domain) error {
	select {
	case d.fetching <- struct{}{}:
		defer func() { <-d.fetching }()
	case <-ctx.Done():
		return fmt.Errorf("bundle: %w", ctx.Err())
	}
	// The bundle is as old as the question, not as the answer, which may have
	// been on its way for long. Without its monotonic part, which stands still
	// while a machine sleeps: an old bundle must not come out young (BE-15).
	started := s.now().Round(0)
	limited, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	document, err := d.source.Fetch(limited)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err // we are stopping; nothing was learnt of the source
	}
	f := fetched{document: document, started: started, err: err}
	if err == nil {
		s.take(d, &f)
	}
	repeated := d.record(&f)
	s.logFetch(ctx, d, &f, repeated)
	return f.err
}

// A fetched is one attempt and what became of it.
type fetched struct {
	document Document
	started  time.Time
	before   *Snapshot // the one before a change; nil for the first
	after    *Snapshot // the one that was stored; nil after an error
	warning  string    // what an operator should look into though it was stored
	err      error
}

func (f *fetched) changed() bool {
	return f.after != nil && (f.before == nil || f.before.generation != f.after.generation)
}

// take judges a document and stores its snapshot. Whatever is wrong with it, the
// bundle before it stays. Its caller holds d.fetching.
func (s *Set) take(d *domain, f *fetched) {
	f.before = d.current.Load()
	sum := sha256.Sum256(f.document.Bytes)
	if f.before != nil && sum == d.document {
		confirmed := *f.before
		confirmed.fetchedAt = f.started
		f.after = &confirmed
		d.current.Store(f.after)
		return
	}
	next, err := Parse(d.name, f.document.Bytes, f.started)
	if err != nil {
		f.err = err
		return
	}
	same := f.before != nil && f.before.digest == next.digest
	if f.before != nil && !f.document.Local && f.before.hasSequence && next.hasSequence {
		switch {
		case next.sequence < f.before.sequence: // BU-14: an older bundle played again
			f.err = &DocumentError{"BU-14", fmt.Sprintf("its sequence is %d, lower than the %d of the bundle in use", next.sequence, f.before.sequence)}
			return
		case next.sequence == f.before.sequence && !same:
			f.warning = "the bundle changed while its sequence did not (BU-14)"
		}
	}
	if same {
		next.generation = f.before.generation
	} else {
		next.generation = s.generation.Add(1)
	}
	f.after = next
	d.document = sum
	d.current.Store(next)
}

// record keeps an attempt for the status, and reports whether it ended as the
// one before it did.
func (d *domain) record(f *fetched) (repeated bool) {
	text := ""
	if f.err != nil {
		text = f.err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	repeated = !d.lastAttempt.IsZero() && text == d.lastError && !f.changed()
	d.local, d.origin = f.document.Local, f.document.Origin
	d.lastAttempt, d.lastError = f.started, text
	if f.err != nil {
		d.failures++
	} else {
		d.failures = 0
	}
	return repeated
}

// plan sets the time of the next poll.
func (d *domain) plan(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var wait time.Duration
	switch current := d.current.Load(); {
	case d.local:
		wait = localInterval
	case current == nil:
		wait = backOff(d.failures)
	default: // after a failed poll too: no storm of retries (BE-14)
		wait = d.refresh.interval(current.refreshHint)
	}
	d.nextPoll = now.Add(wait)
}

// untilPoll is how long to wait for the planned time; nothing is planned before
// the first attempt.
func (d *domain) untilPoll(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nextPoll.IsZero() {
		return 0
	}
	return max(d.nextPoll.Sub(now), 0)
}
