// Package replay remembers what may be used only once, until it expires. It
// keeps digests in the memory of one process: nothing survives a restart, and
// two nodes know nothing of each other.
package replay

import (
	"errors"
	"sync"
	"time"
)

// ErrFull is returned when the memory's bound is reached; the caller refuses
// (GL-15).
var ErrFull = errors.New("replay: the memory of used credentials is full")

const shards = 64

// A Memory remembers digests. The zero value is not usable; see New. It is safe
// for concurrent use.
type Memory struct {
	now    func() time.Time
	limit  int // digests per shard
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	until map[[32]byte]time.Time // guarded by mu
	sweep time.Time              // guarded by mu; when to look for expired digests next
}

// New makes a memory of at most limit digests; now is the clock.
func New(limit int, now func() time.Time) *Memory {
	m := &Memory{now: now, limit: max(1, limit/shards)}
	for i := range m.shards {
		m.shards[i].until = make(map[[32]byte]time.Time)
	}
	return m
}

// Use marks the digest as used until the given time and reports whether it was
// unused. Of any number of concurrent calls with one digest exactly one gets
// true.
func (m *Memory) Use(digest [32]byte, until time.Time) (bool, error) {
	s := &m.shards[digest[0]%shards]
	now := m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.until[digest]; ok && now.Before(t) {
		return false, nil
	}
	if len(s.until) >= m.limit || !now.Before(s.sweep) {
		for d, t := range s.until {
			if !now.Before(t) {
				delete(s.until, d)
			}
		}
		s.sweep = now.Add(time.Minute)
		if len(s.until) >= m.limit {
			return false, ErrFull
		}
	}
	s.until[digest] = until
	return true, nil
}
