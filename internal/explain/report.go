package explain

import (
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/oauth"
)

// A Report is the explanation of one credential. Its JSON form is what
// `svidgate explain --json` prints; members may be added, none is renamed.
type Report struct {
	Accepted bool `json:"accepted"`
	// Reason, Rule and Cause are of the refusal: of the first rule that refuses.
	Reason string           `json:"reason,omitempty"`
	Rule   string           `json:"rule,omitempty"`
	Cause  string           `json:"cause,omitempty"`
	Detail string           `json:"detail,omitempty"` // what the rule's check itself says
	Method oauth.AuthMethod `json:"method"`
	// SPIFFEID is what the credential claims; it is proven only where it is accepted.
	SPIFFEID string `json:"spiffe_id,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	JudgedBy string `json:"judged_by"`
	Issuer   string `json:"issuer,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`

	Rules   []Rule   `json:"rules"`
	Nearest Nearest  `json:"nearest"`
	Clock   *Clock   `json:"clock,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Step
}

// A Rule is what became of one rule.
type Rule struct {
	ID        string       `json:"id"`
	What      string       `json:"what"`
	Source    string       `json:"source,omitempty"`
	OK        *bool        `json:"ok"` // nil: not judged
	Reason    oauth.Reason `json:"reason,omitempty"`
	Expected  string       `json:"expected"`
	Presented string       `json:"presented"`
}

// New lays out what was found.
func New(c credential.Credential, v Verdict, s Situation, asked time.Time) Report {
	r := Report{
		Accepted: v.Refusal == nil, Method: v.Method, SPIFFEID: v.Subject, ClientID: v.ClientID,
		JudgedBy: s.By, Issuer: s.Issuer, Clock: clockOf(c, s.Now, asked), Notes: slices.Clone(c.Notes),
	}
	if v.Method == oauth.MethodJWT {
		r.Endpoint = s.EndpointURL
	}
	refused := map[string]bool{}
	for _, f := range v.Findings {
		rule := Rule{ID: f.Rule, What: f.What, Source: f.Source, Reason: f.Reason, Expected: f.Expected, Presented: f.Presented}
		if f.Outcome != oauth.NotJudged {
			ok := f.Outcome == oauth.Passed
			rule.OK = &ok
			refused[f.Rule] = refused[f.Rule] || !ok
		}
		r.Rules = append(r.Rules, rule)
	}
	if e := v.Refusal; e != nil {
		r.Reason, r.Rule, r.Cause = string(e.Reason), e.Rule, e.Reason.Cause()
		if e.Err != nil && e.Reason != oauth.ReasonTDUnknown { // of that it says the same again
			r.Detail = oauth.ShownError(e.Err).Error()
		}
	}
	r.compare(c, v, s, refused)
	r.remark(c, v, s)
	r.Step = next(s, subjectOf(r, v, s), r.Clock)
	return r
}

// compare looks for the nearest names where a rule about names refused.
func (r *Report) compare(c credential.Credential, v Verdict, s Situation, refused map[string]bool) {
	audiences := audiencesOf(c)
	if len(audiences) == 1 && (refused["CJ-6"] || refused["EC-4"] || refused["PP-5"]) {
		accepted := []string{s.Issuer}
		if s.EndpointURL != "" && !refused["PP-5"] {
			accepted = append(accepted, s.EndpointURL)
		}
		if s.EndpointAudience && len(accepted) > 1 {
			accepted = accepted[1:]
		}
		r.Nearest.Audience = near(accepted, audiences[0])
	}
	if refused["JS-13"] {
		r.Nearest.TrustDomain = nearTrustDomain(s.TrustDomains, trustDomainOf(r.SPIFFEID))
	}
	covering := s.covering(r.SPIFFEID)
	switch {
	case refused["CA-2"] && r.ClientID != "" && r.ClientID != r.SPIFFEID:
		r.Nearest.Client = nearClientID(s.Clients, covering, r.ClientID)
	case refused["CA-9"] || refused["MD-20"] || refused["CX-3"]:
		r.Nearest.Client = nearClient(s.Clients, covering, r.ClientID, r.SPIFFEID)
	case refused["CJ-10"] || refused["CA-2"]:
		r.Nearest.Client = nearClient(s.Clients, covering, "", r.SPIFFEID)
	case refused["SI-1"] || refused["SI-10"] || refused["SI-4"] || refused["SI-7"]: // almost a SPIFFE ID, in another case perhaps
		if v, ok := claimsOf(c).Get("sub"); ok {
			sub, _ := v.Text()
			r.Nearest.Client = nearClient(s.Clients, nil, "", sub)
		}
	}
}

// audiencesOf are those of a JWT-SVID, or of the proof of a WIT-SVID.
func audiencesOf(c credential.Credential) []string {
	claims := claimsOf(c)
	if c.WIT() {
		claims = membersOf(c.Proof)
	}
	v, _ := claims.Get("aud")
	all, _ := v.Audience()
	return all
}

func subjectOf(r Report, v Verdict, s Situation) subject {
	return subject{
		reason: oauth.Reason(r.Reason), rule: r.Rule, method: r.Method, spiffeID: r.SPIFFEID, clientID: r.ClientID, open: v.ClientIDOpen,
		covering: s.covering(r.SPIFFEID), near: r.Nearest.Client,
	}
}
