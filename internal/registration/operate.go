package registration

import (
	"context"
	"errors"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// What operators do. Each call counts for this process when it returns.

// Block cuts off whoever has the subject as client_id or SPIFFE ID, known or not.
func (l *Ledger) Block(ctx context.Context, b Block) error {
	b.At, b.Deleted = l.now(), false
	return l.change(b.Subject, func() error { return l.records.SetBlock(ctx, b) }, func() { l.blocks[b.Key()] = b })
}

// Unblock ends a block. A tombstone is ErrDeleted: Approve lifts it.
func (l *Ledger) Unblock(ctx context.Context, subject string) error {
	return l.change(subject, func() error { return l.records.RemoveBlock(ctx, subject, l.now()) }, func() { delete(l.blocks, BlockKey{subject, false}) })
}

// Delete moves the record of a client that registered on first use to the archive,
// and leaves a tombstone under which nothing registers again (RU-6).
func (l *Ledger) Delete(ctx context.Context, tombstone Block) (r Record, err error) {
	tombstone.At, tombstone.Deleted = l.now(), true
	err = l.change(tombstone.Subject, func() error {
		r, err = l.records.DeleteClient(ctx, tombstone)
		return err
	}, func() { l.blocks[tombstone.Key()] = tombstone })
	return r, err
}

// Approve makes a client of a record that waits or was observed, or of a tombstone,
// under the template that the configuration in force has for it.
func (l *Ledger) Approve(ctx context.Context, registry *Registry, id spiffeid.ID, by string) (r Record, err error) {
	want, domain, err := l.approval(registry, id, by)
	if err != nil {
		return Record{}, err
	}
	err = l.change(want.ClientID, func() error {
		r, err = l.records.ApproveClient(ctx, want, domain.Quota)
		return err
	}, func() { delete(l.blocks, BlockKey{want.ClientID, true}) })
	return r, err
}

// approval is what the configuration in force has for a SPIFFE ID.
func (l *Ledger) approval(registry *Registry, id spiffeid.ID, by string) (Record, *FirstUse, error) {
	domain := registry.firstUse[id.TrustDomain()]
	template := domain.template(id)
	if template == nil {
		return Record{}, nil, ErrNoTemplate
	}
	if len(registry.exactly(id)) > 0 || registry.taken(id) {
		return Record{}, nil, ErrConfigured
	}
	if _, blocked := registry.blockOver(id); blocked {
		return Record{}, nil, ErrBlocked
	}
	now := l.now()
	return Record{
		Kind: FirstUseKind, State: Active, ClientID: id.String(), SPIFFEID: id, Created: now, Used: now, Recorded: true, // by the line of the approval
		Provenance: Provenance{Template: template.Name, TemplateDigest: template.Digest, ApprovedBy: by, Approved: now},
	}, domain, nil
}

// MayApprove says what stands against approving, and what would be approved. Nothing
// is changed by it.
func (l *Ledger) MayApprove(ctx context.Context, registry *Registry, id spiffeid.ID, by string) (Record, error) {
	want, _, err := l.approval(registry, id, by)
	if err != nil {
		return Record{}, err
	}
	blocks, err := l.records.BlocksOf(ctx, want.ClientID)
	switch {
	case err != nil:
		return Record{}, err
	case len(blocks) > 0 && !blocks[0].Deleted:
		return Record{}, ErrBlocked
	case len(blocks) > 0:
		return want, nil
	}
	if _, err := l.records.ClientRecord(ctx, FirstUseKind, want.ClientID, want.ClientID); err != nil {
		return Record{}, err
	}
	return want, nil
}

// MayUnblock says what stands against unblocking.
func (l *Ledger) MayUnblock(ctx context.Context, subject string) error {
	blocks, err := l.records.BlocksOf(ctx, subject)
	switch {
	case err != nil:
		return err
	case len(blocks) == 0:
		return ErrNoRecord
	case blocks[0].Deleted:
		return ErrDeleted
	}
	return nil
}

// Errors of [Ledger.Approve].
var (
	ErrNoTemplate = errors.New("the configuration in force does not let it register on first use")
	ErrConfigured = errors.New("a client of the configuration has this SPIFFE ID, or is called so")
)

// change does what an operator asked for, and takes it over while no request is
// judged by what was before.
func (l *Ledger) change(subject string, do func() error, takeOver func()) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	if err := do(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(subject)
	takeOver()
	return nil
}

// A Sight is all that is known of a subject.
type Sight struct {
	Client  *Record // that registered on first use
	Members []Record
	Blocks  []Block
}

// Known reports whether there is anything.
func (s Sight) Known() bool { return s.Client != nil || len(s.Members) > 0 || len(s.Blocks) > 0 }

// Show is all that is known of a client_id or a SPIFFE ID, as the store has it; at
// most limit members.
func (l *Ledger) Show(ctx context.Context, subject string, limit int) (s Sight, err error) {
	client, err := l.records.ClientRecord(ctx, FirstUseKind, subject, subject)
	switch {
	case err == nil:
		s.Client = &client
	case !errors.Is(err, ErrNoRecord):
		return Sight{}, err
	}
	if s.Blocks, err = l.records.BlocksOf(ctx, subject); err != nil {
		return Sight{}, err
	}
	if s.Members, err = l.records.ClientRecords(ctx, Filter{ClientID: subject}, Cursor{}, limit); err != nil {
		return Sight{}, err
	}
	if _, err := spiffeid.FromString(subject); err == nil { // a workload, whose client has another name
		as, err := l.records.ClientRecords(ctx, Filter{}, Cursor{SPIFFEID: subject}, limit)
		if err != nil {
			return Sight{}, err
		}
		for _, r := range as {
			if r.SPIFFEID.String() == subject && r.ClientID != subject {
				s.Members = append(s.Members, r)
			}
		}
	}
	s.Members = slices.DeleteFunc(s.Members, func(r Record) bool { return r.Kind != MemberKind })
	return s, nil
}

// List is a part of the records, as the store has them.
func (l *Ledger) List(ctx context.Context, f Filter, after Cursor, limit int) ([]Record, error) {
	return l.records.ClientRecords(ctx, f, after, limit)
}

// Blocks is a part of the blocks, as the store has them.
func (l *Ledger) Blocks(ctx context.Context, after BlockKey, limit int) ([]Block, error) {
	return l.records.ClientBlocks(ctx, after, limit)
}
