package audit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tendPause is how long a write may wait for its sync to begin, so that the
// sync itself has half a second to be done within one.
const tendPause = 500 * time.Millisecond

var (
	errDeleted = errors.New("the file was deleted under the running server: restart to begin a new one")
	errAltered = errors.New("somebody else wrote to the file or cut it: look at its end, then restart")
)

// tend syncs what was written, and while the state is failed tries once a second
// to write again, so that readiness comes back without a request.
func (l *Log) tend(ctx context.Context) {
	defer close(l.tended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		if !pause(ctx, tendPause) {
			return
		}
		if l.failure.Load() == nil {
			l.settle(ctx)
		}
		for l.failure.Load() != nil {
			if !pause(ctx, 2*tendPause) || l.take(ctx) != nil {
				return
			}
			if !l.closed && l.failure.Load() != nil {
				probe, cancel := context.WithTimeout(ctx, 2*tendPause)
				if err := l.resume(probe); err != nil {
					l.fail(err)
				}
				cancel()
			}
			l.release()
		}
	}
}

// settle syncs a regular file and looks whether it is still the one that was
// written.
func (l *Log) settle(ctx context.Context) {
	if !l.regular {
		return
	}
	if err := l.durable.sync(l.file, l.durable.tickets.Load()); err != nil {
		l.fail(fmt.Errorf("sync: %w", err))
		return
	}
	if l.take(ctx) != nil {
		return
	}
	defer l.release()
	if err := l.intact(); err != nil {
		l.fail(err)
	}
}

// resume ends the failed state: it repairs the end of the file, and writes and
// syncs a line that says how many events failed. The caller has the turn.
func (l *Log) resume(ctx context.Context) error {
	if l.regular {
		if l.torn {
			l.cutBack()
		}
		if l.torn {
			return errors.New("part of a line could not be cut off")
		}
		if err := l.intact(); err != nil {
			return err
		}
	}
	lost := l.lost.Load()
	var ln line
	ln.fill(&Event{Event: eventResumed, failedEvents: lost}, l.now(), l.node)
	before := l.tip
	ticket, err := l.write(ctx, &ln)
	if err != nil {
		return err
	}
	if l.regular {
		if err := l.durable.sync(l.file, ticket); err != nil {
			// A line that says all is well must not stay: it would, once for
			// every attempt.
			l.tip = before
			l.cutBack()
			return fmt.Errorf("sync: %w", err)
		}
	}
	l.lost.Add(-lost)
	l.failure.Store(nil)
	l.log.Info("audit: events are recorded again", "failed_events", lost)
	return nil
}

// intact reports whether the file ends where the chain does. Only a regular file
// can be asked. The caller has the turn.
func (l *Log) intact() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if deleted(info) {
		return errDeleted
	}
	if info.Size() != l.tip.size {
		return errAltered
	}
	return nil
}

// cutBack cuts a regular file back to the end of its last whole line. It never
// makes a file longer. What fails is tried again before the next line.
func (l *Log) cutBack() {
	l.torn = true
	info, err := l.file.Stat()
	if err != nil {
		return
	}
	if info.Size() > l.tip.size && l.file.Truncate(l.tip.size) != nil {
		return
	}
	l.torn = false
}

// pause waits, and reports false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
