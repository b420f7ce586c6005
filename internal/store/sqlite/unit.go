package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/internal/store"
)

// errEnded is what a call gets after the end of its unit.
var errEnded = errors.New("store: the unit of work has ended")

// A reading is what a read may do. It is used by one goroutine, until its function
// returns.
//
// After a failure of the store every further call fails with it, and so does the
// whole, whatever the function returns.
type reading struct {
	connection *connection
	fault      error
}

// row reads the first row that a query finds. The error is sql.ErrNoRows when there
// is none.
func (r *reading) row(query string, args []any, into ...any) error {
	s, err := r.statement(query)
	if err != nil {
		return err
	}
	return r.note(s.QueryRow(args...).Scan(into...))
}

// rows calls each for every row that a query finds, until it returns an error, which
// is returned. each makes no other call; scan reads the columns of its row. A query
// has a LIMIT, or a bound of what the table holds.
func (r *reading) rows(query string, args []any, each func(scan func(into ...any) error) error) error {
	s, err := r.statement(query)
	if err != nil {
		return err
	}
	found, err := s.Query(args...)
	if err != nil {
		return r.note(err)
	}
	defer found.Close()
	for found.Next() {
		if err := each(found.Scan); err != nil {
			return err
		}
	}
	return r.note(found.Err())
}

func (r *reading) statement(query string) (*sql.Stmt, error) {
	switch {
	case r.fault != nil:
		return nil, r.fault
	case r.connection == nil:
		return nil, errEnded
	}
	s, err := r.connection.statement(query)
	return s, r.note(err)
}

// note keeps the first failure of the store.
func (r *reading) note(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) || isConstraint(err) {
		return err
	}
	if err = classify(err); errors.Is(err, store.ErrUnavailable) {
		r.fault = err
	}
	return err
}

// A writing is what a unit of work may do: it reads what is there, with what the
// units before it changed, and changes it.
type writing struct{ reading }

// exec changes rows and returns how many.
func (w *writing) exec(query string, args ...any) (int64, error) {
	s, err := w.statement(query)
	if err != nil {
		return 0, err
	}
	result, err := s.Exec(args...)
	if err != nil {
		return 0, w.note(err)
	}
	return result.RowsAffected()
}

// read has work read one snapshot. While it waits for its turn it gives up with
// ctx, or after five seconds; once begun it is finished.
func (s *Store) read(ctx context.Context, work func(*reading) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var c *connection
	var open bool
	select {
	case c, open = <-s.slots:
	default:
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case c, open = <-s.slots:
		case <-ctx.Done():
			return fmt.Errorf("store: %w", ctx.Err())
		case <-timer.C:
			return errLate
		}
	}
	if !open {
		return fmt.Errorf("store: %w: it is closed", store.ErrUnavailable)
	}
	healthy := false
	defer func() { // after a panic too
		if !healthy {
			c.close()
			c = nil
		}
		s.slots <- c
	}()
	var err error
	if c == nil {
		if c, err = connect(context.Background(), s.reads); err != nil {
			return fmt.Errorf("store: %w", s.unavailable(err))
		}
	}
	if s.memory != nil {
		s.memory.RLock()
		defer s.memory.RUnlock()
	}
	r := &reading{connection: c}
	err = snapshot(r, work)
	if r.fault != nil {
		return fmt.Errorf("store: %w", s.unavailable(r.fault))
	}
	healthy = true
	return err
}

func snapshot(r *reading, work func(*reading) error) error {
	c := r.connection
	if _, err := c.exec(`BEGIN`); err != nil {
		r.fault = err
		return err
	}
	err := work(r)
	r.connection = nil // for one who kept it
	if _, end := c.exec(`COMMIT`); end != nil {
		r.fault = end
	}
	return err
}

// unavailable is named, for an error after which nothing is known.
func (s *Store) unavailable(err error) error {
	if err = s.named(err); errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// stamp is how a time is kept: microseconds since 1970, cut. The zero time is 0.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// when is the time of a stamp, in UTC.
func when(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return time.UnixMicro(stamp).UTC()
}
