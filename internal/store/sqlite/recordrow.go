package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/oauth"
)

// Columns of a record, in the order of keyOf, valuesOf and recordFrom.
const (
	recordKey     = `spiffe_id, kind, client_id`
	recordValues  = `state, methods, created, used, credential, credential_digest, bundle_sequence, template, template_digest, approved_by, approved`
	selectRecords = `SELECT ` + recordKey + `, ` + recordValues + `, recorded FROM client_records WHERE `
	thisRecord    = `(` + recordKey + `) = (?, ?, ?)`
)

func keyOf(r registration.Record) []any {
	return []any{r.SPIFFEID.String(), string(r.Kind), r.ClientID}
}

// valuesOf are recordValues, and recorded behind them.
func valuesOf(r registration.Record) []any {
	sequence := sql.NullInt64{Int64: int64(r.BundleSequence), Valid: r.HasBundleSequence}
	return []any{string(r.State), int64(r.Methods), stamp(r.Created), stamp(r.Used), string(r.Credential), r.CredentialDigest[:],
		sequence, r.Template, r.TemplateDigest[:], r.ApprovedBy, stamp(r.Approved), r.Recorded}
}

// recordFrom reads a row of selectRecords.
func recordFrom(scan func(into ...any) error) (registration.Record, error) {
	var r registration.Record
	var id string
	var created, used, approved int64
	var credential, template []byte
	var sequence sql.NullInt64
	err := scan(&id, &r.Kind, &r.ClientID, &r.State, &r.Methods, &created, &used, &r.Credential, &credential,
		&sequence, &r.Template, &template, &r.ApprovedBy, &approved, &r.Recorded)
	if err != nil {
		return registration.Record{}, err
	}
	r.SPIFFEID, err = spiffeid.FromString(id)
	if err != nil || len(credential) != len(r.CredentialDigest) || len(template) != len(r.TemplateDigest) {
		return registration.Record{}, fmt.Errorf("store: the record of client %s is damaged", oauth.Shown(id))
	}
	r.Created, r.Used, r.Approved = when(created), when(used), when(approved)
	r.CredentialDigest, r.TemplateDigest = [32]byte(credential), [32]byte(template)
	r.BundleSequence, r.HasBundleSequence = uint64(sequence.Int64), sequence.Valid
	return r, nil
}

func (r *reading) clientRecord(kind registration.Kind, clientID, spiffeID string) (registration.Record, error) {
	found, err := recordFrom(func(into ...any) error {
		return r.row(selectRecords+thisRecord, []any{spiffeID, string(kind), clientID}, into...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = registration.ErrNoRecord
	}
	return found, err
}

func (r *reading) clientRecords(query string, args ...any) (found []registration.Record, err error) {
	err = r.rows(query, args, func(scan func(into ...any) error) error {
		one, err := recordFrom(scan)
		found = append(found, one)
		return err
	})
	return found, err
}

func (w *writing) insertClient(r registration.Record) error {
	_, err := w.exec(`INSERT INTO client_records (trust_domain, `+recordKey+`, `+recordValues+`, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		slices.Concat([]any{r.SPIFFEID.TrustDomain().Name()}, keyOf(r), valuesOf(r))...)
	return err
}

func (w *writing) replaceClient(r registration.Record) error {
	_, err := w.exec(`UPDATE client_records SET (`+recordValues+`, recorded) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE `+thisRecord,
		slices.Concat(valuesOf(r), keyOf(r))...)
	return err
}

// ClientRecord is [registration.Records].
func (s *Store) ClientRecord(ctx context.Context, kind registration.Kind, clientID, spiffeID string) (found registration.Record, err error) {
	err = s.read(ctx, func(r *reading) (err error) {
		found, err = r.clientRecord(kind, clientID, spiffeID)
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
	const listed = `(` + recordKey + `) > (?, ?, ?) AND spiffe_id >= ? AND spiffe_id < ? AND (? = '' OR state = ?) ORDER BY ` + recordKey + ` LIMIT ?`
	query := selectRecords + listed
	args := []any{after.SPIFFEID, string(after.Kind), after.ClientID, from, to, string(f.State), string(f.State), limit}
	if f.ClientID != "" {
		query = selectRecords + `client_id = ? AND ` + listed
		args = append([]any{f.ClientID}, args...)
	}
	err = s.read(ctx, func(r *reading) (err error) {
		found, err = r.clientRecords(query, args...)
		return err
	})
	return found, err
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
