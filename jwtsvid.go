package svidgate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// jwtState is one JWT-SVID while it is judged.
type jwtState struct {
	judgement
	in    JWTPresentation
	token *jose.Compact
	alg   jose.Algorithm

	unreadable  error // why there is no token
	kid         string
	hasKID      bool
	key         bundle.Key
	audience    string
	profile     Profile
	expiry      time.Time
	legacyMatch bool
}

func newJWTState(v *Verifier, in JWTPresentation) *jwtState {
	return &jwtState{judgement: newJudgement(v), in: in}
}

func (s *jwtState) identity() Identity {
	sequence, sequenced := s.snapshot.Sequence()
	jti, _ := s.claim("jti").Text()
	return Identity{
		id: s.id, method: oauth.MethodJWT, expiresAt: s.expiry,
		digest: sha256.Sum256([]byte(s.in.Assertion)), useDigest: sha256.Sum256([]byte(s.token.SigningInput)),
		keyID: s.key.ID, tokenID: oauth.Shown(jti), sequence: sequence, sequenced: sequenced, legacyAud: s.legacyMatch,
	}
}

func (s *jwtState) claim(name string) strictjson.Value {
	v, _ := s.token.Payload.Get(name)
	return v
}

// shown is a claim or header member for an operator's eyes.
func shown(v strictjson.Value) string {
	if v == nil {
		return "none"
	}
	if text, ok := v.Text(); ok {
		return shownText(text)
	}
	return oauth.Shown(strings.ReplaceAll(string(v), `"`, "'"))
}

func shownText(text string) string {
	if text == "" {
		return "an empty string"
	}
	return oauth.Shown(text)
}

// jwtRules are JWT-SVID validation and the audience rules of spiffe_jwt, in the
// order of CA-16: shape, identifier, trust domain, signature, time, audience.
var jwtRules = slices.Concat(
	jwtShapeRules,
	idRules[*jwtState](strictid.PathRule, func(string) oauth.Reason { return oauth.ReasonSubNotSPIFFEID }),
	jwtClaimRules,
	bundleRules[*jwtState](bundle.UseJWT),
	jwtKeyRules,
	jwtTimeRules,
	jwtAudienceRules,
)

// allowedHeaders are all that a JWT-SVID's header may hold (JS-5, JS-6).
var allowedHeaders = []string{"alg", "kid", "typ"}

