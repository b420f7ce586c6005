package svidgate

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// What a Verifier remembers: that a signature was good, and that certificates led
// to an anchor. Workloads show one JWT-SVID many times, and keep one certificate
// for many connections, while a check costs more than all else together.
//
// Only what cannot change is remembered. A result counts for the very bytes that
// were shown, the very key and the very content of the bundle, in one trust
// domain: another bit, key or bundle is another question. Whatever depends on
// time, audience, client or policy is judged at each request, as are the rules on
// shape and identifier. A refusal is never remembered: a stranger could fill the
// memory with them, and a key that comes late would not help.
//
// A thief gains nothing: what is remembered is what would be found again. Whoever
// has good SVIDs of one trust domain can push out what is remembered of that trust
// domain; half of the memory is out of its reach.
const (
	maxSignatures = 1 << 16 // about 200 bytes each
	maxPaths      = 1 << 15 // about 200 bytes each
	maxHolders    = 1 << 15 // about 500 bytes each, of EC keys
	maxTold       = 1 << 10 // a digest each
)

// A signatureKey is all that JS-12 depends on.
type signatureKey struct {
	assertion  [sha256.Size]byte
	key        [sha256.Size]byte
	content    [sha256.Size]byte // of the bundle
	generation uint64
}

func (s *jwtState) signatureKey() signatureKey {
	return signatureKey{s.digest, s.key.Digest(), s.snapshot.ContentDigest(), s.snapshot.Generation()}
}

func (s *jwtState) recallSignature() bool {
	var room [1 << 10]byte // most fit, and need no copy on the heap
	s.digest = sha256.Sum256(append(room[:0], s.in.Assertion...))
	if s.afresh {
		return false
	}
	_, ok := s.v.signatures.Get(s.id.TrustDomain().Name(), s.signatureKey())
	return ok
}

func (s *jwtState) rememberSignature() {
	if s.afresh {
		return
	}
	s.v.signatures.Put(s.id.TrustDomain().Name(), s.signatureKey(), struct{}{})
}

// A holder is what a WIT-SVID says of the key that its proof is made with. It
// follows from the bytes of the WIT-SVID alone, and so is remembered with their
// signature. The proof itself is new each time.
type holder struct {
	key        crypto.PublicKey
	alg        jose.Algorithm
	thumbprint [sha256.Size]byte
}

func (s *witState) signatureKey() signatureKey {
	return signatureKey{s.digest, s.key.Digest(), s.snapshot.ContentDigest(), s.snapshot.Generation()}
}

func (s *witState) recallHolder() bool {
	var room [1 << 10]byte // most fit, and need no copy on the heap
	s.digest = sha256.Sum256(append(room[:0], s.in.Attestation...))
	if s.afresh {
		return false
	}
	var ok bool
	s.holder, ok = s.v.holders.Get(s.id.TrustDomain().Name(), s.signatureKey())
	return ok
}

func (s *witState) rememberHolder() {
	if s.afresh || s.remembered || !s.Has(factSigned) {
		return
	}
	s.v.holders.Put(s.id.TrustDomain().Name(), s.signatureKey(), s.holder)
}

// A pathKey is all that XS-10 and XS-14 depend on but the time.
type pathKey struct {
	sent       [sha256.Size]byte // all certificates, in their order
	content    [sha256.Size]byte // of the bundle
	generation uint64
}

// validity is when every certificate of a path is valid.
type validity struct{ from, until time.Time }

func (s *x509State) pathKey() pathKey {
	return pathKey{s.sentDigest, s.snapshot.ContentDigest(), s.snapshot.Generation()}
}

// recallPath reports whether these certificates led to an anchor before, by a path
// whose every certificate is valid now.
func (s *x509State) recallPath() bool {
	s.thumbprint = sha256.Sum256(s.leaf.Raw)
	s.sentDigest = s.thumbprint
	if len(s.sent) > 1 {
		var sums [maxChain * sha256.Size]byte
		all := append(sums[:0], s.thumbprint[:]...)
		for _, c := range s.sent[1:] {
			sum := sha256.Sum256(c.Raw)
			all = append(all, sum[:]...)
		}
		s.sentDigest = sha256.Sum256(all)
	}
	if s.afresh {
		return false
	}
	valid, ok := s.v.paths.Get(s.id.TrustDomain().Name(), s.pathKey())
	return ok && !s.now.Before(valid.from) && !s.now.After(valid.until)
}

// rememberPath remembers the path that was accepted.
func (s *x509State) rememberPath() {
	if s.afresh {
		return
	}
	s.v.paths.Put(s.id.TrustDomain().Name(), s.pathKey(), validityOf(s.chain))
}

func validityOf(chain []*x509.Certificate) validity {
	v := validity{chain[0].NotBefore, chain[0].NotAfter}
	for _, c := range chain[1:] {
		if c.NotBefore.After(v.from) {
			v.from = c.NotBefore
		}
		if c.NotAfter.Before(v.until) {
			v.until = c.NotAfter
		}
	}
	return v
}
