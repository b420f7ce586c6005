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

	// localInterval is how often a document on this machine is looked at.
	localInterval = time.Second

	// Between these, attempts back off while no bundle was ever loaded (BE-14).
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

// interval is the time until the next poll, by the bundle's own hint (BE-13)
// within the operator's bounds: published hints of weeks exist, and a revocation
// would wait that long (BU-16).
func (r Refresh) interval(hint time.Duration) time.Duration {
	return jitter(min(max(hint, r.Min), r.Max))
}

// backOff is the time until the next attempt after so many failed ones, with
// nothing loaded yet (BE-14).
func backOff(failures int) time.Duration {
	wait := firstBackOff << min(max(failures-1, 0), 10)
	return min(jitter(min(wait, lastBackOff)), lastBackOff)
}

// jitter spreads a time by up to 10 % either way, so that servers which started
// together do not ask together for ever (BE-20).
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
