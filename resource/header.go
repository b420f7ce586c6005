package resource

import (
	"context"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// algorithms are those a token may be signed with: asymmetric ones only (GL-9).
var algorithms = append([]jose.Algorithm{jose.EdDSA}, jose.SVIDAlgorithms...)

// headerRules judge what the token says of itself. jku, x5u, x5c and jwk are not
// looked at: a token does not bring its own key (GL-9).
var headerRules = []rule{
	{
		// An SVID, an ID token or a transaction token differs in its typ, whatever
		// else is right about it (RS-2).
		id: "GL-10", source: "RFC 9068 2.1, 4; RFC 8725 3.11", what: "it is an access token", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			typ, _ := s.header("typ").Text()
			if !strings.EqualFold(typ, "at+jwt") && !strings.EqualFold(typ, "application/at+jwt") {
				return oauth.ReasonWrongTokenType
			}
			return ""
		},
		expected:  func(*attempt) string { return "typ at+jwt" },
		presented: func(s *attempt) string { return "typ " + shown(s.header("typ")) },
	},
	{
		id: "GL-9", source: "RFC 8725 3.1, 3.2; RFC 7515 4.1.11", what: "an allowed algorithm, and nothing critical that is unknown", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			alg, _ := s.header("alg").Text()
			if s.alg = jose.Algorithm(alg); !slices.Contains(algorithms, s.alg) {
				return oauth.ReasonAlgNotAllowed
			}
			s.facts |= factAlg
			if s.header("crit") != nil { // there is no extension we know
				return oauth.ReasonHeaderNotAllowed
			}
			return ""
		},
		expected: func(*attempt) string {
			names := make([]string, len(algorithms))
			for i, a := range algorithms {
				names[i] = string(a)
			}
			return "alg one of " + strings.Join(names, " ") + ", no crit"
		},
		presented: func(s *attempt) string {
			return "alg " + shown(s.header("alg")) + ", crit " + shown(s.header("crit"))
		},
	},
	{
		id: "AT-1", source: "RFC 9068 2.1", what: "kid, if there, names a key", needs: factParsed,
		judge: func(_ context.Context, s *attempt) oauth.Reason {
			kid := s.header("kid")
			if kid == nil {
				return ""
			}
			var ok bool
			if s.kid, ok = kid.Text(); !ok || s.kid == "" {
				return oauth.ReasonKIDMissing
			}
			return ""
		},
		expected:  func(*attempt) string { return "a string with something in it" },
		presented: func(s *attempt) string { return "kid " + shown(s.header("kid")) },
	},
}