var jwtShapeRules = []rule[*jwtState]{
	{
		id: "GL-8", source: "authorization-server GL-8", what: "the assertion is not too large",
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if len(s.in.Assertion) > oauth.MaxJWT {
				return oauth.ReasonAssertionTooLarge
			}
			return ""
		},
		expected:  func(*jwtState) string { return fmt.Sprintf("at most %d bytes", oauth.MaxJWT) },
		presented: func(s *jwtState) string { return fmt.Sprintf("%d bytes", len(s.in.Assertion)) },
	},
	{
		id: "JS-1", source: "JWT-SVID 1, 2, 5.1", what: "it is one compact JWS",
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if len(s.in.Assertion) > oauth.MaxJWT { // explain comes here all the same
				return oauth.ReasonAssertionMalformed
			}
			if s.token, s.unreadable = jose.ParseCompact(s.in.Assertion); s.unreadable == nil {
				s.facts |= factParsed
			}
			if errors.Is(s.unreadable, jose.ErrNotCompact) {
				return oauth.ReasonAssertionMalformed
			}
			return "" // what else is wrong, JS-20 refuses
		},
		expected: func(*jwtState) string { return "header.payload.signature in base64url without padding" },
		presented: func(s *jwtState) string {
			return fmt.Sprintf("%d parts", strings.Count(s.in.Assertion, ".")+1)
		},
	},
	{
		id: "JS-20", source: "RFC 7515 4, 5.2; RFC 7519 4", what: "header and payload are strict JSON objects",
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.token == nil {
				s.cause = s.unreadable
				return oauth.ReasonAssertionMalformed
			}
			return ""
		},
		expected: func(*jwtState) string { return "two JSON objects in UTF-8, no member twice" },
		presented: func(s *jwtState) string {
			if s.token == nil {
				return "something else"
			}
			return "two JSON objects"
		},
	},
	{
		id: "JS-2", source: "JWT-SVID 2.1, 4", what: "the algorithm is one of the nine", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			alg, _, _ := s.token.Text("alg")
			if !slices.Contains(jose.SVIDAlgorithms, jose.Algorithm(alg)) {
				return oauth.ReasonAlgNotAllowed
			}
			s.alg = jose.Algorithm(alg)
			return ""
		},
		expected:  func(*jwtState) string { return "RS, ES or PS with 256, 384 or 512" },
		presented: func(s *jwtState) string { return headerShown(s, "alg") },
	},
	{
		id: "JS-4", source: "JWT-SVID 2.3", what: "typ, if there, is JWT or JOSE", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			typ, present, _ := s.token.Text("typ")
			if present && typ != "JWT" && typ != "JOSE" {
				return oauth.ReasonWrongTokenType
			}
			return ""
		},
		expected:  func(*jwtState) string { return "no typ, JWT or JOSE" },
		presented: func(s *jwtState) string { return headerShown(s, "typ") },
	},
	{
		id: "JS-6", source: "JWT-SVID 2; RFC 8725", what: "no header member but alg, kid, typ", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, m := range s.token.Header {
				if !slices.Contains(allowedHeaders, m.Name) {
					return oauth.ReasonHeaderNotAllowed
				}
			}
			return ""
		},
		expected: func(*jwtState) string { return "alg, kid, typ" },
		presented: func(s *jwtState) string {
			var names []string
			for _, m := range s.token.Header {
				names = append(names, m.Name)
			}
			return oauth.Shown(strings.Join(names, ", "))
		},
	},
	{
		id: "JS-7", source: "JWT-SVID 3.1", what: "sub is there", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			text, ok := s.claim("sub").Text()
			if !ok || text == "" {
				return oauth.ReasonSubNotSPIFFEID
			}
			s.idText = text
			s.facts |= factIDText
			return ""
		},
		expected:  func(*jwtState) string { return "one SPIFFE ID" },
		presented: func(s *jwtState) string { return shown(s.claim("sub")) },
	},
}

func headerShown(s *jwtState, name string) string {
	v, _ := s.token.Header.Get(name)
	return shown(v)
}

var jwtClaimRules = []rule[*jwtState]{
	{
		id: "JS-8", source: "JWT-SVID 3.2, 4", what: "aud is there", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			values, ok := s.audiences()
			switch {
			case !ok:
				return oauth.ReasonClaimMalformed
			case len(values) == 0 || slices.Contains(values, ""):
				return oauth.ReasonAudMissing
			}
			return ""
		},
		expected:  func(*jwtState) string { return "a string or an array of strings, none empty" },
		presented: func(s *jwtState) string { return shown(s.claim("aud")) },
	},
	{
		id: "JS-9", source: "JWT-SVID 3.3", what: "exp is there", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			v := s.claim("exp")
			if v == nil {
				return oauth.ReasonExpMissing
			}
			expiry, ok := v.NumericDate()
			if !ok {
				return oauth.ReasonClaimMalformed
			}
			s.expiry = expiry
			s.facts |= factExpiry
			return ""
		},
		expected:  func(*jwtState) string { return "a number of seconds" },
		presented: func(s *jwtState) string { return shown(s.claim("exp")) },
	},
	{
		id: "JS-11", source: "RFC 7519 4.1.5, 4.1.6", what: "nbf and iat, if there, are numbers", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, name := range []string{"nbf", "iat"} {
				if v := s.claim(name); v != nil {
					if _, ok := v.NumericDate(); !ok {
						return oauth.ReasonClaimMalformed
					}
				}
			}
			return ""
		},
		expected: func(*jwtState) string { return "numbers of seconds" },
		presented: func(s *jwtState) string {
			return "nbf " + shown(s.claim("nbf")) + ", iat " + shown(s.claim("iat"))
		},
	},
}

// audiences are the values of aud; false when it is of a wrong type.
func (s *jwtState) audiences() ([]string, bool) {
	v := s.claim("aud")
	if v == nil {
		return nil, true
	}
	if text, ok := v.Text(); ok {
		return []string{text}, true
	}
	return v.Texts()
}

