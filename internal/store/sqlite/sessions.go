package sqlite

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/login"
)

// StartSession implements [login.Sessions].
func (s people) StartSession(ctx context.Context, n login.Session, before login.Digest) error {
	amr, err := json.Marshal(n.AMR)
	if err != nil {
		return err
	}
	return s.write(ctx, func(w *writing) error {
		if _, err := w.exec(`DELETE FROM login_sessions WHERE digest = ?`, before[:]); err != nil {
			return err
		}
		if name, local := strings.CutPrefix(n.Subject, login.Local+":"); local { // who was removed meanwhile, or has another password, does not come in
			var u login.User
			if err := w.row(`SELECT password FROM login_users WHERE name = ?`, []any{name}, &u.Password); err != nil {
				return none(err)
			}
			if u.Credential() != n.Credential {
				return login.ErrNone
			}
		}
		if _, err := w.exec(`DELETE FROM login_sessions WHERE rowid IN (SELECT rowid FROM login_sessions WHERE subject = ? ORDER BY started DESC LIMIT -1 OFFSET ?)`,
			n.Subject, login.MaxSessions-1); err != nil {
			return err
		}
		_, err := w.exec(`INSERT INTO login_sessions (digest, subject, provider, name, auth_time, amr, acr, started, seen, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			n.Digest[:], n.Subject, n.Provider, n.Name, stamp(n.AuthTime), string(amr), n.ACR, stamp(n.Started), stamp(n.Seen), stamp(n.Ends()))
		return err
	})
}

// Session implements [login.Sessions].
func (s people) Session(ctx context.Context, digest login.Digest, now time.Time) (login.Session, error) {
	found := login.Session{Digest: digest}
	err := s.read(ctx, func(r *reading) error {
		var authTime, started, seen int64
		var amr string
		err := r.row(`SELECT subject, provider, name, auth_time, amr, acr, started, seen FROM login_sessions WHERE digest = ? AND ends > ?`, []any{digest[:], stamp(now)},
			&found.Subject, &found.Provider, &found.Name, &authTime, &amr, &found.ACR, &started, &seen)
		if err != nil {
			return none(err)
		}
		found.AuthTime, found.Started, found.Seen = when(authTime), when(started), when(seen)
		return json.Unmarshal([]byte(amr), &found.AMR)
	})
	if err != nil {
		return login.Session{}, err
	}
	return found, nil
}

// SeeSession implements [login.Sessions].
func (s people) SeeSession(ctx context.Context, n login.Session) error {
	return s.write(ctx, func(w *writing) error {
		_, err := w.exec(`UPDATE login_sessions SET seen = max(seen, ?), ends = max(ends, ?) WHERE digest = ? AND ends > ?`, stamp(n.Seen), stamp(n.Ends()), n.Digest[:], stamp(n.Seen))
		return err
	})
}

// EndSession implements [login.Sessions].
func (s people) EndSession(ctx context.Context, digest login.Digest) error {
	return s.write(ctx, func(w *writing) error {
		_, err := w.exec(`DELETE FROM login_sessions WHERE digest = ?`, digest[:])
		return err
	})
}

// EndSessions implements [login.Sessions].
func (s people) EndSessions(ctx context.Context, subject string) (int, error) {
	var n int64
	err := s.write(ctx, func(w *writing) (err error) {
		n, err = w.exec(`DELETE FROM login_sessions WHERE subject = ?`, subject)
		return err
	})
	return int(n), err
}
