package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/login"
)

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
