package replay

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// ErrFull is returned when the memory's bound is reached; the caller refuses
// (GL-15).
var ErrFull = errors.New("replay: the memory of used credentials is full")

// ErrShare is returned when an owner's share of the memory is used up. The caller
// refuses this owner; there is room for others.
var ErrShare = errors.New("replay: the owner's share of the memory of used credentials is used up")

const (
	// shares is how many owners it takes to fill the memory.
	shares = 8
	// maxShards is how many parts a memory has, so that calls do not wait for each
	// other; a small memory has fewer, of perShard digests at least: in a part that
	// is too small the shares are left to chance.
	maxShards = 64
	perShard  = 1 << 10
)

// A Memory remembers digests. The zero value is not usable; see New. It is safe
// for concurrent use.
type Memory struct {
	now    func() time.Time
	start  time.Time // what the times in it are counted from
	limit  int       // digests per shard
	share  int       // of them one owner's
	seed   maphash.Seed
	shards []shard // a power of two of them
}

type shard struct {
	mu     sync.Mutex
	used   map[[32]byte]entry // guarded by mu
	owned  map[uint64]int     // guarded by mu; how many digests an owner has here, never 0
	swept  time.Time          // guarded by mu; when expired digests were last looked for
	forgot time.Duration      // guarded by mu; the latest end of a digest that was forgotten
}

// An entry is how long a digest is remembered, and for whom.
type entry struct {
	until time.Duration
	owner uint64
}

// nobody owns what was recalled.
const nobody = 0

// New makes a memory of at most limit digests, of which one owner has at most an
// eighth; now is the clock. It is full when one of its parts is, a little before
// the limit, and so with a share.
func New(limit int, now func() time.Time) *Memory {
	n := 1
	for n < maxShards && limit/(2*n) >= perShard {
		n *= 2
	}
	m := &Memory{
		now: now, start: now().Round(0), seed: maphash.MakeSeed(), // Round: the clock of the wall only
		limit: max(1, limit/n), share: max(1, limit/n/shares), shards: make([]shard, n),
	}
	for i := range m.shards {
		m.shards[i].used, m.shards[i].owned = make(map[[32]byte]entry), make(map[uint64]int)
		m.shards[i].forgot = math.MinInt64
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

// Use marks the owner's digest as used until the given time and reports whether it
// was unused. What has ended by then counts as used. Of any number of concurrent
// calls with one digest, by whatever owners, exactly one gets true. An owner is
// whoever could fill the memory. The error is ErrFull or ErrShare.
func (m *Memory) Use(owner string, digest [32]byte, until time.Time) (bool, error) {
	// A hash that nobody can aim: two owners with one hash share a share by accident.
	return m.use(max(nobody+1, maphash.String(m.seed, owner)), digest, until)
}

// Recall is Use of what was used in another memory: it counts for no owner.
func (m *Memory) Recall(digest [32]byte, until time.Time) error {
	_, err := m.use(nobody, digest, until)
	return err
}

func (m *Memory) use(owner uint64, digest [32]byte, until time.Time) (bool, error) {
	s, wall := m.shard(&digest), m.now()
	now, end := wall.Sub(m.start), until.Sub(m.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	// What ends no later than something that was forgotten may have been forgotten
	// with it, by a clock that was ahead then.
	e, known := s.used[digest]
	if known && now < e.until || end <= now || end <= s.forgot {
		return false, nil
	}
	since := wall.Sub(s.swept) // below 0 when the clock was set back
	if since < 0 || since >= sweepEvery || since >= sweepFull && (len(s.used) >= m.limit || owner != nobody && s.owned[owner] >= m.share) {
		s.sweep(now)
		s.swept = wall
	}
	switch {
	case len(s.used) >= m.limit:
		return false, ErrFull
	case owner == nobody:
	case s.owned[owner] >= m.share:
		return false, ErrShare
	default:
		s.owned[owner]++
	}
	if known { // it has ended, and is there until it is swept
		s.release(s.used[digest].owner)
	}
	s.used[digest] = entry{end, owner}
	return true, nil
}

// sweep forgets what has ended. The lock is held.
func (s *shard) sweep(now time.Duration) {
	for d, e := range s.used {
		if now < e.until {
			continue
		}
		delete(s.used, d)
		s.release(e.owner)
		s.forgot = max(s.forgot, e.until)
	}
}

// release gives an owner the room of one digest back. The lock is held.
func (s *shard) release(owner uint64) {
	switch n := s.owned[owner]; {
	case n > 1:
		s.owned[owner] = n - 1
	case n == 1:
		delete(s.owned, owner)
	}
}

// shard is where a digest belongs. Which one that is nobody outside can tell, so
// nobody can fill one on purpose.
func (m *Memory) shard(digest *[32]byte) *shard {
	if len(m.shards) == 1 {
		return &m.shards[0]
	}
	return &m.shards[maphash.Bytes(m.seed, digest[:])&uint64(len(m.shards)-1)]
}

// UseProof is Use for whoever may have to wait for an answer; this memory does not.
func (m *Memory) UseProof(_ context.Context, owner string, mark [32]byte, until time.Time) (bool, error) {
	return m.Use(owner, mark, until)
}

// Used reports whether the digest is marked as used. It marks nothing.
func (m *Memory) Used(digest [32]byte) bool {
	s, now := m.shard(&digest), m.now().Sub(m.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.used[digest]
	return ok && now < e.until
}
