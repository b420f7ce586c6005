package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// rsaBits is the length of the RSA keys made here; shorter ones of at least
// jose.MinRSABits are read (KR-4).
const rsaBits = 3072

// A State is where a key stands in its life (KR-2).
type State string

// A key goes through these in this order. New and Removed are the ends of a
// [Step] and never the state of a key.
const (
	StateNew      State = "new"
	StatePending  State = "pending"  // published, signs not yet; at most one key
	StateActive   State = "active"   // signs; exactly one key
	StateRetiring State = "retiring" // published, signs no more
	StateRemoved  State = "removed"
)

// A Key is what an operator may know of a key: all but the key. Times that do
// not apply are zero.
type Key struct {
	ID        string         `json:"kid"` // RFC 7638 thumbprint
	Algorithm jose.Algorithm `json:"alg"`
	State     State          `json:"state"`
	Created   time.Time      `json:"created"`
	// ActivatesAt is when a pending key becomes active, at the earliest.
	ActivatesAt time.Time `json:"activates_at,omitzero"`
	Activated   time.Time `json:"activated,omitzero"`
	Retired     time.Time `json:"retired,omitzero"`
	// RemovesAt is when a retiring key is removed, at the earliest.
	RemovesAt time.Time `json:"removes_at,omitzero"`
}

// A key is one entry of the file. Its times are whole seconds of UTC.
type key struct {
	id      string // RFC 7638 thumbprint
	alg     jose.Algorithm
	state   State
	created time.Time
	private crypto.Signer

	due       time.Time // of a pending key: to become active; of a retiring one: to be removed
	activated time.Time // of the active key, and of a retiring one unless version 1 made it
	retired   time.Time
	longest   time.Duration // life of the longest token it can have signed
}

// public is what may be known of the key.
func (k key) public() Key {
	p := Key{ID: k.id, Algorithm: k.alg, State: k.state, Created: k.created, Activated: k.activated, Retired: k.retired}
	switch k.state {
	case StatePending:
		p.ActivatesAt = k.due
	case StateRetiring:
		p.RemovesAt = k.due
	}
	return p
}

// same reports whether nothing has changed: the thumbprint stands for the key.
func (k key) same(other key) bool { return k.public() == other.public() && k.longest == other.longest }

// makeKey makes a key that has no state yet. Its kid does not begin with a dash: no
// command line takes it for a flag.
func makeKey(alg jose.Algorithm, now time.Time) (key, error) {
	for {
		k, err := makeAnyKey(alg, now)
		if err != nil || !strings.HasPrefix(k.id, "-") {
			return k, err
		}
	}
}

func makeAnyKey(alg jose.Algorithm, now time.Time) (key, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch alg {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case jose.PS256, jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		err = fmt.Errorf("no key can be made for this algorithm")
	}
	if err != nil {
		return key{}, err
	}
	id, err := jose.Thumbprint(private.Public())
	if err != nil {
		return key{}, err
	}
	return key{id: id, alg: alg, created: stamp(now), private: private}, nil
}

// stamp is the moment as the file has it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// notBefore is the first moment of the file's precision that is not before t.
func notBefore(t time.Time) time.Time {
	if s := stamp(t); s.Equal(t) {
		return s
	}
	return stamp(t).Add(time.Second)
}
