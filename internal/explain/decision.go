package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// A Decision is one that was recorded: what the audit line says, and what that
// means.
type Decision struct {
	Line  json.RawMessage `json:"line"` // as it stands in the record
	Rule  string          `json:"rule,omitempty"`
	What  string          `json:"what,omitempty"` // the rule in words
	Cause string          `json:"cause,omitempty"`
	Step
}

// recorded are the members of an audit line that are shown; see
// docs/audit-record.md.
type recorded struct {
	Time      string           `json:"time"`
	Event     string           `json:"event"`
	Outcome   string           `json:"outcome"`
	Reason    oauth.Reason     `json:"reason"`
	Rule      string           `json:"rule"`
	Expected  string           `json:"expected"`
	Presented string           `json:"presented"`
	RequestID string           `json:"request_id"`
	Source    string           `json:"source"`
	ClientID  string           `json:"client_id"`
	SPIFFEID  string           `json:"spiffe_id"`
	Proven    bool             `json:"proven"`
	Method    oauth.AuthMethod `json:"auth_method"`
	GrantType string           `json:"grant_type"`
	Resource  string           `json:"resource"`
	Scope     string           `json:"scope"`
	Binding   string           `json:"binding"`
	JTI       string           `json:"jti"`
}

// NewDecision says what an audit line means. rules are all that the server judges
// a credential by; a rule that is none of them is shown by its id alone.
func NewDecision(line []byte, rules []oauth.RuleInfo, s Situation) (Decision, error) {
	var rec recorded
	if err := json.Unmarshal(line, &rec); err != nil {
		return Decision{}, fmt.Errorf("the line is no audit line: %w", err)
	}
	d := Decision{Line: json.RawMessage(line), Rule: rec.Rule, Cause: rec.Reason.Cause()}
	for _, r := range rules {
		if r.ID == rec.Rule && (d.What == "" || r.Method == rec.Method) {
			d.What = r.What
		}
	}
	switch {
	case rec.Reason == "":
	case !judgedByCredential(rec.Reason), rec.Proven && aboutAToken[rec.Event], aboutAPerson[rec.Event]:
		d.Step = Step{Advice: rec.Reason.Next()}
	default:
		about := subject{reason: rec.Reason, rule: rec.Rule, method: rec.Method, spiffeID: rec.SPIFFEID, clientID: rec.ClientID, covering: s.covering(rec.SPIFFEID)}
		if about.spiffeID == "" && about.clientID != "" {
			about.near = nearClientID(s.Clients, nil, about.clientID)
		}
		d.Step = next(s, about, rec.clock())
	}
	return d, nil
}

// presentedTime is a time that had not come yet, as the rules on it present it.
var presentedTime = regexp.MustCompile(`\b(iat|nbf|from) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)`)

// clock is what the record says of the issuer's clock; nil where that is nothing.
func (rec recorded) clock() *Clock {
	at, err := time.Parse(time.RFC3339, rec.Time)
	if rec.Reason != oauth.ReasonNotYetValid || err != nil {
		return nil
	}
	clock := &Clock{Now: at}
	for _, found := range presentedTime.FindAllStringSubmatch(rec.Presented, -1) {
		if t, err := time.Parse(time.RFC3339, found[2]); err == nil {
			clock.IssuerAhead = max(clock.IssuerAhead, int64(t.Sub(at).Round(time.Second)/time.Second))
		}
	}
	return clock
}

// aboutAToken are the events that judge, once their caller is proven, the token that
// it asks about.
var aboutAToken = map[string]bool{"introspect": true, "revoke": true}

// aboutAPerson are the events in which no SVID has a say.
var aboutAPerson = map[string]bool{"authorize": true, "login": true, "consent": true, "consent_withdraw": true, "logout": true}

// judgedByCredential reports whether a reason is about an SVID or its client, so
// that there is a command that mends it.
func judgedByCredential(reason oauth.Reason) bool {
	switch reason {
	case oauth.ReasonRequestMalformed, oauth.ReasonRequestTooLarge, oauth.ReasonRateLimited, oauth.ReasonMixedCredentials,
		oauth.ReasonGrantDenied, oauth.ReasonGrantUnsupported, oauth.ReasonScopeDenied, oauth.ReasonScopeMalformed,
		oauth.ReasonResourceUnknown, oauth.ReasonResourceDenied, oauth.ReasonResourceMissing, oauth.ReasonResourceMultiple,
		oauth.ReasonRedirectURIMismatch, oauth.ReasonResponseTypeUnsupported, oauth.ReasonCodeChallengeBad, oauth.ReasonRequestURIUnknown, oauth.ReasonPARRequired,
		oauth.ReasonCodeUnknown, oauth.ReasonCodeExpired, oauth.ReasonCodeReused, oauth.ReasonCodeVerifierBad,
		oauth.ReasonRefreshTokenUnknown, oauth.ReasonRefreshTokenExpired, oauth.ReasonRefreshTokenReused, oauth.ReasonGrantNotYours, oauth.ReasonGrantRevoked,
		oauth.ReasonTokenNotYours, oauth.ReasonBindingRequired, oauth.ReasonAuditUnavailable, oauth.ReasonStoreUnavailable, oauth.ReasonInternal:
		return false
	}
	return true
}

// Write prints a decision for people.
func (d Decision) Write(w io.Writer) error {
	var rec recorded
	if err := json.Unmarshal(d.Line, &rec); err != nil {
		return err
	}
	var b strings.Builder
	field := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	some := func(name, value string) {
		if value != "" {
			field(name, "%s", oauth.Shown(value))
		}
	}
	verdict := rec.Outcome
	if rec.Reason != "" {
		verdict += ": " + string(rec.Reason)
		if rec.Rule != "" {
			verdict += " (" + rec.Rule + ")"
		}
	}
	fmt.Fprintf(&b, "%s\n", verdict)
	some("request", rec.RequestID)
	some("time", rec.Time)
	some("event", rec.Event)
	some("source", rec.Source)
	some("client", rec.ClientID)
	if id := rec.SPIFFEID; id != "" {
		if !rec.Proven {
			id += " (claimed, not proven)"
		}
		field("spiffe_id", "%s", id)
	}
	some("method", string(rec.Method))
	some("grant", rec.GrantType)
	some("resource", rec.Resource)
	some("scope", rec.Scope)
	some("binding", rec.Binding)
	some("jti", rec.JTI)
	if d.Cause != "" {
		field("cause", "%s", d.Cause)
	}
	if d.What != "" {
		field("rule", "%s", d.What)
	}
	some("expected", rec.Expected)
	some("presented", rec.Presented)
	d.Step.write(&b, field)
	_, err := io.WriteString(w, b.String())
	return err
}
