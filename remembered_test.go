package svidgate_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A moment is a clock that a test moves.
type moment struct{ now time.Time }

func (m *moment) verifier(t testing.TB, b svidgate.Bundles, change ...func(*svidgate.Config)) *svidgate.Verifier {
	m.now = noon
	return newVerifier(t, b, append(change, func(c *svidgate.Config) { c.Now = func() time.Time { return m.now } })...)
}

// A step shows one credential, and says whether its proof comes from memory.
type step struct {
	name       string
	change     func() // before it is shown
	want       want
	remembered bool
}

func runSteps(t *testing.T, steps []step, show func(want) svidgate.Identity) {
	t.Helper()
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if s.change != nil {
				s.change()
			}
			if id := show(s.want); id.Remembered() != s.remembered {
				t.Errorf("remembered %t, want %t", id.Remembered(), s.remembered)
			}
		})
	}
}

// A signature that was found good is remembered; all else is judged again.
func TestRememberedSignature(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	stranger := newDomain(t, "example.org", devca.Options{})
	token := d.svid(t)
	b := bundlesOf(t, d)
	var m moment
	v := m.verifier(t, b, func(c *svidgate.Config) { c.Settings.MaxBundleAge = svidgate.Unbounded })
	audience := endpoint
	show := func(w want) svidgate.Identity {
		return judgeJWT(t, v, svidgate.JWTPresentation{Assertion: token, EndpointURL: audience}, w)
	}
	first := b[d.TrustDomain()]
	runSteps(t, []step{
		{"JS-12 the first time it is verified", nil, accepted, false},
		{"JS-12 then it is remembered", nil, accepted, true},
		{"MT-9 of a bundle without its key nothing is remembered", func() { b[d.TrustDomain()] = stranger.snapshot(t) }, unknownKey, false},
		{"JS-12 the old bundle again, and it is remembered", func() { b[d.TrustDomain()] = first }, accepted, true},
		{"JS-12 another bundle with the same key: verified anew", func() {
			if _, err := d.RotateJWTKey(); err != nil {
				t.Fatal(err)
			}
			b[d.TrustDomain()] = d.snapshot(t)
		}, accepted, false},
		{"JS-12 and remembered for that one", nil, accepted, true},
		{"JS-12 fetched again without a change: still remembered", func() { b[d.TrustDomain()] = d.snapshot(t) }, accepted, true},
		{"CJ-5 expired meanwhile", func() { m.now = noon.Add(2 * time.Hour) }, refused(oauth.ReasonExpired, "CJ-5"), false},
		{"JS-10 the clock set back", func() { m.now = noon.Add(-2 * time.Hour) }, refused(oauth.ReasonNotYetValid, "JS-10"), false},
		{"JS-12 back at noon", func() { m.now = noon }, accepted, true},
	}, show)
	judgeJWT(t, v, svidgate.JWTPresentation{Assertion: flipped(token), EndpointURL: endpoint}, badSignature)
	judgeJWT(t, v, svidgate.JWTPresentation{Assertion: flipped(token), EndpointURL: endpoint}, badSignature)
}

// A refusal is never remembered: a key that comes late helps at once.
func TestRefusalsAreNotRemembered(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	late := newDomain(t, "example.org", devca.Options{})
	b := bundlesOf(t, d)
	v := newVerifier(t, b)
	p := svidgate.JWTPresentation{Assertion: late.svid(t), EndpointURL: endpoint}
	judgeJWT(t, v, p, unknownKey)
	b[d.TrustDomain()] = late.snapshot(t)
	judgeJWT(t, v, p, accepted)
	sent := d.chain(t)
	judgeX509(t, v, sent, chainBad)
	b[d.TrustDomain()] = d.snapshot(t)
	judgeX509(t, v, sent, accepted)
}

// F7 What one trust domain proved counts in no other, though both have the same
// key under the same kid.
func TestNothingIsRememberedForAnotherTrustDomain(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	other := parseBundle(t, newDomain(t, "other.example", devca.Options{}).TrustDomain(), d.Bundle())
	b := bundles{d.TrustDomain(): d.snapshot(t), other.TrustDomain(): other}
	v := newVerifier(t, b)
	for _, sub := range []string{"spiffe://example.org/a", "spiffe://other.example/a"} {
		id := judgeJWT(t, v, svidgate.JWTPresentation{Assertion: d.svid(t, claim("sub", sub)), EndpointURL: endpoint}, accepted)
		if id.Remembered() {
			t.Errorf("%s is remembered at first sight", sub)
		}
	}
}

