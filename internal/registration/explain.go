package registration

import (
	"context"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// Asked is a request as explaining is told of it: one credential, and client_id
// perhaps.
type Asked struct {
	Method oauth.AuthMethod
	// ClientID is client_id; empty where the request has none, or, unless Said,
	// where nobody told.
	ClientID string
	Said     bool
}

// claim is the claim before anything is judged.
func (r *Registry) claim(asked Asked) Claim {
	c := Claim{registry: r, clientID: asked.ClientID, method: asked.Method}
	if r != nil {
		c.client = r.named(asked.ClientID)
	}
	return c
}

// ProfileOf is what the claim of such a request gives as the profile of an
// identity's client: see [Claim.Profile].
func (r *Registry) ProfileOf(asked Asked) func(spiffeid.ID) svidgate.Profile {
	if r == nil {
		return nil
	}
	return r.claim(asked).Profile
}

// Settle decides what is to be assumed of a client_id that nobody told. Where it
// cannot change the outcome, the request is taken for one without, or, where the
// profile demands one, for one that names the SPIFFE ID, as clients do by default.
func (r *Registry) Settle(asked Asked, id spiffeid.ID) Asked {
	if asked.Said || r == nil {
		return asked
	}
	a := newAssociation(r.claim(asked), id)
	required := a.profile.ClientIDRequired(asked.Method)
	switch {
	case !r.covered(id):
		if asked.Said = true; required {
			asked.ClientID = id.String()
		}
	case len(a.exact()) == 1 && !required:
		asked.Said = true
	}
	return asked
}

// covered reports whether an identity belongs to any client.
func (r *Registry) covered(id spiffeid.ID) bool {
	for _, c := range r.clients {
		if c.pattern.Match(id) {
			return true
		}
	}
	return false
}

// ExplainClaim judges what is asked of a request before its credential. A nil
// registry is that of nobody knows which server: no rule is judged.
func (r *Registry) ExplainClaim(ctx context.Context, asked Asked) oauth.Explanation {
	s := &claiming{claim: Claim{registry: r, clientID: asked.ClientID}, certificate: asked.Method == oauth.MethodX509}
	switch asked.Method {
	case oauth.MethodJWT:
		s.credential = tokenrequest.JWTSVID
	case oauth.MethodWIT:
		s.credential = tokenrequest.Attestation
	}
	if asked.Said && r != nil {
		s.Facts = factSaid
	} else {
		s.Unknown = factSaid
	}
	return judge.Explain(ctx, claimRules, s)
}

// ExplainAssociation judges whose client the identity is, proven or only claimed;
// the zero ID is none. It returns the client, if one was found or would be made,
// or the zero value. Nothing is registered by it.
func (r *Registry) ExplainAssociation(ctx context.Context, asked Asked, id spiffeid.ID) (Client, oauth.Explanation) {
	a := &association{claim: r.claim(asked)}
	if r == nil || id.IsZero() {
		a.Unknown = factSaid | factID | factClient | factNew | factRecords | factMay
		return Client{}, judge.Explain(ctx, associationRules, a)
	}
	a = newAssociation(a.claim, id)
	if unknown := asked.ClientID != "" && a.client == nil && !r.mayBeNew(asked.ClientID); asked.Said && !unknown {
		a.Facts |= factSaid
	} else { // CA-2 has refused a client_id of nobody
		a.Unknown = factSaid | factClient
	}
	if r.ledger != nil {
		a.Facts |= factRecords
	} else {
		a.Unknown |= factRecords
	}
	e := judge.Explain(ctx, lookupRules, a)
	isNew := a.Has(factNew)
	if isNew { // no rule on a client of the configuration is judged
		a.Unknown |= factClient
	}
	extend(&e, judge.Explain(ctx, ownRules, a))
	if r.firstUse[id.TrustDomain()] != nil {
		r.explainFirstUse(ctx, a, &e)
	} else if r.ledger != nil {
		extend(&e, judge.Explain(ctx, blockRules, a))
	}
	switch {
	case a.client != nil:
		return *a.client, e
	case isNew && e.Refusal == nil:
		client := a.newcomer()
		client.admitted = true
		return client, e
	}
	return Client{}, e
}

// explainFirstUse adds what first use says of an identity, in the order in which a
// request meets it.
func (r *Registry) explainFirstUse(ctx context.Context, a *association, e *oauth.Explanation) {
	if !a.Has(factNew) {
		a.Unknown |= factNew | factMay
	}
	first := judge.Explain(ctx, firstUseRules, a)
	if !a.Has(factMay) {
		a.Unknown |= factMay
	}
	extend(&first, judge.Explain(ctx, blockRules, a))
	if a.Has(factMay) {
		want := Record{Kind: FirstUseKind, State: a.domain.Mode.state(), ClientID: a.id.String(), SPIFFEID: a.id}
		a.admission.required = want.State
		a.admission.judge = func(ctx context.Context) (Record, error) {
			record, err := r.ledger.look(ctx, want, a.domain.Quota)
			a.Cause = err
			return record, err
		}
	}
	extend(&first, judge.Explain(ctx, admissionRules, a))
	observed := a.Has(factNew) && a.domain.Mode == OnPaper && e.Refusal == nil && (first.Refusal == nil || first.Refusal.Reason != oauth.ReasonClientBlocked)
	if observed { // whatever first use says, the request is refused as without it
		e.Refusal = a.observed(first.Refusal, Record{})
		f := &e.Findings[0]
		f.Outcome, f.Reason, f.Expected, f.Presented = oauth.Refused, e.Refusal.Reason, e.Refusal.Expected, e.Refusal.Presented
	}
	extend(e, first)
}

// extend adds findings. The first refusal counts.
func extend(e *oauth.Explanation, further oauth.Explanation) {
	e.Findings = append(e.Findings, further.Findings...)
	if e.Refusal == nil {
		e.Refusal = further.Refusal
	}
}

// ClaimRules name the rules that are judged before a credential.
func ClaimRules() []oauth.RuleInfo { return judge.Infos("", claimRules) }

// AssociationRules name the rules that are judged once an identity is proven.
func AssociationRules() []oauth.RuleInfo {
	return slices.Concat(judge.Infos("", associationRules), judge.Infos("", firstUseRules), judge.Infos("", blockRules), judge.Infos("", admissionRules))
}
