package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/registration"
)

// archiveFor is how long a record that has ended is kept.
const archiveFor = 365 * 24 * time.Hour

var (
	_ = expires("client_archive", "expires")

	_ registration.Records = (*Store)(nil)
)

// Why a record ended.
const (
	endedIdle      = "idle"
	endedDeleted   = "deleted"
	endedWithdrawn = "withdrawn"
)

// RegisterClient is [registration.Records].
func (s *Store) RegisterClient(ctx context.Context, r registration.Record, quota registration.Quota) (kept registration.Record, made bool, err error) {
	err = s.write(ctx, func(w *writing) error {
		kept, made = registration.Record{}, false
		id := r.SPIFFEID.String()
		if err := w.mayRegister(id); err != nil {
			return err
		}
		before, err := w.clientRecord(registration.FirstUseKind, r.ClientID, id)
		switch {
		case errors.Is(err, registration.ErrNoRecord):
		case err != nil:
			return err
		case before.Lapsed(r.Created, quota.Idle):
			if err := w.endClient(before, r.Created, endedIdle); err != nil {
				return err
			}
		case r.State.Above(before.State):
			kept, made = r, true
			kept.Methods |= before.Methods
			kept.Raised = &before
			return w.replaceClient(kept)
		case before.Methods.Has(r.Methods):
			kept = before
			return nil
		default:
			kept = before
			kept.Methods |= r.Methods
			if err := w.replaceClient(kept); err != nil {
				return err
			}
			return w.changed(id, r.Created)
		}
		kept, made = r, true
		return w.newClient(r, quota, true)
	})
	if err != nil {
		return registration.Record{}, false, err
	}
	return kept, made, nil
}

// newClient inserts a record of first use within the quota; an operator's hand is not
// held to the rate.
func (w *writing) newClient(r registration.Record, quota registration.Quota, rated bool) error {
	td := r.SPIFFEID.TrustDomain().Name()
	var n, next int64
	err := w.row(`SELECT active + pending + observed, next_new FROM client_counts WHERE trust_domain = ?`, []any{td}, &n, &next)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if n >= int64(quota.MaxClients) {
		return registration.ErrMaxClients
	}
	if err := w.insertClient(r); err != nil || quota.NewClients <= 0 || !rated {
		return err
	}
	// Room for NewClients at once, and one more each time this long has gone by.
	now, each := r.Created.UnixNano(), int64(quota.Per)/int64(quota.NewClients)
	if next = max(next, now) + each; next-now > int64(quota.Per) {
		return registration.ErrNewClients // undoes the insert
	}
	_, err = w.exec(`UPDATE client_counts SET next_new = ? WHERE trust_domain = ?`, next, td)
	return err
}

// endClient moves a record to the archive.
func (w *writing) endClient(r registration.Record, now time.Time, why string) error {
	_, err := w.exec(`INSERT INTO client_archive (expires, archived, why, `+recordKey+`, `+recordValues+`)
		SELECT ?, ?, ?, `+recordKey+`, `+recordValues+` FROM client_records WHERE `+thisRecord,
		slices.Concat([]any{stamp(now.Add(archiveFor)), stamp(now), why}, keyOf(r))...)
	if err != nil {
		return err
	}
	_, err = w.exec(`DELETE FROM client_records WHERE `+thisRecord, keyOf(r)...)
	return err
}

// WithdrawClient is [registration.Records].
func (s *Store) WithdrawClient(ctx context.Context, made registration.Record) error {
	return s.write(ctx, func(w *writing) error {
		now, err := w.clientRecord(made.Kind, made.ClientID, made.SPIFFEID.String())
		switch {
		case errors.Is(err, registration.ErrNoRecord):
			return nil
		case err != nil:
			return err
		case stamp(now.Created) != stamp(made.Created) || now.CredentialDigest != made.CredentialDigest || now.State != made.State:
			return nil
		}
		if made.Raised != nil {
			back := *made.Raised
			back.Methods |= now.Methods
			err = w.replaceClient(back)
		} else {
			err = w.endClient(now, made.Created, endedWithdrawn)
		}
		if err != nil {
			return err
		}
		return w.changed(made.ClientID, made.Created)
	})
}

