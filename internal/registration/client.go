package registration

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/index"
	"github.com/svidgate/svidgate/internal/redirecturi"
	"github.com/svidgate/svidgate/oauth"
)

// Metadata is what an operator says of a client. The names are RFC 7591's and
// the draft's.
type Metadata struct {
	ClientID string
	// SPIFFEID are the identities that belong to the client; the zero Pattern
	// means that ClientID is itself the SPIFFE ID (CA-9).
	SPIFFEID svidgate.Pattern
	// AuthMethods are the methods the client may use, at least one (CA-7).
	// oauth.MethodNone alone makes a public client, which has no SPIFFE ID.
	AuthMethods []oauth.AuthMethod
	// Profile is the client's own profile; empty is its trust domain's.
	Profile svidgate.Profile

	// Name is what people are shown; empty is ClientID.
	Name string
	// RedirectURIs are where a browser may be sent back to (RD-1, RD-6).
	RedirectURIs []string
	// RequirePushed refuses authorization requests that were not pushed (PA-6).
	RequirePushed bool
}

// A Client is a registered client. Only a Registry makes one; the zero value is
// nobody.
type Client struct {
	id      string
	pattern svidgate.Pattern
	methods []oauth.AuthMethod
	profile svidgate.Profile
	browser *browser // nil for a client that no browser comes back to

	template *Template // of a client that registers on first use
	admitted bool      // and it is registered
}

// browser is what a client has that people sign in for.
type browser struct {
	name          string
	redirectURIs  []string
	requirePushed bool
}

// Registered reports whether a Registry made the client, or a Ledger has it.
func (c Client) Registered() bool { return c.id != "" && (c.template == nil || c.admitted) }

// Template names what a client may have that registered on first use; empty is one
// of the configuration.
func (c Client) Template() string {
	if c.template == nil {
		return ""
	}
	return c.template.Name
}

// TemplateDigest is that of all that the template gives; zero without one.
func (c Client) TemplateDigest() (digest [32]byte) {
	if c.template != nil {
		digest = c.template.Digest
	}
	return digest
}

// ID is the client identifier.
func (c Client) ID() string { return c.id }

// Pattern are the SPIFFE IDs that belong to the client.
func (c Client) Pattern() svidgate.Pattern { return c.pattern }

// Methods are the methods the client may use.
func (c Client) Methods() []oauth.AuthMethod { return c.methods }

// MayUse reports whether m is one of the client's methods.
func (c Client) MayUse(m oauth.AuthMethod) bool { return slices.Contains(c.methods, m) }

// Profile is the client's own profile; empty is its trust domain's.
func (c Client) Profile() svidgate.Profile { return c.profile }

// Public reports whether the client proves nothing when it asks for something.
func (c Client) Public() bool { return len(c.methods) == 1 && c.methods[0] == oauth.MethodNone }

// Name is what people are shown of the client.
func (c Client) Name() string {
	if c.browser == nil || c.browser.name == "" {
		return c.id
	}
	return c.browser.name
}

// RedirectURIs are where a browser may be sent back to; none as a rule (RD-6).
// They must not be changed.
func (c Client) RedirectURIs() []string {
	if c.browser == nil {
		return nil
	}
	return c.browser.redirectURIs
}

// RequirePushed reports whether the client must push its authorization requests
// (PA-6).
func (c Client) RequirePushed() bool { return c.browser != nil && c.browser.requirePushed }

// A Registry is an immutable set of clients.
type Registry struct {
	clients []Client     // in the order of the configuration
	ids     *index.Index // their identifiers, by the same numbers
	exact   *index.Index // the SPIFFE IDs of those without a wildcard, which never take part without client_id (CJ-10)
	exactOf []int32      // the client of each of these
	profile func(spiffeid.TrustDomain) svidgate.Profile

	firstUse map[spiffeid.TrustDomain]*FirstUse
	wide     map[string][]*Client // those with a wildcard in these trust domains, by the wildcard
	ledger   *Ledger              // nil without records and blocks
}

