package keys

import "time"

// Sightings are what this process has seen of the keys. The times of the file are
// those of the wall clock, which may be set, and of processes that may have been
// stopped. So a change waits for both: the time of the file, and time that passed
// here. A clock that is ahead when a process starts cannot be told from one that is
// right, and may end a retiring key too early.
type sightings struct {
	now    func() time.Time
	passed func() time.Duration // since the start; setting the clock does not change it
	of     map[string]sighting  // by kid
}

type sighting struct {
	state State
	since time.Duration // it was seen like this first then, in time that passed
	due   time.Time     // as in the file
	until time.Duration // the key stays like this until then at least, in time that passed
}

func newSightings(now func() time.Time) sightings {
	start := now()
	return sightings{now: now, passed: func() time.Duration { return now().Sub(start) }, of: map[string]sighting{}}
}

// note takes a content down that has just been published.
func (s sightings) note(d *document) {
	now, passed := s.now(), s.passed()
	for _, k := range d.keys {
		before := s.of[k.id]
		if before.state == k.state && before.due.Equal(k.due) {
			continue
		}
		wait := k.due.Sub(now)
		switch {
		case k.state == StateActive:
			wait = 0
		case k.state == StatePending:
			// It counts from now, since nothing was handed out while no process
			// ran: once for the copies of this process from before, and once for
			// those of another that has not seen the key yet.
			wait = max(wait, 2*d.cacheFor, d.copiesGone(now).Sub(now))
		case before.state == StateActive:
			// It signed until now, however long writing the file took.
			wait = max(wait, k.longest+linger)
		}
		s.of[k.id] = sighting{k.state, passed, k.due, passed + wait}
	}
	for kid := range s.of {
		if d.find(kid) == nil {
			delete(s.of, kid)
		}
	}
}

// left is how long a pending or retiring key, seen before, stays what it is.
func (s sightings) left(k key) time.Duration {
	seen, passed := s.of[k.id], s.passed()
	left := max(k.due.Sub(s.now()), seen.until-passed)
	if k.state == StateRetiring {
		// Nothing that it signed is valid after this, wherever the clock stands.
		left = min(left, seen.since+k.longest+linger-passed)
	}
	return left
}

// ripe reports whether the time of a pending or retiring key has come. A key that
// was not seen yet has not been published here.
func (s sightings) ripe(k key) bool {
	seen, ok := s.of[k.id]
	return ok && seen.state == k.state && s.left(k) <= 0
}
