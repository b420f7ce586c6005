package devca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
)

// Options say what an Authority makes. The zero value is ready to use.
type Options struct {
	Now func() time.Time // nil means time.Now

	// Intermediate puts a CA between the root and the leaves. The root alone is
	// in the bundle; the intermediate travels with each SVID.
	Intermediate bool
	// WIT adds a wit-svid key to the bundle. Without it the trust domain does
	// not support WIT-SVIDs (BU-12) and WITSVID fails.
	WIT bool

	KeyAlgorithm KeyAlgorithm   // of CAs and leaves; empty means P256
	JWTAlgorithm jose.Algorithm // of JWT-SVIDs and WIT-SVIDs; empty means ES256

	RootLifetime time.Duration // 0 means 365 days
	X509Lifetime time.Duration // of an X.509-SVID; 0 means 1 h
	JWTLifetime  time.Duration // of a JWT-SVID or a WIT-SVID; 0 means 5 min
	RefreshHint  time.Duration // spiffe_refresh_hint; 0 means 5 min

	// MutateRoot changes the template of every root before it is signed.
	MutateRoot func(*x509.Certificate)
}

// An Authority signs for one trust domain. Any number of goroutines may use it.
type Authority struct {
	td   spiffeid.TrustDomain
	opts Options

	mu       sync.Mutex
	roots    []*x509.Certificate // published, oldest first
	issuer   *Issuer             // signs X.509-SVIDs
	next     *Issuer             // published, not in use yet
	keys     []*signingKey       // published, oldest first
	signing  map[use]*signingKey
	nextKeys map[use]*signingKey // published, not in use yet
	sequence uint64
	document []byte
	changed  chan struct{}
}

// New makes the keys of a trust domain, given by its name or as spiffe:// and
// its name. The first bundle has spiffe_sequence 1.
func New(td string, opts Options) (*Authority, error) {
	var faults []error
	domain, err := strictid.TrustDomain(td)
	if err != nil {
		faults = append(faults, fmt.Errorf("the trust domain: %w", err))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"RootLifetime", &opts.RootLifetime, 365 * 24 * time.Hour},
		{"X509Lifetime", &opts.X509Lifetime, time.Hour},
		{"JWTLifetime", &opts.JWTLifetime, 5 * time.Minute},
		{"RefreshHint", &opts.RefreshHint, 5 * time.Minute},
	} {
		if *d.value < 0 {
			faults = append(faults, fmt.Errorf("%s is negative", d.name))
		}
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if opts.JWTAlgorithm == "" {
		opts.JWTAlgorithm = jose.ES256
	}
	if _, err := keyFor(opts.JWTAlgorithm); err != nil {
		faults = append(faults, err)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("devca: %w", errors.Join(faults...))
	}

	a := &Authority{
		td: domain, opts: opts,
		signing: map[use]*signingKey{}, nextKeys: map[use]*signingKey{},
		changed: make(chan struct{}),
	}
	root, issuer, err := a.newIssuer()
	if err != nil {
		return nil, err
	}
	a.issuer = issuer
	uses := []use{useJWT}
	if opts.WIT {
		uses = append(uses, useWIT)
	}
	var keys []*signingKey
	for _, u := range uses {
		if a.signing[u], err = newSigningKey(u, opts.JWTAlgorithm); err != nil {
			return nil, err
		}
		keys = append(keys, a.signing[u])
	}
	if err := a.publish([]*x509.Certificate{root}, keys); err != nil {
		return nil, err
	}
	return a, nil
}

// TrustDomain is the one the authority signs for.
func (a *Authority) TrustDomain() spiffeid.TrustDomain { return a.td }

// Now is the authority's clock.
func (a *Authority) Now() time.Time { return a.opts.Now() }

// Lifetimes are those of an X.509-SVID and of a JWT-SVID or WIT-SVID.
func (a *Authority) Lifetimes() (x509SVID, jwtSVID time.Duration) {
	return a.opts.X509Lifetime, a.opts.JWTLifetime
}

// Bundle is the SPIFFE bundle document as it stands now. The caller owns the
// bytes.
func (a *Authority) Bundle() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bytes.Clone(a.document)
}

// Sequence is spiffe_sequence of the document that Bundle returns.
func (a *Authority) Sequence() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sequence
}

// Changed returns a channel that is closed at the next change of the bundle or
// of what signs. To miss nothing, take the channel before reading the state.
func (a *Authority) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Roots are the published root certificates, oldest first.
func (a *Authority) Roots() []*x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.roots)
}

// Pool holds Roots.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range a.Roots() {
		pool.AddCert(root)
	}
	return pool
}

// JWTKeys are the published keys for JWT-SVIDs by kid.
func (a *Authority) JWTKeys() map[string]crypto.PublicKey { return a.publicKeys(useJWT) }

// WITKeys are the published keys for WIT-SVIDs by kid.
func (a *Authority) WITKeys() map[string]crypto.PublicKey { return a.publicKeys(useWIT) }

func (a *Authority) publicKeys(u use) map[string]crypto.PublicKey {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := map[string]crypto.PublicKey{}
	for _, k := range a.keys {
		if k.use == u {
			keys[k.kid] = k.signer.Public()
		}
	}
	return keys
}

// Issuer is the CA that signs X.509-SVIDs now: the newest root, or with
// Options.Intermediate the CA below it.
func (a *Authority) Issuer() *Issuer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issuer
}

// X509SVID is Issuer().X509SVID.
func (a *Authority) X509SVID(path string, mutate ...func(*x509.Certificate)) (SVID, error) {
	return a.Issuer().X509SVID(path, mutate...)
}

// X509SVIDForKey is Issuer().X509SVIDForKey.
func (a *Authority) X509SVIDForKey(path string, key crypto.Signer, mutate ...func(*x509.Certificate)) (SVID, error) {
	return a.Issuer().X509SVIDForKey(path, key, mutate...)
}
