package sqlite

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/login"
)

var (
	_ = expires("pushed_requests", "expires")
	_ = expires("grants", "expires")
)

// records is a Store as [authorization.Records].
type records struct{ *Store }

// Authorizations is the store of what people grant.
func (s *Store) Authorizations() authorization.Records { return records{s} }

// Push implements [authorization.Records].
func (s records) Push(ctx context.Context, p authorization.Pushed, now time.Time) error {
	return s.write(ctx, func(w *writing) error {
		var open int64
		if err := w.row(`SELECT count(*) FROM (SELECT 1 FROM pushed_requests WHERE client_id = ? AND expires > ? LIMIT ?)`,
			[]any{p.ClientID, stamp(now), authorization.MaxPushed}, &open); err != nil {
			return err
		}
		if open >= authorization.MaxPushed {
			return authorization.ErrFull
		}
		// There are no more than that to look through.
		if err := w.row(`SELECT count(*) FROM pushed_requests WHERE client_id = ? AND expires > ? AND spiffe_id = ? AND source = ?`,
			[]any{p.ClientID, stamp(now), p.SPIFFEID, p.Source}, &open); err != nil {
			return err
		}
		if open >= int64(p.Room()) {
			return authorization.ErrFull
		}
		_, err := w.exec(`INSERT INTO pushed_requests (uri, client_id, spiffe_id, source, key, parameters, opened, expires) VALUES (?, ?, ?, ?, ?, ?, 0, ?)`,
			p.URI[:], p.ClientID, p.SPIFFEID, p.Source, p.Key, p.Parameters, stamp(p.ExpiresAt))
		return err
	})
}

// Open implements [authorization.Records].
func (s records) Open(ctx context.Context, uri authorization.Digest, now, until time.Time) (authorization.Pushed, error) {
	var p authorization.Pushed
	var opened bool
	err := s.read(ctx, func(r *reading) (err error) { // a reload writes nothing
		p, opened, err = pushed(r, uri, now)
		return err
	})
	if err != nil || opened {
		return p, err
	}
	err = s.write(ctx, func(w *writing) (err error) {
		if p, opened, err = pushed(&w.reading, uri, now); err != nil || opened {
			return err
		}
		p.ExpiresAt = until
		_, err = w.exec(`UPDATE pushed_requests SET opened = 1, expires = ? WHERE uri = ?`, stamp(until), uri[:])
		return err
	})
	return p, err
}

func pushed(r *reading, uri authorization.Digest, now time.Time) (p authorization.Pushed, opened bool, err error) {
	var until int64
	err = r.row(`SELECT client_id, spiffe_id, source, key, parameters, opened, expires FROM pushed_requests WHERE uri = ? AND expires > ?`,
		[]any{uri[:], stamp(now)}, &p.ClientID, &p.SPIFFEID, &p.Source, &p.Key, &p.Parameters, &opened, &until)
	if errors.Is(err, sql.ErrNoRows) {
		return authorization.Pushed{}, false, authorization.ErrNotFound
	}
	p.URI, p.ExpiresAt = uri, when(until)
	return p, opened, err
}

// Create implements [authorization.Records].
func (s records) Create(ctx context.Context, g authorization.Grant, by authorization.Permission, uri authorization.Digest, now time.Time) error {
	return s.write(ctx, func(w *writing) error {
		if err := permitted(w, g, by, now); err != nil {
			return err
		}
		if uri != (authorization.Digest{}) {
			if err := complete(w, uri, now); err != nil {
				return err
			}
		}
		// A flood of codes that nobody redeems removes itself, not what is in use.
		if _, err := w.exec(`DELETE FROM grants WHERE rowid IN (SELECT rowid FROM grants WHERE user = ? AND client_id = ? AND redeemed = 0
				ORDER BY revoked = 0 DESC, issued DESC, rowid DESC LIMIT -1 OFFSET ?)`,
			g.Subject.User, g.ClientID, authorization.MaxWaiting-1); err != nil {
			return err
		}
		_, err := w.exec(`INSERT INTO grants (id, client_id, spiffe_id, key, user, auth_time, amr, acr, scope, resource, issued, expires, revoked,
				code, redirect_uri, challenge, code_expires, redeemed, refresh_rotated, refresh_idle, refresh_expires)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 0, 0, 0, 0)`,
			g.ID, g.ClientID, g.SPIFFEID, g.Key, g.Subject.User, stamp(g.Subject.AuthTime), strings.Join(g.Subject.AMR, " "), g.Subject.ACR,
			strings.Join(g.Scope, " "), g.Resource, stamp(g.IssuedAt), stamp(g.ExpiresAt),
			g.Code.Digest[:], g.Code.RedirectURI, g.Code.Challenge, stamp(g.Code.ExpiresAt))
		return err
	})
}