var jwtKeyRules = []rule[*jwtState]{
	{
		id: "JS-14", source: "JWT-SVID 2.2", what: "kid names a key, or is not needed", needs: factParsed | factBundle,
		judge: func(ctx context.Context, s *jwtState) oauth.Reason {
			kid, present, ok := s.token.Text("kid")
			if present && !ok {
				return oauth.ReasonAssertionMalformed
			}
			s.kid, s.hasKID = kid, present
			if present {
				return ""
			}
			if s.settings.RequireKeyID {
				return oauth.ReasonKIDMissing
			}
			var fitting []bundle.Key
			for _, k := range s.snapshot.Keys(bundle.UseJWT) {
				if fits(s.alg, k) == nil {
					fitting = append(fitting, k)
				}
			}
			if len(fitting) != 1 { // never try one after the other
				return oauth.ReasonKIDMissing
			}
			s.key = fitting[0]
			s.facts |= factKey
			return ""
		},
		expected: func(s *jwtState) string {
			if s.settings.RequireKeyID {
				return "a kid"
			}
			return "a kid, or exactly one key that fits the algorithm"
		},
		presented: func(s *jwtState) string { return headerShown(s, "kid") },
	},
	{
		id: "JS-15", source: "JWT-SVID 2.2", what: "the bundle has the key, if need be after one fetch", needs: factParsed | factBundle,
		judge: func(ctx context.Context, s *jwtState) oauth.Reason {
			if s.facts&factKey != 0 || !s.hasKID {
				return ""
			}
			if s.findKey() {
				return ""
			}
			// JS-12: an entry of another use is named, and never used.
			if _, ok := s.snapshot.Key(bundle.UseWIT, s.kid); ok {
				return oauth.ReasonKeyWrongUse
			}
			if s.fetchAgain(ctx) && s.findKey() {
				return ""
			}
			if s.refreshed {
				return oauth.ReasonKIDUnknownAfterRefresh
			}
			return oauth.ReasonKIDUnknown
		},
		expected: func(s *jwtState) string {
			if s.snapshot == nil { // explain asks even when no bundle was found
				return "the kid of a key in the bundle"
			}
			var ids []string
			for _, k := range s.snapshot.Keys(bundle.UseJWT) {
				ids = append(ids, k.ID)
			}
			return oauth.Shown("one of " + strings.Join(ids, ", "))
		},
		presented: func(s *jwtState) string { return headerShown(s, "kid") },
	},
	{
		id: "JS-3", source: "RFC 7518 3.3, 3.4; RFC 8725", what: "the key fits the algorithm", needs: factParsed | factKey,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.cause = fits(s.alg, s.key); s.cause == nil {
				return ""
			}
			if errors.Is(s.cause, jose.ErrKeyTooWeak) {
				return oauth.ReasonKeyTooWeak
			}
			return oauth.ReasonAlgNotAllowed
		},
		expected: func(s *jwtState) string {
			return "an algorithm for " + jose.KeyType(s.key.Public) + " " + s.key.Algorithm
		},
		presented: func(s *jwtState) string { return headerShown(s, "alg") },
	},
	{
		id: "JS-12", source: "JWT-SVID 6.2; SPIFFE Federation 7.3", what: "the signature is by the trust domain named in sub", needs: factParsed | factKey,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.cause = s.token.Verify(s.alg, s.key.Public); s.cause != nil {
				return oauth.ReasonSignatureBad
			}
			return ""
		},
		expected: func(s *jwtState) string {
			return "a signature by key " + oauth.Shown(s.key.ID) + " of " + s.id.TrustDomain().Name()
		},
		presented: func(s *jwtState) string { return fmt.Sprintf("%d bytes of signature", len(s.token.Signature)) },
	},
}

func (s *jwtState) findKey() bool {
	key, ok := s.snapshot.Key(bundle.UseJWT, s.kid)
	if ok {
		s.key = key
		s.facts |= factKey
	}
	return ok
}

// fits is JS-3 for one key of a bundle.
func fits(alg jose.Algorithm, k bundle.Key) error {
	if k.Algorithm != "" && k.Algorithm != string(alg) {
		return fmt.Errorf("the bundle's entry is for %s", oauth.Shown(k.Algorithm))
	}
	return jose.Fits(alg, k.Public)
}

