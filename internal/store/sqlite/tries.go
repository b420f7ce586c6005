package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/svidgate/svidgate/internal/login"
)

// maxTries is how many counts of tries are kept; the one that is forgotten first
// makes room.
const maxTries = 100_000

// Try implements [login.Tries].
func (s people) Try(ctx context.Context, limits []login.Limit, now time.Time) (counts []login.Count, wait time.Duration, err error) {
	var longest time.Duration
	err = s.write(ctx, func(w *writing) error {
		longest, counts = 0, nil // it may run more than once
		failures, before := make([]int, len(limits)), make([]time.Time, len(limits))
		for i, l := range limits {
			var until int64
			err := w.row(`SELECT failures, wait FROM login_tries WHERE key = ? AND ends > ?`, []any{l.Key[:], stamp(now)}, &failures[i], &until)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			before[i] = when(until)
			if left := before[i].Sub(now); until > 0 && left > longest {
				longest = left
			}
		}
		if longest > 0 {
			return nil
		}
		for i, l := range limits {
			n := failures[i] + 1
			until := now.Add(l.Pause(n))
			if !until.After(now) {
				until = time.Time{}
			}
			if _, err := w.exec(`INSERT INTO login_tries (key, failures, wait, ends) VALUES (?, ?, ?, ?)
				ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, wait = excluded.wait, ends = excluded.ends`,
				l.Key[:], n, stamp(until), stamp(now.Add(login.TriesKept))); err != nil {
				return err
			}
			counts = append(counts, login.Count{Limit: l, Before: before[i], Until: until})
		}
		_, err := w.exec(`DELETE FROM login_tries WHERE rowid IN (SELECT rowid FROM login_tries ORDER BY ends LIMIT max(0, (SELECT count(*) FROM login_tries) - ?))`, maxTries)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return counts, longest, nil
}

// Passed implements [login.Tries].
func (s people) Passed(ctx context.Context, counts []login.Count) error {
	return s.write(ctx, func(w *writing) error {
		for _, c := range counts {
			query, args := `DELETE FROM login_tries WHERE key = ?`, []any{c.Key[:]}
			if c.Shared { // a pause that another's try began meanwhile stays
				query = `UPDATE login_tries SET failures = max(0, failures - 1), wait = CASE wait WHEN ? THEN ? ELSE wait END WHERE key = ?`
				args = []any{stamp(c.Until), stamp(c.Before), c.Key[:]}
			}
			if _, err := w.exec(query, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
