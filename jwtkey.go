package svidgate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

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
			if s.remembered = s.recallSignature(); !s.remembered {
				if s.Cause = s.token.Verify(s.alg, s.key.Public); s.Cause != nil {
					return oauth.ReasonSignatureBad
				}
				s.rememberSignature()
			}
			s.Facts |= factSigned
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
