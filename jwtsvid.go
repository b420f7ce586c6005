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
	"github.com/svidgate/svidgate/internal/judge"
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

var jwtShapeRules = []judge.Rule[*jwtState]{
	{
		ID: "GL-8", Source: "authorization-server GL-8", What: "the assertion is not too large",
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if len(s.in.Assertion) > oauth.MaxJWT {
				return oauth.ReasonAssertionTooLarge
			}
			return ""
		},
		Expected:  func(*jwtState) string { return fmt.Sprintf("at most %d bytes", oauth.MaxJWT) },
		Presented: func(s *jwtState) string { return fmt.Sprintf("%d bytes", len(s.in.Assertion)) },
	},
	{
		ID: "JS-1", Source: "JWT-SVID 1, 2, 5.1", What: "it is one compact JWS",
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if len(s.in.Assertion) > oauth.MaxJWT { // explain comes here all the same
				return oauth.ReasonAssertionMalformed
			}
			if s.token, s.unreadable = jose.ParseCompact(s.in.Assertion); s.unreadable == nil {
				s.Facts |= factParsed
			}
			if errors.Is(s.unreadable, jose.ErrNotCompact) {
				return oauth.ReasonAssertionMalformed
			}
			return "" // what else is wrong, JS-20 refuses
		},
		Expected: func(*jwtState) string { return "header.payload.signature in base64url without padding" },
		Presented: func(s *jwtState) string {
			return fmt.Sprintf("%d parts", strings.Count(s.in.Assertion, ".")+1)
		},
	},
	{
		ID: "JS-20", Source: "RFC 7515 4, 5.2; RFC 7519 4", What: "header and payload are strict JSON objects",
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.token == nil {
				s.Cause = s.unreadable
				return oauth.ReasonAssertionMalformed
			}
			return ""
		},
		Expected: func(*jwtState) string { return "two JSON objects in UTF-8, no member twice" },
		Presented: func(s *jwtState) string {
			if s.token == nil {
				return "something else"
			}
			return "two JSON objects"
		},
	},
	{
		ID: "JS-2", Source: "JWT-SVID 2.1, 4", What: "the algorithm is one of the nine", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			alg, _, _ := s.token.Text("alg")
			if !slices.Contains(jose.SVIDAlgorithms, jose.Algorithm(alg)) {
				return oauth.ReasonAlgNotAllowed
			}
			s.alg = jose.Algorithm(alg)
			return ""
		},
		Expected:  func(*jwtState) string { return "RS, ES or PS with 256, 384 or 512" },
		Presented: func(s *jwtState) string { return headerShown(s, "alg") },
	},
	{
		ID: "JS-4", Source: "JWT-SVID 2.3", What: "typ, if there, is JWT or JOSE", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			typ, present, _ := s.token.Text("typ")
			if present && typ != "JWT" && typ != "JOSE" {
				return oauth.ReasonWrongTokenType
			}
			return ""
		},
		Expected:  func(*jwtState) string { return "no typ, JWT or JOSE" },
		Presented: func(s *jwtState) string { return headerShown(s, "typ") },
	},
	{
		ID: "JS-6", Source: "JWT-SVID 2; RFC 8725", What: "no header member but alg, kid, typ", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, m := range s.token.Header {
				if !slices.Contains(allowedHeaders, m.Name) {
					return oauth.ReasonHeaderNotAllowed
				}
			}
			return ""
		},
		Expected: func(*jwtState) string { return "alg, kid, typ" },
		Presented: func(s *jwtState) string {
			var names []string
			for _, m := range s.token.Header {
				names = append(names, m.Name)
			}
			return oauth.Shown(strings.Join(names, ", "))
		},
	},
	{
		ID: "JS-7", Source: "JWT-SVID 3.1", What: "sub is there", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			text, ok := s.claim("sub").Text()
			if !ok || text == "" {
				return oauth.ReasonSubNotSPIFFEID
			}
			s.idText = text
			s.Facts |= factIDText
			return ""
		},
		Expected:  func(*jwtState) string { return "one SPIFFE ID" },
		Presented: func(s *jwtState) string { return shown(s.claim("sub")) },
	},
}

func headerShown(s *jwtState, name string) string {
	v, _ := s.token.Header.Get(name)
	return shown(v)
}

