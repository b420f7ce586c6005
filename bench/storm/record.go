package main

import (
	"sync"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
)

// A record counts what happens in a storm.
type record struct {
	workloads int
	begun     time.Time
	kill      func()        // the server
	some      chan struct{} // closed when one in fifty has a token, and the server was killed
	all       chan struct{} // closed when each has one
	renewed   chan struct{} // closed when each has two

	mu            sync.Mutex // guards what follows
	killed, ready time.Time
	drained       time.Time
	first, second int // workloads that have one token, and two
	beforeKill    int // workloads that had one then
	late          int // tokens that came after the one before had ended
	tokens        []int
	renewals      []int          // when they were due
	before, after map[string]int // errors, by when the request began: before the server was up again, or after
}

// newRecord is that of a storm in which the server is killed once, by the workload that
// is the last of one in fifty: nobody else is served before that is over.
func newRecord(workloads int, kill func()) *record {
	return &record{
		workloads: workloads, begun: time.Now(), kill: kill,
		some: make(chan struct{}), all: make(chan struct{}), renewed: make(chan struct{}),
		before: map[string]int{}, after: map[string]int{},
	}
}

func (r *record) restarted(ready time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = ready
}

// served counts the n-th token of a workload.
func (r *record) served(n int, due, now time.Time, late bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.tokens, now.Sub(r.begun))
	if late {
		r.late++
	}
	switch n {
	case 1:
		r.first++
		if r.first == max(1, r.workloads/50) {
			r.killed, r.beforeKill = time.Now(), r.first
			r.kill()
			close(r.some)
		}
		if r.first == r.workloads {
			r.drained = now
			close(r.all)
		}
	case 2:
		r.second++
		if r.second == r.workloads {
			close(r.renewed)
		}
	}
	if n > 1 {
		count(&r.renewals, due.Sub(r.begun))
	}
}

// failed counts an error. Until the server is up again, a request that failed
// belongs to the time before.
func (r *record) failed(kind string, begun time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready.IsZero() || begun.Before(r.ready) {
		r.before[kind]++
	} else {
		r.after[kind]++
	}
}

// allowed says whether a kind of error is the storm's own: nobody listens, or the
// kill cut a connection off.
func allowed(kind string) bool { return kind == load.Refused || kind == load.CutOff }

// count counts in the second of a time.
func count(seconds *[]int, at time.Duration) {
	n := max(0, int(at/time.Second))
	for len(*seconds) <= n {
		*seconds = append(*seconds, 0)
	}
	(*seconds)[n]++
}
