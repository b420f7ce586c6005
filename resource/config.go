package resource

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/replay"
)

const (
	// DefaultLeeway is how long after its exp a token is still accepted (GL-12).
	DefaultLeeway = 5 * time.Second
	// MaxLeeway is the most that Config.Leeway may be (GL-12).
	MaxLeeway = 60 * time.Second

	// ahead is how far in the future iat and nbf may lie, unless Leeway is more
	// (GL-12): the clock of the authorization server may run before ours.
	ahead = 10 * time.Second
)

// Config configures a Verifier. Resource and Issuers have no default: no
// configuration means any audience or any issuer (LR-5).
type Config struct {
	// Resource is the identifier of this API, an absolute URI without fragment
	// (RFC 8707 section 2). A token must name it in aud, byte for byte.
	Resource string
	// Issuers are the authorization servers whose tokens are accepted, each with
	// its keys. A key of one never verifies a token of another (KR-7).
	Issuers []KeySource
	// Origins are those under which callers reach this API, such as
	// "https://api.example.com": scheme, host and port, no path. A DPoP proof must
	// name one of them with the path of the request; what a Host or a forwarding
	// header says counts for nothing (DP-2, PX-7). Empty means the origin of
	// Resource if that is an https URL; without any, tokens that are bound to a key
	// are refused. A proxy that changes the path breaks such calls.
	Origins []string
	// Proofs is how many DPoP proofs are remembered at once, so that each counts
	// once; 0 is DefaultProofs, which is enough for 8,000 calls a second and takes
	// about 60 MB when it is full. Past it requests with a proof are answered 503. One
	// caller, by iss and sub, has an eighth of it, some 1,000 calls a second, and past it is
	// answered 429.
	//
	// What a process before this one let through is not known here, so for the first
	// 10 s after New a proof has to hold a nonce of this Verifier: without it the request
	// is answered 401, use_dpop_nonce, and the nonce (DP-6). Package client sends it once
	// more by itself.
	Proofs int
	// Leeway is the clock skew forgiven on exp; 0 is DefaultLeeway, the most is
	// MaxLeeway. It also widens the 10 s that iat and nbf may be ahead, where it
	// is more than that. Certificates get none.
	Leeway time.Duration
	// Realm names the protection space in challenges; empty is Resource.
	Realm string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is told by Require why a request was refused; nil is silent.
	Log *slog.Logger
}

// A Verifier judges access tokens. Any number of goroutines may use it. Between
// calls it holds what the tokens said that it accepted, a bounded number of them,
// so that their signatures need not be verified again: see Remembered; and digests
// of the DPoP proofs that it let through, so that none counts twice (DP-3). It never
// holds a token, a proof or a signature. Two processes know nothing of each other's
// proofs.
type Verifier struct {
	resource string
	issuers  map[string]*issuer
	order    []*issuer // the same
	memory   *memory
	leeway   time.Duration
	ahead    time.Duration
	realm    string
	origins  []string       // in one spelling
	proofs   *replay.Memory // the proofs that were used
	since    time.Time      // a proof made before it may have been used before this verifier began
	nonce    string         // which nobody knew before; a proof that holds it was not
	now      func() time.Time
	log      *slog.Logger
}

// New checks the whole configuration and reports every fault at once.
func New(c Config) (*Verifier, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("resource: "+format, args...))
	}
	v := &Verifier{
		resource: c.Resource, issuers: make(map[string]*issuer, len(c.Issuers)),
		leeway: c.Leeway, realm: c.Realm, now: c.Now, log: c.Log,
	}
	if err := checkResource(c.Resource); err != nil {
		fault("the resource %w", err)
	}
	if len(c.Issuers) == 0 {
		fault("there is no issuer, so no token could be accepted (LR-5)")
	}
	for i, source := range c.Issuers {
		if source == nil {
			fault("issuer %d is nil", i)
			continue
		}
		name := source.Issuer()
		if err := checkIssuer(name); err != nil {
			fault("issuer %d %w", i, err)
		}
		if _, twice := v.issuers[name]; twice {
			fault("issuer %d is there twice: %q", i, name)
		}
		one := &issuer{source: source}
		v.issuers[name], v.order = one, append(v.order, one)
	}
	v.use(newMemory(maxResults, len(v.order)))
	if c.Leeway < 0 || c.Leeway > MaxLeeway {
		fault("the leeway must lie between 0 and %v (GL-12)", MaxLeeway)
	}
	if v.leeway == 0 {
		v.leeway = DefaultLeeway
	}
	v.ahead = max(ahead, v.leeway)
	for i, s := range c.Origins {
		origin, err := checkOrigin(s)
		if err != nil {
			fault("origin %d %w", i, err)
		}
		v.origins = append(v.origins, origin)
	}
	if u, err := url.Parse(c.Resource); err == nil && len(c.Origins) == 0 {
		if origin, ok := originOf(u); ok {
			v.origins = []string{origin}
		}
	}
	if c.Proofs < 0 {
		fault("the number of proofs is negative")
	}
	if c.Proofs == 0 {
		c.Proofs = DefaultProofs
	}
	if v.realm == "" {
		v.realm = c.Resource
	} else if !quotable(v.realm) {
		fault("the realm may hold printable ASCII only, without quote and backslash")
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	// What a verifier saw that ran before nobody knows: at the most a proof as far
	// ahead as one may be.
	v.since = v.now().Round(0).Add(proofAhead)
	v.proofs, v.nonce = replay.New(c.Proofs, v.now), rand.Text()
	return v, nil
}

// checkResource takes any scheme: a SPIFFE ID may name an API too.
func checkResource(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" || strings.Contains(s, "#") || strings.Contains(s, " ") || !quotable(s) {
		return errors.New("must be an absolute URI without fragment (RFC 8707 section 2)")
	}
	return nil
}

// checkIssuer holds an issuer identifier to AM-2.
func checkIssuer(s string) error {
	if err := checkURL(s); err != nil {
		return fmt.Errorf("%w (AM-2)", err)
	}
	if strings.Contains(s, "?") {
		return errors.New("must not have a query (AM-2)")
	}
	return nil
}

// checkURL holds a URL that is fetched from to what FX-1 allows.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, "https://") || u.Hostname() == "" || u.User != nil || strings.Contains(s, "#") || strings.Contains(s, " ") || !quotable(s) {
		return errors.New("must be an https URL without user information and fragment")
	}
	return nil
}

// quotable reports whether s may stand between quotes in a header as it is.
func quotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
