package replay

import (
	"context"
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
	swept time.Time              // guarded by mu; when expired digests were last looked for
}

// New makes a memory of at most limit digests, but of 64 at least; now is the
// clock. It is full when one of its 64 parts is, a little before the limit.
func New(limit int, now func() time.Time) *Memory {
	m := &Memory{now: now, limit: max(1, limit/shards)}
	for i := range m.shards {
		m.shards[i].until = make(map[[32]byte]time.Time)
	}
	return m
}

// Expired digests make room after sweepEvery, and after sweepFull where there is
// none: a sweep takes far longer than all else here, so a full memory must not
// cost one a call.
const (
	sweepEvery = time.Minute
	sweepFull  = time.Second
)

// Use marks the digest as used until the given time and reports whether it was
// unused. Of any number of concurrent calls with one digest exactly one gets
// true. The error is ErrFull.
func (m *Memory) Use(digest [32]byte, until time.Time) (bool, error) {
	s := &m.shards[digest[0]%shards]
	now := m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.until[digest]; ok && now.Before(t) {
		return false, nil
	}
	since := now.Sub(s.swept) // below 0 when the clock was set back
	if since < 0 || since >= sweepEvery || since >= sweepFull && len(s.until) >= m.limit {
		for d, t := range s.until {
			if !now.Before(t) {
				delete(s.until, d)
			}
		}
		s.swept = now
	}
	if len(s.until) >= m.limit {
		return false, ErrFull
	}
	s.until[digest] = until
	return true, nil
}

// UseProof is Use for whoever may have to wait for an answer; this memory does not.
func (m *Memory) UseProof(_ context.Context, mark [32]byte, until time.Time) (bool, error) {
	return m.Use(mark, until)
}

// Used reports whether the digest is marked as used. It marks nothing.
func (m *Memory) Used(digest [32]byte) bool {
	s := &m.shards[digest[0]%shards]
	now := m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[digest]
	return ok && now.Before(until)
}
