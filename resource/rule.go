package resource

import (
	"context"
	"slices"

	"github.com/svidgate/svidgate/oauth"
)

// A rule is one demand on what a caller presented. All rules stand in one
// ordered list; verifying and explaining both walk it, so that what is explained
// is what was judged.
type rule struct {
	id     string
	source string
	what   string // the demand in a few words, for explain

	// needs are the facts that earlier rules must have established. A rule whose
	// facts are missing is not judged: it would only repeat an earlier refusal.
	needs fact

	// judge establishes facts and returns the reason for refusing, or "". It may
	// leave a cause in the attempt.
	judge func(context.Context, *attempt) oauth.Reason

	// expected and presented say to an operator what was wanted and what was
	// there. They are called for a refusal or for explain, never on the way of an
	// accepted request.
	expected, presented func(*attempt) string
}

// A fact is something a rule established and later rules build on.
type fact uint16

const (
	factSized  fact = 1 << iota // what was presented is not too long to look at
	factToken                   // there is one token
	factParsed                  // the token was taken apart
	factAlg                     // its algorithm is allowed
	factIssuer                  // its issuer is one of ours
	factKeys                    // the issuer's keys are at hand
	factKey                     // the verifying key is chosen
	factCnf                     // it is known whether and how the token is bound
	factPeer                    // the certificate of the connection was bounded
)

// rules are in the order of LR-1.
var rules = slices.Concat(presentationRules, headerRules, keyRules, claimRules, bindingRules, scopeRules)

// An Outcome is what became of one rule.
type Outcome string

const (
	Passed    Outcome = "passed"
	Refused   Outcome = "refused"
	NotJudged Outcome = "not_judged"
)

// A Finding is what Explain says of one rule.
type Finding struct {
	Rule      string
	Source    string
	What      string
	Outcome   Outcome
	Reason    oauth.Reason // of a refusal
	Expected  string
	Presented string
}

// An Explanation walks every rule. Findings after the first refusal may rest on
// claims that nobody signed: they help to find a mistake and prove nothing.
type Explanation struct {
	Findings []Finding
	Refusal  *oauth.Error // what Verify returns; nil when accepted
}

// A RuleInfo names a rule of the list.
type RuleInfo struct{ ID, Source, What string }

// Rules lists the rules in the order in which they are judged.
func Rules() []RuleInfo {
	infos := make([]RuleInfo, 0, len(rules))
	for _, r := range rules {
		infos = append(infos, RuleInfo{r.id, r.source, r.what})
	}
	return infos
}

// firstRefusal judges rule by rule and stops at the first refusal.
func (s *attempt) firstRefusal(ctx context.Context, rules []rule) *oauth.Error {
	for i := range rules {
		r := &rules[i]
		if s.facts&r.needs != r.needs {
			// An earlier rule passed without its fact: a fault of ours.
			return s.refusal(r, oauth.ReasonInternal)
		}
		if reason := r.judge(ctx, s); reason != "" {
			return s.refusal(r, reason)
		}
	}
	return nil
}

// explain judges every rule it can.
func (s *attempt) explain(ctx context.Context, rules []rule) Explanation {
	e := Explanation{Findings: make([]Finding, 0, len(rules))}
	for i := range rules {
		r := &rules[i]
		f := Finding{Rule: r.id, Source: r.source, What: r.what, Outcome: NotJudged, Expected: r.expected(s)}
		if s.facts&r.needs == r.needs {
			s.cause = nil
			f.Outcome = Passed
			if f.Reason = r.judge(ctx, s); f.Reason != "" {
				f.Outcome = Refused
				if e.Refusal == nil {
					e.Refusal = s.refusal(r, f.Reason)
				}
			}
			f.Expected, f.Presented = r.expected(s), r.presented(s)
		}
		e.Findings = append(e.Findings, f)
	}
	return e
}

// refusal gives a reason the code that RFC 6750 section 3.1 has for it.
func (s *attempt) refusal(r *rule, reason oauth.Reason) *oauth.Error {
	code := oauth.InvalidToken
	switch reason {
	case oauth.ReasonRequestMalformed:
		code = oauth.InvalidRequest
	case oauth.ReasonScopeDenied:
		code = oauth.InsufficientScope
	case oauth.ReasonKeysUnavailable: // ours to mend, a new token would not help
		code = oauth.Unavailable
	case oauth.ReasonInternal:
		code = oauth.ServerError
	}
	e := oauth.Refuse(code, reason, r.id, r.expected(s), r.presented(s))
	if s.cause != nil {
		return e.Because(s.cause)
	}
	return e
}
