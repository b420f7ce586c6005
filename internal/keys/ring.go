package keys

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// A Ring holds the keys of one node. Any number of goroutines may use it; what
// is needed for each request is read without a lock. Printed, logged or encoded
// it shows kids only.
//
// The times at which keys change are kept by [Ring.Run].
type Ring struct{ keeper *keeper }

// A view is what everybody sees of the keys. It never changes: the next one
// replaces it.
type view struct {
	content    *document
	mark       mark // of what was read or written
	signer     Signer
	jwks       []byte
	algorithms []jose.Algorithm
	verifying  map[string]verifying // all published keys, by kid
}

// A verifying key is the public half of a published key.
type verifying struct {
	alg    jose.Algorithm
	public crypto.PublicKey
}

func newView(d *document) (*view, error) {
	now := d.active()
	v := &view{content: d, signer: Signer{KeyID: now.id, Algorithm: now.alg, Key: seal(now.private)}, verifying: map[string]verifying{}}
	var entries [][]byte
	for _, k := range d.published() {
		entry, err := jose.MarshalJWK(k.private.Public(), k.id, "sig", k.alg)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
		v.verifying[k.id] = verifying{k.alg, k.private.Public()}
		if !slices.Contains(v.algorithms, k.alg) {
			v.algorithms = append(v.algorithms, k.alg)
		}
	}
	v.jwks = slices.Concat([]byte(`{"keys":[`), bytes.Join(entries, []byte(",")), []byte("]}"))
	return v, nil
}

// Open reads the keys, or makes the first one, which is active at once. Of
// several processes that open the same new file at once, one makes the key and
// the others read it.
//
// A file of an older format, or one that knows shorter lives of tokens than
// cfg.LongestToken, is written anew, and Open fails where that fails. Other
// changes that are due are tried, and left to Run where they fail.
//
// Errors name the file and what is wrong with it, and repeat nothing of its
// content. A file that others than its owner may read or write is refused.
func Open(cfg Config) (*Ring, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	k := newKeeper(cfg)
	if err := k.open(); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &Ring{k}, nil
}

// Signer is the active key.
func (r *Ring) Signer() Signer { return r.keeper.view.Load().signer }

// JWKS is the JWK Set of all keys, the active one first: public members only,
// each with its kid, use and alg (KR-1). It must not be changed.
func (r *Ring) JWKS() []byte { return r.keeper.view.Load().jwks }

// Algorithms are those of all published keys, that of the active one first.
func (r *Ring) Algorithms() []jose.Algorithm { return slices.Clone(r.keeper.view.Load().algorithms) }

// Verifying is the published key that has this kid, and the one algorithm that it
// signs with; false when none has. A kid is the thumbprint of its key, so two keys
// never have the same.
func (r *Ring) Verifying(kid string) (alg jose.Algorithm, key crypto.PublicKey, ok bool) {
	k, ok := r.keeper.view.Load().verifying[kid]
	return k.alg, k.public, ok
}

// CacheFor is how long a copy of the JWK Set that is handed out now may be kept,
// in whole seconds. Whoever keeps none for longer has every key before it signs.
func (r *Ring) CacheFor() time.Duration { return r.keeper.view.Load().content.cacheFor }

// LongestToken is the life of the longest token that any published key can have
// signed.
func (r *Ring) LongestToken() time.Duration {
	var longest time.Duration
	for _, k := range r.keeper.view.Load().content.published() {
		longest = max(longest, k.longest)
	}
	return longest
}

// List is all keys in the order of the JWK Set.
func (r *Ring) List() []Key {
	var out []Key
	for _, k := range r.keeper.view.Load().content.published() {
		out = append(out, k.public())
	}
	return out
}

// A Change is what a call did. It is there with [ErrUnsynced] too, and with no other
// error.
type Change struct {
	// Key is the one that it was about: the key that signs next, or now, as it
	// stands after Rotate; the removed one as it stood before Remove.
	Key Key `json:"key"`
	// Steps are all changes that were made together, those that were due anyway
	// too. There are none when Rotate finds a key that is pending already.
	Steps []Step `json:"steps"`
}

// Rotate makes a pending key, which becomes active when every copy of the JWK
// Set has it; if one is pending already, that is the one. With now the pending or
// new key is active at once, for emergencies: resource servers meet a kid that
// their copies have not.
func (r *Ring) Rotate(now bool) (Change, error) {
	k := r.keeper
	var c Change
	var kid string
	err := k.operate(func(cfg Config) error {
		var err error
		c.Steps, err = k.change(context.Background(), cfg, func(d *document, t time.Time) (err error) {
			kid, err = d.rotate(cfg, t, now, makeKey)
			return err
		})
		if err == nil || errors.Is(err, ErrUnsynced) {
			c.Key = k.view.Load().content.find(kid).public()
		}
		return err
	})
	return c, err
}

// Remove takes a key away at once (KR-3). Tokens that it signed are refused by
// each resource server from its next fetch on. If it is the active key, the
// pending one or a new one becomes active in the same moment. The error is
// ErrUnknownKey when no key has this kid.
//
// Another process that shares the file goes on with the key for up to a minute.
func (r *Ring) Remove(kid string) (Change, error) {
	k := r.keeper
	var c Change
	err := k.operate(func(cfg Config) error {
		var err error
		c.Steps, err = k.change(context.Background(), cfg, func(d *document, t time.Time) (err error) {
			c.Key, err = d.remove(cfg, t, kid, makeKey)
			return err
		})
		return err
	})
	return c, err
}

// Configure takes over another algorithm, rotation or lifetimes. Now, Log, Document
// and Encryption stay those of Open, and File must be the same. On error the
// configuration stays what it was. A longer LongestToken is in force when Configure returns: only then may such
// tokens be issued.
//
// A file that is full holds up no configuration but that of another algorithm, for
// which a key would have to be made: rotation waits for room.
func (r *Ring) Configure(cfg Config) error {
	k := r.keeper
	return k.operate(func(old Config) error {
		if cfg.File != old.File {
			return fmt.Errorf("the file is %s and cannot become another one while running", old.File)
		}
		cfg.Now, cfg.Log, cfg.Document, cfg.Encryption = old.Now, old.Log, old.Document, old.Encryption
		cfg, err := cfg.checked()
		if err != nil {
			return err
		}
		var asked func(*document, time.Time) error
		if cfg.Algorithm != old.Algorithm {
			asked = func(d *document, _ time.Time) error { return d.offers(cfg.Algorithm) }
		}
		if _, err := k.change(context.Background(), cfg, asked); err != nil {
			return err
		}
		k.config = cfg
		return nil
	})
}

func (r Ring) String() string {
	if r.keeper == nil {
		return "no keys"
	}
	v := r.keeper.view.Load()
	var kids []string
	for _, k := range v.content.published() {
		kids = append(kids, k.id)
	}
	return fmt.Sprintf("%s of %d: %s", v.signer, len(kids), strings.Join(kids, ", "))
}
func (r Ring) GoString() string             { return r.String() }
func (r Ring) Format(f fmt.State, _ rune)   { io.WriteString(f, r.String()) }
func (r Ring) LogValue() slog.Value         { return slog.StringValue(r.String()) }
func (r Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
