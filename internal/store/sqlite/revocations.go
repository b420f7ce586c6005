package sqlite

import (
	"context"
	"time"

	"github.com/svidgate/svidgate/internal/revocation"
)

var (
	_ = expires("revocations", "expires")

	_ revocation.Store = (*Store)(nil)
)

// AddRevocation is that of revocation.Store.
func (s *Store) AddRevocation(ctx context.Context, e revocation.Entry) error {
	return s.write(ctx, func(w *writing) error {
		_, err := w.exec(`INSERT INTO revocations (kind, value, before, expires, reason, by) VALUES (?, ?, ?, ?, ?, ?)`,
			string(e.Kind), e.Value, stamp(e.Before), stamp(e.Expires), e.Reason, e.By)
		return err
	})
}

// Revocations is that of revocation.Store. There is one writer, so positions are seen
// in the order in which they are given.
func (s *Store) Revocations(ctx context.Context, after int64, now time.Time, limit int) (entries []revocation.Entry, position int64, err error) {
	position = after
	err = s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT position, kind, value, before, expires, reason, by FROM revocations WHERE position > ? AND expires > ? ORDER BY position LIMIT ?`,
			[]any{after, stamp(now), limit}, func(scan func(...any) error) error {
				var e revocation.Entry
				var before, expires int64
				if err := scan(&position, &e.Kind, &e.Value, &before, &expires, &e.Reason, &e.By); err != nil {
					return err
				}
				e.Before, e.Expires = when(before), when(expires)
				entries = append(entries, e)
				return nil
			})
	})
	if err != nil {
		return nil, after, err
	}
	return entries, position, nil
}
