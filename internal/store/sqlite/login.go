package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/login"
)

// people is a Store as [login.State].
type people struct{ *Store }

// People is the store of people who sign in.
func (s *Store) People() login.State { return people{s} }

var (
	_ = expires("login_sessions", "ends")
	_ = expires("login_attempts", "ends")
	_ = expires("login_tries", "ends")
	_ = expires("login_consents", "ends")
)

// maxTries is how many counts of tries are kept; the one that is forgotten first
// makes room.
const maxTries = 100_000

// AddUser implements [login.Users].
func (s people) AddUser(ctx context.Context, u login.User) error {
	return s.write(ctx, func(w *writing) error {
		var n int
		if err := w.row(`SELECT count(*) FROM login_users`, nil, &n); err != nil {
			return err
		}
		if n >= login.MaxUsers {
			return login.ErrFull
		}
		added, err := w.exec(`INSERT INTO login_users (name, password, created, changed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			u.Name, u.Password, stamp(u.Created), stamp(u.Changed))
		if err == nil && added == 0 {
			return login.ErrExists
		}
		return err
	})
}

// User implements [login.Users].
func (s people) User(ctx context.Context, name string) (login.User, error) {
	u := login.User{Name: name}
	err := s.read(ctx, func(r *reading) error {
		var created, changed int64
		err := r.row(`SELECT password, created, changed FROM login_users WHERE name = ?`, []any{name}, &u.Password, &created, &changed)
		u.Created, u.Changed = when(created), when(changed)
		return none(err)
	})
	if err != nil {
		return login.User{}, err
	}
	return u, nil
}

// none says that there is none in the word of the package that asked.
func none(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return login.ErrNone
	}
	return err
}

// Users implements [login.Users].
func (s people) Users(ctx context.Context) ([]login.User, error) {
	var all []login.User
	err := s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT name, password, created, changed FROM login_users ORDER BY name`, nil, func(scan func(...any) error) error {
			var u login.User
			var created, changed int64
			err := scan(&u.Name, &u.Password, &created, &changed)
			u.Created, u.Changed = when(created), when(changed)
			all = append(all, u)
			return err
		})
	})
	return all, err
}

// ChangePassword implements [login.Users].
func (s people) ChangePassword(ctx context.Context, u login.User) error {
	return s.write(ctx, func(w *writing) error {
		n, err := w.exec(`UPDATE login_users SET password = ?, changed = ? WHERE name = ?`, u.Password, stamp(u.Changed), u.Name)
		if err != nil {
			return err
		}
		if n == 0 {
			return login.ErrNone
		}
		_, err = w.exec(`DELETE FROM login_sessions WHERE subject = ?`, u.Subject())
		return err
	})
}

