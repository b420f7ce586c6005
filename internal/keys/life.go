package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// linger is how long a retiring key stays beyond the life of its tokens: the
	// leeway that a resource server may give (GL-12), and as long again for a
	// process that shares the file and signs with it until it looks.
	linger = 60*time.Second + 60*time.Second
	// answerTime is given to answers that were under way when a rule changed.
	answerTime = time.Minute
	// tolerance is how far a clock may be set back unnoticed.
	tolerance = time.Minute
)

// ErrUnknownKey is returned for a kid that no key has.
var ErrUnknownKey = errors.New("no key has this kid")

// A maker makes a key; it may take seconds.
type maker func(jose.Algorithm, time.Time) (key, error)

// begin is the content of a new file. Its key is active at once: there is nobody
// yet who could have an older copy.
func begin(c Config, now time.Time, fresh maker) (*document, error) {
	d := &document{cacheFor: c.cacheFor()}
	k, err := fresh(c.Algorithm, now)
	if err != nil {
		return nil, err
	}
	k.state, k.activated, k.longest = StateActive, stamp(now), c.LongestToken
	d.keys = []key{k}
	return d, nil
}

// settle makes every change that is due. ripe says whether the time of a pending
// or retiring key has come.
func (d *document) settle(c Config, now time.Time, ripe func(key) bool, fresh maker) error {
	d.adopt(c, now)
	d.correct(c, now)
	d.keys = slices.DeleteFunc(d.keys, func(k key) bool {
		return k.state == StatePending && k.alg != c.Algorithm || k.state == StateRetiring && ripe(k)
	})
	if next := d.pending(); next != nil && ripe(*next) {
		d.activate(next, c, now)
	}
	if d.lacksNext(c, now) && !d.full() { // for want of room other changes must not fail
		return d.prepare(c, now, fresh)
	}
	return nil
}

// lacksNext reports whether a pending key is to be made.
func (d *document) lacksNext(c Config, now time.Time) bool {
	return d.pending() == nil && (d.active().alg != c.Algorithm || c.RotateEvery > 0 && !now.Before(d.rotation(c)))
}

// full reports whether there is no room for another key.
func (d *document) full() bool { return len(d.keys) >= maxKeys }

// offers is the error about an algorithm that no key signs with, now or next.
func (d *document) offers(alg jose.Algorithm) error {
	if next := d.pending(); d.active().alg == alg || next != nil && next.alg == alg {
		return nil
	}
	return fmt.Errorf("%w of %s", errNoRoom, alg)
}

// rotation is when the next pending key is made, if rotation goes by itself.
func (d *document) rotation(c Config) time.Time {
	return d.active().activated.Add(c.RotateEvery - c.PublishAhead)
}

// adopt brings the file under this configuration.
func (d *document) adopt(c Config, now time.Time) {
	if keep := c.cacheFor(); keep != d.cacheFor {
		if until := notBefore(now.Add(d.cacheFor + answerTime)); keep < d.cacheFor && until.After(d.copiesUntil) {
			d.copiesUntil = until
		}
		d.cacheFor = keep
	}
	for i := range d.keys {
		k := &d.keys[i]
		switch {
		case k.state == StateActive:
			if k.activated.IsZero() {
				k.activated = k.created
			}
			k.longest = max(k.longest, c.LongestToken)
		case k.state == StateRetiring && k.due.IsZero():
			k.longest = c.LongestToken
			k.due = k.end(now)
		}
	}
	d.old = false
}

// lacks reports whether adopt has something to remember before a token may be
// signed or a copy of the JWK Set be handed out.
func (d *document) lacks(c Config) bool {
	return d.old || d.cacheFor != c.cacheFor() || d.active().longest < c.LongestToken
}

// correct moves what lies further ahead than it would if it were planned now: the
// clock was set back, or the time ahead is shorter now.
//
// It shortens nothing on disk that tokens and copies out there need. The clock may
// be behind at this start and right at the next, for which a time that is a whole
// period from now would have passed long ago. So the end of a retiring key and
// copiesUntil stay as they are, and sightings.left and copiesGone judge them. A
// pending key may be moved: each process waits until its copies have it, whatever
// the time of the file.
func (d *document) correct(c Config, now time.Time) {
	tooFar := func(t, at time.Time) bool { return t.After(at.Add(tolerance)) }
	for i := range d.keys {
		k := &d.keys[i]
		switch k.state {
		case StateActive:
			if tooFar(k.activated, now) {
				k.activated = stamp(now)
			}
		case StatePending:
			if at := d.start(c, now); tooFar(k.due, at) {
				k.due = at
			}
		}
	}
}

// start is when a key that is first published now may become active.
func (d *document) start(c Config, now time.Time) time.Time {
	at := notBefore(now.Add(c.PublishAhead))
	if copies := d.copiesGone(now); at.Before(copies) {
		return copies
	}
	return at
}

// copiesGone is when the last copy of a longer life is gone. If copiesUntil lies
// further ahead than it can, the clock was set back.
func (d *document) copiesGone(now time.Time) time.Time {
	if most := notBefore(now.Add(maxCache + answerTime)); d.copiesUntil.After(most) {
		return most
	}
	return d.copiesUntil
}

// end is when a key that signs no more from now on may be removed.
func (k key) end(now time.Time) time.Time { return notBefore(now.Add(k.longest + linger)) }

// prepare makes the pending key.
func (d *document) prepare(c Config, now time.Time, fresh maker) error {
	k, err := fresh(c.Algorithm, now)
	if err != nil {
		return err
	}
	k.state, k.due = StatePending, d.start(c, now)
	d.keys = slices.Insert(d.keys, 0, k)
	return nil
}

// activate makes the pending key sign, and the one that signed retire.
func (d *document) activate(next *key, c Config, now time.Time) {
	old := d.active()
	old.state, old.retired, old.due = StateRetiring, stamp(now), old.end(now)
	next.state, next.activated, next.due, next.longest = StateActive, stamp(now), time.Time{}, c.LongestToken
}

// rotate is what an operator asks for; kid is the key that signs next, or with
// atOnce now.
func (d *document) rotate(c Config, now time.Time, atOnce bool, fresh maker) (kid string, err error) {
	if d.pending() == nil {
		if err := d.prepare(c, now, fresh); err != nil {
			return "", err
		}
	}
	next := d.pending()
	if atOnce {
		d.activate(next, c, now)
	}
	return next.id, nil
}

// remove is KR-3: the key is gone at once. In the place of the active one comes
// the pending one or a new one.
func (d *document) remove(c Config, now time.Time, kid string, fresh maker) (Key, error) {
	k := d.find(kid)
	if k == nil {
		return Key{}, fmt.Errorf("%w: %s", ErrUnknownKey, oauth.Shown(kid))
	}
	removed := k.public()
	if k.state == StateActive {
		if _, err := d.rotate(c, now, true, fresh); err != nil {
			return Key{}, err
		}
	}
	d.keys = slices.DeleteFunc(d.keys, func(k key) bool { return k.id == kid })
	return removed, nil
}