// permitted holds a grant to the session and to what the person agreed to, as they
// are in this unit.
func permitted(w *writing, g authorization.Grant, by authorization.Permission, now time.Time) error {
	var one int
	err := w.row(`SELECT 1 FROM login_sessions WHERE digest = ? AND subject = ? AND ends > ?`, []any{by.Session[:], g.Subject.User, stamp(now)}, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return authorization.ErrSignedOut
	}
	if err != nil {
		return err
	}
	agreed := login.Consent{Subject: g.Subject.User, ClientID: g.ClientID, Resource: g.Resource, Scope: g.Scope, Given: now}
	if !by.Remembered {
		return giveConsent(w, agreed)
	}
	var scope string
	err = w.row(`SELECT scope FROM login_consents WHERE subject = ? AND client_id = ? AND resource = ? AND ends > ?`,
		[]any{agreed.Subject, agreed.ClientID, agreed.Resource, stamp(now)}, &scope)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if agreed.Scope = strings.Fields(scope); err != nil || !agreed.Covers(g.Scope) {
		return authorization.ErrNotAgreed
	}
	return nil
}

// Complete implements [authorization.Records].
func (s records) Complete(ctx context.Context, uri authorization.Digest, now time.Time) error {
	return s.write(ctx, func(w *writing) error { return complete(w, uri, now) })
}

func complete(w *writing, uri authorization.Digest, now time.Time) error {
	n, err := w.exec(`DELETE FROM pushed_requests WHERE uri = ? AND expires > ?`, uri[:], stamp(now))
	if err == nil && n == 0 {
		return authorization.ErrCompleted
	}
	return err
}

const grantColumns = `SELECT id, client_id, spiffe_id, key, user, auth_time, amr, acr, scope, resource, issued, expires, revoked,
	code, redirect_uri, challenge, code_expires, redeemed,
	refresh_family, refresh_current, refresh_previous, refresh_salt, refresh_rotated, refresh_idle, refresh_expires FROM grants WHERE `

const (
	grantByID      = grantColumns + `id = ? AND expires > ?`
	grantByCode    = grantColumns + `code = ? AND expires > ?`
	grantByRefresh = grantColumns + `refresh_family = ? AND expires > ?`
)

// ByID implements [authorization.Records].
func (s records) ByID(ctx context.Context, id string, now time.Time) (authorization.Grant, error) {
	return s.grant(ctx, grantByID, id, now)
}

// ByCode implements [authorization.Records].
func (s records) ByCode(ctx context.Context, code authorization.Digest, now time.Time) (authorization.Grant, error) {
	return s.grant(ctx, grantByCode, code[:], now)
}

// ByRefreshToken implements [authorization.Records].
func (s records) ByRefreshToken(ctx context.Context, family authorization.Digest, now time.Time) (authorization.Grant, error) {
	return s.grant(ctx, grantByRefresh, family[:], now)
}

func (s records) grant(ctx context.Context, query string, key any, now time.Time) (g authorization.Grant, err error) {
	err = s.read(ctx, func(r *reading) error {
		g, err = readGrant(r, query, key, now)
		return err
	})
	return g, err
}

func readGrant(r *reading, query string, key any, now time.Time) (authorization.Grant, error) {
	var g authorization.Grant
	var amr, scope string
	var authTime, issued, until, revoked, codeUntil, redeemed, rotated, idle, refreshUntil int64
	var code, family, current, previous, salt []byte
	err := r.row(query, []any{key, stamp(now)},
		&g.ID, &g.ClientID, &g.SPIFFEID, &g.Key, &g.Subject.User, &authTime, &amr, &g.Subject.ACR, &scope, &g.Resource, &issued, &until, &revoked,
		&code, &g.Code.RedirectURI, &g.Code.Challenge, &codeUntil, &redeemed,
		&family, &current, &previous, &salt, &rotated, &idle, &refreshUntil)
	if errors.Is(err, sql.ErrNoRows) {
		return authorization.Grant{}, authorization.ErrNotFound
	}
	if err != nil {
		return authorization.Grant{}, err
	}
	g.Subject.AuthTime, g.IssuedAt, g.ExpiresAt, g.Code.ExpiresAt = when(authTime), when(issued), when(until), when(codeUntil)
	g.Revoked, g.Code.Redeemed = revoked != 0, redeemed != 0
	g.Subject.AMR, g.Scope = strings.Fields(amr), strings.Fields(scope)
	g.Refresh.RotatedAt, g.Refresh.IdleAt, g.Refresh.ExpiresAt = when(rotated), when(idle), when(refreshUntil)
	copy(g.Code.Digest[:], code)
	copy(g.Refresh.Family[:], family)
	copy(g.Refresh.Current[:], current)
	copy(g.Refresh.Previous[:], previous)
	copy(g.Refresh.Salt[:], salt)
	return g, nil
}