// RemoveUser implements [login.Users].
func (s people) RemoveUser(ctx context.Context, name string, now time.Time) (login.Ended, error) {
	subject := login.User{Name: name}.Subject()
	var ended login.Ended
	before, err := s.revokeMost(ctx, subject, "", now)
	if err != nil {
		return login.Ended{}, err
	}
	err = s.write(ctx, func(w *writing) error {
		n, err := w.exec(`DELETE FROM login_users WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n == 0 {
			return login.ErrNone
		}
		if ended, err = withdraw(w, subject, "", now); err != nil {
			return err
		}
		n, err = w.exec(`DELETE FROM login_sessions WHERE subject = ?`, subject)
		ended.Sessions, ended.Grants = int(n), ended.Grants+before
		return err
	})
	if err != nil {
		return login.Ended{}, err
	}
	return ended, nil
}

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

// GiveConsent implements [login.Consents].
func (s people) GiveConsent(ctx context.Context, c login.Consent) error {
	return s.write(ctx, func(w *writing) error { return giveConsent(w, c) })
}

func giveConsent(w *writing, c login.Consent) error {
	var before string
	err := w.row(`SELECT scope FROM login_consents WHERE subject = ? AND client_id = ? AND resource = ? AND ends > ?`, []any{c.Subject, c.ClientID, c.Resource, stamp(c.Given)}, &before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	scope := append(strings.Fields(before), c.Scope...)
	slices.Sort(scope)
	scope = slices.Compact(scope)
	if _, err := w.exec(`INSERT INTO login_consents (subject, client_id, resource, scope, given, ends) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (subject, client_id, resource) DO UPDATE SET scope = excluded.scope, given = excluded.given, ends = excluded.ends`,
		c.Subject, c.ClientID, c.Resource, strings.Join(scope, " "), stamp(c.Given), stamp(c.Ends())); err != nil {
		return err
	}
	_, err = w.exec(`DELETE FROM login_consents WHERE rowid IN (SELECT rowid FROM login_consents WHERE subject = ? ORDER BY given DESC, rowid DESC LIMIT -1 OFFSET ?)`,
		c.Subject, login.MaxConsents)
	return err
}

// Consent implements [login.Consents].
func (s people) Consent(ctx context.Context, subject, clientID, resource string, now time.Time) (login.Consent, error) {
	c := login.Consent{Subject: subject, ClientID: clientID, Resource: resource}
	err := s.read(ctx, func(r *reading) error {
		var scope string
		var given int64
		err := r.row(`SELECT scope, given FROM login_consents WHERE subject = ? AND client_id = ? AND resource = ? AND ends > ?`, []any{subject, clientID, resource, stamp(now)}, &scope, &given)
		c.Scope, c.Given = strings.Fields(scope), when(given)
		return none(err)
	})
	if err != nil {
		return login.Consent{}, err
	}
	return c, nil
}

// Consents implements [login.Consents].
func (s people) Consents(ctx context.Context, subject string, now time.Time) ([]login.Consent, error) {
	var all []login.Consent
	err := s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT client_id, resource, scope, given FROM login_consents WHERE subject = ? AND ends > ?`, []any{subject, stamp(now)}, func(scan func(...any) error) error {
			c := login.Consent{Subject: subject}
			var scope string
			var given int64
			err := scan(&c.ClientID, &c.Resource, &scope, &given)
			c.Scope, c.Given = strings.Fields(scope), when(given)
			all = append(all, c)
			return err
		})
	})
	slices.SortFunc(all, func(a, b login.Consent) int {
		return cmp.Or(b.Given.Compare(a.Given), cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Resource, b.Resource))
	})
	return all, err
}

// Withdraw implements [login.Consents].
func (s people) Withdraw(ctx context.Context, subject, clientID string, now time.Time) (login.Ended, error) {
	before, err := s.revokeMost(ctx, subject, clientID, now)
	if err != nil {
		return login.Ended{}, err
	}
	var ended login.Ended
	err = s.write(ctx, func(w *writing) (err error) {
		ended, err = withdraw(w, subject, clientID, now)
		ended.Grants += before
		return err
	})
	if err != nil {
		return login.Ended{}, err
	}
	return ended, nil
}

// piece is how many grants one unit revokes, so that others can write in between.
const piece = 1000

// revokeMost revokes the grants of a person for a client, or for all, piece by piece
// until few are left, and says how many. What is left is revoked in the unit after
// which no more can be made.
func (s people) revokeMost(ctx context.Context, subject, clientID string, now time.Time) (int, error) {
	revoked := 0
	for {
		var few bool
		err := s.read(ctx, func(r *reading) error {
			var n int
			err := r.row(`SELECT count(*) FROM (SELECT 1 FROM grants WHERE `+ofPerson+` LIMIT ?)`, []any{subject, stamp(now), clientID, clientID, piece}, &n)
			few = n < piece
			return err
		})
		if err != nil || few {
			return revoked, err
		}
		var n int64
		err = s.write(ctx, func(w *writing) (err error) {
			n, err = w.exec(`UPDATE grants SET revoked = ?, refresh_salt = NULL WHERE rowid IN (SELECT rowid FROM grants WHERE `+ofPerson+` LIMIT ?)`,
				stamp(now), subject, stamp(now), clientID, clientID, piece)
			return err
		})
		if err != nil {
			return revoked, err
		}
		revoked += int(n)
	}
}

// ofPerson are the grants in force of a person for a client, or for all.
const ofPerson = `user = ? AND revoked = 0 AND expires > ? AND (client_id = ? OR ? = '')`

func withdraw(w *writing, subject, clientID string, now time.Time) (login.Ended, error) {
	consents, err := w.exec(`DELETE FROM login_consents WHERE subject = ? AND (client_id = ? OR ? = '')`, subject, clientID, clientID)
	if err != nil {
		return login.Ended{}, err
	}
	grants, err := w.exec(`UPDATE grants SET revoked = ?, refresh_salt = NULL WHERE `+ofPerson,
		stamp(now), subject, stamp(now), clientID, clientID)
	return login.Ended{Consents: int(consents), Grants: int(grants)}, err
}
