package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// fetchTimeout bounds what any source may take (BE-9).
const fetchTimeout = 10 * time.Second

// A domain is one configured trust domain with its source, and what was learnt
// of it. It lives until Replace takes the one or the other away.
type domain struct {
	name   spiffeid.TrustDomain
	source Source
	origin string
	file   *keptFile // nil when nothing is kept

	// current is read without a lock. It is stored by whoever holds both fetching
	// and mu.
	current atomic.Pointer[Snapshot]

	// fetching holds a value while the source is being asked, so that an older
	// answer can never replace a newer one.
	fetching chan struct{}

	ended chan struct{} // closed, with mu held, when the domain's life is over
	wake  chan struct{} // tells the poller to look at the plan again

	mu sync.Mutex // guards what follows; never held while the source is asked

	document [sha256.Size]byte // of the bytes that current came from
	refresh  Refresh
	maxAge   time.Duration
	cancel   context.CancelFunc // of the attempt under way; nil without one
	fromDisk bool               // current was loaded and not confirmed since

	local       bool      // as the last Document said
	began       time.Time // when the first attempt began
	failures    int       // attempts in a row that failed
	lastAttempt time.Time
	lastError   string
	nextPoll    time.Time

	// The source says that its document changed: how often it did, how often when
	// it was last asked after that, and when it last answered; and how many attempts
	// failed since it said so.
	told, tried, answered uint64
	retries               int

	demanded time.Time     // when the last fetch on demand began
	demands  Demands       // what became of them
	flight   chan struct{} // closed when the one under way ends; nil without one

	// floor is the sequence of what was kept on disk and is not used; like current,
	// which ends it, it is stored by whoever holds both fetching and mu (BU-14).
	floor    Sequence
	refused  *DocumentError // the last document that was not accepted
	conflict bool           // BU-14: equal sequence, different content
	raised   []alarm        // those that the log tells of
}

