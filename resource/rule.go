package resource

import (
	"slices"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// The facts that rules of this package establish for later ones.
const (
	factSized  judge.Fact = 1 << iota // what was presented is not too long to look at
	factToken                         // there is one token
	factParsed                        // the token was taken apart
	factAlg                           // its algorithm is allowed
	factIssuer                        // its issuer is one of ours
	factKeys                          // the issuer's keys are at hand
	factKey                           // the verifying key is chosen
	factCnf                           // it is known whether and how the token is bound
	factPeer                          // the certificate of the connection was bounded
	factScheme                        // the scheme goes with how the token is bound
	factProof                         // there is a proof of a sound form, made for this token
)

// rules are all demands on what a caller presented, in the order of LR-1.
var rules = slices.Concat(presentationRules, headerRules, keyRules, claimRules, bindingRules, possessionRules, scopeRules, freshnessRules)

// Rules lists the rules in the order in which they are judged.
func Rules() []oauth.RuleInfo { return judge.Infos("", rules) }

// Refusal gives a reason the code that RFC 6750 section 3.1 or RFC 9449 sections 7.1
// and 9 have for it.
func (s *attempt) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	code := oauth.InvalidToken
	switch reason {
	case oauth.ReasonRequestMalformed:
		code = oauth.InvalidRequest
	case oauth.ReasonScopeDenied:
		code = oauth.InsufficientScope
	case oauth.ReasonKeysUnavailable: // ours to mend, a new token would not help
		code = oauth.Unavailable
	case oauth.ReasonDPoPBad, oauth.ReasonPoPReplayed:
		code = oauth.InvalidDPoPProof
	case oauth.ReasonDPoPNonce:
		code = oauth.UseDPoPNonce
	case oauth.ReasonRateLimited:
		code = oauth.TooMany
	case oauth.ReasonInternal:
		code = oauth.ServerError
		if s.possession != nil && s.possession.full { // it passes by itself
			code = oauth.Unavailable
		}
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}
