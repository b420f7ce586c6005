package introspection

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/proven"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxResults is how many tokens are remembered for one client that asks, and
	// maxAskers how many clients may have all of theirs.
	maxResults = 1 << 13
	maxAskers  = 8
	// maxRemembered is the longest token that is remembered, in bytes.
	maxRemembered = 4 << 10
)

// A digest is the SHA-256 of a token.
type digest = [sha256.Size]byte

// Keys are the published keys of this server.
type Keys interface {
	// Verifying is the key with this kid, which is its thumbprint: the same kid is
	// always the same key.
	Verifying(kid string) (jose.Algorithm, crypto.PublicKey, bool)
}

// Tokens tell whether an access token is one of ours. They remember signatures that
// were good, apart for each client that asks; which key it was is judged each time,
// so that a key that is gone ends its tokens at once.
type Tokens struct {
	issuer string
	keys   Keys
	now    func() time.Time
	memory *proven.Memory[digest, *reading]
}

// NewTokens makes the Tokens of one issuer.
func NewTokens(issuer string, keys Keys, now func() time.Time) *Tokens {
	return &Tokens{issuer, keys, now, proven.New[digest, *reading](maxResults*maxAskers, maxResults)}
}

// A Token is an access token that passed every rule of whoever handed it out. Only
// this package makes one; the zero value is no token.
type Token struct{ said *reading }

// Genuine reports whether it is a token at all.
func (t Token) Genuine() bool { return t.said != nil }

// ID is the jti.
func (t Token) ID() string { return t.says().about.ID }

// Subject is the sub.
func (t Token) Subject() string { return t.says().subject }

// ExpiresAt is the exp.
func (t Token) ExpiresAt() time.Time { return t.says().expires }

// GrantID is the grant that it was issued under, if a person gave one.
func (t Token) GrantID() string { return t.says().grant }

var nothing = new(reading)

// says is what the token says, and nothing where there is none.
func (t Token) says() *reading { return cmp.Or(t.said, nothing) }

// An attempt is one token while it is judged, for one client. It only grows.
type attempt struct {
	judge.Judgement
	in     *Introspector
	now    time.Time
	asks   string   // the client
	may    []string // the resources whose tokens it may ask about
	share  string   // whose memory is looked at
	afresh bool     // nothing is taken from memory, and nothing put there

	token  string
	digest digest
	jws    *jose.Compact
	said   *reading
	proven bool // its signature was good before

	alg jose.Algorithm
	key crypto.PublicKey
	why string // what revoked it

	refresh authorization.Grant // of a refresh token
	live    bool                // it is the one that would be accepted now

	broken *oauth.Error // the store's refusal, which has its own words
}

// recall looks whether this very token was good before, for this client.
func (s *attempt) recall() bool {
	if s.afresh || len(s.token) > maxRemembered {
		return false
	}
	var room [1 << 10]byte // most fit, and need no copy on the heap
	s.digest = sha256.Sum256(append(room[:0], s.token...))
	s.said, s.proven = s.in.config.Tokens.memory.Get(s.share, s.digest)
	return s.proven
}

// remember notes a token whose signature is good now.
func (s *attempt) remember() {
	if !s.afresh && len(s.token) <= maxRemembered {
		s.in.config.Tokens.memory.Put(s.share, s.digest, s.said)
	}
}

// compact is the token taken apart; a remembered one is taken apart only here.
func (s *attempt) compact() *jose.Compact {
	if s.jws == nil {
		jws, err := jose.ParseCompact(s.token)
		if err != nil {
			return &jose.Compact{}
		}
		s.jws = jws
	}
	return s.jws
}

// Refusal gives every reason for which a token is not active the code that says so.
// What is our own fault says nothing of the token.
func (s *attempt) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	code := oauth.InvalidToken
	switch {
	case s.broken != nil:
		return s.broken
	case reason == oauth.ReasonInternal:
		code = oauth.ServerError
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}
