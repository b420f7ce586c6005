package resource

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// MaxKeySet is the longest JWK Set read, in bytes (FX-1).
	MaxKeySet = 256 << 10
	// MaxKeys is how many entries a JWK Set may have.
	MaxKeys = 100
)

// ErrKeysUnavailable is returned by a KeySource that has no keys which may be
// used: none were obtained, or those it has are too old (LD-3).
var ErrKeysUnavailable = errors.New("the keys of the authorization server are not available")

// A KeySource has the keys of one authorization server.
type KeySource interface {
	// Issuer is the issuer identifier whose keys these are. It never changes.
	Issuer() string
	// KeySet returns the keys that may be used now. kid is what a token names,
	// or empty; a source that has not got it may look again, and bounds how
	// often and how long. A set without kid is no error; having no set is
	// ErrKeysUnavailable.
	KeySet(ctx context.Context, kid string) (*KeySet, error)
}

// A KeySet is the verifying keys of one JWK Set. It never changes.
type KeySet struct {
	byID      map[string]*verifyingKey
	keys      []*verifyingKey
	leftOut   []LeftOut
	fetchedAt time.Time // zero for a set that was not fetched
	digest    digest    // tells sets of other keys apart, in whatever order; nothing else is in it
}

type verifyingKey struct {
	id        string
	algorithm jose.Algorithm // the entry's own, mostly there (KR-1)
	public    crypto.PublicKey
	fits      []jose.Algorithm // what it may verify
	digest    digest           // over kid, alg and public key
}

func (k *verifyingKey) String() string {
	if k.algorithm == "" {
		return jose.KeyType(k.public)
	}
	return jose.KeyType(k.public) + " for " + string(k.algorithm)
}

// A LeftOut entry is one that a JWK Set had and the KeySet has not.
type LeftOut struct {
	Index int // position in `keys`, from 0
	Rule  string
	Why   string
}

// ParseKeySet reads a JWK Set (RFC 7517 section 5) of at most MaxKeySet bytes and
// MaxKeys entries, strictly (GL-11). An entry that must not verify access tokens
// is left out and its neighbours stay: another use than sig, private or symmetric
// material, weak RSA, an algorithm that is not allowed or not the key's, a kid
// that an earlier entry has.
//
// A set with no key at all is no error: it means that all were withdrawn (LD-4).
func ParseKeySet(jwks []byte) (*KeySet, error) {
	if len(jwks) > MaxKeySet {
		return nil, fmt.Errorf("resource: key set: longer than %d bytes (FX-1)", MaxKeySet)
	}
	members, err := strictjson.Object(jwks)
	if err != nil {
		return nil, fmt.Errorf("resource: key set: %w", err)
	}
	value, _ := members.Get("keys")
	entries, ok := value.Items()
	if !ok {
		return nil, errors.New("resource: key set: there is no array of keys")
	}
	if len(entries) > MaxKeys {
		return nil, fmt.Errorf("resource: key set: more than %d keys", MaxKeys)
	}
	set := &KeySet{byID: make(map[string]*verifyingKey, len(entries))}
	for i, entry := range entries {
		key, rule, err := readKey(entry)
		if err == nil && set.byID[key.id] != nil {
			rule, err = "KR-1", errors.New("an earlier entry has the same kid")
		}
		if err != nil {
			set.leftOut = append(set.leftOut, LeftOut{i, rule, err.Error()})
			continue
		}
		set.keys = append(set.keys, key)
		if key.id != "" {
			set.byID[key.id] = key
		}
	}
	set.digest = digestOf(set.keys)
	return set, nil
}

func digestOf(keys []*verifyingKey) digest {
	sums := make([][]byte, 0, len(keys))
	for _, k := range keys {
		sums = append(sums, k.digest[:])
	}
	slices.SortFunc(sums, bytes.Compare)
	return sha256.Sum256(bytes.Join(sums, nil))
}

