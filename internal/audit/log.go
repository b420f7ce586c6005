package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// FsyncEvery is the value of Config.Fsync that syncs before Record returns.
const FsyncEvery = "every"

// A Config says where the record is kept.
type Config struct {
	// File is a path; "-" is standard output. A regular file is continued
	// where it ends and belongs to this process alone. Anything else (a FIFO,
	// a device, standard output) is a stream: its chain begins anew each time
	// it is opened.
	File string
	// Fsync is "" to sync a regular file at most one second after a write, or
	// FsyncEvery. A stream is never synced.
	Fsync string
	// Node names this writer in every line; empty leaves it out.
	Node string
	// Now is the clock for the member time; nil means time.Now.
	Now func() time.Time
	// Log hears of failures, of their end, and of what was cut off at the
	// start; nil means nobody does.
	Log *slog.Logger
}

// A Log writes events to one file. Any number of goroutines may use it.
type Log struct {
	file    file
	regular bool
	every   bool
	node    string
	now     func() time.Time
	log     *slog.Logger
	lines   sync.Pool

	// turn is held by whoever touches the end of the file. It is a channel
	// because a wait for it must end at a deadline: a hung disk must not
	// collect every request of the server.
	turn   chan struct{}
	tip    tip  // under turn
	torn   bool // under turn: part of a line may stand behind tip
	closed bool // under turn

	failure atomic.Pointer[error] // nil while healthy
	lost    atomic.Uint64         // events that failed and of which no line tells yet

	durable durable
	wake    chan struct{} // something to sync, or a failure to probe
	stop    context.CancelFunc
	tended  chan struct{} // closed when the background work has ended
}

// tip is the end of the chain.
type tip struct {
	seq  uint64
	prev [digestLen]byte // digest of the last line
	size int64           // of the file up to the end of the last line
}

// zeros is the prev of the first line.
func zeros() (prev [digestLen]byte) {
	for i := range prev {
		prev[i] = '0'
	}
	return prev
}

// file is what a Log needs of an *os.File.
type file interface {
	io.WriteCloser
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Sync() error
}

var (
	errClosed  = errors.New("the log is closed")
	errWaiting = errors.New("the file did not take an event in time")
)

// Record chains the event and writes it with one write(2), and returns its seq
// once that has returned (and, with FsyncEvery, the file is synced).
//
// An error means that the event must count as not recorded, so its answer must
// not leave (AU-6): an *oauth.Error with the code oauth.Unavailable and the
// reason oauth.ReasonAuditUnavailable. The next call tries again at once.
// An event without a name or an outcome is a fault of the caller and a
// server_error. In one case the line stands in the file in spite of the error:
// when it was written and the sync failed.
//
// Five seconds bound the wait for the writers before this one and for a FIFO's
// reader, or ctx where that ends sooner; a write to a disk that hangs cannot be
// bounded. Callers take off the request's cancellation: what was decided is
// recorded even when the peer has gone.
func (l *Log) Record(ctx context.Context, e Event) (seq uint64, err error) {
	if err := e.check(); err != nil {
		return 0, (&oauth.Error{Code: oauth.ServerError, Reason: oauth.ReasonInternal, Rule: "AU-1"}).Because(fmt.Errorf("audit: %w", err))
	}
	ln := l.lines.Get().(*line)
	defer l.lines.Put(ln)
	ln.fill(&e, l.now(), l.node)

	seq, ticket, err := l.recordLine(ctx, ln)
	if err == nil && l.every && l.regular {
		if err = l.durable.sync(l.file, ticket); err != nil {
			l.fail(err)
			l.lost.Add(1)
		}
	}
	if err != nil {
		return 0, oauth.Refuse(oauth.Unavailable, oauth.ReasonAuditUnavailable, "AU-6", "a decision on record before its answer leaves", "").
			Because(fmt.Errorf("audit: %w", err))
	}
	return seq, nil
}

func (l *Log) recordLine(ctx context.Context, ln *line) (seq, ticket uint64, err error) {
	if err := l.take(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", errWaiting, err)
			l.fail(err)
			l.lost.Add(1)
		}
		return 0, 0, err
	}
	defer l.release()
	if l.closed {
		return 0, 0, errClosed
	}
	// The line that tells of a gap stands before the first one after it.
	if l.failure.Load() != nil {
		err = l.resume(ctx)
	}
	if err == nil {
		ticket, err = l.write(ctx, ln)
	}
	if err != nil {
		l.fail(err)
		l.lost.Add(1)
		return 0, 0, err
	}
	return l.tip.seq, ticket, nil
}

// take waits for the turn. A free one is taken even when ctx has ended, and
// without a timer.
func (l *Log) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) release() { <-l.turn }

// write puts one line behind the tip, and moves the tip only if all of it was
// taken. The ticket is for durable. The caller has the turn.
func (l *Log) write(ctx context.Context, ln *line) (ticket uint64, err error) {
	// A full FIFO is waited for until the deadline. What knows no deadlines,
	// as regular files do not, says so and is written without one.
	if f, ok := l.file.(interface{ SetWriteDeadline(time.Time) error }); ok && !l.regular {
		deadline := time.Now().Add(recordTimeout)
		if sooner, ok := ctx.Deadline(); ok && sooner.Before(deadline) {
			deadline = sooner
		}
		_ = f.SetWriteDeadline(deadline)
	}
	next := tip{seq: l.tip.seq + 1}
	mend := l.torn && !l.regular // a stream's torn line is ended, it cannot be cut off
	b := ln.seal(next.seq, &l.tip.prev, mend)
	n, err := l.file.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if l.regular {
			l.cutBack()
		} else {
			l.torn = l.torn || n > 0
		}
		return 0, err
	}
	l.torn = false
	if mend {
		b = b[1:]
	}
	next.prev = digest(b[:len(b)-1])
	next.size = l.tip.size + int64(len(b))
	l.tip = next
	ticket = l.durable.wrote()
	l.rouse()
	return ticket, nil
}

// Healthy is nil while events can be recorded, and otherwise the last failure.
func (l *Log) Healthy() error {
	if err := l.failure.Load(); err != nil {
		return fmt.Errorf("audit: %w", *err)
	}
	return nil
}

// fail makes the state failed until a line with the event resumed is written.
func (l *Log) fail(err error) {
	if l.failure.Swap(&err) == nil {
		l.log.Error("audit: events cannot be recorded, nothing is issued until they can", "error", err)
	}
	l.rouse()
}

func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake, or about to be
	}
}
