package svidgate

import (
	"context"

	"github.com/svidgate/svidgate/oauth"
)

// A rule is one demand on a presented credential. The rules of a method stand
// in one ordered list; verifying and explaining both walk it, so that what is
// explained is what was judged.
type rule[S judged] struct {
	id     string
	source string
	what   string // the demand in a few words, for explain

	// needs are the facts that earlier rules must have established. A rule whose
	// facts are missing is not judged: it would only repeat an earlier refusal.
	needs fact

	// judge establishes facts and returns the reason for refusing, or "". It may
	// leave a cause in the state.
	judge func(context.Context, S) oauth.Reason

	// expected and presented say to an operator what was wanted and what was
	// there. They are called for a refusal or for explain, never on the way of
	// an accepted request.
	expected, presented func(S) string
}

// A fact is something a rule established and later rules build on.
type fact uint16

const (
	factParsed     fact = 1 << iota // the credential was taken apart
	factIDText                      // there is one text that claims to be its SPIFFE ID
	factID                          // that text is a SPIFFE ID
	factConfigured                  // its trust domain is configured
	factBundle                      // the trust domain's bundle is at hand
	factKey                         // the verifying key is chosen
	factAudience                    // there is exactly one audience
	factExpiry                      // there is a readable exp
	factChain                       // a chain to an anchor was built
)

// judged is a state the rules of one method work on.
type judged interface{ shared() *judgement }

// An Outcome is what became of one rule.
type Outcome string

const (
	Passed    Outcome = "passed"
	Refused   Outcome = "refused"
	NotJudged Outcome = "not_judged"
)

// A Finding is what explain says of one rule.
type Finding struct {
	Rule      string
	Source    string
	What      string
	Outcome   Outcome
	Reason    oauth.Reason // of a refusal
	Expected  string
	Presented string
}

// An Explanation is what became of every rule of a method, in their order. It
// proves nobody: no Identity comes out of it.
type Explanation struct {
	Method   oauth.AuthMethod
	Findings []Finding
	Refusal  *oauth.Error // what verifying returns; nil when accepted
}

// A RuleInfo names a rule of a verifier's list.
type RuleInfo struct {
	Method oauth.AuthMethod
	ID     string
	Source string
	What   string
}

// Rules lists the rules of every method in the order in which they are judged.
func Rules() []RuleInfo {
	return append(describe(oauth.MethodJWT, jwtRules), describe(oauth.MethodX509, x509Rules)...)
}

func describe[S judged](m oauth.AuthMethod, rules []rule[S]) []RuleInfo {
	infos := make([]RuleInfo, 0, len(rules))
	for _, r := range rules {
		infos = append(infos, RuleInfo{m, r.id, r.source, r.what})
	}
	return infos
}

// firstRefusal judges rule by rule and stops at the first refusal.
func firstRefusal[S judged](ctx context.Context, rules []rule[S], s S) *oauth.Error {
	for i := range rules {
		r := &rules[i]
		if s.shared().facts&r.needs != r.needs {
			// An earlier rule passed without its fact: a fault of ours.
			return refusal(r, s, oauth.ReasonInternal)
		}
		if reason := r.judge(ctx, s); reason != "" {
			return refusal(r, s, reason)
		}
	}
	return nil
}

// explain judges every rule it can.
func explain[S judged](ctx context.Context, m oauth.AuthMethod, rules []rule[S], s S) Explanation {
	e := Explanation{Method: m, Findings: make([]Finding, 0, len(rules))}
	for i := range rules {
		r := &rules[i]
		f := Finding{Rule: r.id, Source: r.source, What: r.what, Outcome: NotJudged, Expected: r.expected(s)}
		if s.shared().facts&r.needs == r.needs {
			s.shared().cause = nil
			f.Outcome = Passed
			if f.Reason = r.judge(ctx, s); f.Reason != "" {
				f.Outcome = Refused
				if e.Refusal == nil {
					e.Refusal = refusal(r, s, f.Reason)
				}
			}
			f.Expected = r.expected(s) // a judgement may make it more exact
			f.Presented = r.presented(s)
		}
		e.Findings = append(e.Findings, f)
	}
	return e
}

func refusal[S judged](r *rule[S], s S, reason oauth.Reason) *oauth.Error {
	// Every failure of a credential looks alike outside (ER-3, ER-4). Only a
	// trust domain that never was ready is the server's own affair.
	code := oauth.InvalidClient
	switch reason {
	case oauth.ReasonTDNotReady:
		code = oauth.Unavailable
	case oauth.ReasonInternal:
		code = oauth.ServerError
	}
	e := oauth.Refuse(code, reason, r.id, r.expected(s), r.presented(s))
	j := s.shared()
	if j.facts&factID != 0 {
		e.Subject = j.id.String()
	}
	e.Err = j.cause
	return e
}
