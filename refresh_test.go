package svidgate_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A fetcher counts the fetches on demand and answers them.
type fetcher struct {
	calls  []string // trust domains
	answer *bundle.Snapshot
	err    error
}

func (f *fetcher) refresh(_ context.Context, td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	f.calls = append(f.calls, td.Name())
	return f.answer, f.err
}

// The key that signs is not in the bundle at hand.
func TestJWTRefresh(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	before := d.snapshot(t)
	oldToken := d.svid(t)
	if _, err := d.RotateJWTKey(); err != nil {
		t.Fatal(err)
	}
	after := d.snapshot(t)
	newToken := d.svid(t)
	stranger := newDomain(t, "example.org", devca.Options{})
	foreign := newDomain(t, "other.example", devca.Options{})
	// The very entries that are looked for, but as another trust domain's.
	misfiled := parseBundle(t, foreign.TrustDomain(), d.Bundle())
	withoutKeys := bundleOf(t, d.TrustDomain())
	witKID, _, _ := d.WITKey()
	stillUnknown := refused(oauth.ReasonKIDUnknownAfterRefresh, "JS-15")
	for _, c := range []struct {
		name  string
		token string
		fetch *fetcher // nil: there is no fetching
		want  want
		calls int
	}{
		{"JS-15 a known kid needs no fetch", oldToken, &fetcher{answer: after}, accepted, 0},
		{"F1 a kid rotated in since the last poll", newToken, &fetcher{answer: after}, accepted, 1},
		{"JS-15 a kid of nobody", stranger.svid(t), &fetcher{answer: after}, stillUnknown, 1},
		{"JS-15 the fetch brings the same bundle", newToken, &fetcher{answer: before}, stillUnknown, 1},
		{"JS-15 the fetch fails", newToken, &fetcher{err: errors.New("no route")}, stillUnknown, 1},
		{"JS-15 the fetch brings nothing", newToken, &fetcher{}, stillUnknown, 1},
		{"MT-9 the fetch brings another trust domain's bundle", newToken, &fetcher{answer: misfiled}, stillUnknown, 1},
		{"BU-3 the fetch brings an empty bundle", newToken, &fetcher{answer: withoutKeys}, stillUnknown, 1},
		{"JS-15 no fetching at all", newToken, nil, unknownKey, 0},
		{"JS-15 no fetch for a bad signature", flipped(oldToken), &fetcher{answer: after}, badSignature, 0},
		{"JS-15 no fetch for a wit-svid key's kid", d.svid(t, header("kid", witKID)), &fetcher{answer: after}, refused(oauth.ReasonKeyWrongUse, "JS-15"), 0},
		{"JS-14 no fetch without kid", stranger.svid(t, withoutHeader("kid"), header("alg", "RS256")), &fetcher{answer: after}, missingKID, 0},
		{"JS-13 no fetch for an unknown trust domain", foreign.svid(t), &fetcher{answer: foreign.snapshot(t)}, refused(oauth.ReasonTDUnknown, "JS-13"), 0},
		{"JS-2 no fetch before the shape is right", stranger.svid(t, header("alg", "none")), &fetcher{answer: after}, refused(oauth.ReasonAlgNotAllowed, "JS-2"), 0},
		{"JS-7 no fetch before the identifier is right", stranger.svid(t, claim("sub", "spiffe://example.org")), &fetcher{answer: after}, refused(oauth.ReasonSubNotSPIFFEID, "SI-12"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			fetching := func(cfg *svidgate.Config) {
				if c.fetch != nil {
					cfg.Refresh = c.fetch.refresh
				}
			}
			v := newVerifier(t, bundles{d.TrustDomain(): before}, fetching)
			id, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: c.token, EndpointURL: endpoint})
			checkOutcome(t, id, err, c.want)
			if c.fetch == nil {
				return
			}
			if len(c.fetch.calls) != c.calls {
				t.Errorf("fetched %q, want %d fetches", c.fetch.calls, c.calls)
			}
			// Explaining goes on where verifying stopped, and asks once at most.
			checkExplanation(t, oauth.MethodJWT, err, v.ExplainJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: c.token, EndpointURL: endpoint}))
			if n := len(c.fetch.calls) - c.calls; n > 1 || n < c.calls {
				t.Errorf("explained with %d fetches", n)
			}
			for _, td := range c.fetch.calls {
				if td != "example.org" {
					t.Errorf("JS-13 fetched for %s", td)
				}
			}
		})
	}
}

