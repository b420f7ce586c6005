package vectors

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/oauth"
)

// A verifierContext is what an authorization server is configured with.
type verifierContext struct {
	Issuer       string                        `json:"issuer"`
	EndpointURL  string                        `json:"endpoint_url,omitempty"`
	Settings     settings                      `json:"settings"`
	TrustDomains map[string]trustDomainContext `json:"trust_domains"`
	// Challenge is offered or required; empty is off.
	Challenge string `json:"challenge,omitempty"`
}

// settings are seconds; what is missing has the default.
type settings struct {
	Profile      string `json:"profile,omitempty"`
	Leeway       *int   `json:"leeway,omitempty"`
	MaxLifetime  int    `json:"max_lifetime,omitempty"`
	MaxBundleAge int    `json:"max_bundle_age,omitempty"`
	RequireKeyID bool   `json:"require_kid,omitempty"`
	NoWIT        bool   `json:"no_wit,omitempty"`

	StrictKeyUsageCritical bool `json:"strict_key_usage_critical,omitempty"`
}

// A trustDomainContext is the bundle of a trust domain, by the name of its text.
type trustDomainContext struct {
	Bundle string `json:"bundle,omitempty"` // none: it was not obtained yet
	// Of is the trust domain that the bundle at hand is of, where that is another
	// one than it was asked for: a fault of whoever keeps the bundles.
	Of        string   `json:"of,omitempty"`
	Age       int      `json:"age,omitempty"` // seconds
	Settings  settings `json:"settings,omitzero"`
	SingleUse bool     `json:"single_use,omitempty"`
	Binding   string   `json:"binding,omitempty"`
}

func (s settings) or(general svidgate.Settings) svidgate.Settings {
	if s.Profile != "" {
		general.Profile = svidgate.Profile(s.Profile)
	}
	if s.Leeway != nil {
		if general.Leeway = seconds(*s.Leeway); *s.Leeway == 0 {
			general.Leeway = svidgate.NoLeeway
		}
	}
	if s.MaxLifetime != 0 {
		general.MaxLifetime = seconds(s.MaxLifetime)
	}
	if s.MaxBundleAge != 0 {
		general.MaxBundleAge = seconds(s.MaxBundleAge)
	}
	general.RequireKeyID = general.RequireKeyID || s.RequireKeyID
	general.NoWIT = general.NoWIT || s.NoWIT
	general.StrictKeyUsageCritical = general.StrictKeyUsageCritical || s.StrictKeyUsageCritical
	return general
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// bundles are the bundles of a context; without one a trust domain is not ready.
type bundles map[spiffeid.TrustDomain]*bundle.Snapshot

func (b bundles) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	s, configured := b[td]
	switch {
	case !configured:
		return nil, bundle.ErrUnknownTrustDomain
	case s == nil:
		return nil, bundle.ErrNotReady
	}
	return s, nil
}

// verifier makes the verifier of a context.
func (f *file) verifier(t testing.TB, c verifierContext, now func() time.Time) *svidgate.Verifier {
	t.Helper()
	general := c.Settings.or(svidgate.DefaultSettings())
	config := svidgate.Config{Issuer: c.Issuer, Settings: general, TrustDomains: map[spiffeid.TrustDomain]svidgate.Settings{}, Now: now}
	all := bundles{}
	for name, td := range c.TrustDomains {
		id := spiffeid.RequireTrustDomainFromString(name)
		if td.Settings != (settings{}) {
			config.TrustDomains[id] = td.Settings.or(svidgate.Settings{})
		}
		if all[id] = nil; td.Bundle == "" {
			continue
		}
		of := id
		if td.Of != "" {
			of = spiffeid.RequireTrustDomainFromString(td.Of)
		}
		snapshot, err := bundle.Parse(of, []byte(f.text(t, td.Bundle)), f.Now.Add(-seconds(td.Age)))
		if err != nil {
			t.Fatal(err)
		}
		all[id] = snapshot
	}
	config.Bundles = all
	v, err := svidgate.NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// judgeJWTSVID verifies a JWT-SVID.
func judgeJWTSVID(t testing.TB, f *file, input json.RawMessage) expectation {
	var in struct {
		Context   string `json:"context"`
		Assertion string `json:"assertion"`
	}
	read(t, input, &in)
	var c verifierContext
	f.context(t, in.Context, &c)
	v := f.verifier(t, c, func() time.Time { return f.Now })
	return f.byIdentity(v.VerifyJWTSVID(t.Context(), svidgate.JWTPresentation{Assertion: in.Assertion, EndpointURL: c.EndpointURL}))
}

func (f *file) byIdentity(identity svidgate.Identity, err error) expectation {
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		f.tell(refusal{string(e.Reason), e.Rule, e.Expected, e.Presented})
		return expectation{Outcome: refused, Reason: string(e.Reason), Rule: e.Rule}
	}
	return expectation{Outcome: accepted, SPIFFEID: identity.SPIFFEID().String()}
}

// judgeX509SVID verifies the certificates that a TLS peer sent, which has proven
// that it holds the first one's key.
func judgeX509SVID(t testing.TB, f *file, input json.RawMessage) expectation {
	var in struct {
		Context      string   `json:"context"`
		Certificates [][]byte `json:"certificates"`
	}
	read(t, input, &in)
	var c verifierContext
	f.context(t, in.Context, &c)
	v := f.verifier(t, c, func() time.Time { return f.Now })
	return f.byIdentity(v.VerifyX509SVID(t.Context(), certificates(t, in.Certificates)))
}

func certificates(t testing.TB, all [][]byte) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range all {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}
