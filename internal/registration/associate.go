package registration

import (
	"fmt"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

// association is a claim and the identity that was proven, while it is judged.
type association struct {
	claim    Claim
	identity svidgate.Identity
	profile  svidgate.Profile
	client   *Client
	legacy   string // rule id of an older form that was used
}

// A rule is one demand on the tie between identity and client.
type rule struct {
	id, source string
	judge      func(*association) *oauth.Error
}

// rules tie a proven identity to its client, in order (CA-16).
var rules = []rule{
	{"CJ-10", "draft section 3.1; RFC 7521 4.2", func(a *association) *oauth.Error {
		if a.client != nil {
			return nil
		}
		if a.profile.ClientIDRequired(a.identity.Method()) {
			return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CJ-10", "client_id (profile "+string(a.profile)+")", "none")
		}
		id := a.identity.SPIFFEID()
		switch exact := a.claim.registry.byExact[id]; len(exact) {
		case 0:
			return oauth.Refuse(oauth.InvalidClient, oauth.ReasonClientNotFound, "CJ-10", "a client registered with exactly this SPIFFE ID, or client_id", id.String())
		case 1:
			a.client = exact[0]
			if a.profile == svidgate.Transition {
				a.legacy = "CJ-10"
			}
			return nil
		default: // never guess (CA-10)
			return oauth.Refuse(oauth.InvalidClient, oauth.ReasonClientAmbiguous, "CJ-10", "client_id, since several clients have this SPIFFE ID", fmt.Sprintf("%d clients with %s", len(exact), id))
		}
	}},
	{"CX-3", "draft-02 section 3.2", func(a *association) *oauth.Error {
		if a.profile.ClientIDIsSPIFFEID(a.identity.Method()) && a.claim.clientID != a.identity.SPIFFEID().String() {
			return mismatch("CX-3", "client_id "+a.identity.SPIFFEID().String()+" (profile "+string(a.profile)+")", a.claim.clientID)
		}
		return nil
	}},
	{"CA-9", "draft sections 3.1, 3.2 step 5 and 5.1", func(a *association) *oauth.Error {
		if !a.client.pattern.Match(a.identity.SPIFFEID()) {
			return mismatch("CA-9", "an SVID of client "+a.client.id+", "+a.client.pattern.String(), a.identity.SPIFFEID().String())
		}
		return nil
	}},
	{"MD-20", "draft section 5.1", func(a *association) *oauth.Error {
		if a.client.pattern.Wildcard() && !a.profile.AllowsWildcard(a.identity.Method()) {
			return mismatch("MD-20", "an exact spiffe_id (profile "+string(a.profile)+", "+string(a.identity.Method())+")", a.client.pattern.String())
		}
		return nil
	}},
	{"CA-7", "RFC 7591 2", func(a *association) *oauth.Error {
		if !a.client.MayUse(a.identity.Method()) { // reached without client_id only
			a.claim.client = a.client
			return a.claim.methodNotAllowed(string(a.identity.Method()))
		}
		return nil
	}},
}

func mismatch(rule, expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidClient, oauth.ReasonClientIDMismatch, rule, oauth.Shown(expected), oauth.Shown(presented))
}

// Associate returns the client that the proven identity belongs to, and the id
// of the rule whose older form was used, if any. The error is an *oauth.Error.
func (c Claim) Associate(identity svidgate.Identity) (client Client, legacy string, err error) {
	if !identity.Proven() || c.registry == nil {
		return Client{}, "", oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "a proven identity", "none")
	}
	if identity.Method() != c.method { // also a claim that was refused before it had a method
		return Client{}, "", oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "CA-16", "an identity proven by "+string(c.method), string(identity.Method()))
	}
	a := &association{claim: c, identity: identity, client: c.client}
	a.profile = c.Profile(identity.SPIFFEID())
	if a.profile == "" {
		a.profile = c.registry.profile(identity.SPIFFEID().TrustDomain())
	}
	for _, r := range rules {
		if e := r.judge(a); e != nil {
			return Client{}, "", e
		}
	}
	return *a.client, a.legacy, nil
}
