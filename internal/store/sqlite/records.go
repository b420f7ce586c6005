package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/oauth"
)

// archiveFor is how long a record that has ended is kept.
const archiveFor = 365 * 24 * time.Hour

var (
	_ = expires("client_archive", "expires")
	_ = expires("client_changes", "expires")

	_ registration.Records = (*Store)(nil)
)

// Why a record ended.
const (
	endedIdle      = "idle"
	endedDeleted   = "deleted"
	endedWithdrawn = "withdrawn"
)

// clientRecord is a row as the queries below select it.
type clientRecord struct {
	spiffeID, kind, clientID, state, credential, template, approvedBy string
	methods, created, used, approved                                  int64
	credentialDigest, templateDigest                                  []byte
	sequence                                                          sql.NullInt64
	recorded                                                          bool
}

func (c *clientRecord) scan(scan func(into ...any) error) error {
	return scan(c.into()...)
}

func (c *clientRecord) into() []any {
	return []any{&c.spiffeID, &c.kind, &c.clientID, &c.state, &c.methods, &c.created, &c.used, &c.credential, &c.credentialDigest,
		&c.sequence, &c.template, &c.templateDigest, &c.approvedBy, &c.approved, &c.recorded}
}

func (c *clientRecord) record() (registration.Record, error) {
	id, err := spiffeid.FromString(c.spiffeID)
	if err != nil || len(c.credentialDigest) != 32 || len(c.templateDigest) != 32 {
		return registration.Record{}, fmt.Errorf("store: the record of client %s is damaged", oauth.Shown(c.spiffeID))
	}
	return registration.Record{
		Kind: registration.Kind(c.kind), State: registration.State(c.state), ClientID: c.clientID, SPIFFEID: id,
		Methods: registration.MethodSet(c.methods), Created: when(c.created), Used: when(c.used), Recorded: c.recorded,
		Provenance: registration.Provenance{
			Credential: oauth.AuthMethod(c.credential), CredentialDigest: [32]byte(c.credentialDigest),
			BundleSequence: uint64(c.sequence.Int64), HasBundleSequence: c.sequence.Valid,
			Template: c.template, TemplateDigest: [32]byte(c.templateDigest), ApprovedBy: c.approvedBy, Approved: when(c.approved),
		},
	}, nil
}

func (r *reading) clientRecord(kind registration.Kind, clientID, spiffeID string) (registration.Record, error) {
	var c clientRecord
	err := r.row(`SELECT spiffe_id, kind, client_id, state, methods, created, used, credential, credential_digest,
		bundle_sequence, template, template_digest, approved_by, approved, recorded
		FROM client_records WHERE spiffe_id = ? AND kind = ? AND client_id = ?`, []any{spiffeID, string(kind), clientID}, c.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return registration.Record{}, registration.ErrNoRecord
	}
	if err != nil {
		return registration.Record{}, err
	}
	return c.record()
}

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

func sequenceOf(p registration.Provenance) sql.NullInt64 {
	return sql.NullInt64{Int64: int64(p.BundleSequence), Valid: p.HasBundleSequence}
}

