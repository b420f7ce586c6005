package daemon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// States of a list that are no states of a record.
const (
	blockedState = "blocked"
	deletedState = "deleted"
)

// shownMembers is how many workloads of one client are shown.
const shownMembers = 100

// A clientDesk does with clients what an operator asks for.
type clientDesk struct{ d *Daemon }

func (c clientDesk) registry() *registration.Registry {
	return c.d.current.Load().authenticator.Clients
}

// storeError says in words what the store could not do.
func storeError(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("the store is unavailable, and nothing was changed: %w", err)
	}
	return err
}

// List is a part of the records, or of the blocks.
func (c clientDesk) List(ctx context.Context, f admin.ClientFilter) (page admin.ClientPage, err error) {
	page.Clients = []admin.ClientRecord{}
	filter := registration.Filter{ClientID: f.ClientID, State: registration.State(f.State)}
	if f.TrustDomain != "" {
		if filter.TrustDomain, err = spiffeid.TrustDomainFromString(f.TrustDomain); err != nil {
			return page, fmt.Errorf("%s is not the name of a trust domain", oauth.Shown(f.TrustDomain))
		}
	}
	switch f.State {
	case "", string(registration.Active), string(registration.Pending), string(registration.Observed):
	case blockedState, deletedState:
		return c.blocks(ctx, f, filter.TrustDomain)
	default:
		return page, fmt.Errorf("%s is no state: there are active, pending, observed, blocked and deleted", oauth.Shown(f.State))
	}
	var after registration.Cursor
	if err := decodeCursor(f.After, &after); err != nil {
		return page, err
	}
	records, err := c.d.ledger.List(ctx, filter, after, f.Limit)
	if err != nil {
		return page, storeError(err)
	}
	for _, r := range records {
		page.Clients = append(page.Clients, c.record(r, false))
	}
	if len(records) == f.Limit {
		page.Next = encodeCursor(registration.CursorOf(records[len(records)-1]))
	}
	return page, nil
}

func (c clientDesk) blocks(ctx context.Context, f admin.ClientFilter, td spiffeid.TrustDomain) (page admin.ClientPage, err error) {
	page.Clients = []admin.ClientRecord{}
	var after registration.BlockKey
	if err := decodeCursor(f.After, &after); err != nil {
		return page, err
	}
	for {
		some, err := c.d.ledger.Blocks(ctx, after, f.Limit)
		if err != nil {
			return page, storeError(err)
		}
		for _, b := range some {
			if len(page.Blocks) == f.Limit {
				page.Next = encodeCursor(after)
				return page, nil
			}
			after = b.Key()
			of := td.IsZero() || strings.HasPrefix(b.Subject, td.IDString()+"/")
			if b.Deleted == (f.State == deletedState) && of && (f.ClientID == "" || b.Subject == f.ClientID) {
				page.Blocks = append(page.Blocks, blockOf(b))
			}
		}
		if len(some) < f.Limit {
			return page, nil
		}
	}
}

func encodeCursor(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // cannot be: strings and a bool
		panic(err)
	}
	return hex.EncodeToString(b)
}

