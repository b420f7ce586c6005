package resource

import (
	"context"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// algorithms are those a token may be signed with: asymmetric ones only (GL-9).
var algorithms = append([]jose.Algorithm{jose.EdDSA}, jose.SVIDAlgorithms...)

// headerRules judge what the token says of itself. jku, x5u, x5c and jwk are not
// looked at: a token does not bring its own key (GL-9).
var headerRules = []judge.Rule[*attempt]{
	{
		// An SVID, an ID token or a transaction token differs in its typ, whatever
		// else is right about it (RS-2).
		ID: "GL-10", Source: "RFC 9068 2.1, 4; RFC 8725 3.11", What: "it is an access token", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !isType(s.said.typ.value, "at+jwt") {
				return oauth.ReasonWrongTokenType
			}
			return ""
		},
		Expected:  func(*attempt) string { return "typ at+jwt" },
		Presented: func(s *attempt) string { return "typ " + shown(s.header("typ")) },
	},
	{
		ID: "GL-9", Source: "RFC 8725 3.1, 3.2; RFC 7515 4.1.11", What: "an allowed algorithm, and nothing critical that is unknown", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if s.alg = jose.Algorithm(s.said.alg.value); !slices.Contains(algorithms, s.alg) {
				return oauth.ReasonAlgNotAllowed
			}
			s.Facts |= factAlg
			if s.said.crit.there { // there is no extension we know
				return oauth.ReasonHeaderNotAllowed
			}
			return ""
		},
		Expected: func(*attempt) string {
			names := make([]string, len(algorithms))
			for i, a := range algorithms {
				names[i] = string(a)
			}
			return "alg one of " + strings.Join(names, " ") + ", no crit"
		},
		Presented: func(s *attempt) string {
			return "alg " + shown(s.header("alg")) + ", crit " + shown(s.header("crit"))
		},
	},
	{
		ID: "AT-1", Source: "RFC 9068 2.1", What: "kid, if there, names a key", Needs: factParsed,
		Judge: func(_ context.Context, s *attempt) oauth.Reason {
			if !s.said.kid.there {
				return ""
			}
			if s.kid = s.said.kid.value; !s.said.kid.valid || s.kid == "" {
				return oauth.ReasonKIDMissing
			}
			return ""
		},
		Expected:  func(*attempt) string { return "a string with something in it" },
		Presented: func(s *attempt) string { return "kid " + shown(s.header("kid")) },
	},
}

// isType compares a typ with a name as RFC 7515 section 4.1.9 does: application/ before
// it and its case make no difference (GL-10).
func isType(typ, name string) bool {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	return strings.EqualFold(typ, name)
}
