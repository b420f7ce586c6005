package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// keyRules lead from the issuer to its key to the signature.
var keyRules = []judge.Rule[*attempt]{
	{
		ID: "GL-14", Source: "RFC 9068 4", What: "the issuer is one of those accepted", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			issuer, ok := s.v.issuers[s.said.issuer.value]
			if !ok {
				return oauth.ReasonIssuerMismatch
			}
			s.issuer, s.caller.issuer = issuer, s.said.issuer.value
			s.Facts |= factIssuer
			return ""
		},
		Expected: func(s *attempt) string {
			names := make([]string, 0, len(s.v.issuers))
			for name := range s.v.issuers {
				names = append(names, name)
			}
			slices.Sort(names)
			return "iss " + strings.Join(names, " or ")
		},
		Presented: func(s *attempt) string { return "iss " + shown(s.claim("iss")) },
	},
	{
		ID: "LD-3", Source: "local decisions", What: "the issuer's keys are at hand and not too old", Needs: factIssuer,
		Judge: func(ctx context.Context, s *attempt) oauth.Reason {
			keys, err := s.issuer.source.KeySet(ctx, s.kid)
			if err == nil && keys == nil {
				err = ErrKeysUnavailable
			}
			if err != nil {
				s.Cause = err
				return oauth.ReasonKeysUnavailable
			}
			s.keys = keys
			s.Facts |= factKeys
			return ""
		},
		Expected: func(s *attempt) string { return "keys of " + s.caller.issuer },
		Presented: func(s *attempt) string {
			if s.keys == nil {
				return "none that may be used"
			}
			return fmt.Sprintf("%d keys", s.keys.Len())
		},
	},
	{
		ID: "KR-7", Source: "KR-6; RFC 9068 4; RFC 7517 4.5", What: "the issuer has the key that kid names", Needs: factKeys | factAlg,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.kid == "" {
				// Trying one key after the other would let a caller make us work.
				if s.key = s.keys.only(s.alg); s.key == nil {
					return oauth.ReasonKIDMissing
				}
			} else if s.key = s.keys.byID[s.kid]; s.key == nil {
				if !s.keys.fetchedAt.Before(s.now) {
					return oauth.ReasonKIDUnknownAfterRefresh
				}
				return oauth.ReasonKIDUnknown
			}
			s.Facts |= factKey
			return ""
		},
		Expected: func(s *attempt) string {
			if s.kid == "" {
				return "kid, or one key only that " + oauth.Shown(string(s.alg)) + " goes with"
			}
			return "a key of " + oauth.Shown(s.caller.issuer)
		},
		Presented: func(s *attempt) string { return "kid " + shown(s.header("kid")) },
	},
	{
		ID: "AT-8", Source: "RFC 9068 4; RFC 8725 3.1, 3.3", What: "the signature is that key's, by its algorithm", Needs: factKey | factAlg,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.key.algorithm != "" && s.key.algorithm != s.alg {
				return oauth.ReasonAlgNotAllowed
			}
			if s.proven == s.proof() {
				s.signature = fromMemory
				return ""
			}
			s.signature = verified
			switch err := s.compact().Verify(s.alg, s.key.public); {
			case err == nil:
				return ""
			case errors.Is(err, jose.ErrSignature):
				return oauth.ReasonSignatureBad
			default: // the key is not one for this algorithm
				s.Cause = err
				return oauth.ReasonAlgNotAllowed
			}
		},
		Expected: func(s *attempt) string {
			if s.key == nil {
				return "a signature of the key"
			}
			return "a signature of the key, which is " + s.key.String()
		},
		Presented: func(s *attempt) string { return "one by " + shown(s.header("alg")) },
	},
}
