package resource

import (
	"crypto/sha256"
	"sync/atomic"

	"github.com/svidgate/svidgate/internal/proven"
)

// Why remembering is safe is said at Remembered.
const (
	// maxResults is how many results one issuer has.
	maxResults = 1 << 13
	// maxIssuers is how many issuers may have all of theirs.
	maxIssuers = 4
	// maxRemembered is the longest token that is remembered, in bytes, so that the
	// memory is bounded in bytes too. A longer one is verified each time.
	maxRemembered = 4 << 10
)

type digest = [sha256.Size]byte

// A proof is what a good signature rests on besides the bytes of the token.
type proof struct {
	issuer string
	key    digest
	keys   digest // the content of the key set
}

// A result is a token that was accepted.
type result struct {
	said  *reading
	proof proof
}

// An issuer is an authorization server whose tokens are accepted.
type issuer struct {
	source  KeySource
	results proven.Share[digest, result]
}

// memory counts how the results were used.
type memory struct {
	results      *proven.Memory[digest, result]
	hits, misses atomic.Uint64
}

func newMemory(perIssuer, issuers int) *memory {
	return &memory{results: proven.New[digest, result](perIssuer*min(max(1, issuers), maxIssuers), perIssuer)}
}

// use gives each issuer its share of a memory.
func (v *Verifier) use(m *memory) {
	v.memory = m
	for name, i := range v.issuers {
		i.results = m.results.Share(name)
	}
}

// Remembered says how much work a [Verifier] was spared by what it remembers: what
// the tokens said that it accepted, and what their signatures rest on. A caller
// shows one token for minutes, and the signature is what a check costs.
//
// Only what cannot change is remembered. A result counts for the very bytes of the
// token, its issuer, the very key and the very content of the issuer's key set:
// with another bit, key or set the signature is verified again, and a key that was
// withdrawn ends its tokens at once. All else is judged each time, by the same
// rules: that the issuer's keys may be used now, its name, the audience, the
// times, the certificate of this connection, the scopes. Refusals are never
// remembered.
//
// So a thief gains nothing: a stolen token is refused or accepted as it would be
// without a memory. A flood of made-up tokens leaves nothing, for only what every
// rule accepted is kept. Whoever gets very many good tokens of one issuer pushes
// out what else is remembered of that issuer, which costs one signature each; up to
// four issuers are out of each other's reach. One issuer has 8192 tokens at most,
// of at most 4 KiB each, and mostly of 1 KiB; all issuers have four times as many.
type Remembered struct {
	// Hits are judgements that came to the signature of a token and knew it to be
	// good, Misses those that verified it. A judgement that another rule refused
	// earlier counts as neither.
	Hits, Misses uint64
	// Held is how many tokens are remembered now.
	Held int
}

// Remembered is for metrics: read it whenever they are. It counts from when the
// Verifier was made; explaining counts nothing.
func (v *Verifier) Remembered() Remembered {
	return Remembered{v.memory.hits.Load(), v.memory.misses.Load(), v.memory.results.Held()}
}

// recall looks whether this very token was accepted before. Whose it is only its
// text says, so each issuer's results are asked: they are few.
func (s *attempt) recall() bool {
	if s.afresh || len(s.token) > maxRemembered {
		return false
	}
	var buf [1 << 10]byte // most tokens fit, and need no copy on the heap
	s.digest = sha256.Sum256(append(buf[:0], s.token...))
	for _, i := range s.v.order {
		if result, ok := i.results.Get(s.digest); ok {
			s.said, s.proven = result.said, result.proof
			return true
		}
	}
	return false
}

// proof is what the signature of this token rests on here and now.
func (s *attempt) proof() proof {
	return proof{s.caller.issuer, s.key.digest, s.keys.digest}
}

// remember notes a token that every rule accepted.
func (s *attempt) remember() {
	if s.afresh || len(s.token) > maxRemembered {
		return
	}
	s.issuer.results.Put(s.digest, result{s.said, s.proof()})
}

// count says to the memory how the signature was judged.
func (s *attempt) count() {
	switch {
	case s.afresh:
	case s.signature == fromMemory:
		s.v.memory.hits.Add(1)
	case s.signature == verified:
		s.v.memory.misses.Add(1)
	}
}

// A signature is how the signature of a token was judged.
type signature uint8

const (
	unjudged   signature = iota
	verified             // by the key, with whatever outcome
	fromMemory           // it was known to be good
)