var jwtClaimRules = []judge.Rule[*jwtState]{
	{
		ID: "JS-8", Source: "JWT-SVID 3.2, 4", What: "aud is there", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			values, ok := s.audiences()
			switch {
			case !ok:
				return oauth.ReasonClaimMalformed
			case len(values) == 0 || slices.Contains(values, ""):
				return oauth.ReasonAudMissing
			}
			return ""
		},
		Expected:  func(*jwtState) string { return "a string or an array of strings, none empty" },
		Presented: func(s *jwtState) string { return shown(s.claim("aud")) },
	},
	{
		ID: "JS-9", Source: "JWT-SVID 3.3", What: "exp is there", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			v := s.claim("exp")
			if v == nil {
				return oauth.ReasonExpMissing
			}
			expiry, ok := v.NumericDate()
			if !ok {
				return oauth.ReasonClaimMalformed
			}
			s.expiry = expiry
			s.Facts |= factExpiry
			return ""
		},
		Expected:  func(*jwtState) string { return "a number of seconds" },
		Presented: func(s *jwtState) string { return shown(s.claim("exp")) },
	},
	{
		ID: "JS-11", Source: "RFC 7519 4.1.5, 4.1.6", What: "nbf and iat, if there, are numbers", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, name := range []string{"nbf", "iat"} {
				if v := s.claim(name); v != nil {
					if _, ok := v.NumericDate(); !ok {
						return oauth.ReasonClaimMalformed
					}
				}
			}
			return ""
		},
		Expected: func(*jwtState) string { return "numbers of seconds" },
		Presented: func(s *jwtState) string {
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

var jwtKeyRules = []judge.Rule[*jwtState]{
	{
		ID: "JS-14", Source: "JWT-SVID 2.2", What: "kid names a key, or is not needed", Needs: factParsed | factBundle,
		Judge: func(ctx context.Context, s *jwtState) oauth.Reason {
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
			s.Facts |= factKey
			return ""
		},
		Expected: func(s *jwtState) string {
			if s.settings.RequireKeyID {
				return "a kid"
			}
			return "a kid, or exactly one key that fits the algorithm"
		},
		Presented: func(s *jwtState) string { return headerShown(s, "kid") },
	},
	{
		ID: "JS-15", Source: "JWT-SVID 2.2", What: "the bundle has the key, if need be after one fetch", Needs: factParsed | factBundle,
		Judge: func(ctx context.Context, s *jwtState) oauth.Reason {
			if s.Facts&factKey != 0 || !s.hasKID {
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
		Expected: func(s *jwtState) string {
			if s.snapshot == nil { // explain asks even when no bundle was found
				return "the kid of a key in the bundle"
			}
			var ids []string
			for _, k := range s.snapshot.Keys(bundle.UseJWT) {
				ids = append(ids, k.ID)
			}
			return oauth.Shown("one of " + strings.Join(ids, ", "))
		},
		Presented: func(s *jwtState) string { return headerShown(s, "kid") },
	},
	{
		ID: "JS-3", Source: "RFC 7518 3.3, 3.4; RFC 8725", What: "the key fits the algorithm", Needs: factParsed | factKey,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.Cause = fits(s.alg, s.key); s.Cause == nil {
				return ""
			}
			if errors.Is(s.Cause, jose.ErrKeyTooWeak) {
				return oauth.ReasonKeyTooWeak
			}
			return oauth.ReasonAlgNotAllowed
		},
		Expected: func(s *jwtState) string {
			return "an algorithm for " + jose.KeyType(s.key.Public) + " " + s.key.Algorithm
		},
		Presented: func(s *jwtState) string { return headerShown(s, "alg") },
	},
	{
		ID: "JS-12", Source: "JWT-SVID 6.2; SPIFFE Federation 7.3", What: "the signature is by the trust domain named in sub", Needs: factParsed | factKey,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.Cause = s.token.Verify(s.alg, s.key.Public); s.Cause != nil {
				return oauth.ReasonSignatureBad
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			return "a signature by key " + oauth.Shown(s.key.ID) + " of " + s.id.TrustDomain().Name()
		},
		Presented: func(s *jwtState) string { return fmt.Sprintf("%d bytes of signature", len(s.token.Signature)) },
	},
}

func (s *jwtState) findKey() bool {
	key, ok := s.snapshot.Key(bundle.UseJWT, s.kid)
	if ok {
		s.key = key
		s.Facts |= factKey
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

var jwtTimeRules = []judge.Rule[*jwtState]{
	{
		ID: "CJ-5", Source: "draft section 3.1 step 2; JS-9, JS-10", What: "it has not expired", Needs: factExpiry,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if !s.now.Before(s.expiry.Add(s.settings.Leeway)) {
				return oauth.ReasonExpired
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			return "exp after " + stamp(s.now) + " less " + s.settings.Leeway.String()
		},
		Presented: func(s *jwtState) string { return stamp(s.expiry) + ", " + offset(s.now, s.expiry) },
	},
	{
		ID: "JS-10", Source: "RFC 7519 4.1.5; RFC 7523 3", What: "nbf and iat are not in the future", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			for _, name := range []string{"nbf", "iat"} {
				if t, ok := s.claim(name).NumericDate(); ok && t.After(s.now.Add(s.settings.Leeway)) {
					return oauth.ReasonNotYetValid
				}
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			return "nbf and iat no later than " + stamp(s.now) + " plus " + s.settings.Leeway.String()
		},
		Presented: func(s *jwtState) string {
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
		ID: "JS-19", Source: "RFC 7523 3", What: "its life is not too long", Needs: factExpiry,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			if s.expiry.Sub(s.now) > s.settings.MaxLifetime {
				return oauth.ReasonLifetimeTooLong
			}
			return ""
		},
		Expected: func(s *jwtState) string {
			if s.settings.MaxLifetime == Unbounded {
				return "any"
			}
			return "at most " + s.settings.MaxLifetime.String() + " left"
		},
		Presented: func(s *jwtState) string { return s.expiry.Sub(s.now).Round(time.Second).String() + " left" },
	},
}

var jwtAudienceRules = []judge.Rule[*jwtState]{
	{
		ID: "EC-4", Source: "draft section 3.1 step 3; RFC 7523bis 3", What: "there is one audience and no second", Needs: factParsed,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
			values, ok := s.audiences()
			if !ok || len(values) != 1 {
				return oauth.ReasonAudMultiple
			}
			s.audience = values[0]
			s.Facts |= factAudience
			return ""
		},
		Expected:  func(*jwtState) string { return "exactly one value" },
		Presented: func(s *jwtState) string { return shown(s.claim("aud")) },
	},
	{
		ID: "CJ-6", Source: "draft section 3.1 step 3; CJ-7 by profile", What: "the audience is this server", Needs: factAudience | factID,
		Judge: func(_ context.Context, s *jwtState) oauth.Reason {
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
		Expected: func(s *jwtState) string {
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
		Presented: func(s *jwtState) string { return shownText(s.audience) },
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
