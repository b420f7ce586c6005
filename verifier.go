package svidgate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/proven"
	"github.com/svidgate/svidgate/oauth"
)

// Bundles gives the trust bundle of a trust domain. It returns
// bundle.ErrUnknownTrustDomain for one that is not configured and
// bundle.ErrNotReady while none was obtained; it never fetches. *bundle.Set is
// one.
type Bundles interface {
	Bundle(spiffeid.TrustDomain) (*bundle.Snapshot, error)
}

// Settings are what an operator may choose about SVIDs. None of them turns a
// check off.
type Settings struct {
	// Profile is the edition whose rules apply; empty is Transition.
	Profile Profile
	// Leeway is the clock skew forgiven on the times in a JWT-SVID or WIT-SVID, up
	// to 300 s (JS-10), of which a WIT-SVID is forgiven 120 s at most (WS-7); 0 and NoLeeway forgive none. Certificates get none.
	Leeway time.Duration
	// MaxLifetime bounds what is left of a JWT-SVID's life; 0 is 1 h (JS-19).
	MaxLifetime time.Duration
	// MaxBundleAge is how long a bundle is trusted after its source last
	// confirmed it; 0 is 24 h (BE-15).
	MaxBundleAge time.Duration
	// RequireKeyID refuses a JWT-SVID without kid (JS-14).
	RequireKeyID bool
	// StrictKeyUsageCritical refuses a certificate whose key usage is not marked
	// critical, which otherwise is told in the log (XS-6).
	StrictKeyUsageCritical bool
	// NoWIT refuses every WIT-SVID, as the profile Seed does.
	NoWIT bool
}

const (
	// Unbounded sets no bound, where that is really meant.
	Unbounded = time.Duration(math.MaxInt64)
	// NoLeeway forgives no clock skew in one trust domain, where others do.
	NoLeeway = time.Duration(math.MinInt64)
)

// DefaultSettings are those of the server when nothing is configured. They differ
// from the zero Settings in forgiving 60 s of clock skew.
func DefaultSettings() Settings {
	return Settings{Profile: Transition, Leeway: 60 * time.Second, MaxLifetime: time.Hour, MaxBundleAge: 24 * time.Hour}
}

