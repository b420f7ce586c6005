package bundle

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// obtainWithin is how long a trust domain may be without any bundle before
	// an operator is told.
	obtainWithin = time.Minute
	// alarmStep is how much later than its time an alarm is looked for, so that
	// it is there then.
	alarmStep = 10 * time.Millisecond
	// alarmWait is how long to wait when no alarm is in sight.
	alarmWait = time.Hour
)

// An alarm is something of a trust domain that its operator has to look into.
type alarm struct {
	kind string // for the log: an alarm of the same kind is the same alarm
	text string
}

// alarms are those of this moment, the worst first. Its caller holds mu.
func (d *domain) alarms(now time.Time) []alarm {
	var all []alarm
	raise := func(when bool, kind, format string, args ...any) {
		if when {
			all = append(all, alarm{kind, fmt.Sprintf(format, args...)})
		}
	}
	if current := d.current.Load(); current != nil {
		age := current.Age(now)
		raise(d.maxAge > 0 && age > d.maxAge, "too old",
			"the bundle is older than %v: every SVID of the trust domain is refused (BE-15)", d.maxAge)
		raise(age > d.early(), "not confirmed",
			"the source has not confirmed the bundle for longer than %v", d.early())
		raise(current.empty(), "empty",
			"the bundle has nothing usable: every SVID of the trust domain is refused (BU-3)")
	} else {
		raise(!d.began.IsZero() && now.Sub(d.began) > obtainWithin, "nothing obtained",
			"no bundle was obtained for longer than %v: every SVID of the trust domain is refused", obtainWithin)
	}
	if d.refused != nil {
		rollBack := d.refused.Rule == "BU-14"
		raise(rollBack, "roll-back", "the source offers an older bundle: %s (BU-14)", d.refused.Why)
		raise(!rollBack, "refused", "the last document was refused: %s (%s)", d.refused.Why, d.refused.Rule)
	}
	raise(d.conflict, "conflict", "the bundle changed while its sequence did not (BU-14)")
	if d.file != nil {
		fault := d.file.fault()
		raise(fault != "", "not kept", "the bundle could not be kept on disk: %s (BE-15)", fault)
	}
	return all
}

// early is how old a bundle may become before an operator is told: much less
// than makes the verifier refuse, so that there is time to do something. One
// poll that comes as planned is never late, however slow its source. Its caller
// holds mu.
func (d *domain) early() time.Duration {
	interval := d.interval()
	limit := 3 * interval
	if d.maxAge > 0 {
		limit = min(limit, d.maxAge/2)
	}
	return max(limit, interval+interval/10+fetchTimeout)
}

// untilAlarm is how long to wait for the next moment at which time alone may
// raise an alarm.
func (d *domain) untilAlarm(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []time.Duration
	if current := d.current.Load(); current != nil {
		age := current.Age(now)
		all = append(all, d.early()-age)
		if d.maxAge > 0 {
			all = append(all, d.maxAge-age)
		}
	} else if !d.began.IsZero() {
		all = append(all, obtainWithin-now.Sub(d.began))
	}
	wait := alarmWait
	for _, left := range all {
		if left >= 0 { // or it was raised already
			wait = min(wait, left+alarmStep)
		}
	}
	return wait
}

// review logs each alarm once when it begins, and once when it is over.
func (s *Set) review(ctx context.Context, d *domain) {
	d.mu.Lock()
	if d.isEnded() {
		d.mu.Unlock()
		return
	}
	before, after := d.raised, d.alarms(s.now())
	d.raised = after
	d.mu.Unlock()
	if len(before) == 0 && len(after) == 0 {
		return // as nearly always, and a thousand files are looked at all the time
	}
	log := s.log.With(keyTrustDomain, d.name.Name(), keyOrigin, d.origin)
	for _, a := range missing(after, before) {
		log.WarnContext(ctx, "bundle alarm", keyAlarm, a.kind, keyWhy, a.text)
	}
	for _, a := range missing(before, after) {
		log.InfoContext(ctx, "bundle alarm is over", keyAlarm, a.kind)
	}
}

// missing are the alarms whose kind the others lack.
func missing(alarms, others []alarm) []alarm {
	var found []alarm
	for _, a := range alarms {
		if !slices.ContainsFunc(others, func(b alarm) bool { return b.kind == a.kind }) {
			found = append(found, a)
		}
	}
	return found
}