var jwtTimeRules = []rule[*jwtState]{
	{
		id: "CJ-5", source: "draft section 3.1 step 2; JS-9, JS-10", what: "it has not expired", needs: factExpiry,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if !s.now.Before(s.expiry.Add(s.settings.Leeway)) {
				return oauth.ReasonExpired
			}
			return ""
		},
		expected: func(s *jwtState) string {
			return "exp after " + stamp(s.now) + " less " + s.settings.Leeway.String()
		},
		presented: func(s *jwtState) string { return stamp(s.expiry) + ", " + offset(s.now, s.expiry) },
	},
	{
		id: "JS-10", source: "RFC 7519 4.1.5; RFC 7523 3", what: "nbf and iat are not in the future", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, name := range []string{"nbf", "iat"} {
				if t, ok := s.claim(name).NumericDate(); ok && t.After(s.now.Add(s.settings.Leeway)) {
					return oauth.ReasonNotYetValid
				}
			}
			return ""
		},
		expected: func(s *jwtState) string {
			return "nbf and iat no later than " + stamp(s.now) + " plus " + s.settings.Leeway.String()
		},
		presented: func(s *jwtState) string {
			var parts []string
			for _, name := range []string{"nbf", "iat"} {
				if t, ok := s.claim(name).NumericDate(); ok {
					parts = append(parts, name+" "+stamp(t)+", "+offset(s.now, t))
				}
			}
			if len(parts) == 0 {
				return "neither"
			}
			return strings.Join(parts, "; ")
		},
	},
	{
		id: "JS-19", source: "RFC 7523 3", what: "its life is not too long", needs: factExpiry,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.expiry.Sub(s.now) > s.settings.MaxLifetime {
				return oauth.ReasonLifetimeTooLong
			}
			return ""
		},
		expected: func(s *jwtState) string {
			if s.settings.MaxLifetime == Unbounded {
				return "any"
			}
			return "at most " + s.settings.MaxLifetime.String() + " left"
		},
		presented: func(s *jwtState) string { return s.expiry.Sub(s.now).Round(time.Second).String() + " left" },
	},
}

var jwtAudienceRules = []rule[*jwtState]{
	{
		id: "EC-4", source: "draft section 3.1 step 3; RFC 7523bis 3", what: "there is one audience and no second", needs: factParsed,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			values, ok := s.audiences()
			if !ok || len(values) != 1 {
				return oauth.ReasonAudMultiple
			}
			s.audience = values[0]
			s.facts |= factAudience
			return ""
		},
		expected:  func(*jwtState) string { return "exactly one value" },
		presented: func(s *jwtState) string { return shown(s.claim("aud")) },
	},
	{
		id: "CJ-6", source: "draft section 3.1 step 3; CJ-7 by profile", what: "the audience is this server", needs: factAudience | factID,
		judge: func(_ context.Context, s *jwtState) oauth.Reason {
			s.profile = s.profileInForce()
			if s.profile.AcceptsIssuerAudience() && s.audience == s.v.issuer {
				return ""
			}
			if s.profile.AcceptsEndpointAudience() && s.in.EndpointURL != "" && s.audience == s.in.EndpointURL {
				s.legacyMatch = s.profile == Transition
				return ""
			}
			return oauth.ReasonAudMismatch
		},
		expected: func(s *jwtState) string {
			var accepted []string
			if s.profile.AcceptsIssuerAudience() {
				accepted = append(accepted, s.v.issuer)
			}
			if s.profile.AcceptsEndpointAudience() && s.in.EndpointURL != "" {
				accepted = append(accepted, s.in.EndpointURL)
			}
			if len(accepted) == 0 {
				accepted = []string{"nothing here: no endpoint is named"}
			}
			return strings.Join(accepted, " or ") + " (profile " + string(s.profile) + ")"
		},
		presented: func(s *jwtState) string { return shownText(s.audience) },
	},
}

func (s *jwtState) profileInForce() Profile {
	if s.in.Profile != nil {
		if p := s.in.Profile(s.id); p != "" {
			return p
		}
	}
	return s.settings.Profile
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// offset says how far t is from now, in the words of somebody comparing clocks.
func offset(now, t time.Time) string {
	d := t.Sub(now).Round(time.Second)
	if d < 0 {
		return (-d).String() + " ago"
	}
	return d.String() + " ahead"
}
