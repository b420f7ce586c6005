package bundle

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// An Entry describes one anchor or key of a bundle for an operator. Its texts
// are fit to print.
type Entry struct {
	Use       Use
	KeyID     string // kid; empty for an anchor, and for a key without one (BU-9)
	Type      string // of the key, such as "EC P-256"
	Algorithm string // the entry's own alg, mostly empty
	// Fingerprint is the SHA-256 in hex: of an anchor's certificate, or of a
	// key's SubjectPublicKeyInfo.
	Fingerprint string

	// The following are of an anchor's certificate.

	Subject   string
	NotBefore time.Time
	NotAfter  time.Time
}

// Entries lists the anchors and keys, in the order of use, key id and
// fingerprint.
func (s *Snapshot) Entries() []Entry {
	entries := make([]Entry, 0, len(s.anchors)+len(s.keys))
	for _, anchor := range s.anchors {
		entries = append(entries, Entry{
			Use: UseX509, Type: jose.KeyType(anchor.PublicKey),
			Fingerprint: fingerprint(anchor.Raw), Subject: oauth.Shown(anchor.Subject.String()),
			NotBefore: anchor.NotBefore, NotAfter: anchor.NotAfter,
		})
	}
	for _, k := range s.keys {
		// It cannot fail: entry has let in no other kinds of key than it knows.
		der, _ := x509.MarshalPKIXPublicKey(k.Public)
		entries = append(entries, Entry{
			Use: k.Use, KeyID: oauth.Shown(k.ID), Type: jose.KeyType(k.Public),
			Algorithm: k.Algorithm, Fingerprint: fingerprint(der),
		})
	}
	slices.SortFunc(entries, Entry.compare)
	return entries
}

func fingerprint(der []byte) string { return fmt.Sprintf("%x", sha256.Sum256(der)) }

func (e Entry) compare(other Entry) int {
	return cmp.Or(
		cmp.Compare(e.Use, other.Use),
		cmp.Compare(e.KeyID, other.KeyID),
		cmp.Compare(e.Fingerprint, other.Fingerprint),
		cmp.Compare(e.Algorithm, other.Algorithm),
	)
}

// A Sequence is a spiffe_sequence; the zero value stands for none.
type Sequence struct {
	Number  uint64
	Present bool
}

// A Difference is what changed from one bundle to another. A key that has
// another kid, use or alg than before is another entry.
type Difference struct {
	Added, Removed []Entry // in the order of Entries
	Before, After  Sequence
}

// None reports whether nothing changed.
func (d Difference) None() bool {
	return len(d.Added) == 0 && len(d.Removed) == 0 && d.Before == d.After
}

// Compare tells what changed from one bundle of a trust domain to another. A nil
// snapshot stands for no bundle.
func Compare(before, after *Snapshot) Difference {
	var d Difference
	var old, renewed []Entry
	if before != nil {
		old, d.Before = before.Entries(), Sequence{before.sequence, before.hasSequence}
	}
	if after != nil {
		renewed, d.After = after.Entries(), Sequence{after.sequence, after.hasSequence}
	}
	d.Added, d.Removed = without(renewed, old), without(old, renewed)
	return d
}

// without are the entries that are not among the others, which are in order.
func without(entries, others []Entry) []Entry {
	var found []Entry
	for _, e := range entries {
		if _, ok := slices.BinarySearchFunc(others, e, Entry.compare); !ok {
			found = append(found, e)
		}
	}
	return found
}
