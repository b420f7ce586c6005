package registration

import (
	"context"
	"errors"
	"time"
)

const (
	// maxRegistering bounds how many requests ask the store at once.
	maxRegistering = 512
	// registerTimeout is how long a request waits for its turn at the store, and then
	// for the store.
	registerTimeout = 5 * time.Second
	// quotaFor is how long a trust domain that was out of room is not asked about.
	quotaFor = time.Second
)

// An inquiry is a question to the store that several requests wait for.
type inquiry struct {
	done   chan struct{}
	record Record
	err    error
}

// spent is a quota that was used up.
type spent struct {
	err   error
	until time.Time
}

// admit gives the record of a workload, and makes it where there is none or one
// below what is wanted. A key that it shows for the first time is kept before it
// returns. It notes the use.
func (l *Ledger) admit(ctx context.Context, want Record, q Quota) (r Record, made bool, err error) {
	now := l.now()
	r, ok := l.remembered(want.ClientID, q.Idle, now)
	if !ok || !r.answers(want) {
		if r, made, err = l.register(ctx, want, q); err != nil {
			return Record{}, false, err
		}
	}
	if r.State == Active && !made {
		l.noteUse(Use{Kind: FirstUseKind, ClientID: r.ClientID, SPIFFEID: r.SPIFFEID, Methods: want.Methods, At: now}, r)
	}
	return r, made, nil
}

// answers reports whether the record is all that a request asks of the store.
func (r Record) answers(want Record) bool {
	return !want.State.Above(r.State) && r.Methods.holds(want.Methods)
}

// register asks the store. Of many requests for one SPIFFE ID one does, and the
// others take what it got (RU-4), unless they need more of it.
func (l *Ledger) register(ctx context.Context, want Record, q Quota) (Record, bool, error) {
	var asked *inquiry
	for {
		l.mu.Lock()
		before, ok := l.inFlight[want.ClientID]
		if !ok {
			asked = &inquiry{done: make(chan struct{})}
			l.inFlight[want.ClientID] = asked
		}
		l.mu.Unlock()
		if !ok {
			break
		}
		select {
		case <-before.done:
			if before.err != nil || before.record.answers(want) {
				return before.record, false, before.err
			}
		case <-ctx.Done():
			return Record{}, false, ctx.Err()
		}
	}
	made := false
	defer func() {
		if p := recover(); p != nil { // those who wait must not wait for ever
			asked.err = errors.New("registration: it broke off")
			l.land(want.ClientID, asked)
			panic(p)
		}
		l.land(want.ClientID, asked)
	}()
	// Others wait for it, so it does not end with this request.
	asked.record, made, asked.err = l.inTurn(context.WithoutCancel(ctx), want, q)
	return asked.record, made, asked.err
}

func (l *Ledger) land(spiffeID string, asked *inquiry) {
	l.mu.Lock()
	delete(l.inFlight, spiffeID)
	l.mu.Unlock()
	close(asked.done)
}

// inTurn asks the store when few enough others do, first come first served. The time
// of the store begins with the turn: who came in a crowd and has waited for the others
// is not refused for that.
func (l *Ledger) inTurn(ctx context.Context, want Record, q Quota) (Record, bool, error) {
	turn, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-turn.Done():
		return Record{}, false, turn.Err()
	}
	answer, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return l.ask(answer, want, q)
}

func (l *Ledger) ask(ctx context.Context, want Record, q Quota) (Record, bool, error) {
	td := want.SPIFFEID.TrustDomain().Name()
	l.mu.RLock()
	epoch, quota := l.epoch, l.full[td]
	l.mu.RUnlock()
	if now := l.now(); now.Before(quota.until) {
		// Out of room a moment ago: a flood of new names costs reads, not writes. One
		// that another process registered is found all the same, and one that lapsed makes
		// room for itself.
		r, err := l.records.ClientRecord(ctx, FirstUseKind, want.ClientID, want.ClientID)
		if errors.Is(err, ErrNoRecord) {
			err = quota.err
		}
		if err != nil {
			return Record{}, false, err
		}
		if r.answers(want) && !r.Lapsed(now, q.Idle) {
			l.remember(r, epoch)
			return r, false, nil
		}
	}
	want.Created = l.now().Truncate(time.Microsecond) // as the store keeps it
	want.Used = want.Created
	r, made, err := l.records.RegisterClient(ctx, want, q)
	switch {
	case errors.Is(err, ErrMaxClients), errors.Is(err, ErrNewClients):
		l.mu.Lock()
		l.full[td] = spent{err, l.now().Add(quotaFor)}
		l.mu.Unlock()
		return Record{}, false, err
	case err != nil:
		return Record{}, false, err
	}
	l.remember(r, epoch)
	return r, made, nil
}

// withdraw takes back a record that was made just now. It is forgotten before, so that
// nobody gets it meanwhile without the store, and after, since the store may have given
// it to others until then.
func (l *Ledger) withdraw(ctx context.Context, made Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
	defer cancel()
	l.forget(made)
	defer l.forget(made)
	return l.records.WithdrawClient(ctx, made)
}

// look is admit without making anything.
func (l *Ledger) look(ctx context.Context, want Record, q Quota) (Record, error) {
	if r, ok := l.remembered(want.ClientID, q.Idle, l.now()); ok {
		return r.raised(want), nil
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	others := q.MaxClients
	r, err := l.records.ClientRecord(ctx, FirstUseKind, want.ClientID, want.ClientID)
	switch {
	case err == nil && !r.Lapsed(l.now(), q.Idle):
		return r.raised(want), nil
	case err == nil: // it makes room for itself
		others++
	case !errors.Is(err, ErrNoRecord):
		return Record{}, err
	}
	counts, err := l.records.CountClients(ctx)
	if err != nil {
		return Record{}, err
	}
	if c := counts[want.SPIFFEID.TrustDomain().Name()]; c.Active+c.Pending+c.Observed >= others {
		return Record{}, ErrMaxClients
	}
	if want.State == Pending { // it would wait
		want.Created = l.now()
		return want, nil
	}
	return Record{State: want.State}, nil
}

// raised is the record as admitting makes it.
func (r Record) raised(want Record) Record {
	if want.State.Above(r.State) {
		r.State = want.State
	}
	return r
}
