package login

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"time"
)

// A Limit is one count of tries to sign in with a password (GL-16).
type Limit struct {
	Key Digest // of what is counted: a name that was typed is not kept
	// Free is how many tries in a row may fail before the next has to wait.
	Free int
	// Shared says that others are counted here too, so that one who succeeds takes
	// back only their own try.
	Shared bool
}

// A Count is what Try wrote for one limit.
type Count struct {
	Limit
	// Before and Until are until when nobody may try, before and after it; zero for no
	// pause.
	Before, Until time.Time
}

const (
	// TriesKept is how long a failed try counts.
	TriesKept  = time.Hour
	firstPause = 30 * time.Second
	mostPause  = 15 * time.Minute
)

// Pause is how long the next try has to wait after so many in a row.
func (l Limit) Pause(failures int) time.Duration {
	over := failures - l.Free
	if over < 0 {
		return 0
	}
	pause := firstPause
	for ; over > 0 && pause < mostPause; over-- {
		pause *= 2
	}
	return min(pause, mostPause)
}

// Tries count the tries to sign in with a password. What is counted outlives a
// restart, and is one count for all processes.
type Tries interface {
	// Try counts a try at each limit before it is made, so that many at once are
	// many, or says how long to wait and counts nothing.
	Try(ctx context.Context, limits []Limit, now time.Time) (counts []Count, wait time.Duration, err error)
	// Passed takes back what Try counted for one that succeeded, and no more of a
	// limit that is shared: neither others' tries nor a pause that they began.
	Passed(ctx context.Context, counts []Count) error
}

// limitsOf are those for a name from an address. An unknown name is counted as a
// known one is, so that nobody learns from them who there is.
func limitsOf(name string, source netip.Addr) []Limit {
	from := network(source)
	return []Limit{
		{Key: key("user and source", name, from), Free: 5},
		{Key: key("user", name), Free: 50}, // high: a stranger must not be able to keep somebody out easily
		{Key: key("source", from), Free: 30, Shared: true},
	}
}

// network is where an address is, as far as one counts: a household has a /64.
func network(source netip.Addr) string {
	if source.Is6() {
		if prefix, err := source.Prefix(64); err == nil {
			return prefix.Addr().String()
		}
	}
	return source.String()
}

// key is the digest of a word and what it is of.
func key(parts ...string) Digest {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return Digest(h.Sum(nil))
}
