package registration

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// maxRemembered bounds the records in memory: at about 400 bytes each, 100 MB.
const maxRemembered = 1 << 18

// A Ledger knows the records and the blocks of a store. What it remembers is never
// the truth but filled from the store and checked against it: what this process
// changes counts at once, what another does within a second. It outlives a
// configuration. Any number of goroutines may use it.
type Ledger struct {
	records Records
	now     func() time.Time
	log     *slog.Logger
	slots   chan struct{} // taken by requests that ask the store
	idle    atomic.Pointer[map[spiffeid.TrustDomain]time.Duration]
	counts  atomic.Pointer[map[string]Counts]

	// changing is held while what operators changed is taken over, so that an older
	// state of the store never replaces a newer one.
	changing sync.Mutex
	seen     int64     // guarded by changing; the number of the last change taken over
	looked   time.Time // guarded by changing; when that was

	mu       sync.RWMutex
	clients  map[string]*Record  // guarded by mu; by SPIFFE ID
	members  map[Cursor]*Record  // guarded by mu
	blocks   map[BlockKey]Block  // guarded by mu; all of them
	epoch    uint64              // guarded by mu; counts what may have outdated a record that is being read
	uses     map[Cursor]Use      // guarded by mu; to be noted
	full     map[string]spent    // guarded by mu; by trust domain
	inFlight map[string]*inquiry // guarded by mu; by SPIFFE ID
	telling  map[string]bool     // guarded by mu; SPIFFE IDs whose line is being written late
}

// OpenLedger reads what the store has.
func OpenLedger(ctx context.Context, records Records, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{
		records: records, now: now, log: log, slots: make(chan struct{}, maxRegistering),
		clients: map[string]*Record{}, members: map[Cursor]*Record{}, blocks: map[BlockKey]Block{},
		uses: map[Cursor]Use{}, full: map[string]spent{}, inFlight: map[string]*inquiry{}, telling: map[string]bool{},
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

// blockOf is the block of a client or of a workload; the zero ID is no workload.
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

func (l *Ledger) forget(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	delete(l.clients, r.SPIFFEID.String())
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