// Redeem implements [authorization.Records].
func (s records) Redeem(ctx context.Context, r authorization.Redemption) error {
	var outcome error // of a unit that is kept
	err := s.write(ctx, func(w *writing) error {
		outcome = nil
		g, err := readGrant(&w.reading, grantByID, r.GrantID, r.Now)
		switch {
		case err != nil:
			return err
		case g.Code.Redeemed: // also of one that is revoked already
			outcome = authorization.ErrUsed
			return revoke(w, r.GrantID, r.Now)
		case g.Revoked:
			return authorization.ErrRevoked
		}
		if _, err := w.exec(`DELETE FROM grants WHERE rowid IN (SELECT rowid FROM grants WHERE user = ? AND client_id = ? AND redeemed != 0
				ORDER BY revoked = 0 AND expires > ? DESC, max(redeemed, refresh_rotated) DESC, rowid DESC LIMIT -1 OFFSET ?)`,
			g.Subject.User, g.ClientID, stamp(r.Now), authorization.MaxGrants-1); err != nil {
			return err
		}
		_, err = w.exec(`UPDATE grants SET redeemed = ?, spiffe_id = ?, key = ?, expires = ?,
				refresh_family = ?, refresh_current = ?, refresh_idle = ?, refresh_expires = ? WHERE id = ?`,
			stamp(r.Now), cmp.Or(g.SPIFFEID, r.SPIFFEID), cmp.Or(g.Key, r.Key), stamp(r.ExpiresAt),
			blob(r.Refresh.Family), blob(r.Refresh.Current), stamp(r.Refresh.IdleAt), stamp(r.Refresh.ExpiresAt), r.GrantID)
		return err
	})
	return cmp.Or(err, outcome)
}

// Rotate implements [authorization.Records].
func (s records) Rotate(ctx context.Context, r authorization.Rotation) (salt [sha256.Size]byte, err error) {
	var outcome error // of a unit that is kept
	err = s.write(ctx, func(w *writing) error {
		outcome, salt = nil, r.Salt
		g, err := readGrant(&w.reading, grantByID, r.GrantID, r.Now)
		switch {
		case err != nil:
			return err
		case g.Revoked:
			return authorization.ErrRevoked
		case g.Refresh.Current == r.From:
		case g.Refresh.Forgives(r.From, r.Grace, r.Now):
			salt = g.Refresh.Salt
			// Somebody else has the successor now, so Unrotate must not take it back.
			_, err = w.exec(`UPDATE grants SET refresh_idle = max(refresh_idle + 1, ?) WHERE id = ?`, stamp(r.IdleAt), r.GrantID)
			return err
		default:
			outcome = authorization.ErrUsed
			return revoke(w, r.GrantID, r.Now)
		}
		if r.From == r.To {
			_, err = w.exec(`UPDATE grants SET refresh_idle = ?, expires = max(expires, ?) WHERE id = ?`, stamp(r.IdleAt), stamp(r.ExpiresAt), r.GrantID)
			return err
		}
		kept := r.Salt
		if r.Grace == 0 {
			kept = [sha256.Size]byte{}
		}
		_, err = w.exec(`UPDATE grants SET refresh_previous = refresh_current, refresh_current = ?, refresh_salt = ?, refresh_rotated = ?, refresh_idle = ?,
				expires = max(expires, ?) WHERE id = ?`,
			blob(r.To), blob(kept), stamp(r.Now), stamp(r.IdleAt), stamp(r.ExpiresAt), r.GrantID)
		return err
	})
	if err = cmp.Or(err, outcome); err != nil {
		return [sha256.Size]byte{}, err
	}
	return salt, nil
}

// Unredeem implements [authorization.Records].
func (s records) Unredeem(ctx context.Context, r authorization.Redemption, before authorization.Grant) error {
	return s.write(ctx, func(w *writing) error {
		_, err := w.exec(`UPDATE grants SET redeemed = 0, spiffe_id = ?, key = ?, expires = ?,
				refresh_family = NULL, refresh_current = NULL, refresh_idle = 0, refresh_expires = 0
			WHERE id = ? AND revoked = 0 AND redeemed = ? AND refresh_current IS ?`,
			before.SPIFFEID, before.Key, stamp(before.ExpiresAt), r.GrantID, stamp(r.Now), blob(r.Refresh.Current))
		return err
	})
}

// Unrotate implements [authorization.Records].
func (s records) Unrotate(ctx context.Context, r authorization.Rotation, before authorization.RefreshState) error {
	return s.write(ctx, func(w *writing) error {
		_, err := w.exec(`UPDATE grants SET refresh_current = ?, refresh_previous = ?, refresh_salt = ?, refresh_rotated = ?, refresh_idle = ?
			WHERE id = ? AND revoked = 0 AND refresh_current = ? AND refresh_idle = ?`,
			blob(before.Current), blob(before.Previous), blob(before.Salt), stamp(before.RotatedAt), stamp(before.IdleAt),
			r.GrantID, blob(r.To), stamp(r.IdleAt))
		return err
	})
}

// Revoke implements [authorization.Records].
func (s records) Revoke(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func(w *writing) error { return revoke(w, id, now) })
}

func revoke(w *writing, id string, now time.Time) error {
	_, err := w.exec(`UPDATE grants SET revoked = ?, refresh_salt = NULL WHERE id = ? AND revoked = 0`, stamp(now), id)
	return err
}

// blob is a value of 32 bytes, NULL where it is zero.
func blob[B ~[sha256.Size]byte](b B) any {
	if b == (B{}) {
		return nil
	}
	return b[:]
}
