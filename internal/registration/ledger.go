package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxRemembered bounds the records in memory: at about 400 bytes each, 100 MB.
	maxRemembered = 1 << 18
	// maxUses bounds the uses that wait to be noted.
	maxUses = 1 << 16
	// maxRegistering bounds how many requests wait for the store at once.
	maxRegistering = 512
	// registerTimeout is how long a request waits for its turn at the store, and then
	// for the store.
	registerTimeout = 5 * time.Second
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
	// tellAfter is when the line of a registration is missed: whoever made it would have
	// written it by then.
	tellAfter = time.Minute
	// quotaFor is how long a trust domain that was out of room is not asked about.
	quotaFor = time.Second
)

// A Ledger knows the records and the blocks of a store. What it remembers is never
// the truth but filled from the store and checked against it: what this process
// changes counts at once, what another does within a second. It outlives a
// configuration. Any number of goroutines may use it.
type Ledger struct {
	records Records
	now     func() time.Time
	log     *slog.Logger
	slots   chan struct{} // of requests that wait for the store
	idle    atomic.Pointer[map[spiffeid.TrustDomain]time.Duration]
	counts  atomic.Pointer[map[string]Counts]

	// changing is held while what operators changed is taken over, so that an older
	// state of the store never replaces a newer one.
	changing sync.Mutex
	seen     int64     // guarded by changing; the number of the last change taken over
	looked   time.Time // guarded by changing; when that was

	mu       sync.RWMutex
	clients  map[string]*Record  // guarded by mu; by SPIFFE ID
	members  map[member]*Record  // guarded by mu
	blocks   map[BlockKey]Block  // guarded by mu; all of them
	epoch    uint64              // guarded by mu; counts what operators changed
	uses     map[useKey]Use      // guarded by mu; to be noted
	full     map[string]spent    // guarded by mu; by trust domain
	inFlight map[string]*inquiry // guarded by mu; by SPIFFE ID
	telling  map[string]bool     // guarded by mu; SPIFFE IDs whose line is being written late
}

type (
	member struct{ clientID, spiffeID string }
	useKey struct {
		kind Kind
		member
	}
	// spent is a quota that was used up.
	spent struct {
		err   error
		until time.Time
	}
	// An inquiry is a question to the store that several requests wait for.
	inquiry struct {
		done   chan struct{}
		record Record
		err    error
	}
)

// OpenLedger reads what the store has.
func OpenLedger(ctx context.Context, records Records, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{
		records: records, now: now, log: log, slots: make(chan struct{}, maxRegistering),
		clients: map[string]*Record{}, members: map[member]*Record{}, blocks: map[BlockKey]Block{},
		uses: map[useKey]Use{}, full: map[string]spent{}, inFlight: map[string]*inquiry{}, telling: map[string]bool{},
	}
	l.idle.Store(&map[spiffeid.TrustDomain]time.Duration{})
	l.changing.Lock()
	defer l.changing.Unlock()
	if err := l.reload(ctx); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	return l, nil
}

// Expect says how long records of each trust domain are kept unused, where it is
// not [DefaultIdle].
func (l *Ledger) Expect(idle map[spiffeid.TrustDomain]time.Duration) { l.idle.Store(&idle) }

func (l *Ledger) idleOf(td spiffeid.TrustDomain) time.Duration {
	if idle, ok := (*l.idle.Load())[td]; ok {
		return idle
	}
	return DefaultIdle
}

// reload reads everything anew; its caller holds changing.
func (l *Ledger) reload(ctx context.Context) error {
	at := l.now()
	last, err := l.records.LastClientChange(ctx) // first: what changes while reading is seen later
	if err != nil {
		return err
	}
	blocks := map[BlockKey]Block{}
	for after := (BlockKey{}); ; {
		some, err := l.records.ClientBlocks(ctx, after, page)
		if err != nil {
			return err
		}
		for _, b := range some {
			after = b.Key()
			blocks[after] = b
		}
		if len(some) < page {
			break
		}
	}
	clients, members := map[string]*Record{}, map[member]*Record{}
	for after := (Cursor{}); len(clients)+len(members) < maxRemembered; {
		some, err := l.records.ClientRecords(ctx, Filter{}, after, page)
		if err != nil {
			return err
		}
		for i := range some {
			r := &some[i]
			if after = CursorOf(*r); r.Kind == FirstUseKind {
				clients[after.SPIFFEID] = r
			} else {
				members[member{r.ClientID, after.SPIFFEID}] = r
			}
		}
		if len(some) < page {
			break
		}
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

// blockOf is the block of a client or of a workload.
func (l *Ledger) blockOf(clientID string, id spiffeid.ID) (Block, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.blocks) == 0 {
		return Block{}, false
	}
	for _, subject := range []string{clientID, id.String()} {
		if b, ok := l.blocks[BlockKey{subject, false}]; ok {
			return b, true
		}
	}
	return Block{}, false
}

// blocking reports whether there is any block.
func (l *Ledger) blocking() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.blocks) > 0
}

// Blocked reports whether the client, or the workload, may get nothing. The zero ID
// is no workload.
func (l *Ledger) Blocked(clientID string, id spiffeid.ID) bool {
	_, blocked := l.blockOf(clientID, id)
	return blocked
}

// tombstone is what is left of a SPIFFE ID that was deleted.
func (l *Ledger) tombstone(id spiffeid.ID) (Block, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	b, ok := l.blocks[BlockKey{id.String(), true}]
	return b, ok
}

// Counts are how many records each trust domain has, as of a moment ago.
func (l *Ledger) Counts() map[string]Counts { return *l.counts.Load() }

// remembered is a record in memory that has not lapsed.
func (l *Ledger) remembered(spiffeID string, idle time.Duration, now time.Time) (Record, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r, ok := l.clients[spiffeID]
	if !ok || r.Lapsed(now, idle) {
		return Record{}, false
	}
	return *r, true
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

// answers reports whether the record is all that a request asks of the store.
func (r Record) answers(want Record) bool {
	return !want.State.Above(r.State) && r.Methods.holds(want.Methods)
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

// remember keeps a record in memory unless something changed since it was read; then
// the next request asks the store again.
func (l *Ledger) remember(r Record, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch != epoch {
		delete(l.clients, r.SPIFFEID.String())
		return
	}
	l.room()
	r.Raised = nil
	l.clients[r.SPIFFEID.String()] = &r
}

// room forgets one record where the memory is full; its caller holds mu. A request
// of it asks the store again.
func (l *Ledger) room() {
	if len(l.clients)+len(l.members) < maxRemembered {
		return
	}
	for k := range l.members {
		delete(l.members, k)
		return
	}
	for k := range l.clients {
		delete(l.clients, k)
		return
	}
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

func (l *Ledger) forget(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	delete(l.clients, r.SPIFFEID.String())
}

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
	key := member{clientID, id.String()}
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
	key := useKey{u.Kind, member{u.ClientID, u.SPIFFEID.String()}}
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
	l.uses = map[useKey]Use{}
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
	for id, r := range l.clients {
		if r.Lapsed(now, l.idleOf(r.SPIFFEID.TrustDomain())) {
			delete(l.clients, id)
		}
	}
	for key, r := range l.members {
		if r.Lapsed(now, l.idleOf(r.SPIFFEID.TrustDomain())) {
			delete(l.members, key)
		}
	}
	return nil
}
