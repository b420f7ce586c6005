package sqlite

import (
	"context"
	"time"

	"github.com/svidgate/svidgate/internal/login"
)

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
