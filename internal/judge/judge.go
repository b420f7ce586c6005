package judge

import (
	"context"

	"github.com/svidgate/svidgate/oauth"
)

// A Rule is one demand on what was presented.
type Rule[S State] struct {
	ID     string
	Source string
	What   string // the demand in a few words, for explain

	// Needs are the facts that earlier rules must have established. A rule whose
	// facts are missing is not judged: it would only repeat an earlier refusal.
	Needs Fact

	// Judge establishes facts and returns the reason for refusing, or "". It may
	// leave a cause in the state.
	Judge func(context.Context, S) oauth.Reason

	// Expected and Presented say to an operator what was wanted and what was
	// there. They are called for a refusal or to explain, never on the way of what
	// is accepted, and must stand a state in which any later fact is missing.
	Expected, Presented func(S) string
}

// A Fact is something a rule established and later rules build on. Each list
// names its own.
type Fact uint32

// A State is what the rules of one list work on.
type State interface {
	Judged() *Judgement
	// Refusal makes the error of a rule's refusal.
	Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error
}

// A Judgement is the part of every state that the walk itself needs.
type Judgement struct {
	Facts Fact
	Cause error // of the refusal at hand, may be nil
	// Unknown are facts that only explaining can lack, since it was not told of
	// them. A rule that needs one is not judged, and that refuses nothing.
	Unknown Fact
}

// Judged makes whatever embeds a Judgement half of a State.
func (j *Judgement) Judged() *Judgement { return j }

// Has reports whether all these facts are established.
func (j *Judgement) Has(facts Fact) bool { return j.Facts&facts == facts }

// FirstRefusal judges rule by rule and stops at the first refusal; nil when there
// is none.
func FirstRefusal[S State](ctx context.Context, rules []Rule[S], s S) *oauth.Error {
	for i := range rules {
		r := &rules[i]
		if !s.Judged().Has(r.Needs) {
			// An earlier rule passed without its fact: a fault of ours.
			return refusal(r, s, oauth.ReasonInternal)
		}
		if reason := r.Judge(ctx, s); reason != "" {
			return refusal(r, s, reason)
		}
	}
	return nil
}

// Explain judges every rule it can. The refusal in it is what FirstRefusal
// returns.
func Explain[S State](ctx context.Context, rules []Rule[S], s S) oauth.Explanation {
	e := oauth.Explanation{Findings: make([]oauth.Finding, 0, len(rules))}
	for i := range rules {
		r := &rules[i]
		f := oauth.Finding{Rule: r.ID, Source: r.Source, What: r.What, Outcome: oauth.NotJudged, Expected: r.Expected(s)}
		if j := s.Judged(); j.Has(r.Needs) {
			j.Cause = nil
			f.Outcome = oauth.Passed
			if f.Reason = r.Judge(ctx, s); f.Reason != "" {
				f.Outcome = oauth.Refused
				if e.Refusal == nil {
					e.Refusal = refusal(r, s, f.Reason)
				}
			}
			f.Expected, f.Presented = r.Expected(s), r.Presented(s) // a judgement may make both more exact
		} else if e.Refusal == nil && r.Needs&j.Unknown == 0 { // as FirstRefusal has it
			e.Refusal = refusal(r, s, oauth.ReasonInternal)
		}
		e.Findings = append(e.Findings, f)
	}
	return e
}

func refusal[S State](r *Rule[S], s S, reason oauth.Reason) *oauth.Error {
	e := s.Refusal(reason, r.ID, r.Expected(s), r.Presented(s))
	e.Err = s.Judged().Cause
	return e
}

// Infos names the rules of a list.
func Infos[S State](method oauth.AuthMethod, rules []Rule[S]) []oauth.RuleInfo {
	infos := make([]oauth.RuleInfo, 0, len(rules))
	for _, r := range rules {
		infos = append(infos, oauth.RuleInfo{Method: method, ID: r.ID, Source: r.Source, What: r.What})
	}
	return infos
}
