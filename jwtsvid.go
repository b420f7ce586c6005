package svidgate

import (
	"cmp"
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
	digest      [sha256.Size]byte // of the assertion, from JS-12 on
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
		digest: s.digest, token: s.token,
		keyID: s.key.ID, tokenID: oauth.Shown(jti), sequence: sequence, sequenced: sequenced, legacyAud: s.legacyMatch,
		remembered: s.remembered,
	}
}

func (s *jwtState) claim(name string) strictjson.Value {
	v, _ := s.token.Payload.Get(name)
	return v
}

// shown is a claim or header member for an operator's eyes.
func shown(v strictjson.Value) string {
	if v == "" {
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
	idRules[*jwtState](strictid.PathRule, subReason),
	jwtClaimRules,
	bundleRules[*jwtState](bundle.UseJWT),
	jwtKeyRules,
	jwtTimeRules,
	jwtAudienceRules,
)

// subReason is what any broken rule on the identifier means for sub.
func subReason(string) oauth.Reason {
	//svidgate:rule JS-7
	return oauth.ReasonSubNotSPIFFEID
}

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
				names = append(names, cmp.Or(m.Name, "an empty name"))
			}
			if len(names) == 0 {
				return "no member"
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
			if v == "" {
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
				if v := s.claim(name); v != "" {
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
	if v == "" {
		return nil, true
	}
	return v.Audience()
}