// New makes a registry and reports every fault at once. profile gives the
// profile of a trust domain.
func New(clients []Metadata, profile func(spiffeid.TrustDomain) svidgate.Profile) (*Registry, error) {
	r := &Registry{clients: make([]Client, 0, len(clients)), exactOf: make([]int32, 0, len(clients)), profile: profile}
	var faults []error
	if profile == nil {
		faults = append(faults, errors.New("the profiles of trust domains are missing"))
	}
	ids, exact := make([]string, 0, len(clients)), make([]string, 0, len(clients))
	var methods [][]oauth.AuthMethod // each list once
	for _, m := range clients {
		c := Client{id: m.ClientID, pattern: m.SPIFFEID, profile: m.Profile}
		public := slices.Contains(m.AuthMethods, oauth.MethodNone)
		switch _, err := spiffeid.FromString(c.id); {
		case public && len(m.AuthMethods) > 1:
			faults = append(faults, fmt.Errorf("client %q is public and has another authentication method (CA-7)", oauth.Shown(c.id)))
			continue
		case public && (err == nil || !c.pattern.IsZero()): // whoever knew it would pass for the workload
			faults = append(faults, fmt.Errorf("client %q is public and has a SPIFFE ID (CC-3)", oauth.Shown(c.id)))
			continue
		}
		for _, uri := range m.RedirectURIs {
			if err := redirecturi.Check(uri); err != nil {
				faults = append(faults, fmt.Errorf("client %q: redirect_uri %q: %w", oauth.Shown(c.id), oauth.Shown(uri), err))
			}
		}
		if m.Name != "" || len(m.RedirectURIs) > 0 || m.RequirePushed {
			c.browser = &browser{m.Name, slices.Clone(m.RedirectURIs), m.RequirePushed}
		}
		if c.pattern.IsZero() && !public { // CA-9 (2)
			pattern, err := svidgate.ParsePattern(c.id)
			if err != nil || pattern.Wildcard() {
				faults = append(faults, fmt.Errorf("client %q has no spiffe_id, so its client_id must be a SPIFFE ID (CA-9)", oauth.Shown(c.id)))
				continue
			}
			c.pattern = pattern
		}
		if len(m.AuthMethods) == 0 {
			faults = append(faults, fmt.Errorf("client %q has no authentication method (CA-7)", oauth.Shown(c.id)))
			continue
		}
		if c.id == "" {
			faults = append(faults, errors.New("a client_id is empty"))
			continue
		}
		same := slices.IndexFunc(methods, func(known []oauth.AuthMethod) bool { return slices.Equal(known, m.AuthMethods) })
		if same < 0 {
			same, methods = len(methods), append(methods, slices.Clone(m.AuthMethods))
		}
		c.methods = methods[same]
		if !c.pattern.Wildcard() && !public {
			exact, r.exactOf = append(exact, c.pattern.String()), append(r.exactOf, int32(len(r.clients)))
		}
		ids, r.clients = append(ids, c.id), append(r.clients, c)
	}
	r.ids, r.exact = index.New(ids), index.New(exact)
	for i, id := range ids {
		if first, _ := r.ids.Find(id); first != i {
			faults = append(faults, fmt.Errorf("client_id %q appears twice", oauth.Shown(id)))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

// All are the clients in the order of the configuration. They must not be changed.
func (r *Registry) All() []Client { return r.clients }

// Named is the client with this identifier; the zero Client is none. It proves
// nothing: at the authorization endpoint an identifier is all there is (CA-12).
func (r *Registry) Named(id string) Client {
	if c := r.named(id); c != nil {
		return *c
	}
	return Client{}
}

// named is the client with this identifier; nil is none.
func (r *Registry) named(id string) *Client {
	i, ok := r.ids.Find(id)
	if !ok {
		return nil
	}
	return &r.clients[i]
}

// exactly are the clients registered with exactly this SPIFFE ID.
func (r *Registry) exactly(id spiffeid.ID) []*Client {
	var found []*Client
	for i := range r.exact.All(id.String()) {
		found = append(found, &r.clients[r.exactOf[i]])
	}
	return found
}
