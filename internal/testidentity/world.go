package testidentity

import (
	"crypto"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
)

// The server that every presentation is made for.
const (
	Issuer   = "https://as.example.com"
	TokenURL = Issuer + "/token"
)

// Noon is where every clock begins.
var Noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// A Clock stands still until a test moves it.
type Clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A World is the trust domains example.org and other.test with a verifier that
// knows both, and not-ready.test, of which it has no bundle yet.
type World struct {
	Clock     *Clock
	Verifier  *svidgate.Verifier
	authority map[string]*devca.Authority
	bundles   map[spiffeid.TrustDomain]*bundle.Snapshot
}

// New makes a world. The functions change the verifier's configuration.
func New(t testing.TB, change ...func(*svidgate.Config)) *World {
	t.Helper()
	w := &World{
		Clock:     &Clock{now: Noon},
		authority: map[string]*devca.Authority{},
		bundles:   map[spiffeid.TrustDomain]*bundle.Snapshot{},
	}
	for _, name := range []string{"example.org", "other.test", "not-ready.test"} {
		a, err := devca.New(name, devca.Options{Now: w.Clock.Now, WIT: true})
		if err != nil {
			t.Fatal(err)
		}
		w.authority[name] = a
		if w.bundles[a.TrustDomain()] = nil; name != "not-ready.test" {
			if w.bundles[a.TrustDomain()], err = bundle.Parse(a.TrustDomain(), a.Bundle(), Noon); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := svidgate.Config{Issuer: Issuer, Settings: svidgate.DefaultSettings(), Bundles: w, Now: w.Clock.Now}
	for _, f := range change {
		f(&c)
	}
	var err error
	if w.Verifier, err = svidgate.NewVerifier(c); err != nil {
		t.Fatal(err)
	}
	return w
}

// Bundle makes a World the verifier's Bundles.
func (w *World) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	s, configured := w.bundles[td]
	switch {
	case !configured:
		return nil, bundle.ErrUnknownTrustDomain
	case s == nil:
		return nil, bundle.ErrNotReady
	}
	return s, nil
}

// Document is the bundle document of one of the trust domains.
func (w *World) Document(name string) []byte { return w.authority[name].Bundle() }

// JWT is a JWT-SVID of a SPIFFE ID in one of the trust domains, for Issuer.
func (w *World) JWT(t testing.TB, id string, change ...func(header, claims map[string]any)) string {
	t.Helper()
	a, path := w.of(t, id)
	token, err := a.JWTSVID(path, []string{Issuer}, change...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A Change changes header and claims of a token before they are signed.
type Change = func(header, claims map[string]any)

// WIT is a WIT-SVID of a SPIFFE ID in one of the trust domains with the key that it
// names.
func (w *World) WIT(t testing.TB, id string, change ...Change) (attestation string, holder crypto.Signer) {
	t.Helper()
	a, path := w.of(t, id)
	holder, err := devca.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	attestation, err = a.WITSVID(path, holder.Public(), change...)
	if err != nil {
		t.Fatal(err)
	}
	return attestation, holder
}

// Proof is a proof by the holder of a WIT-SVID, for Issuer.
func (w *World) Proof(t testing.TB, holder crypto.Signer, change ...Change) string {
	t.Helper()
	proof, err := devca.Proof(holder, Issuer, w.Clock.Now(), change...)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// Chain is an X.509-SVID of a SPIFFE ID in one of the trust domains.
func (w *World) Chain(t testing.TB, id string, change ...func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	a, path := w.of(t, id)
	svid, err := a.X509SVID(path, change...)
	if err != nil {
		t.Fatal(err)
	}
	return svid.Certificates
}

func (w *World) of(t testing.TB, id string) (*devca.Authority, string) {
	t.Helper()
	parsed := spiffeid.RequireFromString(id)
	a := w.authority[parsed.TrustDomain().Name()]
	if a == nil {
		t.Fatalf("no trust domain for %s", id)
	}
	return a, parsed.Path()
}

// ProvenByJWT is the identity that a JWT-SVID proves.
func (w *World) ProvenByJWT(t testing.TB, id string) svidgate.Identity {
	t.Helper()
	identity, err := w.Verifier.VerifyJWTSVID(t.Context(), svidgate.JWTPresentation{Assertion: w.JWT(t, id), EndpointURL: TokenURL})
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// ProvenByX509 is the identity that an X.509-SVID proves.
func (w *World) ProvenByX509(t testing.TB, id string) svidgate.Identity {
	t.Helper()
	identity, err := w.Verifier.VerifyX509SVID(t.Context(), w.Chain(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// ProvenByWIT is the identity that a WIT-SVID and its proof prove.
func (w *World) ProvenByWIT(t testing.TB, id string) svidgate.Identity {
	t.Helper()
	attestation, holder := w.WIT(t, id)
	identity, err := w.Verifier.VerifyWITSVID(t.Context(), svidgate.WITPresentation{Attestation: attestation, Proof: w.Proof(t, holder), ClientID: id})
	if err != nil {
		t.Fatal(err)
	}
	return identity
}
