package oauth

// An Outcome is what became of one rule.
type Outcome string

const (
	Passed    Outcome = "passed"
	Refused   Outcome = "refused"
	NotJudged Outcome = "not_judged" // a fact it builds on was missing
)

// A Finding is what explaining says of one rule.
type Finding struct {
	Rule      string
	Source    string
	What      string // the demand in a few words
	Outcome   Outcome
	Reason    Reason // of a refusal
	Expected  string
	Presented string
}

// An Explanation walks every rule of a list, past the first refusal. Findings
// after that may rest on what nobody signed: they help to find a mistake and
// prove nothing.
type Explanation struct {
	Method   AuthMethod // of an SVID; empty for an access token
	Findings []Finding
	Refusal  *Error // what verifying returns; nil when accepted
	// Subject is the SPIFFE ID that an SVID names, empty where it names none. It is
	// a claim and no proof, unless the SVID was accepted.
	Subject string
}

// A RuleInfo names one rule of a list.
type RuleInfo struct {
	Method AuthMethod // empty for access tokens
	ID     string
	Source string
	What   string
}
