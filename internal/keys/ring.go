package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// Algorithms are those that access tokens may be signed with (KR-4); the first
// is the default.
var Algorithms = []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

// A Config says where the keys are and what to sign with.
type Config struct {
	// File is made, with one key in it, if there is none. Its folder must
	// exist and be on a disk of this machine.
	File string
	// Algorithm is one of Algorithms; empty is ES256. RSA keys are made with
	// 3072 bits.
	//
	// If the file's active key is of another algorithm, a new key becomes
	// active and the old one stays published, since tokens that it signed are
	// still about. A key never becomes active again, so going back makes a new
	// one too.
	Algorithm jose.Algorithm
	// Now stamps a new key; nil means time.Now.
	Now func() time.Time
}

// A Ring holds the keys of one node. It never changes; any number of goroutines
// may use it. Printed, logged or encoded it shows kids only.
type Ring struct {
	signer Signer
	kids   []string
	jwks   []byte
}

// Open reads the keys, or makes the first one. Of several processes that open
// the same new file at once, one makes the key and the others read it.
//
// Errors name the file and what is wrong with it, and repeat nothing of its
// content. A file that others than its owner may read or write is refused.
func Open(cfg Config) (*Ring, error) {
	alg := cfg.Algorithm
	if alg == "" {
		alg = Algorithms[0]
	}
	var faults []error
	if cfg.File == "" {
		faults = append(faults, errors.New("no file is named"))
	}
	if !slices.Contains(Algorithms, alg) {
		faults = append(faults, fmt.Errorf("the algorithm is not one of %s", list(Algorithms)))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	keys, err := readFile(cfg.File)
	if errors.Is(err, fs.ErrNotExist) || err == nil && active(keys).alg != alg {
		keys, err = addKey(cfg.File, alg, now)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	ring, err := newRing(keys)
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w", cfg.File, err)
	}
	return ring, nil
}

// addKey makes alg's key the active one, unless another process was faster.
func addKey(path string, alg jose.Algorithm, now func() time.Time) ([]key, error) {
	unlock, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && active(keys).alg == alg {
		return keys, nil
	}
	fresh, err := makeKey(alg, now())
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if keys[i].state == stateActive {
			keys[i].state = stateRetiring
		}
	}
	keys = append([]key{fresh}, keys...)
	return keys, writeFile(path, keys)
}

func newRing(keys []key) (*Ring, error) {
	now := active(keys)
	ring := &Ring{signer: Signer{KeyID: now.id, Algorithm: now.alg, Key: seal(now.private)}}
	var entries [][]byte
	for _, k := range keys {
		entry, err := jose.MarshalJWK(k.private.Public(), k.id, "sig", k.alg)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
		ring.kids = append(ring.kids, k.id)
	}
	ring.jwks = slices.Concat([]byte(`{"keys":[`), bytes.Join(entries, []byte(",")), []byte("]}"))
	return ring, nil
}

// Signer is the active key.
func (r *Ring) Signer() Signer { return r.signer }

// JWKS is the JWK Set of all keys, the active one first: public members only,
// each with its kid, use and alg (KR-1). It must not be changed.
func (r *Ring) JWKS() []byte { return r.jwks }

func (r Ring) String() string {
	return fmt.Sprintf("%s of %d: %s", r.signer, len(r.kids), strings.Join(r.kids, ", "))
}
func (r Ring) GoString() string             { return r.String() }
func (r Ring) Format(f fmt.State, _ rune)   { io.WriteString(f, r.String()) }
func (r Ring) LogValue() slog.Value         { return slog.StringValue(r.String()) }
func (r Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func list(algs []jose.Algorithm) string {
	var b []string
	for _, alg := range algs {
		b = append(b, string(alg))
	}
	return strings.Join(b, ", ")
}
