package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxDocument is the longest bundle document in bytes (BE-9).
	maxDocument = 1 << 20
	// maxEntries is how many entries `keys` may have (FX-1).
	maxEntries = 1000
	// defaultHint stands in for spiffe_refresh_hint (BU-15).
	defaultHint = 300 * time.Second
	// maxHint is the longest hint that fits a time.Duration.
	maxHint = math.MaxInt64 / time.Second
)

// A DocumentError is why a bundle document was refused whole. Whoever holds an
// earlier bundle keeps it.
type DocumentError struct {
	Rule string // such as BU-2
	Why  string
}

func (e *DocumentError) Error() string {
	return "bundle: document refused: " + e.Why + " (" + e.Rule + ")"
}

// Parse reads the bundle document of the trust domain td: a JWK set with the
// entries and members of SPIFFE Trust Domain and Bundle section 4.
//
// Entries are judged one by one. One that breaks a rule is in LeftOut and takes
// no neighbour with it; with none left the bundle is valid, and trusts nobody
// (BU-3). The document is refused whole, with a *DocumentError, when it
//   - is longer than 1 MiB or has more than 1,000 entries,
//   - is no JSON object in UTF-8, or has a member twice at any depth (BU-1),
//   - has no array `keys` (BU-2),
//   - gives one kid to two different keys (BU-11).
//
// A spiffe_sequence that is no integer from 0 to 2^64-1 counts as absent, with
// a note: a publisher gains nothing by it, since leaving the member out does the
// same. Members of other names are ignored (BU-17).
//
// The snapshot counts as confirmed by its source at fetchedAt, of which a
// monotonic reading does not count: it stands still while a machine sleeps.
//
// Parse does not ask whether td is the right trust domain: a bundle does not
// name its own (BU-18). Nor does it judge the time or the signature of a
// certificate: path validation does that.
func Parse(td spiffeid.TrustDomain, document []byte, fetchedAt time.Time) (*Snapshot, error) {
	if td.IsZero() {
		return nil, fmt.Errorf("bundle: %w", errNoTrustDomain)
	}
	if len(document) > maxDocument {
		return nil, &DocumentError{"BE-9", fmt.Sprintf("it is longer than %d bytes", maxDocument)}
	}
	members, err := strictjson.Object(document)
	if err != nil {
		return nil, &DocumentError{"BU-1", "it is no JSON object: " + err.Error()}
	}
	value, ok := members.Get("keys")
	if !ok {
		return nil, &DocumentError{"BU-2", "keys is missing"}
	}
	entries, ok := value.Items()
	if !ok {
		return nil, &DocumentError{"BU-2", "keys is not an array"}
	}
	if len(entries) > maxEntries {
		return nil, &DocumentError{"FX-1", fmt.Sprintf("it has more than %d entries", maxEntries)}
	}
	p := parser{trustDomain: td, out: Snapshot{trustDomain: td}}
	p.out.confirmedAt(fetchedAt, time.Now(), 0)
	p.sequence(members)
	p.refreshHint(members)
	for i, raw := range entries {
		if err := p.entry(i, raw); err != nil {
			return nil, err
		}
	}
	return p.finish(), nil
}

// A parser holds what was read of a document so far.
type parser struct {
	trustDomain spiffeid.TrustDomain
	out         Snapshot
}

// sequence reads spiffe_sequence without going through a float, which would
// take 2^53+1 for 2^53 (BU-13).
func (p *parser) sequence(members strictjson.Members) {
	v, ok := members.Get("spiffe_sequence")
	if !ok {
		return
	}
	if p.out.sequence, p.out.hasSequence = v.Uint64(); !p.out.hasSequence {
		p.out.sequence = 0
		p.documentNote("BU-13", "spiffe_sequence is not an integer from 0 to 2^64-1; it counts as absent")
	}
}

// sequenceOf is the sequence of a document that is not good for anything else.
func sequenceOf(document []byte) Sequence {
	members, err := strictjson.Object(document)
	if err != nil {
		return Sequence{}
	}
	var p parser
	p.sequence(members)
	return Sequence{p.out.sequence, p.out.hasSequence}
}

// refreshHint reads spiffe_refresh_hint, in seconds (BU-15).
func (p *parser) refreshHint(members strictjson.Members) {
	p.out.refreshHint = defaultHint
	v, ok := members.Get("spiffe_refresh_hint")
	if !ok {
		return
	}
	switch seconds, ok := v.Int64(); {
	case ok && seconds > 0:
		p.out.refreshHint = min(time.Duration(seconds), maxHint) * time.Second
	case ok: // zero or negative: the default
	case len(strings.Trim(string(v), "0123456789")) == 0: // too large for an int64
		p.out.refreshHint = maxHint * time.Second
	default:
		p.documentNote("BU-15", "spiffe_refresh_hint is not an integer; 300 s stand in for it")
	}
}

func (p *parser) documentNote(rule, why string) {
	p.out.notes = append(p.out.notes, Note{-1, "", rule, why})
}

// finish makes the snapshot out of what was read.
func (p *parser) finish() *Snapshot {
	s := p.out
	s.pool = x509.NewCertPool()
	for _, anchor := range s.anchors {
		s.pool.AddCert(anchor)
	}
	s.digest = contentDigest(s.anchors, s.keys)
	return &s
}

// contentDigest is the same for the same anchors and keys in any order: some
// publishers write their entries in the random order of a map, and every change
// of the digest makes verifiers forget what they remembered.
func contentDigest(anchors []*x509.Certificate, keys []Key) [sha256.Size]byte {
	sums := make([][]byte, 0, len(anchors)+len(keys))
	for _, anchor := range anchors {
		sum := sha256.Sum256(append([]byte(UseX509+" "), anchor.Raw...))
		sums = append(sums, sum[:])
	}
	for _, k := range keys {
		sums = append(sums, k.digest[:])
	}
	slices.SortFunc(sums, bytes.Compare)
	return sha256.Sum256(bytes.Join(sums, nil))
}

// keyDigest is what [Key.Digest] returns.
func keyDigest(k Key) [sha256.Size]byte {
	// It cannot fail: entry has let in no other kinds of key than it knows.
	der, _ := x509.MarshalPKIXPublicKey(k.Public)
	// Quoted, so that no kid can reach into its neighbour.
	return sha256.Sum256(append(fmt.Appendf(nil, "%s %q %q ", k.Use, k.ID, k.Algorithm), der...))
}

// A fault is why an entry is left out.
type fault struct{ rule, why string }

// faulty makes a fault. What err says may stem from the document, so it is made
// fit to print.
func faulty(rule string, err error) *fault { return &fault{rule, oauth.Shown(err.Error())} }
