package sqlite

import (
	"context"
	"time"

	"github.com/svidgate/svidgate/internal/login"
)

// StartAttempt implements [login.Attempts].
func (s people) StartAttempt(ctx context.Context, a login.Attempt) error {
	return s.write(ctx, func(w *writing) error {
		if _, err := w.exec(`DELETE FROM login_attempts WHERE rowid IN (SELECT rowid FROM login_attempts WHERE source = ? ORDER BY used, started DESC LIMIT -1 OFFSET ?)`,
			a.Source[:], login.MaxAttemptsOfSource-1); err != nil {
			return err
		}
		var n int
		if err := w.row(`SELECT count(*) FROM login_attempts WHERE ends > ?`, []any{stamp(a.Started)}, &n); err != nil {
			return err
		}
		if n >= login.MaxAttempts {
			return login.ErrFull
		}
		_, err := w.exec(`INSERT INTO login_attempts (state, browser, source, provider, kept, started, used, ends) VALUES (?, ?, ?, ?, ?, ?, 0, ?)`,
			a.State[:], a.Browser[:], a.Source[:], a.Provider, a.Kept, stamp(a.Started), stamp(a.Started.Add(login.AttemptMost)))
		return err
	})
}

// UseAttempt implements [login.Attempts].
func (s people) UseAttempt(ctx context.Context, state, browser login.Digest, now time.Time) (login.Attempt, error) {
	a := login.Attempt{State: state, Browser: browser}
	err := s.write(ctx, func(w *writing) error {
		var started, used int64
		err := w.row(`SELECT provider, kept, started, used FROM login_attempts WHERE state = ? AND browser = ? AND ends > ?`, []any{state[:], browser[:], stamp(now)},
			&a.Provider, &a.Kept, &started, &used)
		if err != nil {
			return none(err)
		}
		a.Started, a.Used = when(started), used != 0
		_, err = w.exec(`UPDATE login_attempts SET used = 1 WHERE state = ?`, state[:])
		return err
	})
	if err != nil {
		return login.Attempt{}, err
	}
	return a, nil
}
