package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/svidgate/svidgate/internal/store"
)

// errPanic is what the caller of a unit gets that broke.
var errPanic = errors.New("store: a unit of work broke off")

// patience is how long anybody waits for a turn. A disk that takes longer hangs.
const patience = 5 * time.Second

var errLate = fmt.Errorf("store: %w: its disk does not answer in time", store.ErrUnavailable)

// A unit is one piece of work that is done whole or not at all.
type unit struct {
	work   func(*writing) error
	taken  atomic.Bool // by the writer, or by the caller who no longer wants it
	begun  bool
	err    error      // of the work itself
	result chan error // has room for one
}

// write has a unit done, and returns nil when it is committed and will outlast a
// crash. Otherwise nothing of it is kept: its own error is returned as it is, and
// [store.ErrUnavailable] tells that the store failed. While it waits for its turn it
// gives up with ctx, or after five seconds; once begun, it is finished whatever ctx says.
func (s *Store) write(ctx context.Context, work func(*writing) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	u := &unit{work: work, result: make(chan error, 1)}
	if err := s.put(u); err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var late error
	select {
	case err := <-u.result:
		return err
	case <-ctx.Done():
		late = fmt.Errorf("store: %w", ctx.Err())
	case <-timer.C:
		late = errLate
	}
	if u.taken.CompareAndSwap(false, true) {
		if late == errLate {
			s.figures.refused.Inc()
		}
		return late
	}
	return <-u.result
}

func (s *Store) put(u *unit) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("store: %w: it is closed", store.ErrUnavailable)
	}
	select {
	case s.queue <- u:
		return nil
	default:
		s.figures.refused.Inc()
		return fmt.Errorf("store: %w: %d writes are waiting", store.ErrUnavailable, maxQueue)
	}
}

// serve is the one writer. It commits together what came in during the last commit.
func (s *Store) serve() {
	defer close(s.written)
	var writer *connection
	batch := make([]*unit, 0, maxBatch)
	for first := range s.queue {
		batch = append(batch, first)
		for len(batch) > 0 {
			for len(batch) < maxBatch {
				next, ok := s.next()
				if !ok {
					break
				}
				batch = append(batch, next)
			}
			var done int
			writer, done = s.commit(writer, batch)
			batch = slices.Delete(batch, 0, done)
		}
	}
	writer.close()
}

func (s *Store) next() (*unit, bool) {
	select {
	case u, open := <-s.queue:
		return u, open
	default:
		return nil, false
	}
}

// commit does a batch, or the first part of it, tells each caller and returns how many
// it has done. A connection that failed is given up, whatever state it is in.
func (s *Store) commit(c *connection, batch []*unit) (_ *connection, done int) {
	start := time.Now()
	s.figures.begun.Store(&start)
	done, err := s.transact(&c, batch)
	s.figures.begun.Store(nil)
	if err != nil {
		done = len(batch)
		err = fmt.Errorf("store: %w", s.named(err))
		if !errors.Is(err, store.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		c.close()
		c = nil
		if !s.figures.failing.Swap(true) {
			s.config.Log.Error("the store does not take writes", "error", err.Error())
		}
	} else if s.figures.failing.Swap(false) {
		s.config.Log.Info("the store takes writes again")
	}
	n := 0
	for _, u := range batch[:done] {
		switch {
		case u.begun && err == nil:
			n++
			u.result <- u.err
		case u.begun: // also its own error: it may rest on what another unit did, which is undone
			n++
			u.result <- err
		case u.taken.CompareAndSwap(false, true): // the batch failed before its turn
			u.result <- err
		}
	}
	s.figures.observe(time.Since(start), n)
	return c, done
}

// transact runs the units in one transaction, as far as there is time for them, and
// returns how many. An error is that of the whole.
func (s *Store) transact(c **connection, batch []*unit) (done int, err error) {
	if s.memory != nil {
		s.memory.Lock()
		defer s.memory.Unlock()
	}
	if *c == nil {
		if *c, err = connect(context.Background(), s.db); err != nil {
			return 0, err
		}
	}
	if _, err := (*c).exec(`BEGIN IMMEDIATE`); err != nil {
		return 0, err
	}
	start := time.Now()
	for _, u := range batch {
		if done > 0 && time.Since(start) >= maxUnits {
			break
		}
		done++
		if !u.taken.CompareAndSwap(false, true) {
			continue
		}
		u.begun = true
		if err := s.do(*c, u); err != nil {
			return done, errors.Join(err, rollback(*c))
		}
	}
	if _, err := (*c).exec(`COMMIT`); err != nil {
		return done, errors.Join(err, rollback(*c))
	}
	return done, nil
}

// rollback undoes what SQLite has not undone by itself.
func rollback(c *connection) error {
	if _, err := c.exec(`ROLLBACK`); err != nil && kind(err) != codeError { // there is none any more
		return err
	}
	return nil
}

// do runs one unit so that its failure undoes it alone. The error is one that undid,
// or should undo, the whole transaction: after some failures SQLite does so by itself,
// and whatever came after would be a transaction of its own.
func (s *Store) do(c *connection, u *unit) error {
	if _, err := c.exec(`SAVEPOINT unit`); err != nil {
		return err
	}
	w := &writing{reading{connection: c}}
	u.err = s.run(u, w)
	w.connection = nil // for a unit that kept it
	if w.fault != nil {
		u.err = nil // what it made of the failure is no answer
		return w.fault
	}
	if u.err != nil {
		if _, err := c.exec(`ROLLBACK TO unit`); err != nil {
			return err
		}
	}
	_, err := c.exec(`RELEASE unit`)
	return err
}

func (s *Store) run(u *unit, w *writing) (err error) {
	defer func() {
		if v := recover(); v != nil {
			// What was thrown may hold what the unit held, so its type is enough.
			s.config.Log.Error("a unit of work broke off", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return u.work(w)
}
