package bundle

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	defaultMin  = 30 * time.Second // BU-16
	defaultMax  = time.Hour        // BU-16
	smallestMin = time.Second

	// localInterval is the longest time between two looks at a document on this
	// machine, unless there are more than two hundred: a thousand are looked at
	// within five seconds.
	localInterval = time.Second
	localEach     = localInterval / 200

	// Between these, attempts back off while no bundle was ever loaded (BE-14), and
	// while the bundle at hand is known to be none of today.
	firstBackOff = time.Second
	lastBackOff  = time.Minute
)

// checked fills in the defaults.
func (r Refresh) checked() (Refresh, error) {
	if r.Min == 0 {
		r.Min = defaultMin
		if r.Max > 0 {
			r.Min = min(defaultMin, r.Max)
		}
	}
	if r.Max == 0 {
		r.Max = max(defaultMax, r.Min)
	}
	if r.Min < smallestMin {
		return r, fmt.Errorf("refresh.min is %v, less than %v (BU-16)", r.Min, smallestMin)
	}
	if r.Max < r.Min {
		return r, fmt.Errorf("refresh.max is %v, less than refresh.min, %v (BU-16)", r.Max, r.Min)
	}
	return r, nil
}

// interval is the time between two polls, by the bundle's own hint (BE-13)
// within the operator's bounds: published hints of weeks exist, and a revocation
// would wait that long (BU-16).
func (r Refresh) interval(hint time.Duration) time.Duration {
	return min(max(hint, r.Min), r.Max)
}

// backOff is the time until the next attempt after so many failed ones, where the
// interval would be too long (BE-14).
func backOff(failures int) time.Duration {
	wait := firstBackOff << min(max(failures-1, 0), 10)
	return min(jitter(min(wait, lastBackOff)), lastBackOff)
}

// jitter spreads a time by up to 10 % either way, so that servers which started
// together do not ask together for ever (BE-20).
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// interval is the time between two polls, before its jitter: after a failed poll
// too, so that there is no storm of retries (BE-14). Its caller holds mu.
func (d *domain) interval() time.Duration {
	switch current := d.current.Load(); {
	case d.local:
		return localInterval
	case current == nil:
		return d.refresh.interval(defaultHint)
	default:
		return d.refresh.interval(current.refreshHint)
	}
}

// localInterval is the time between two looks at a document on this machine.
func (s *Set) localInterval() time.Duration {
	return max(localInterval, time.Duration(len(*s.domains.Load()))*localEach)
}

// nudge makes the poller look at the plan again.
func (d *domain) nudge() {
	select {
	case d.wake <- struct{}{}:
	default: // it has yet to look at the one before
	}
}

// untilPoll is how long to wait for the planned time; nothing is planned before
// the first attempt.
func (d *domain) untilPoll(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nextPoll.IsZero() || d.told != d.tried {
		return 0
	}
	return max(d.nextPoll.Sub(now), 0)
}

// changed is what a Watcher calls.
func (d *domain) changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told++
	d.retries = 0
	d.nudge()
}