// Explaining takes nothing from memory, and puts nothing there.
func TestExplainingJudgesAfresh(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{Intermediate: true})
	v := newVerifier(t, bundlesOf(t, d))
	sent, p := d.chain(t), svidgate.JWTPresentation{Assertion: d.svid(t), EndpointURL: endpoint}
	v.ExplainX509SVID(context.Background(), sent)
	v.ExplainJWTSVID(context.Background(), p)
	if judgeX509(t, v, sent, accepted).Remembered() || judgeJWT(t, v, p, accepted).Remembered() {
		t.Error("what was explained is remembered")
	}
	for range 2 {
		judgeX509(t, v, sent, accepted)
		e := v.ExplainX509SVID(context.Background(), sent)
		checkExplanation(t, oauth.MethodX509, nil, e)
		for _, f := range e.Findings {
			if f.Rule == "XS-14" && f.Presented == "no path" {
				t.Error("XS-14 explained without its path")
			}
		}
	}
}

// A path that was found good is remembered for as long as each of its
// certificates is valid, and for the bundle that it led to.
func TestRememberedPath(t *testing.T) {
	root := newCA(t, "example.org", valid(-3*time.Hour, 24*time.Hour))
	middle := root.below(t, newKey(t), valid(-time.Hour, 30*time.Minute)) // ends before its leaf
	sent := chain{middle.leaf(t, valid(-2*time.Hour, time.Hour)), middle.cert}
	b := bundles{exampleOrg: bundleOf(t, exampleOrg, root.entry())}
	var m moment
	v := m.verifier(t, b, func(c *svidgate.Config) { c.Settings.MaxBundleAge = svidgate.Unbounded })
	good := b[exampleOrg]
	show := func(w want) svidgate.Identity { return judgeX509(t, v, sent, w) }
	runSteps(t, []step{
		{"XS-10 the first time it is built", nil, accepted, false},
		{"XS-10 then it is remembered", nil, accepted, true},
		{"XS-22 to the last second of the intermediate", func() { m.now = noon.Add(30 * time.Minute) }, accepted, true},
		{"XS-10 but not after it", func() { m.now = noon.Add(30*time.Minute + time.Second) }, chainBad, false},
		{"XS-10 nor before it, the clock set back", func() { m.now = noon.Add(-61 * time.Minute) }, chainBad, false},
		{"XS-10 back at noon", func() { m.now = noon }, accepted, true},
		{"XS-11 the anchor is gone", func() { b[exampleOrg] = bundleOf(t, exampleOrg, newCA(t, "example.org").entry()) }, chainBad, false},
		{"XS-10 the anchor is there again", func() { b[exampleOrg] = good }, accepted, true},
		{"XS-10 another bundle with the anchor: built anew", func() { b[exampleOrg] = bundleOf(t, exampleOrg, root.entry(), newCA(t, "example.org").entry()) }, accepted, false},
	}, show)
	// Another order or number of certificates is another question.
	if id := judgeX509(t, v, chain{sent[0], middle.cert, root.cert}, accepted); id.Remembered() {
		t.Error("XS-10 more certificates are remembered at first sight")
	}
	judgeX509(t, v, chain{sent[0]}, chainBad)
	judgeX509(t, v, chain{forged(t, sent[0]), middle.cert}, chainBad)
}

// XS-21 XS-22 What is remembered is the path. The leaf is judged each time.
func TestRememberedPathOfALeafThatExpires(t *testing.T) {
	root := newCA(t, "example.org", valid(-time.Hour, 24*time.Hour))
	sent := chain{root.leaf(t, valid(-time.Minute, time.Hour))}
	b := bundles{exampleOrg: bundleOf(t, exampleOrg, root.entry())}
	var m moment
	v := m.verifier(t, b)
	show := func(w want) svidgate.Identity { return judgeX509(t, v, sent, w) }
	runSteps(t, []step{
		{"XS-10 built", nil, accepted, false},
		{"XS-10 remembered", func() { m.now = noon.Add(time.Hour) }, accepted, true},
		{"XS-22 expired", func() { m.now = noon.Add(time.Hour + time.Second) }, refused(oauth.ReasonExpired, "XS-22"), false},
		{"BE-15 the bundle too old", func() { m.now = noon.Add(25 * time.Hour) }, refused(oauth.ReasonExpired, "XS-22"), false},
	}, show)
}

func valid(from, until time.Duration) mutation {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.Add(from), noon.Add(until) }
}
