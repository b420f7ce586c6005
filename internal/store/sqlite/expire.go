package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// tendEvery is how often expired rows are looked for.
	tendEvery = time.Minute
	// maxExpired is how many rows one unit deletes, so that it holds up the others for
	// no longer than they do one another.
	maxExpired = 200
)

// An expiry is a column that says until when a row is of use; 0 is for ever.
type expiry struct{ table, remove string }

var expiring []expiry

// expires has [Store.Run] delete the rows of a table whose column has passed.
func expires(table, column string) expiry {
	e := expiry{table, fmt.Sprintf(
		`DELETE FROM %[1]s WHERE rowid IN (SELECT rowid FROM %[1]s WHERE %[2]s > 0 AND %[2]s <= ? LIMIT %[3]d)`, table, column, maxExpired)}
	expiring = append(expiring, e)
	return e
}

// Run deletes what has expired until ctx ends; then it returns nil.
func (s *Store) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Error("what has expired was not deleted", "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(tendEvery):
		}
	}
	return nil
}

// Expire deletes all that has expired now, in small pieces between the writes of
// others. A table that fails holds up no other; the error names each that did.
func (s *Store) Expire(ctx context.Context) error {
	now := stamp(s.config.Now())
	var faults []error
	for _, e := range expiring {
		if err := s.expire(ctx, e, now); err != nil {
			faults = append(faults, fmt.Errorf("table %s: %w", e.table, err))
		}
	}
	return errors.Join(faults...)
}

func (s *Store) expire(ctx context.Context, e expiry, now int64) error {
	for n := int64(maxExpired); n == maxExpired; {
		err := s.write(ctx, func(w *writing) (err error) {
			n, err = w.exec(e.remove, now)
			return err
		})
		if err != nil {
			return err
		}
		s.figures.expired.Add(float64(n))
	}
	return nil
}