// The CA that signs is not in the bundle at hand.
func TestX509Refresh(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{Intermediate: true})
	before := d.snapshot(t)
	oldChain := d.chain(t)
	if err := d.RotateX509(); err != nil {
		t.Fatal(err)
	}
	after := d.snapshot(t)
	newChain := d.chain(t)
	foreign := newDomain(t, "other.example", devca.Options{})
	misfiled := parseBundle(t, foreign.TrustDomain(), d.Bundle())
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		fetch *fetcher
		want  want
		calls int
	}{
		{"BE-17 a known CA needs no fetch", oldChain, &fetcher{answer: after}, accepted, 0},
		{"BE-17 a CA rotated in since the last poll", newChain, &fetcher{answer: after}, accepted, 1},
		{"BE-17 the fetch brings the same bundle", newChain, &fetcher{answer: before}, chainBad, 1},
		{"BE-17 the fetch fails", newChain, &fetcher{err: errors.New("no route")}, chainBad, 1},
		{"MT-9 the fetch brings another trust domain's bundle", newChain, &fetcher{answer: misfiled}, chainBad, 1},
		{"BE-17 no fetching at all", newChain, nil, chainBad, 0},
		{"JS-13 no fetch for an unknown trust domain", foreign.chain(t), &fetcher{answer: foreign.snapshot(t)}, refused(oauth.ReasonTDUnknown, "JS-13"), 0},
		{"XS-22 no fetch for an expired leaf", d.chain(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), &fetcher{answer: after}, refused(oauth.ReasonExpired, "XS-22"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			fetching := func(cfg *svidgate.Config) {
				if c.fetch != nil {
					cfg.Refresh = c.fetch.refresh
				}
			}
			v := newVerifier(t, bundles{d.TrustDomain(): before}, fetching)
			id, err := v.VerifyX509SVID(context.Background(), c.chain)
			checkOutcome(t, id, err, c.want)
			if c.fetch != nil && len(c.fetch.calls) != c.calls {
				t.Errorf("fetched %q, want %d fetches", c.fetch.calls, c.calls)
			}
		})
	}
}

// A key or a CA that left the bundle verifies nothing from the next call on
// (section 18 item 4).
func TestWithdrawal(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{Intermediate: true})
	b := bundlesOf(t, d)
	v := newVerifier(t, b)
	token, chain := d.svid(t), d.chain(t)
	judge := func(jwt, cert want) {
		t.Helper()
		judgeJWT(t, v, svidgate.JWTPresentation{Assertion: token, EndpointURL: endpoint}, jwt)
		judgeX509(t, v, chain, cert)
	}
	judge(accepted, accepted)
	kid, root := kidOf(d), d.Roots()[0]
	if _, err := d.RotateJWTKey(); err != nil {
		t.Fatal(err)
	}
	if err := d.RotateX509(); err != nil {
		t.Fatal(err)
	}
	b[d.TrustDomain()] = d.snapshot(t)
	judge(accepted, accepted) // both generations are published
	if err := errors.Join(d.RemoveKey(kid), d.RemoveRoot(root)); err != nil {
		t.Fatal(err)
	}
	b[d.TrustDomain()] = d.snapshot(t)
	judge(unknownKey, chainBad)
	b[d.TrustDomain()] = bundleOf(t, d.TrustDomain())
	noKeys := refused(oauth.ReasonBundleNoKeys, "BU-12")
	judge(noKeys, noKeys) // BU-3
	delete(b, d.TrustDomain())
	unknown := refused(oauth.ReasonTDUnknown, "JS-13")
	judge(unknown, unknown) // F10
}