// readKey reads one entry, or says by which rule it is left out.
func readKey(entry strictjson.Value) (key *verifyingKey, rule string, err error) {
	jwk, err := jose.ParseJWK([]byte(entry))
	switch {
	case errors.Is(err, jose.ErrPrivateKey): // whoever published it has lost it
		return nil, "KR-1", err
	case err != nil:
		return nil, "KR-7", err
	// use may be absent where a set has signing keys only (RFC 8414 section 2).
	case jwk.Use != "sig" && has(entry, "use"):
		return nil, "KR-5", errors.New("its use is not sig")
	case !verifies(entry):
		return nil, "KR-5", errors.New("its key_ops do not hold verify")
	case jwk.KeyID == "" && has(entry, "kid"):
		return nil, "KR-1", errors.New("its kid is no string or empty")
	case jwk.Algorithm == "" && has(entry, "alg"):
		return nil, "GL-9", errors.New("its alg is no string or empty")
	}
	fits := func(a jose.Algorithm) bool { return jose.Fits(a, jwk.Key) == nil }
	switch {
	case errors.Is(jose.Fits(jose.RS256, jwk.Key), jose.ErrKeyTooWeak):
		return nil, "KR-4", jose.ErrKeyTooWeak
	case !slices.ContainsFunc(algorithms, fits): // such as a curve of no algorithm
		return nil, "GL-9", errors.New("no allowed algorithm goes with it")
	case jwk.Algorithm != "" && !(slices.Contains(algorithms, jwk.Algorithm) && fits(jwk.Algorithm)):
		return nil, "GL-9", errors.New("its alg is not allowed or not one for its key")
	}
	return newVerifyingKey(jwk), "", nil
}

func newVerifyingKey(jwk jose.JWK) *verifyingKey {
	k := &verifyingKey{id: jwk.KeyID, algorithm: jwk.Algorithm, public: jwk.Key}
	for _, a := range algorithms {
		if (k.algorithm == "" || k.algorithm == a) && jose.Fits(a, k.public) == nil {
			k.fits = append(k.fits, a)
		}
	}
	// It cannot fail: a JWK has none but the kinds of key that we know.
	der, _ := x509.MarshalPKIXPublicKey(k.public)
	// Quoted, so that no kid can reach into its neighbour.
	k.digest = sha256.Sum256(append(fmt.Appendf(nil, "%q %q ", k.id, k.algorithm), der...))
	return k
}

func has(entry strictjson.Value, name string) bool {
	members, err := entry.Object()
	_, ok := members.Get(name)
	return err == nil && ok
}

// verifies reports whether key_ops, if there, allow verifying (RFC 7517 section
// 4.3).
func verifies(entry strictjson.Value) bool {
	if !has(entry, "key_ops") {
		return true
	}
	members, _ := entry.Object()
	value, _ := members.Get("key_ops")
	ops, ok := value.Texts()
	return ok && slices.Contains(ops, "verify")
}

// Len is how many keys may verify tokens.
func (s *KeySet) Len() int { return len(s.keys) }

// KeyIDs are the kids of the set, in its order. A key without kid is not there.
func (s *KeySet) KeyIDs() []string {
	ids := make([]string, 0, len(s.keys))
	for _, k := range s.keys {
		if k.id != "" {
			ids = append(ids, oauth.Shown(k.id))
		}
	}
	return ids
}

// LeftOut lists the entries that were left out and why.
func (s *KeySet) LeftOut() []LeftOut { return slices.Clone(s.leftOut) }

// only returns the one key that alg goes with; nil when there is none or there
// are several (KR-6).
func (s *KeySet) only(alg jose.Algorithm) *verifyingKey {
	var one *verifyingKey
	for _, k := range s.keys {
		if !slices.Contains(k.fits, alg) {
			continue
		}
		//svidgate:rule KR-6 KR-7
		if one != nil {
			return nil
		}
		one = k
	}
	return one
}