func (w *writing) insertClient(r registration.Record) error {
	_, err := w.exec(`INSERT INTO client_records (spiffe_id, kind, client_id, trust_domain, state, methods, created, used, credential, credential_digest,
		bundle_sequence, template, template_digest, approved_by, approved, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.SPIFFEID.String(), string(r.Kind), r.ClientID, r.SPIFFEID.TrustDomain().Name(), string(r.State), int64(r.Methods), stamp(r.Created), stamp(r.Used),
		string(r.Credential), r.CredentialDigest[:], sequenceOf(r.Provenance), r.Template, r.TemplateDigest[:], r.ApprovedBy, stamp(r.Approved), r.Recorded)
	return err
}

func (w *writing) replaceClient(r registration.Record) error {
	_, err := w.exec(`UPDATE client_records SET state = ?, methods = ?, created = ?, used = ?, credential = ?, credential_digest = ?,
		bundle_sequence = ?, template = ?, template_digest = ?, approved_by = ?, approved = ?, recorded = ? WHERE spiffe_id = ? AND kind = ? AND client_id = ?`,
		string(r.State), int64(r.Methods), stamp(r.Created), stamp(r.Used), string(r.Credential), r.CredentialDigest[:],
		sequenceOf(r.Provenance), r.Template, r.TemplateDigest[:], r.ApprovedBy, stamp(r.Approved), r.Recorded, r.SPIFFEID.String(), string(r.Kind), r.ClientID)
	return err
}

// endClient moves a record to the archive.
func (w *writing) endClient(r registration.Record, now time.Time, why string) error {
	key := []any{r.SPIFFEID.String(), string(r.Kind), r.ClientID}
	_, err := w.exec(`INSERT INTO client_archive (expires, archived, why, spiffe_id, kind, client_id, state, methods, created, used, credential,
		credential_digest, bundle_sequence, template, template_digest, approved_by, approved)
		SELECT ?, ?, ?, spiffe_id, kind, client_id, state, methods, created, used, credential,
		credential_digest, bundle_sequence, template, template_digest, approved_by, approved
		FROM client_records WHERE spiffe_id = ? AND kind = ? AND client_id = ?`, append([]any{stamp(now.Add(archiveFor)), stamp(now), why}, key...)...)
	if err != nil {
		return err
	}
	_, err = w.exec(`DELETE FROM client_records WHERE spiffe_id = ? AND kind = ? AND client_id = ?`, key...)
	return err
}

// changed tells other processes.
func (w *writing) changed(subject string, now time.Time) error {
	_, err := w.exec(`INSERT INTO client_changes (subject, expires) VALUES (?, ?)`, subject, stamp(now.Add(registration.ChangesKept)))
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

// ClientRecord is [registration.Records].
func (s *Store) ClientRecord(ctx context.Context, kind registration.Kind, clientID, spiffeID string) (found registration.Record, err error) {
	err = s.read(ctx, func(r *reading) (err error) {
		found, err = r.clientRecord(kind, clientID, spiffeID)
		return err
	})
	return found, err
}

// BlocksOf is [registration.Records].
func (s *Store) BlocksOf(ctx context.Context, subject string) (found []registration.Block, err error) {
	err = s.read(ctx, func(r *reading) (err error) {
		found, err = r.blocksOf(subject)
		return err
	})
	return found, err
}

// ClientRecords is [registration.Records].
func (s *Store) ClientRecords(ctx context.Context, f registration.Filter, after registration.Cursor, limit int) (found []registration.Record, err error) {
	// All SPIFFE IDs of a trust domain lie between "/" and the character after it.
	from, to := "", "\xff"
	if !f.TrustDomain.IsZero() {
		from = f.TrustDomain.IDString() + "/"
		to = f.TrustDomain.IDString() + "0"
	}
	args := []any{after.SPIFFEID, string(after.Kind), after.ClientID, from, to, string(f.State), string(f.State), limit}
	err = s.read(ctx, func(r *reading) error {
		each := func(scan func(into ...any) error) error {
			var c clientRecord
			if err := c.scan(scan); err != nil {
				return err
			}
			one, err := c.record()
			found = append(found, one)
			return err
		}
		if f.ClientID != "" {
			return r.rows(`SELECT spiffe_id, kind, client_id, state, methods, created, used, credential, credential_digest,
				bundle_sequence, template, template_digest, approved_by, approved, recorded FROM client_records
				WHERE client_id = ? AND (spiffe_id, kind, client_id) > (?, ?, ?) AND spiffe_id >= ? AND spiffe_id < ? AND (? = '' OR state = ?)
				ORDER BY spiffe_id, kind LIMIT ?`, append([]any{f.ClientID}, args...), each)
		}
		return r.rows(`SELECT spiffe_id, kind, client_id, state, methods, created, used, credential, credential_digest,
			bundle_sequence, template, template_digest, approved_by, approved, recorded FROM client_records
			WHERE (spiffe_id, kind, client_id) > (?, ?, ?) AND spiffe_id >= ? AND spiffe_id < ? AND (? = '' OR state = ?)
			ORDER BY spiffe_id, kind, client_id LIMIT ?`, args, each)
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
	n, err := w.exec(`UPDATE client_records SET used = max(used, ?), methods = methods | ?, recorded = max(recorded, ?) WHERE spiffe_id = ? AND kind = ? AND client_id = ?`,
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
	err = s.write(ctx, func(w *writing) error {
		n = 0
		var lapsed []registration.Record
		err := w.rows(`SELECT spiffe_id, kind, client_id, state, methods, created, used, credential, credential_digest,
			bundle_sequence, template, template_digest, approved_by, approved, recorded FROM client_records
			WHERE trust_domain = ? AND (state = 'active' AND used <= ? OR state = 'pending' AND used <= ? OR state = 'observed' AND used <= ?) LIMIT ?`,
			[]any{td.Name(), stamp(now.Add(-idle)), stamp(now.Add(-registration.WaitFor)), stamp(now.Add(-registration.WaitFor)), limit},
			func(scan func(into ...any) error) error {
				var c clientRecord
				if err := c.scan(scan); err != nil {
					return err
				}
				one, err := c.record()
				lapsed = append(lapsed, one)
				return err
			})
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

// CountClients is [registration.Records].
func (s *Store) CountClients(ctx context.Context) (counts map[string]registration.Counts, err error) {
	counts = map[string]registration.Counts{}
	err = s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT trust_domain, active, pending, observed, members FROM client_counts`, nil, func(scan func(into ...any) error) error {
			var td string
			var c registration.Counts
			err := scan(&td, &c.Active, &c.Pending, &c.Observed, &c.Members)
			counts[td] = c
			return err
		})
	})
	return counts, err
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
