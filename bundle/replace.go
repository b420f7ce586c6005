package bundle

import (
	"maps"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Replace puts other trust domains in place of those there are (BE-16). It checks
// them like NewSet and reports every fault at once; then nothing has changed.
//
// For each trust domain, what happens depends on its source:
//   - With the same Source value, compared with ==, everything goes on. The
//     bounds of its refreshes and its greatest age may be other ones.
//   - With another Source of the same Origin, the bundle and its sequence stay,
//     and the new source is asked at once.
//   - With another Origin it begins anew, with First or without a bundle.
//   - One that is new begins, and is polled if Run runs.
//   - One that is gone is unknown from now on.
//
// What a source that was taken away is about to answer is not used any more. What
// was kept on disk of a trust domain that is gone, or of another origin, is
// deleted. All this holds when Replace returns; only a disk that does not answer is
// waited for no longer than a second, and then deletes when it does.
func (s *Set) Replace(trustDomains []TrustDomain) error {
	configured, err := checked(trustDomains)
	if err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	before := *s.domains.Load()
	after := make(map[spiffeid.TrustDomain]*domain, len(configured))
	var (
		begun    []*domain
		removals []removal
	)
	s.hangs = false
	for _, td := range configured {
		old, ok := before[td.Name]
		if ok && sameSource(old.source, td.Source) {
			after[td.Name] = old
			continue
		}
		var d *domain
		if ok {
			d = newDomain(td)
			removals = append(removals, s.succeed(old, d)...)
		} else {
			d = s.newKeptDomain(td)
		}
		if td.First != nil && d.current.Load() == nil {
			s.beginWith(d, *td.First)
		}
		after[td.Name] = d
		begun = append(begun, d)
	}
	s.domains.Store(&after)
	removals = append(removals, s.endOthers(before, after)...)
	s.awaitRemovals(removals)
	maps.DeleteFunc(s.files, func(_ string, k *keptFile) bool { return k.isDone() })
	for _, td := range configured {
		after[td.Name].adjust(td, s.now())
	}
	for _, d := range begun {
		s.log.Info("trust domain begins", keyTrustDomain, d.name.Name(), keyOrigin, d.origin)
		if s.start != nil {
			s.start(d)
		}
	}
	return nil
}

// beginWith makes first the bundle of a domain that has none, unless it is older
// than what was kept of it (BU-14). Its caller is the only one who knows d.
func (s *Set) beginWith(d *domain, first Snapshot) {
	if d.floor.Present && first.hasSequence && first.sequence < d.floor.Number {
		return // the source is asked soon, and what it then offers is told of
	}
	first.generation = s.generation.Add(1)
	d.floor = Sequence{}
	d.current.Store(&first)
}

// endOthers ends the life of each domain that is not in use any more, and deletes
// what was kept of those whose trust domain is gone (BE-16).
func (s *Set) endOthers(before, after map[spiffeid.TrustDomain]*domain) (removals []removal) {
	for name, old := range before {
		next, ok := after[name]
		if next == old {
			continue
		}
		old.mu.Lock()
		if !old.isEnded() {
			old.end()
		}
		old.mu.Unlock()
		s.log.Info("trust domain ends", keyTrustDomain, name.Name(), keyOrigin, old.origin)
		if !ok && old.file != nil {
			removals = append(removals, removal{old.file, old.file.handOver(nil, false)})
		}
	}
	return removals
}

// succeed makes next the domain of a trust domain in place of old: it may write
// the file, and if it has the same origin it goes on with the bundle.
func (s *Set) succeed(old, next *domain) (removals []removal) {
	same := old.origin == next.origin
	if same {
		old.handOver(next)
	}
	if next.file = old.file; next.file == nil {
		return nil
	}
	if task := next.file.handOver(next, same); task != nil {
		return []removal{{next.file, task}}
	}
	return nil
}

// handOver ends the life of a domain and gives what it learnt to the next one,
// which has the same origin.
func (d *domain) handOver(next *domain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	next.current.Store(d.current.Load())
	next.document = d.document
	next.fromDisk = d.fromDisk
	next.local = d.local
	next.demanded = d.demanded // or each change would give strangers another fetch
	next.floor = d.floor
	next.conflict = d.conflict
	next.raised = d.raised
}

// adjust takes over what may change while the source stays the same.
func (d *domain) adjust(td TrustDomain, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refresh == td.Refresh && d.maxAge == td.MaxAge {
		return
	}
	d.refresh, d.maxAge = td.Refresh, td.MaxAge
	defer d.nudge()
	if d.nextPoll.IsZero() || d.current.Load() == nil {
		return // it is asked soon
	}
	// The plan was made with the bounds before. A clock that was set back must not
	// put it off.
	wait := jitter(d.interval())
	planned := now.Add(min(max(wait-now.Round(0).Sub(d.lastAttempt), 0), wait))
	if planned.Before(d.nextPoll) {
		d.nextPoll = planned
	}
}
