package keys

import (
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// A document is the content of the file. The rules of a key's life are its
// methods in life.go and change nothing outside of it.
type document struct {
	keys []key // the newest first; exactly one is active, at most one pending
	// cacheFor is how long a copy handed out now may be kept.
	cacheFor time.Duration
	// copiesUntil is when the last copy is gone that was handed out while
	// cacheFor was longer.
	copiesUntil time.Time
	old         bool // of version 1, which has no times
}

func (d *document) clone() *document {
	c := *d
	c.keys = slices.Clone(d.keys)
	return &c
}

func (d *document) same(other *document) bool {
	return d.old == other.old && d.cacheFor == other.cacheFor && d.copiesUntil.Equal(other.copiesUntil) &&
		slices.EqualFunc(d.keys, other.keys, key.same)
}

// active is the one key that signs. The reader of the file has seen to it that
// there is one.
func (d *document) active() *key { return d.in(StateActive) }

// pending is the key that signs next, or nil.
func (d *document) pending() *key { return d.in(StatePending) }

func (d *document) in(s State) *key {
	for i := range d.keys {
		if d.keys[i].state == s {
			return &d.keys[i]
		}
	}
	return nil
}

func (d *document) find(kid string) *key {
	for i := range d.keys {
		if d.keys[i].id == kid {
			return &d.keys[i]
		}
	}
	return nil
}

// published are all keys: the active one, the pending one, then the retiring
// ones, of which those made last come first.
func (d *document) published() []key {
	order := []State{StateActive, StatePending, StateRetiring}
	return slices.SortedStableFunc(slices.Values(d.keys), func(a, b key) int {
		return slices.Index(order, a.state) - slices.Index(order, b.state)
	})
}

// A Step is one change of one key's state.
type Step struct {
	KeyID     string         `json:"kid"`
	Algorithm jose.Algorithm `json:"alg"`
	From      State          `json:"from"`
	To        State          `json:"to"`
	// Until is how long the state lasts at least: a pending key's activation, a
	// retiring one's removal. Zero for the other states.
	Until time.Time `json:"until,omitzero"`
}

// steps are the differences between two contents.
func steps(before, after *document) []Step {
	var out []Step
	for _, k := range before.keys {
		if after.find(k.id) == nil {
			out = append(out, Step{k.id, k.alg, k.state, StateRemoved, time.Time{}})
		}
	}
	for _, k := range slices.Backward(after.keys) {
		from := StateNew
		if was := before.find(k.id); was != nil {
			from = was.state
		}
		if from != k.state {
			out = append(out, Step{k.id, k.alg, from, k.state, k.due})
		}
	}
	return out
}
