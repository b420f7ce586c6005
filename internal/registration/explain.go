package registration

import (
	"context"

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
// the zero ID is none. It returns the client, if one was found, registered or
// the zero value.
func (r *Registry) ExplainAssociation(ctx context.Context, asked Asked, id spiffeid.ID) (Client, oauth.Explanation) {
	a := &association{claim: r.claim(asked)}
	if r == nil || id.IsZero() {
		a.Unknown = factSaid | factID | factClient
		return Client{}, judge.Explain(ctx, associationRules, a)
	}
	a = newAssociation(a.claim, id)
	if unknown := asked.ClientID != "" && a.client == nil; asked.Said && !unknown {
		a.Facts |= factSaid
	} else { // CA-2 has refused a client_id of nobody
		a.Unknown = factSaid | factClient
	}
	e := judge.Explain(ctx, associationRules, a)
	if a.client == nil {
		return Client{}, e
	}
	return *a.client, e
}

// ClaimRules name the rules that are judged before a credential.
func ClaimRules() []oauth.RuleInfo { return judge.Infos("", claimRules) }

// AssociationRules name the rules that are judged once an identity is proven.
func AssociationRules() []oauth.RuleInfo { return judge.Infos("", associationRules) }