func newDomain(td TrustDomain) *domain {
	return &domain{
		name: td.Name, source: td.Source, origin: td.Source.Origin(),
		refresh: td.Refresh, maxAge: td.MaxAge,
		fetching: make(chan struct{}, 1), ended: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// fetch asks the source once and takes what it gives. It waits for its turn if
// the source is being asked already. The error is also in the status.
func (s *Set) fetch(ctx context.Context, d *domain, options FetchOptions) (fetched, error) {
	limited, done, err := d.turn(ctx)
	if err != nil {
		return fetched{before: d.current.Load()}, err
	}
	defer done()
	// The bundle is as old as the question, not as the answer, which may have
	// been on its way for long. Without its monotonic part, which stands still
	// while a machine sleeps and is worth nothing on disk: an old bundle must not
	// come out young (BE-15).
	f := fetched{started: s.now().Round(0), asked: time.Now(), before: d.current.Load()}
	f.told = d.begin(s.now())
	f.document, f.err = s.ask(limited, d.name, d.source, f.before)
	if f.err != nil && errors.Is(ctx.Err(), context.Canceled) {
		d.givenUp()
		return f, f.err // we are stopping; nothing was learnt of the source
	}
	if f.err == nil {
		s.take(d, &f, options)
	}
	repeated := d.record(&f)
	if !f.recorded {
		return f, errEnded
	}
	s.logFetch(ctx, d, &f, repeated)
	s.review(ctx, d)
	return f, f.err
}

// begin notes that the source is asked now, and returns how often it has said that
// its document changed: if it answers, all that is answered.
func (d *domain) begin(now time.Time) (told uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried = d.told
	if d.began.IsZero() {
		d.began = now
	}
	return d.told
}

// givenUp puts back a change that was to be fetched with an attempt that nobody
// finished.
func (d *domain) givenUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tried = d.answered; d.outdated() {
		d.nudge()
	}
}

// outdated reports whether the source said that its document changed, and has not
// answered since. Its caller holds mu.
func (d *domain) outdated() bool { return d.told != d.answered }

// A fetched is one attempt and what became of it.
type fetched struct {
	document Document
	sum      [sha256.Size]byte // of document.Bytes
	started  time.Time         // by the wall clock
	asked    time.Time         // the same moment by the monotonic clock
	told     uint64            // how many changes it answers, if it succeeds
	before   *Snapshot         // the one before a change; nil for the first
	after    *Snapshot         // the one that was stored; nil after an error
	warning  string            // what an operator should look into though it was stored
	err      error
	recorded bool // it is in the status: neither given up nor too late
}

func (f *fetched) changed() bool {
	return f.after != nil && (f.before == nil || f.before.generation != f.after.generation)
}

// take judges a document and stores its snapshot. Whatever is wrong with it, the
// bundle before it stays. Its caller holds d.fetching.
func (s *Set) take(d *domain, f *fetched, options FetchOptions) {
	f.sum = sha256.Sum256(f.document.Bytes)
	if f.before != nil && f.sum == d.document {
		confirmed := *f.before
		confirmed.confirmedAt(f.started, f.asked, 0)
		s.keep(d, f)
		d.store(f, &confirmed)
		return
	}
	next, err := Parse(d.name, f.document.Bytes, f.started)
	if err != nil {
		f.err = err
		return
	}
	next.confirmedAt(f.started, f.asked, 0)
	same := f.before != nil && f.before.digest == next.digest
	if err := d.rollBack(f, next, options); err != nil {
		f.err = err
		return
	}
	f.warning = d.remark(f, next, same)
	if same {
		next.generation = f.before.generation
	} else {
		next.generation = s.generation.Add(1)
	}
	s.keep(d, f)
	d.store(f, next)
}

// rollBack refuses an older bundle that is played again (BU-14). A document that
// the operator keeps here is an update by hand, which no comparison stops.
func (d *domain) rollBack(f *fetched, next *Snapshot, options FetchOptions) error {
	last, of := d.lastSequence(f.before)
	if f.document.Local || options.AcceptOlder || !last.Present || !next.hasSequence {
		return nil
	}
	if next.sequence < last.Number {
		return &DocumentError{"BU-14", fmt.Sprintf("its sequence is %d, lower than the %d of the bundle %s", next.sequence, last.Number, of)}
	}
	return nil
}

// remark is what an operator should know of a bundle that is taken (BU-14).
func (d *domain) remark(f *fetched, next *Snapshot, same bool) string {
	last, _ := d.lastSequence(f.before)
	switch {
	case f.document.Local || !last.Present || !next.hasSequence:
	case next.sequence < last.Number:
		return fmt.Sprintf("the operator took a bundle with the sequence %d in place of one with %d (BU-14)", next.sequence, last.Number)
	case f.before != nil && next.sequence == last.Number && !same:
		return "the bundle changed while its sequence did not (BU-14)"
	}
	return ""
}

// lastSequence is the one that a new document is compared with (BU-14), and which
// bundle it is of.
func (d *domain) lastSequence(before *Snapshot) (last Sequence, of string) {
	if before == nil {
		return d.floor, "that was kept on disk"
	}
	return Sequence{before.sequence, before.hasSequence}, "in use"
}

// store puts a snapshot in use, unless the domain has ended meanwhile.
func (d *domain) store(f *fetched, next *Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isEnded() {
		f.err = errEnded
		return
	}
	f.after = next
	d.document = f.sum
	d.fromDisk, d.refused = false, nil
	d.conflict = conflicts(d.conflict, f)
	d.floor = Sequence{}
	d.current.Store(next)
}

// conflicts tells whether two documents with one sequence are still an open
// question (BU-14). A higher sequence answers it, and so does whatever resets
// the comparison.
func conflicts(open bool, f *fetched) bool {
	before, after := f.before, f.after
	if before == nil || f.document.Local || !before.hasSequence || !after.hasSequence || after.sequence != before.sequence {
		return false
	}
	return open || f.changed()
}

// record keeps an attempt for the status, and reports whether it ended as the
// one before it did. It does nothing once the domain has ended.
func (d *domain) record(f *fetched) (repeated bool) {
	text := ""
	if f.err != nil {
		text = f.err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isEnded() {
		return false
	}
	f.recorded = true
	repeated = !d.lastAttempt.IsZero() && text == d.lastError && !f.changed()
	d.local = f.document.Local
	d.lastAttempt, d.lastError = f.started, text
	if refused, ok := errors.AsType[*DocumentError](f.err); ok {
		d.refused = refused
	}
	switch {
	case f.err == nil:
		d.failures, d.retries, d.answered = 0, 0, max(d.answered, f.told)
	case d.outdated():
		d.retries++
		fallthrough
	default:
		d.failures++
	}
	return repeated
}

// plan sets the time of the next poll. local is that of a document on this machine.
func (d *domain) plan(now time.Time, local time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wait := jitter(d.interval())
	switch {
	case d.local:
		// Far apart from each other, or a thousand files are read in one moment of
		// each second.
		wait = local - rand.N(local/2)
	case d.current.Load() == nil:
		wait = backOff(d.failures)
	}
	if d.outdated() {
		wait = min(wait, backOff(d.retries))
	}
	d.nextPoll = now.Add(wait)
	d.nudge()
}

// planRetry brings the next poll forward when the source said that its document
// changed, and a fetch that was none of the plan failed after that.
func (d *domain) planRetry(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.outdated() {
		return
	}
	if retry := now.Add(backOff(d.retries)); retry.Before(d.nextPoll) {
		d.nextPoll = retry
		d.nudge()
	}
}
