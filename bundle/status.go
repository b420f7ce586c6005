package bundle

import (
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A Status is what is known of one trust domain, for operators.
type Status struct {
	TrustDomain spiffeid.TrustDomain
	Origin      string // as in Document; empty before the first attempt
	Ready       bool   // there is a bundle, of whatever age

	// The following are of the bundle in use, and zero without one.

	Age         time.Duration // since the source last confirmed it
	Sequence    uint64
	HasSequence bool
	Generation  uint64
	Keys        map[Use]int // how many it has for each use; all three are there
	LeftOut     []LeftOut
	Notes       []Note

	// The following are of the attempts to fetch.

	LastAttempt time.Time // zero before the first
	LastError   string    // of the last attempt; empty when it succeeded
	NextRefresh time.Time // when Run polls next; zero before the first attempt
}

// Status tells of every trust domain, in the order of their names.
func (s *Set) Status() []Status {
	all := make([]Status, 0, len(s.domains))
	for _, d := range s.domains {
		all = append(all, d.status(s.now()))
	}
	slices.SortFunc(all, func(a, b Status) int {
		return strings.Compare(a.TrustDomain.Name(), b.TrustDomain.Name())
	})
	return all
}

func (d *domain) status(now time.Time) Status {
	d.mu.Lock()
	status := Status{
		TrustDomain: d.name,
		Origin:      d.origin,
		Keys:        map[Use]int{UseX509: 0, UseJWT: 0, UseWIT: 0},
		LastAttempt: d.lastAttempt,
		LastError:   d.lastError,
		NextRefresh: d.nextPoll,
	}
	d.mu.Unlock()
	snapshot := d.current.Load()
	if snapshot == nil {
		return status
	}
	status.Ready = true
	status.Age = now.Sub(snapshot.fetchedAt)
	status.Sequence, status.HasSequence = snapshot.Sequence()
	status.Generation = snapshot.generation
	status.Keys[UseX509] = len(snapshot.anchors)
	for _, k := range snapshot.keys {
		status.Keys[k.Use]++
	}
	status.LeftOut, status.Notes = snapshot.leftOut, snapshot.notes
	return status
}
