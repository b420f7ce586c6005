package registration

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// lookEvery is how often changes of other processes are looked for, and uses are
	// noted.
	lookEvery = 500 * time.Millisecond
	// tendEvery is how often records that have lapsed are looked for.
	tendEvery = time.Minute
	// page is how many rows one call of the store is asked for.
	page = 1000
	// batch is how many uses or lapsed records one unit of the store takes, so that it
	// holds up nobody.
	batch = 200
)

// Run keeps the memory and the store together until ctx ends.
func (l *Ledger) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	for _, t := range []struct {
		every time.Duration
		what  string
		do    func(context.Context) error
	}{
		{lookEvery, "what another process blocks is not seen", l.Look},
		{lookEvery, "uses are not noted", l.noteUses},
		{tendEvery, "clients that lapsed are not archived", l.tend},
	} {
		tasks.Go(func() { l.repeat(ctx, t.every, t.what, t.do) })
	}
	tasks.Wait()
	// What is known of uses is kept over a restart.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
	defer cancel()
	l.noteUses(last)
}

// repeat does a task every so often until ctx ends. It has a goroutine of its own, so
// that none has to wait until another has worked off what there is. failing says what
// comes of it when it fails.
func (l *Ledger) repeat(ctx context.Context, every time.Duration, failing string, do func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failed := false
	for ctx.Err() == nil {
		switch err := do(ctx); {
		case err != nil && !failed && ctx.Err() == nil:
			failed = true
			l.log.Error("clients that registered on first use: the store does not answer; those that are known go on, and "+failing, "error", err.Error())
		case err == nil && failed:
			failed = false
			l.log.Info("clients that registered on first use: the store answers again")
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// Look takes over what operators changed, in this process or another.
func (l *Ledger) Look(ctx context.Context) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	now := l.now()
	if now.Sub(l.looked) > ChangesKept/2 { // some may be forgotten by now
		return l.reload(ctx)
	}
	for {
		subjects, last, err := l.records.ClientChanges(ctx, l.seen, page)
		if err != nil {
			return err
		}
		for _, subject := range subjects {
			if err := l.takeOver(ctx, subject); err != nil {
				return err
			}
		}
		l.looked = now
		if len(subjects) == 0 {
			break
		}
		l.seen = last
	}
	counts, err := l.records.CountClients(ctx)
	if err == nil {
		l.counts.Store(&counts)
	}
	return err
}

// takeOver reads again what there is on a subject; its caller holds changing.
func (l *Ledger) takeOver(ctx context.Context, subject string) error {
	blocks, err := l.records.BlocksOf(ctx, subject)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(subject)
	for _, key := range []BlockKey{{subject, false}, {subject, true}} {
		delete(l.blocks, key)
	}
	for _, b := range blocks {
		l.blocks[b.Key()] = b
	}
	return nil
}

// settle forgets the record of a subject, so that its next request asks the store;
// its caller holds changing and mu.
func (l *Ledger) settle(subject string) {
	l.epoch++
	delete(l.clients, subject)
	clear(l.full)
}

// reload reads everything anew; its caller holds changing.
func (l *Ledger) reload(ctx context.Context) error {
	at := l.now()
	last, err := l.records.LastClientChange(ctx) // first: what changes while reading is seen later
	if err != nil {
		return err
	}
	blocks, err := l.allBlocks(ctx)
	if err != nil {
		return err
	}
	clients, members, err := l.firstRecords(ctx)
	if err != nil {
		return err
	}
	counts, err := l.records.CountClients(ctx)
	if err != nil {
		return err
	}
	l.counts.Store(&counts)
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, before := range l.clients { // what was shown while reading
		if r := clients[id]; r != nil {
			r.Methods |= before.Methods
		}
	}
	l.clients, l.members, l.blocks = clients, members, blocks
	l.epoch++
	l.seen, l.looked = last, at
	return nil
}

func (l *Ledger) allBlocks(ctx context.Context) (map[BlockKey]Block, error) {
	blocks := map[BlockKey]Block{}
	for after := (BlockKey{}); ; {
		some, err := l.records.ClientBlocks(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, b := range some {
			after = b.Key()
			blocks[after] = b
		}
		if len(some) < page {
			return blocks, nil
		}
	}
}

// firstRecords are all, or as many as are remembered.
func (l *Ledger) firstRecords(ctx context.Context) (clients map[string]*Record, members map[Cursor]*Record, err error) {
	clients, members = map[string]*Record{}, map[Cursor]*Record{}
	for after := (Cursor{}); len(clients)+len(members) < maxRemembered; {
		some, err := l.records.ClientRecords(ctx, Filter{}, after, page)
		if err != nil {
			return nil, nil, err
		}
		for i := range some {
			r := &some[i]
			if after = CursorOf(*r); r.Kind == FirstUseKind {
				clients[after.SPIFFEID] = r
			} else {
				members[after] = r
			}
		}
		if len(some) < page {
			break
		}
	}
	return clients, members, nil
}

// tend archives what has lapsed, and forgets it.
func (l *Ledger) tend(ctx context.Context) error {
	counts, err := l.records.CountClients(ctx)
	if err != nil {
		return err
	}
	l.counts.Store(&counts)
	now := l.now()
	for name := range counts {
		td, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return err
		}
		for {
			n, err := l.records.LapseClients(ctx, td, l.idleOf(td), now, batch)
			if err != nil {
				return err
			}
			if n < batch {
				break
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lapsed := func(r *Record) bool { return r.Lapsed(now, l.idleOf(r.SPIFFEID.TrustDomain())) }
	maps.DeleteFunc(l.clients, func(_ string, r *Record) bool { return lapsed(r) })
	maps.DeleteFunc(l.members, func(_ Cursor, r *Record) bool { return lapsed(r) })
	return nil
}