func decodeCursor(s string, into any) error {
	if s == "" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || json.Unmarshal(b, into) != nil {
		return errors.New("the place in the list is not one that a list gave")
	}
	return nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func blockOf(b registration.Block) admin.Block {
	return admin.Block{Subject: b.Subject, Deleted: b.Deleted, Reason: b.Reason, By: b.By, At: moment(b.At)}
}

// record is a record as it stands under the configuration in force.
func (c clientDesk) record(r registration.Record, whole bool) admin.ClientRecord {
	out := admin.ClientRecord{
		Kind: string(r.Kind), State: string(r.State), ClientID: r.ClientID, SPIFFEID: r.SPIFFEID.String(), TrustDomain: r.SPIFFEID.TrustDomain().Name(),
		Methods: []string{}, Created: moment(r.Created), LastUsed: moment(r.Used),
	}
	for _, m := range r.Methods.List() {
		out.Methods = append(out.Methods, string(m))
	}
	if r.Kind == registration.FirstUseKind {
		out.Template, _ = c.registry().Template(r.SPIFFEID)
	}
	if b, blocked := c.registry().BlockOf(r.ClientID, r.SPIFFEID); blocked {
		shown := blockOf(b)
		out.Blocked = &shown
	}
	if !whole || r.Kind != registration.FirstUseKind {
		return out
	}
	p := &admin.Provenance{Credential: string(r.Credential), Template: r.Provenance.Template, TemplateDigest: hex.EncodeToString(r.TemplateDigest[:]), ApprovedBy: r.ApprovedBy, Approved: moment(r.Approved)}
	if r.CredentialDigest != [32]byte{} {
		p.CredentialDigest = hex.EncodeToString(r.CredentialDigest[:])
	}
	if r.HasBundleSequence {
		p.BundleSequence = &r.BundleSequence
	}
	out.Provenance = p
	return out
}

// configured are the clients of the configuration that an id is about.
func (c clientDesk) configured(id string) (ids []string) {
	clients := c.registry().All()
	ids = covering(clients, id)
	if slices.ContainsFunc(clients, func(one registration.Client) bool { return one.ID() == id }) && !slices.Contains(ids, id) {
		ids = append([]string{id}, ids...)
	}
	return ids
}

// Show is all that is known of a client_id or a SPIFFE ID.
func (c clientDesk) Show(ctx context.Context, id string) (admin.ClientSight, error) {
	s, err := c.d.ledger.Show(ctx, id, shownMembers)
	if err != nil {
		return admin.ClientSight{}, storeError(err)
	}
	out := admin.ClientSight{ID: id, Configured: c.configured(id)}
	if !s.Known() && len(out.Configured) == 0 {
		return admin.ClientSight{}, admin.ErrUnknownClient
	}
	if s.Client != nil {
		client := c.record(*s.Client, true)
		out.Client = &client
	}
	for _, r := range s.Members {
		out.Workloads = append(out.Workloads, c.record(r, false))
	}
	for _, b := range s.Blocks {
		out.Blocks = append(out.Blocks, blockOf(b))
	}
	return out, nil
}

// Approve lets a workload be a client.
func (c clientDesk) Approve(ctx context.Context, id, by string) (admin.ClientRecord, error) {
	return c.approve(ctx, id, by, c.d.ledger.Approve)
}

// MayApprove says whether Approve would, and changes nothing.
func (c clientDesk) MayApprove(ctx context.Context, id, by string) (admin.ClientRecord, error) {
	return c.approve(ctx, id, by, c.d.ledger.MayApprove)
}

func (c clientDesk) approve(ctx context.Context, id, by string, do func(context.Context, *registration.Registry, spiffeid.ID, string) (registration.Record, error)) (admin.ClientRecord, error) {
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		return admin.ClientRecord{}, errors.New("a client that registers on first use is named by its SPIFFE ID")
	}
	r, err := do(ctx, c.registry(), parsed, by)
	switch {
	case errors.Is(err, registration.ErrNoTemplate):
		return admin.ClientRecord{}, fmt.Errorf("%w: mend trust_domains.%s.registration first", err, parsed.TrustDomain().Name())
	case errors.Is(err, registration.ErrNoRecord):
		return admin.ClientRecord{}, fmt.Errorf("%w: it has not asked yet, nor was it deleted", admin.ErrUnknownClient)
	case errors.Is(err, registration.ErrBlocked):
		return admin.ClientRecord{}, fmt.Errorf("%w: `svidgate client unblock` ends that", err)
	case err != nil:
		return admin.ClientRecord{}, storeError(err)
	}
	return c.record(r, true), nil
}

// Block cuts off a client or a workload. One that nothing is known of yet is named
// by a SPIFFE ID: another name would most likely be a slip.
func (c clientDesk) Block(ctx context.Context, id, reason, by string) error {
	if parsed, err := spiffeid.FromString(id); err != nil || parsed.Path() == "" {
		if len(c.configured(id)) == 0 {
			return fmt.Errorf("%w: name a client_id of the configuration, or a workload's SPIFFE ID", admin.ErrUnknownClient)
		}
	}
	return storeError(c.d.ledger.Block(ctx, registration.Block{Subject: id, Reason: reason, By: by}))
}

// Unblock ends a block.
func (c clientDesk) Unblock(ctx context.Context, id string) error {
	return unblocked(c.d.ledger.Unblock(ctx, id))
}

// MayUnblock says whether Unblock would, and changes nothing.
func (c clientDesk) MayUnblock(ctx context.Context, id string) error {
	return unblocked(c.d.ledger.MayUnblock(ctx, id))
}

// unblocked is what came of it, in words.
func unblocked(err error) error {
	switch {
	case errors.Is(err, registration.ErrDeleted):
		return fmt.Errorf("%w, not blocked: `svidgate client approve` makes it a client again", err)
	case errors.Is(err, registration.ErrNoRecord):
		return errors.New("it is not blocked")
	}
	return storeError(err)
}

// Delete ends a client that registered on first use.
func (c clientDesk) Delete(ctx context.Context, id, reason, by string) (admin.ClientRecord, error) {
	r, err := c.d.ledger.Delete(ctx, registration.Block{Subject: id, Reason: reason, By: by})
	if errors.Is(err, registration.ErrNoRecord) {
		if len(c.configured(id)) > 0 {
			return admin.ClientRecord{}, errors.New("it is a client of the configuration, or a workload of one: take it out there, or block it")
		}
		return admin.ClientRecord{}, admin.ErrUnknownClient
	}
	if err != nil {
		return admin.ClientRecord{}, storeError(err)
	}
	return c.record(r, true), nil
}
