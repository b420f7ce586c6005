package proven

// A Share is what a Memory holds of one owner. Whoever knows its owners beforehand
// keeps their shares, and saves the search for them at each question.
type Share[K comparable, V any] struct {
	memory *Memory[K, V]
	owned  *owned[K, V]
}

// Share is the share of one owner.
func (m *Memory[K, V]) Share(owner string) Share[K, V] {
	o, ok := m.owners.Load(owner)
	if !ok {
		o, _ = m.owners.LoadOrStore(owner, &owned[K, V]{young: map[K]V{}})
	}
	return Share[K, V]{m, o.(*owned[K, V])}
}

// Get is Memory.Get for this owner.
func (s Share[K, V]) Get(key K) (V, bool) { return s.owned.get(s.memory, key) }

// Put is Memory.Put for this owner.
func (s Share[K, V]) Put(key K, value V) {
	s.owned.mu.Lock()
	s.owned.put(s.memory, key, value)
	s.owned.mu.Unlock()
	if s.memory.held.Load() > s.memory.limit {
		s.memory.makeRoom()
	}
}
