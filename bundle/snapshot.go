package bundle

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A Use is what an entry of a bundle may verify (BU-4).
type Use string

const (
	UseX509 Use = "x509-svid"
	UseJWT  Use = "jwt-svid"
	UseWIT  Use = "wit-svid"
)

// ErrUnknownTrustDomain is returned for a trust domain that is not configured.
// Nothing is fetched for it (JS-13).
var ErrUnknownTrustDomain = errors.New("the trust domain is not configured")

// ErrNotReady is returned for a configured trust domain of which no bundle was
// ever obtained.
var ErrNotReady = errors.New("no bundle was obtained yet")

// A Key verifies JWT-SVIDs or WIT-SVIDs, as Use says.
type Key struct {
	ID        string // kid; empty only for a jwt-svid entry without one (BU-9)
	Use       Use
	Algorithm string // the entry's own alg, mostly empty
	Public    crypto.PublicKey

	digest [sha256.Size]byte
}

// Digest tells keys apart: it is over use, kid, algorithm and public key.
func (k Key) Digest() [sha256.Size]byte { return k.digest }

// A LeftOut entry is one that a bundle had and the snapshot has not.
type LeftOut struct {
	Index int    // position in `keys`, from 0
	Use   string // as the entry said, made fit to print
	Rule  string // such as BU-8
	Why   string
}

// A Note is something an operator should know of what the snapshot does have:
// an entry that was kept though a rule speaks against it, or a member of the
// document that was passed over.
type Note struct {
	Index int    // position in `keys`, from 0; -1 for the document itself
	Use   string // empty for the document itself
	Rule  string // such as BU-9
	Why   string
}

// A Snapshot is the bundle of one trust domain at one moment. It never changes;
// a newer bundle is another snapshot. Any number of goroutines may read it.
type Snapshot struct {
	trustDomain spiffeid.TrustDomain
	anchors     []*x509.Certificate
	pool        *x509.CertPool
	keys        []Key // use jwt-svid and wit-svid
	sequence    uint64
	hasSequence bool
	refreshHint time.Duration
	generation  uint64
	fetchedAt   time.Time     // by the wall clock only
	obtainedAt  time.Time     // by the monotonic clock; zero if that is not known
	obtainedAge time.Duration // how old it was then
	digest      [32]byte      // of anchors and keys, whatever their order
	leftOut     []LeftOut
	notes       []Note
}

// TrustDomain is the name under which the bundle was configured.
func (s *Snapshot) TrustDomain() spiffeid.TrustDomain { return s.trustDomain }

// Anchors are the CA certificates of the trust domain. They must not be changed.
func (s *Snapshot) Anchors() []*x509.Certificate { return s.anchors }

// AnchorPool holds Anchors, and never is the system's store: with no anchors it
// is an empty pool, which trusts nobody (XS-12). It must not be changed.
func (s *Snapshot) AnchorPool() *x509.CertPool { return s.pool }

// Keys are the keys with this use.
func (s *Snapshot) Keys(use Use) []Key {
	var keys []Key
	for _, k := range s.keys {
		if k.Use == use {
			keys = append(keys, k)
		}
	}
	return keys
}

// Key returns the key with this use and exactly this kid. An empty kid names no
// key.
func (s *Snapshot) Key(use Use, kid string) (Key, bool) {
	if kid == "" {
		return Key{}, false
	}
	for _, k := range s.keys {
		if k.Use == use && k.ID == kid {
			return k, true
		}
	}
	return Key{}, false
}

// Supports reports whether the bundle has anything to verify SVIDs of this use
// with (BU-12).
func (s *Snapshot) Supports(use Use) bool {
	if use == UseX509 {
		return len(s.anchors) > 0
	}
	for _, k := range s.keys {
		if k.Use == use {
			return true
		}
	}
	return false
}

// Sequence is spiffe_sequence; false when the document had none.
func (s *Snapshot) Sequence() (uint64, bool) { return s.sequence, s.hasSequence }

// RefreshHint is spiffe_refresh_hint, or 300 s where it is absent, zero or
// negative (BU-15). It is not clamped.
func (s *Snapshot) RefreshHint() time.Duration { return s.refreshHint }

// Generation grows with every change of anchors or keys. It counts for a whole
// [Set], so that of one Set two snapshots with the same generation are of the
// same trust domain and have the same anchors and keys. It is 0 for a snapshot
// that comes from [Parse] alone.
func (s *Snapshot) Generation() uint64 { return s.generation }

// Same reports whether two bundles of one trust domain verify the same: their
// anchors and keys are equal, whenever they were fetched.
func (s *Snapshot) Same(other *Snapshot) bool {
	return s.trustDomain == other.trustDomain && s.digest == other.digest
}

// ContentDigest tells the contents of bundles apart: anchors and keys, in whatever
// order, and nothing else.
func (s *Snapshot) ContentDigest() [sha256.Size]byte { return s.digest }

// FetchedAt is when the source was last asked and answered with this content, by
// the wall clock. A caller that must not go on with an old bundle judges Age.
func (s *Snapshot) FetchedAt() time.Time { return s.fetchedAt }

// Age is how long ago the source confirmed the bundle; it is never negative. A
// caller that must not go on with an old bundle (BE-15) judges it; nothing in this
// package does.
//
// It is the greater of two: what the wall clock says, which goes on while the
// machine sleeps, and what has passed in this process by the monotonic clock, which
// nobody can set back. The latter counts if now has a monotonic reading, as that of
// time.Now has: a clock of somebody's own, such as a test's, counts alone.
func (s *Snapshot) Age(now time.Time) time.Duration {
	wall := now.Round(0)
	age := max(wall.Sub(s.fetchedAt), 0)
	if wall == now || s.obtainedAt.IsZero() {
		return age
	}
	return max(age, s.obtainedAge+time.Since(s.obtainedAt))
}

// confirmedAt dates the bundle: when its source was asked, by the wall clock; and
// how old it was at a moment that has its monotonic reading.
func (s *Snapshot) confirmedAt(asked, moment time.Time, age time.Duration) {
	s.fetchedAt, s.obtainedAt, s.obtainedAge = asked.Round(0), moment, max(age, 0)
}

// empty reports whether the bundle verifies nothing at all (BU-3).
func (s *Snapshot) empty() bool { return len(s.anchors) == 0 && len(s.keys) == 0 }

// LeftOut lists the entries that were left out, each with the rule and why.
func (s *Snapshot) LeftOut() []LeftOut { return s.leftOut }

// Notes lists what an operator should know of the entries that were kept, each
// with the rule and why.
func (s *Snapshot) Notes() []Note { return s.notes }
