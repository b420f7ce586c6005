package revocation

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A held copy of what is revoked, by kind and value. Its owner has the lock.
type held struct {
	byKind map[Kind]map[string]Entry
	by     map[string]int // how many single tokens each of these revoked
}

func newHeld() *held {
	h := &held{byKind: make(map[Kind]map[string]Entry, len(Kinds)), by: map[string]int{}}
	for _, k := range Kinds {
		h.byKind[k] = map[string]Entry{}
	}
	return h
}

// put takes an entry. Of two about the same the later times count, so their order
// does not matter.
func (h *held) put(e Entry) {
	of, known := h.byKind[e.Kind]
	if !known { // of a later version of this program, which may share the store
		return
	}
	if known, twice := of[e.Value]; twice {
		h.count(known, -1)
		expires := e.Expires
		if known.Expires.After(expires) {
			expires = known.Expires
		}
		if known.Before.After(e.Before) {
			e = known
		}
		e.Expires = expires
	}
	h.count(e, +1)
	of[e.Value] = e
}

func (h *held) count(e Entry, n int) {
	if e.Kind != TokenID {
		return
	}
	if h.by[e.By] += n; h.by[e.By] == 0 {
		delete(h.by, e.By)
	}
}

// forget drops what has expired.
func (h *held) forget(now time.Time) {
	for _, of := range h.byKind {
		for value, e := range of {
			if !now.Before(e.Expires) {
				h.count(e, -1)
				delete(of, value)
			}
		}
	}
}

// wide is how many entries there are about more than one token.
func (h *held) wide() int {
	n := -len(h.byKind[TokenID])
	for _, of := range h.byKind {
		n += len(of)
	}
	return n
}

// find is the entry by which a token is dead.
func (h *held) find(t Token) (Entry, bool) {
	for _, always := range [...]struct {
		kind  Kind
		value string
	}{{TokenID, t.ID}, {Key, t.KeyID}} {
		if e, ok := h.byKind[always.kind][always.value]; ok && always.value != "" {
			return e, true
		}
	}
	if e, ok := h.before(Client, t.ClientID, t.IssuedAt); ok {
		return e, true
	}
	for _, id := range t.SPIFFEIDs {
		if id.IsZero() {
			continue
		}
		text := id.String()
		if e, ok := h.before(SPIFFEID, text, t.IssuedAt); ok {
			return e, true
		}
		if e, ok := h.before(TrustDomain, id.TrustDomain().Name(), t.IssuedAt); ok {
			return e, true
		}
		if len(h.byKind[SPIFFEIDPrefix]) == 0 {
			continue
		}
		// Every prefix of whole segments, the longest first.
		for end := len(text); ; {
			if end = strings.LastIndexByte(text[:end], '/'); end < len("spiffe://") {
				break
			}
			if e, ok := h.before(SPIFFEIDPrefix, text[:end]+"/*", t.IssuedAt); ok {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// before is the entry about a value if it was revoked when, or after, a token was
// issued. A token has whole seconds.
func (h *held) before(kind Kind, value string, issued time.Time) (Entry, bool) {
	e, ok := h.byKind[kind][value]
	if !ok || value == "" || issued.Truncate(time.Second).After(e.Before) {
		return Entry{}, false
	}
	return e, true
}

// all are the entries that count, the latest first.
func (h *held) all(now time.Time) []Entry {
	var all []Entry
	for _, of := range h.byKind {
		for _, e := range of {
			if now.Before(e.Expires) {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(b.Before.Compare(a.Before), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	return all
}
