package registration

import (
	"context"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// association is a claim and an identity while they are judged.
type association struct {
	judge.Judgement
	claim   Claim
	id      spiffeid.ID
	profile svidgate.Profile
	client  *Client
	legacy  string // rule id of an older form that was used

	domain    *FirstUse // with factNew
	template  *Template // with factMay
	admission admission
	block     Block // that refused
}

// clientID is that of the client, which on first use is the SPIFFE ID (RF-3).
func (a *association) clientID() string {
	if a.client != nil {
		return a.client.id
	}
	return a.id.String()
}

// isNew reports whether first use is to be asked where the configuration has no
// client of exactly the SPIFFE ID. A client that is only called so has rights under
// that name, which are not for another (RF-3).
func (a *association) isNew() bool {
	if a.claim.registry.taken(a.id) {
		return false
	}
	if a.domain = a.claim.registry.firstUse[a.id.TrustDomain()]; a.domain != nil {
		a.Facts |= factNew
	}
	return a.domain != nil
}

func newAssociation(c Claim, id spiffeid.ID) *association {
	a := &association{claim: c, id: id, client: c.client}
	a.Facts = factID
	if a.profile = c.Profile(id); a.profile == "" {
		a.profile = c.registry.profile(id.TrustDomain())
	}
	return a
}

// Refusal gives a reason its code.
func (a *association) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	return refusal(reason, rule, expected, presented)
}

// exact are the clients that are registered with exactly this SPIFFE ID.
func (a *association) exact() []*Client {
	if a.claim.registry == nil { // explain asks even then
		return nil
	}
	return a.claim.registry.exactly(a.id)
}

// associationRules tie a proven identity to its client, in order (CA-16).
var associationRules = []judge.Rule[*association]{
	{
		ID: "CJ-10", Source: "draft section 3.1; RFC 7521 4.2", What: "client_id names the client, or one client has exactly this SPIFFE ID", Needs: factSaid | factID,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if a.client != nil {
				a.Facts |= factClient
				return ""
			}
			if a.claim.clientID == "" && a.profile.ClientIDRequired(a.claim.method) {
				return oauth.ReasonClientIDMissing
			}
			if a.claim.clientID == "" && a.profile == svidgate.Transition {
				a.legacy = "CJ-10"
			}
			switch exact := a.exact(); {
			case len(exact) == 0 && a.isNew():
				return "" // firstUseRules go on
			case len(exact) == 0 || a.claim.clientID != "": // named, and nobody's name
				return oauth.ReasonClientNotFound
			case len(exact) == 1:
				a.client = exact[0]
				a.Facts |= factClient
				return ""
			default: // never guess (CA-10)
				return oauth.ReasonClientAmbiguous
			}
		},
		Expected: func(a *association) string {
			switch {
			case a.profile.ClientIDRequired(a.claim.method):
				return "client_id (profile " + string(a.profile) + ")"
			case len(a.exact()) > 1:
				return "client_id, since several clients have this SPIFFE ID"
			}
			return "a client registered with exactly this SPIFFE ID, or client_id"
		},
		Presented: func(a *association) string {
			switch exact := a.exact(); {
			case a.claim.clientID != "":
				return "client_id " + oauth.Shown(a.claim.clientID)
			case a.profile.ClientIDRequired(a.claim.method):
				return "none"
			case len(exact) > 1:
				return fmt.Sprintf("%d clients with %s", len(exact), a.id)
			}
			return a.id.String()
		},
	},
	{
		ID: "CX-3", Source: "draft-02 section 3.2", What: "client_id is the SPIFFE ID, where the profile says so", Needs: factID | factClient,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if a.profile.ClientIDIsSPIFFEID(a.claim.method) && a.claim.clientID != a.id.String() {
				return oauth.ReasonClientIDMismatch
			}
			return ""
		},
		Expected: func(a *association) string {
			if !a.profile.ClientIDIsSPIFFEID(a.claim.method) {
				return "any client_id (profile " + string(a.profile) + ")"
			}
			return oauth.Shown("client_id " + a.id.String() + " (profile " + string(a.profile) + ")")
		},
		Presented: func(a *association) string { return shownClientID(a.claim.clientID) },
	},
	{
		ID: "CA-9", Source: "draft sections 3.1, 3.2 step 5 and 5.1", What: "the SPIFFE ID belongs to the client", Needs: factID | factClient,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if !a.client.pattern.Match(a.id) {
				return oauth.ReasonClientIDMismatch
			}
			return ""
		},
		Expected: func(a *association) string {
			if a.client == nil {
				return "an SVID of the client"
			}
			return oauth.Shown("an SVID of client " + a.client.id + ", " + a.client.pattern.String())
		},
		Presented: func(a *association) string { return oauth.Shown(a.id.String()) },
	},
	{
		ID: "MD-20", Source: "draft section 5.1", What: "the client's spiffe_id has a wildcard only where the profile allows it", Needs: factID | factClient,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if a.client.pattern.Wildcard() && !a.profile.AllowsWildcard(a.claim.method) {
				return oauth.ReasonClientIDMismatch
			}
			return ""
		},
		Expected: func(a *association) string {
			if a.profile.AllowsWildcard(a.claim.method) {
				return "any spiffe_id (profile " + string(a.profile) + ")"
			}
			return "an exact spiffe_id (profile " + string(a.profile) + ", " + string(a.claim.method) + ")"
		},
		Presented: func(a *association) string { return oauth.Shown(a.client.pattern.String()) },
	},
	{
		ID: "CA-7", Source: "RFC 7591 2", What: "the client may use the method", Needs: factClient,
		Judge: func(_ context.Context, a *association) oauth.Reason {
			if !a.client.MayUse(a.claim.method) { // reached without client_id only
				return oauth.ReasonMethodNotAllowed
			}
			return ""
		},
		Expected:  func(a *association) string { return expectedMethod(a.client) },
		Presented: func(a *association) string { return string(a.claim.method) },
	},
}

// lookupRules find the client; ownRules are for one that was found.
var lookupRules, ownRules = associationRules[:1], associationRules[1:]

// Associate returns the client that the proven identity belongs to, and the id
// of the rule whose older form was used, if any. A client that registers on first
// use is not registered yet; [Claim.Admit] does that. The error is an *oauth.Error.
func (c Claim) Associate(identity svidgate.Identity) (client Client, legacy string, err error) {
	if !identity.Proven() || c.registry == nil {
		return Client{}, "", oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a proven identity", "none")
	}
	if identity.Method() != c.method { // also a claim that was refused before it had a method
		return Client{}, "", oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "an identity proven by "+string(c.method), string(identity.Method()))
	}
	ctx := context.Background() // nothing here waits
	a := newAssociation(c, identity.SPIFFEID())
	a.Facts |= factSaid
	if e := judge.FirstRefusal(ctx, lookupRules, a); e != nil {
		return Client{}, "", e
	}
	rules := ownRules
	if a.client == nil {
		rules = firstUseRules
	}
	e := judge.FirstRefusal(ctx, rules, a)
	if e == nil && c.registry.ledger != nil {
		a.Facts |= factRecords
		e = judge.FirstRefusal(ctx, blockRules, a)
	}
	switch {
	case e != nil && a.client == nil && a.domain.Mode == OnPaper && e.Reason != oauth.ReasonClientBlocked:
		return Client{}, "", a.observed(e, Record{})
	case e != nil:
		return Client{}, "", e
	case a.client == nil:
		return a.newcomer(), a.legacy, nil
	}
	return *a.client, a.legacy, nil
}
