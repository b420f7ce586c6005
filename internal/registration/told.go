package registration

import (
	"context"
	"time"
)

// tellAfter is when the line of a registration is missed: whoever made it would have
// written it by then.
const tellAfter = time.Minute

// untold reports whether no line tells of a record that was made a while ago, and
// leaves it to the caller alone to write it and to call told.
func (l *Ledger) untold(ctx context.Context, r Record, now time.Time) bool {
	if r.Recorded || r.State == Observed || now.Sub(r.Created) < tellAfter {
		return false
	}
	id := r.SPIFFEID.String()
	l.mu.Lock()
	taken := l.telling[id]
	l.telling[id] = true
	l.mu.Unlock()
	if taken {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	kept, err := l.records.ClientRecord(ctx, FirstUseKind, r.ClientID, id)
	if err == nil && !kept.Recorded && kept.Created.Equal(r.Created) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.telling, id)
	if err == nil && kept.Recorded { // by another process
		l.known(r)
	}
	return false
}

// known remembers that a line tells of a record; its caller holds mu.
func (l *Ledger) known(r Record) {
	id := r.SPIFFEID.String()
	if m := l.clients[id]; m != nil && m.Created.Equal(r.Created) {
		next := *m
		next.Recorded = true
		l.clients[id] = &next
	}
}

// told notes, behind the request, whether a line tells of a record now.
func (l *Ledger) told(r Record, written bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.telling, r.SPIFFEID.String())
	if written && l.put(Use{Kind: FirstUseKind, ClientID: r.ClientID, SPIFFEID: r.SPIFFEID, Methods: r.Methods, At: r.Used, Recorded: true}) {
		l.known(r)
	}
}
