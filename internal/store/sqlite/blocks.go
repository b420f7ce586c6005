package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/svidgate/svidgate/internal/registration"
)

var _ = expires("client_changes", "expires")

func (r *reading) blocksOf(subject string) (found []registration.Block, err error) {
	err = r.rows(`SELECT subject, deleted, reason, made_by, at FROM client_blocks WHERE subject = ? ORDER BY deleted`, []any{subject}, eachBlock(&found))
	return found, err
}

func eachBlock(into *[]registration.Block) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var b registration.Block
		var at int64
		err := scan(&b.Subject, &b.Deleted, &b.Reason, &b.By, &at)
		b.At = when(at)
		*into = append(*into, b)
		return err
	}
}

// mayRegister says what stands against a SPIFFE ID.
func (r *reading) mayRegister(subject string) error {
	blocks, err := r.blocksOf(subject)
	switch {
	case err != nil || len(blocks) == 0:
		return err
	case blocks[0].Deleted: // alone
		return registration.ErrDeleted
	}
	return registration.ErrBlocked
}

// SetBlock is [registration.Records].
func (s *Store) SetBlock(ctx context.Context, b registration.Block) error {
	return s.write(ctx, func(w *writing) error { return w.setBlock(b) })
}

func (w *writing) setBlock(b registration.Block) error {
	var n int64
	if err := w.row(`SELECT count(*) FROM client_blocks WHERE (subject, deleted) <> (?, ?)`, []any{b.Subject, b.Deleted}, &n); err != nil {
		return err
	}
	if n >= registration.MaxBlocks {
		return registration.ErrMaxBlocks
	}
	_, err := w.exec(`INSERT INTO client_blocks (subject, deleted, reason, made_by, at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (subject, deleted) DO UPDATE SET reason = excluded.reason, made_by = excluded.made_by, at = excluded.at`,
		b.Subject, b.Deleted, b.Reason, b.By, stamp(b.At))
	if err != nil {
		return err
	}
	return w.changed(b.Subject, b.At)
}

// RemoveBlock is [registration.Records].
func (s *Store) RemoveBlock(ctx context.Context, subject string, now time.Time) error {
	return s.write(ctx, func(w *writing) error {
		blocks, err := w.blocksOf(subject)
		switch {
		case err != nil:
			return err
		case len(blocks) == 0:
			return registration.ErrNoRecord
		case blocks[0].Deleted:
			return registration.ErrDeleted
		}
		if _, err := w.exec(`DELETE FROM client_blocks WHERE subject = ? AND deleted = 0`, subject); err != nil {
			return err
		}
		return w.changed(subject, now)
	})
}

// BlocksOf is [registration.Records].
func (s *Store) BlocksOf(ctx context.Context, subject string) (found []registration.Block, err error) {
	err = s.read(ctx, func(r *reading) (err error) {
		found, err = r.blocksOf(subject)
		return err
	})
	return found, err
}

// ClientBlocks is [registration.Records].
func (s *Store) ClientBlocks(ctx context.Context, after registration.BlockKey, limit int) (found []registration.Block, err error) {
	err = s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT subject, deleted, reason, made_by, at FROM client_blocks WHERE (subject, deleted) > (?, ?) ORDER BY subject, deleted LIMIT ?`,
			[]any{after.Subject, after.Deleted, limit}, eachBlock(&found))
	})
	return found, err
}

// changed tells other processes.
func (w *writing) changed(subject string, now time.Time) error {
	_, err := w.exec(`INSERT INTO client_changes (subject, expires) VALUES (?, ?)`, subject, stamp(now.Add(registration.ChangesKept)))
	return err
}

// ClientChanges is [registration.Records].
func (s *Store) ClientChanges(ctx context.Context, after int64, limit int) (subjects []string, last int64, err error) {
	last = after
	err = s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT number, subject FROM client_changes WHERE number > ? ORDER BY number LIMIT ?`, []any{after, limit},
			func(scan func(into ...any) error) error {
				var subject string
				err := scan(&last, &subject)
				subjects = append(subjects, subject)
				return err
			})
	})
	return subjects, last, err
}

// LastClientChange is [registration.Records].
func (s *Store) LastClientChange(ctx context.Context) (last int64, err error) {
	err = s.read(ctx, func(r *reading) error {
		err := r.row(`SELECT seq FROM sqlite_sequence WHERE name = 'client_changes'`, nil, &last)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return last, err
}