// ApproveClient is [registration.Records].
func (s *Store) ApproveClient(ctx context.Context, r registration.Record, quota registration.Quota) (kept registration.Record, err error) {
	err = s.write(ctx, func(w *writing) error {
		id := r.SPIFFEID.String()
		against := w.mayRegister(id)
		if against != nil && !errors.Is(against, registration.ErrDeleted) {
			return against
		}
		before, err := w.clientRecord(registration.FirstUseKind, r.ClientID, id)
		switch {
		case errors.Is(err, registration.ErrNoRecord) && against == nil:
			return registration.ErrNoRecord
		case errors.Is(err, registration.ErrNoRecord):
			if _, err := w.exec(`DELETE FROM client_blocks WHERE subject = ? AND deleted = 1`, id); err != nil {
				return err
			}
			kept = r
			if err := w.newClient(r, quota, false); err != nil {
				return err
			}
		case err != nil:
			return err
		default: // what it first came with stays known
			kept = before
			kept.State, kept.Used, kept.ApprovedBy, kept.Approved = registration.Active, r.Used, r.ApprovedBy, r.Approved
			kept.Template, kept.TemplateDigest = r.Template, r.TemplateDigest
			if err := w.replaceClient(kept); err != nil {
				return err
			}
		}
		return w.changed(id, r.Approved)
	})
	if err != nil {
		return registration.Record{}, err
	}
	return kept, nil
}

// DeleteClient is [registration.Records].
func (s *Store) DeleteClient(ctx context.Context, tombstone registration.Block) (ended registration.Record, err error) {
	err = s.write(ctx, func(w *writing) (err error) {
		if ended, err = w.clientRecord(registration.FirstUseKind, tombstone.Subject, tombstone.Subject); err != nil {
			return err
		}
		if err := w.endClient(ended, tombstone.At, endedDeleted); err != nil {
			return err
		}
		return w.setBlock(tombstone)
	})
	if err != nil {
		return registration.Record{}, err
	}
	return ended, nil
}

// NoteUses is [registration.Records].
func (s *Store) NoteUses(ctx context.Context, uses []registration.Use) error {
	return s.write(ctx, func(w *writing) error {
		for _, u := range uses {
			if err := w.noteUse(u); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writing) noteUse(u registration.Use) error {
	id := u.SPIFFEID.String()
	n, err := w.exec(`UPDATE client_records SET used = max(used, ?), methods = methods | ?, recorded = max(recorded, ?) WHERE `+thisRecord,
		stamp(u.At), int64(u.Methods), u.Recorded, id, string(u.Kind), u.ClientID)
	if err != nil || n > 0 || u.Kind != registration.MemberKind {
		return err
	}
	var members int64
	err = w.row(`SELECT members FROM client_counts WHERE trust_domain = ?`, []any{u.SPIFFEID.TrustDomain().Name()}, &members)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if members >= registration.MaxMembers {
		return nil
	}
	return w.insertClient(registration.Record{
		Kind: registration.MemberKind, State: registration.Active, ClientID: u.ClientID, SPIFFEID: u.SPIFFEID, Methods: u.Methods, Created: u.At, Used: u.At,
	})
}

// LapseClients is [registration.Records].
func (s *Store) LapseClients(ctx context.Context, td spiffeid.TrustDomain, idle time.Duration, now time.Time, limit int) (n int, err error) {
	waited := stamp(now.Add(-registration.WaitFor))
	err = s.write(ctx, func(w *writing) error {
		n = 0
		lapsed, err := w.clientRecords(selectRecords+`trust_domain = ?
			AND (state = 'active' AND used <= ? OR state = 'pending' AND used <= ? OR state = 'observed' AND used <= ?) LIMIT ?`,
			td.Name(), stamp(now.Add(-idle)), waited, waited, limit)
		if err != nil {
			return err
		}
		for _, r := range lapsed {
			if err := w.endClient(r, now, endedIdle); err != nil {
				return err
			}
		}
		n = len(lapsed)
		return nil
	})
	return n, err
}