// Config configures a Verifier.
type Config struct {
	// Issuer is the authorization server's issuer identifier, byte for byte as
	// assertions must name it (CJ-6).
	Issuer string
	// Settings apply to every trust domain. In TrustDomains, what is zero is taken
	// from here, so that saying one thing of a trust domain loosens no other.
	Settings     Settings
	TrustDomains map[spiffeid.TrustDomain]Settings
	// Bundles are the trust bundles; never the system roots (XS-12).
	Bundles Bundles
	// Refresh fetches a trust domain's bundle on demand, when a credential names
	// a key or an issuer that the bundle at hand has not (BE-17). The
	// implementation limits its rate and its time. Nil never fetches.
	Refresh func(context.Context, spiffeid.TrustDomain) (*bundle.Snapshot, error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is told what is tolerated but odd; nil is silent.
	Log *slog.Logger
	// Sighted is told of every genuine SVID that was verified, for metrics. It is
	// called on the way of the request and must not wait. Nil is told nothing, and
	// so is nobody by an explanation.
	Sighted func(Sighting)
}

// A Verifier judges SVIDs. It is safe for concurrent use. Between calls it holds
// signatures and paths that it found good, and what the log has been told, and nothing
// else: see remembered.go.
type Verifier struct {
	issuer   string
	settings Settings
	perTD    map[spiffeid.TrustDomain]Settings
	bundles  Bundles
	refresh  func(context.Context, spiffeid.TrustDomain) (*bundle.Snapshot, error)
	now      func() time.Time
	log      *slog.Logger
	sight    func(Sighting)

	signatures *proven.Memory[signatureKey, struct{}]
	holders    *proven.Memory[signatureKey, holder]
	paths      *proven.Memory[pathKey, validity]
	told       *proven.Memory[[sha256.Size]byte, struct{}] // certificates that the log has (XS-6, XS-15)
}

// NewVerifier checks the whole configuration and reports every fault at once.
func NewVerifier(c Config) (*Verifier, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("svidgate: "+format, args...))
	}
	if u, err := url.Parse(c.Issuer); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(c.Issuer, "?#") {
		fault("the issuer must be an https URL without query, fragment and user information (AM-2)")
	}
	if c.Bundles == nil {
		fault("bundles are missing")
	}
	check := func(where string, s *Settings) {
		if s.Profile == "" {
			s.Profile = Transition
		}
		if _, err := ParseProfile(string(s.Profile)); err != nil {
			fault("%s: %w", where, err)
		}
		if s.Leeway == NoLeeway {
			s.Leeway = 0
		}
		if s.Leeway < 0 || s.Leeway > 300*time.Second {
			fault("%s: leeway must lie between 0 and 300 s (JS-10)", where)
		}
		if s.MaxLifetime < 0 || s.MaxBundleAge < 0 {
			fault("%s: a bound on a time must not be negative", where)
		}
		if s.MaxLifetime == 0 {
			s.MaxLifetime = DefaultSettings().MaxLifetime
		}
		if s.MaxBundleAge == 0 {
			s.MaxBundleAge = DefaultSettings().MaxBundleAge
		}
	}
	check("settings", &c.Settings)
	perTD := make(map[spiffeid.TrustDomain]Settings, len(c.TrustDomains))
	for td, s := range c.TrustDomains {
		s = s.or(c.Settings)
		check(td.Name(), &s)
		perTD[td] = s
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	v := &Verifier{
		issuer: c.Issuer, settings: c.Settings, perTD: perTD, bundles: c.Bundles, refresh: c.Refresh, now: c.Now, log: c.Log, sight: c.Sighted,
		signatures: proven.New[signatureKey, struct{}](maxSignatures, maxSignatures/2),
		holders:    proven.New[signatureKey, holder](maxHolders, maxHolders/2),
		paths:      proven.New[pathKey, validity](maxPaths, maxPaths/2),
		told:       proven.New[[sha256.Size]byte, struct{}](maxTold, maxTold/2),
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	return v, nil
}

// or fills what s does not say from general.
func (s Settings) or(general Settings) Settings {
	s.Profile = cmp.Or(s.Profile, general.Profile)
	s.Leeway = cmp.Or(s.Leeway, general.Leeway)
	s.MaxLifetime = cmp.Or(s.MaxLifetime, general.MaxLifetime)
	s.MaxBundleAge = cmp.Or(s.MaxBundleAge, general.MaxBundleAge)
	s.RequireKeyID = s.RequireKeyID || general.RequireKeyID
	s.StrictKeyUsageCritical = s.StrictKeyUsageCritical || general.StrictKeyUsageCritical
	s.NoWIT = s.NoWIT || general.NoWIT
	return s
}

// Profile is the profile that applies to a trust domain's SVIDs unless a client
// has its own.
func (v *Verifier) Profile(td spiffeid.TrustDomain) Profile { return v.Settings(td).Profile }

// Settings are what applies to a trust domain's SVIDs.
func (v *Verifier) Settings(td spiffeid.TrustDomain) Settings {
	if s, ok := v.perTD[td]; ok {
		return s
	}
	return v.settings
}

// A JWTPresentation is a JWT-SVID and the circumstances it was shown in.
type JWTPresentation struct {
	// Assertion is the value of client_assertion.
	Assertion string
	// EndpointURL is the URL of the endpoint that was called, built from
	// configuration and never from the request (CJ-7). Empty accepts none.
	EndpointURL string
	// Profile gives the profile that the client behind an identity is held to;
	// nil, or an empty answer, takes the trust domain's. Verifying asks it after
	// the signature was checked; explaining asks it for an unproven ID, too.
	Profile func(spiffeid.ID) Profile
}

// Format keeps the assertion out of whatever prints the presentation (AU-2).
func (p JWTPresentation) Format(f fmt.State, _ rune) {
	io.WriteString(f, "JWT-SVID presented at "+p.EndpointURL)
}

// LogValue does the same for slog.
func (p JWTPresentation) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// VerifyJWTSVID judges a JWT-SVID by rules JS-*, SI-* and CJ-4 to CJ-8. The error
// is an *oauth.Error: invalid_client, or oauth.Unavailable when no bundle was
// ever obtained for a configured trust domain.
//
// Not checked here: that the identity belongs to a client, and whether the
// assertion was used before.
func (v *Verifier) VerifyJWTSVID(ctx context.Context, p JWTPresentation) (Identity, error) {
	s := newJWTState(v, p)
	e := judge.FirstRefusal(ctx, jwtRules, s)
	v.sighted(s)
	if e != nil {
		return Identity{}, e
	}
	return s.identity(), nil
}

// ExplainJWTSVID judges every rule it can and says what each found. It takes
// nothing from memory and puts nothing there.
func (v *Verifier) ExplainJWTSVID(ctx context.Context, p JWTPresentation) oauth.Explanation {
	s := newJWTState(v, p)
	s.afresh = true
	return explain(ctx, oauth.MethodJWT, jwtRules, s)
}

// VerifyX509SVID judges the certificates that a TLS peer sent, leaf first, by
// rules XS-*. The TLS library must have proven that the peer holds the leaf's
// key; nothing else is taken from it, so the answer holds for the moment of the
// call, on a connection however old or resumed (XS-21, XS-22). The error is an
// *oauth.Error as for VerifyJWTSVID.
//
// Not checked here: that the identity belongs to a client, and revocation
// lists (XS-19).
func (v *Verifier) VerifyX509SVID(ctx context.Context, chain []*x509.Certificate) (Identity, error) {
	s := newX509State(v, chain)
	if e := judge.FirstRefusal(ctx, x509Rules, s); e != nil {
		return Identity{}, e
	}
	i := s.identity()
	v.sightedX509(s, i)
	return i, nil
}

// ExplainX509SVID judges every rule it can and says what each found. It takes
// nothing from memory and puts nothing there.
func (v *Verifier) ExplainX509SVID(ctx context.Context, chain []*x509.Certificate) oauth.Explanation {
	s := newX509State(v, chain)
	s.afresh = true
	return explain(ctx, oauth.MethodX509, x509Rules, s)
}

// A WITPresentation is a WIT-SVID with the proof that its holder sent it, and the
// circumstances they were shown in.
type WITPresentation struct {
	// Attestation is the value of OAuth-Client-Attestation: the WIT-SVID.
	Attestation string
	// Proof is the value of OAuth-Client-Attestation-PoP. Without one nothing is
	// proven (WS-17).
	Proof string
	// ClientID is client_id, which the proof's iss may name instead of the SPIFFE
	// ID (PP-9).
	ClientID string
	// Challenge says whether a challenge is one of the server's that still counts.
	// Nil where the server gives none: then the proof's is not looked at.
	Challenge func(challenge string) bool
	// ChallengeRequired refuses a proof without a challenge, where there are some.
	ChallengeRequired bool
	// Profile is as in [JWTPresentation].
	Profile func(spiffeid.ID) Profile

	// For explaining only: what nobody told. Rules that need it are not judged.
	ProofUntold, ClientIDUntold bool
}

// Format keeps WIT-SVID and proof out of whatever prints the presentation (AU-2).
func (p WITPresentation) Format(f fmt.State, _ rune) { io.WriteString(f, "WIT-SVID presented") }

// LogValue does the same for slog.
func (p WITPresentation) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// VerifyWITSVID judges a WIT-SVID by rules WS-* and then the proof beside it by
// rules PP-*. The error is an *oauth.Error: as for VerifyJWTSVID, or
// oauth.UseAttestationChallenge.
//
// Not checked here: that the identity belongs to a client, and whether the proof
// was used before ([Identity.ProofUse]).
func (v *Verifier) VerifyWITSVID(ctx context.Context, p WITPresentation) (Identity, error) {
	p.ProofUntold, p.ClientIDUntold = false, false
	s := newWITState(v, p)
	if e := judge.FirstRefusal(ctx, witRules, s); e != nil {
		return Identity{}, e
	}
	i := s.identity()
	v.sightedWIT(s, i)
	return i, nil
}

// ExplainWITSVID judges every rule it can and says what each found. It takes
// nothing from memory and puts nothing there. Where a proof was told and nothing
// refuses, the use of it comes along, by which one can look up whether it was used.
func (v *Verifier) ExplainWITSVID(ctx context.Context, p WITPresentation) (oauth.Explanation, ProofUse) {
	s := newWITState(v, p)
	s.afresh = true
	e := explain(ctx, oauth.MethodWIT, witRules, s)
	if e.Refusal != nil || s.Unknown != 0 {
		return e, ProofUse{}
	}
	use, _ := s.identity().ProofUse()
	return e, use
}
