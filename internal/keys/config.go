package keys

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// Algorithms are those that access tokens may be signed with (KR-4); the first
// is the default.
var Algorithms = []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

const (
	defaultAhead   = time.Hour
	defaultLongest = 24 * time.Hour

	// minAhead leaves copies of the JWK Set a second.
	minAhead    = 3 * time.Second
	maxAhead    = 30 * 24 * time.Hour
	maxLongest  = 366 * 24 * time.Hour
	maxRotation = 10 * 366 * 24 * time.Hour

	// maxCache is how long a copy of the JWK Set may be kept at most; AM-9.
	maxCache = 5 * time.Minute
	// maxScheduled is how many keys rotation by itself may keep published. The
	// rest up to maxKeys is for operators.
	maxScheduled = 48
)

// A Config says where the keys are and how they live.
type Config struct {
	// File is made, with one active key in it, if there is none. Its folder
	// must exist and be on a disk of this machine.
	//
	// With a Document it is neither made nor changed: where the document is empty, the
	// keys of a file that is there are taken over.
	File string
	// Document keeps the keys instead of File, encrypted with Encryption, which must be
	// set then. Every process that shares it has the same configuration.
	Document   Document
	Encryption EncryptionKeys
	// Algorithm is one of Algorithms; empty is ES256. RSA keys are made with
	// 3072 bits. If the active key is of another one, a pending key of this one
	// is made, and the old key signs until that becomes active. A key never
	// becomes active again, so going back makes a new one too.
	Algorithm jose.Algorithm
	// RotateEvery is how long a key is active; 0 is until somebody asks. It is
	// at least twice PublishAhead, so that a key has been active for a while
	// before its successor is published, and long enough that tokens of
	// LongestToken do not keep more than 48 keys published.
	RotateEvery time.Duration
	// PublishAhead is how long a key is published before it signs; 0 is an hour,
	// and the least is 3 s.
	PublishAhead time.Duration
	// LongestToken is the longest life that any token is issued with; 0 is 24 h.
	// The greatest value that was in force while a key was active is remembered
	// with the key.
	LongestToken time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets a line for each change of a key's state, and for each failure;
	// nil is silent.
	Log *slog.Logger
}

// checked is the configuration with its defaults, or every fault in it.
func (c Config) checked() (Config, error) {
	if c.Algorithm == "" {
		c.Algorithm = Algorithms[0]
	}
	if c.PublishAhead == 0 {
		c.PublishAhead = defaultAhead
	}
	if c.LongestToken == 0 {
		c.LongestToken = defaultLongest
	}
	if rest := c.LongestToken % time.Second; rest > 0 { // the file has whole seconds
		c.LongestToken += time.Second - rest
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case c.Document == nil && c.File == "":
		fault("no file is named")
	case c.Document != nil && len(c.Encryption.keys) == 0:
		fault("the store keeps the signing keys encrypted, and there is no key to encrypt them with")
	}
	if !slices.Contains(Algorithms, c.Algorithm) {
		fault("the algorithm is not one of %s", list(Algorithms))
	}
	if c.PublishAhead < minAhead || c.PublishAhead > maxAhead {
		fault("publish ahead is %v: it must lie between %v and %v (KR-2)", c.PublishAhead, minAhead, maxAhead)
	}
	if c.LongestToken < time.Second || c.LongestToken > maxLongest {
		fault("the longest life of a token is %v: it must lie between 1s and %v", c.LongestToken, maxLongest)
	}
	switch n := c.scheduled(); {
	case c.RotateEvery == 0:
	case c.RotateEvery < 2*c.PublishAhead:
		fault("rotate every is %v: it must be 0 or at least twice publish ahead, which is %v (KR-2)", c.RotateEvery, c.PublishAhead)
	case c.RotateEvery > maxRotation:
		fault("rotate every is %v: it must be at most %v", c.RotateEvery, maxRotation)
	case n > maxScheduled:
		fault("rotate every is %v: tokens that live %v would keep %d keys published, which must be at most %d", c.RotateEvery, c.LongestToken, n, maxScheduled)
	}
	return c, errors.Join(faults...)
}

// scheduled is how many keys rotation keeps published: the active, the pending
// and those whose tokens live.
func (c Config) scheduled() int64 {
	if c.RotateEvery <= 0 {
		return 1
	}
	return 2 + int64((c.LongestToken+linger+c.RotateEvery-1)/c.RotateEvery)
}

// cacheFor is how long a copy of the JWK Set may be kept. A third of the time
// ahead, so that even a copy of a process that learnt of a pending key late, and
// that was kept to its end, is gone before the key signs.
func (c Config) cacheFor() time.Duration {
	return max(time.Second, min(maxCache, c.PublishAhead/3).Truncate(time.Second))
}

// poll is how often changes that are due are looked for, whatever the timers say,
// and those of another process: before a copy of its answers could expire.
func (c Config) poll() time.Duration { return min(time.Minute, c.cacheFor()) }

func list(algs []jose.Algorithm) string {
	var b []string
	for _, alg := range algs {
		b = append(b, string(alg))
	}
	return strings.Join(b, ", ")
}
