package registration

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/oauth"
)

// maxUses bounds the uses that wait to be noted.
const maxUses = 1 << 16

// due reports whether a use says something new of a record.
func due(r *Record, u Use) bool { return !r.Methods.Has(u.Methods) || u.At.Sub(r.Used) >= useEvery }

// noteUse has the use of a client noted, if it is the first in a day or by another
// method than before.
func (l *Ledger) noteUse(u Use, known Record) {
	if !due(&known, u) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.clients[u.SPIFFEID.String()]; r != nil && l.put(u) {
		next := *r
		next.Used, next.Methods = u.At, r.Methods|u.Methods
		l.clients[u.SPIFFEID.String()] = &next
	}
}

// noteMember has the use of a workload under a wildcard noted (RU-8), behind the
// request.
func (l *Ledger) noteMember(clientID string, id spiffeid.ID, method oauth.AuthMethod) {
	key := Cursor{id.String(), MemberKind, clientID}
	u := Use{Kind: MemberKind, ClientID: clientID, SPIFFEID: id, Methods: MethodsOf(method), At: l.now()}
	l.mu.RLock()
	r, ok := l.members[key]
	l.mu.RUnlock()
	if ok && !due(r, u) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.put(u) {
		return
	}
	next := Record{Kind: MemberKind, State: Active, ClientID: clientID, SPIFFEID: id, Created: u.At}
	if r, ok := l.members[key]; ok {
		next = *r
	} else {
		l.room()
	}
	next.Used, next.Methods = u.At, next.Methods|u.Methods
	l.members[key] = &next
}

// put queues a use; its caller holds mu. Without room it is left to a later use.
func (l *Ledger) put(u Use) bool {
	key := Cursor{u.SPIFFEID.String(), u.Kind, u.ClientID}
	before, ok := l.uses[key]
	if !ok && len(l.uses) >= maxUses {
		return false
	}
	u.Methods |= before.Methods
	u.Recorded = u.Recorded || before.Recorded
	if before.At.After(u.At) {
		u.At = before.At
	}
	l.uses[key] = u
	return true
}

// noteUses writes the uses that wait, many at once.
func (l *Ledger) noteUses(ctx context.Context) error {
	l.mu.Lock()
	waiting := l.uses
	if len(waiting) == 0 { // requests go on filling it
		l.mu.Unlock()
		return nil
	}
	l.uses = map[Cursor]Use{}
	l.mu.Unlock()
	uses := make([]Use, 0, len(waiting))
	for _, u := range waiting {
		uses = append(uses, u)
	}
	for len(uses) > 0 {
		n := min(batch, len(uses))
		if err := l.records.NoteUses(ctx, uses[:n]); err != nil {
			l.mu.Lock()
			for _, u := range uses { // for the next time
				l.put(u)
			}
			l.mu.Unlock()
			return err
		}
		uses = uses[n:]
	}
	return nil
}
