package registration

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
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
	AuthMethods []oauth.AuthMethod
	// Profile is the client's own profile; empty is its trust domain's.
	Profile svidgate.Profile
}

// A Client is a registered client. Only a Registry makes one; the zero value is
// nobody.
type Client struct {
	id      string
	pattern svidgate.Pattern
	methods []oauth.AuthMethod
	profile svidgate.Profile
}

// Registered reports whether a Registry made the client.
func (c Client) Registered() bool { return c.id != "" }

// ID is the client identifier.
func (c Client) ID() string { return c.id }

// Pattern are the SPIFFE IDs that belong to the client.
func (c Client) Pattern() svidgate.Pattern { return c.pattern }

// Methods are the methods the client may use.
func (c Client) Methods() []oauth.AuthMethod { return c.methods }

// MayUse reports whether m is one of the client's methods.
func (c Client) MayUse(m oauth.AuthMethod) bool { return slices.Contains(c.methods, m) }

// A Registry is an immutable set of clients.
type Registry struct {
	byID    map[string]*Client
	byExact map[spiffeid.ID][]*Client
	profile func(spiffeid.TrustDomain) svidgate.Profile
}

// New makes a registry and reports every fault at once. profile gives the
// profile of a trust domain.
func New(clients []Metadata, profile func(spiffeid.TrustDomain) svidgate.Profile) (*Registry, error) {
	r := &Registry{make(map[string]*Client, len(clients)), make(map[spiffeid.ID][]*Client, len(clients)), profile}
	var faults []error
	if profile == nil {
		faults = append(faults, errors.New("the profiles of trust domains are missing"))
	}
	for _, m := range clients {
		c := &Client{id: m.ClientID, pattern: m.SPIFFEID, methods: slices.Clone(m.AuthMethods), profile: m.Profile}
		if c.pattern.IsZero() { // CA-9 (2)
			pattern, err := svidgate.ParsePattern(c.id)
			if err != nil || pattern.Wildcard() {
				faults = append(faults, fmt.Errorf("client %q has no spiffe_id, so its client_id must be a SPIFFE ID (CA-9)", oauth.Shown(c.id)))
				continue
			}
			c.pattern = pattern
		}
		if len(c.methods) == 0 {
			faults = append(faults, fmt.Errorf("client %q has no authentication method (CA-7)", oauth.Shown(c.id)))
			continue
		}
		if c.id == "" || r.byID[c.id] != nil {
			faults = append(faults, fmt.Errorf("client_id %q is empty or appears twice", oauth.Shown(c.id)))
			continue
		}
		r.byID[c.id] = c
		if !c.pattern.Wildcard() { // wildcards never take part without client_id (CJ-10)
			id := spiffeid.RequireFromString(c.pattern.String())
			r.byExact[id] = append(r.byExact[id], c)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}
