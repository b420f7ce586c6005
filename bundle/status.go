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
	Origin      string        // of the source
	Ready       bool          // there is a bundle, of whatever age
	MaxAge      time.Duration // as configured; 0 means for ever

	// Alarm says in short texts what an operator has to look into; there is none
	// while all is well. It comes before anything is refused for its age.
	Alarm []string

	// The following are of the bundle in use, and zero without one.

	Age         time.Duration // since the source last confirmed it; never negative
	LastSuccess time.Time     // when that was
	Sequence    uint64
	HasSequence bool
	Generation  uint64
	Keys        map[Use]int // how many it has for each use; all three are there
	LeftOut     []LeftOut
	Notes       []Note
	// KeptFromDisk marks a bundle that was kept over a restart and that its source
	// has not confirmed since.
	KeptFromDisk bool

	// The following are of the attempts to fetch.

	LastAttempt time.Time // zero before the first
	LastError   string    // of the last attempt; empty when it succeeded
	Failures    int       // attempts in a row that failed, the last among them
	NextRefresh time.Time // when Run polls next; zero before the first attempt
	Demands     Demands   // what became of fetches on demand
}

// Status tells of every trust domain, in the order of their names.
func (s *Set) Status() []Status {
	domains := *s.domains.Load()
	all := make([]Status, 0, len(domains))
	for _, d := range domains {
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
		MaxAge:      d.maxAge,
		Keys:        map[Use]int{UseX509: 0, UseJWT: 0, UseWIT: 0},
		LastAttempt: d.lastAttempt,
		LastError:   d.lastError,
		Failures:    d.failures,
		NextRefresh: d.nextPoll,
		Demands:     d.demands,
	}
	for _, a := range d.alarms(now) {
		status.Alarm = append(status.Alarm, a.text)
	}
	status.KeptFromDisk = d.fromDisk
	snapshot := d.current.Load() // with mu held, so that it goes with the alarms
	d.mu.Unlock()
	if snapshot == nil {
		return status
	}
	status.Ready = true
	status.Age, status.LastSuccess = snapshot.Age(now), snapshot.fetchedAt
	status.Sequence, status.HasSequence = snapshot.Sequence()
	status.Generation = snapshot.generation
	status.Keys[UseX509] = len(snapshot.anchors)
	for _, k := range snapshot.keys {
		status.Keys[k.Use]++
	}
	status.LeftOut, status.Notes = snapshot.leftOut, snapshot.notes
	return status
}
