package proven

import (
	"sync"
	"sync/atomic"
)

// A Memory holds results by owner and key. An owner is whoever could fill the
// memory, such as a trust domain: it has a share of its own, and never pushes out
// what is another's unless all of them together reach the limit. It is safe for
// concurrent use.
type Memory[K comparable, V any] struct {
	limit, share int64
	held         atomic.Int64

	owners sync.Map   // string to *owned[K, V]
	aging  sync.Mutex // held by the one who makes room
}

// owned are the results of one owner in two ages. New ones go into young; when
// that is full it becomes old, and what was old is forgotten. A result that is
// asked for is young again, so what is in use stays.
type owned[K comparable, V any] struct {
	mu         sync.Mutex
	young, old map[K]V // guarded by mu
}

// New makes a memory of about limit results, of which one owner has at most share.
// Both are at least 2.
func New[K comparable, V any](limit, share int) *Memory[K, V] {
	return &Memory[K, V]{limit: int64(max(2, limit)), share: int64(max(2, min(share, limit)))}
}

// Get returns the result that was put under this key by this owner.
func (m *Memory[K, V]) Get(owner string, key K) (V, bool) {
	o, ok := m.owners.Load(owner)
	if !ok {
		var none V
		return none, false
	}
	return o.(*owned[K, V]).get(m, key)
}

func (o *owned[K, V]) get(m *Memory[K, V], key K) (V, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.young[key]
	if ok {
		return v, true
	}
	if v, ok = o.old[key]; ok {
		delete(o.old, key)
		m.held.Add(-1)
		o.put(m, key, v)
	}
	return v, ok
}

// Put remembers a result. Owners are a closed set, chosen by the caller: one that
// was seen once is kept, if only by name.
func (m *Memory[K, V]) Put(owner string, key K, value V) { m.Share(owner).Put(key, value) }

// put is Put for who holds the lock.
func (o *owned[K, V]) put(m *Memory[K, V], key K, value V) {
	if int64(len(o.young)) >= m.share/2 {
		o.age(m)
	}
	before := len(o.young)
	o.young[key] = value
	m.held.Add(int64(len(o.young) - before))
}

// age forgets the old results; the young ones are the old ones from now on.
func (o *owned[K, V]) age(m *Memory[K, V]) {
	m.held.Add(-int64(len(o.old)))
	o.old, o.young = o.young, make(map[K]V, min(len(o.young), 64))
}

// makeRoom ages every owner until there is room: once as a rule, twice when nothing
// is old yet.
func (m *Memory[K, V]) makeRoom() {
	if !m.aging.TryLock() { // somebody is at it
		return
	}
	defer m.aging.Unlock()
	for m.held.Load() > m.limit {
		m.owners.Range(func(_, o any) bool {
			mine := o.(*owned[K, V])
			mine.mu.Lock()
			mine.age(m)
			mine.mu.Unlock()
			return true
		})
	}
}

// Held is how many results are remembered.
func (m *Memory[K, V]) Held() int { return int(m.held.Load()) }
