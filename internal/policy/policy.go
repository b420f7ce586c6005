package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/index"
	"github.com/svidgate/svidgate/oauth"
)

// A Question asks whether a client may have a token.
type Question struct {
	ClientID string
	// Template names what the client may have, if it registered on first use; a client
	// of the configuration has none.
	Template    string
	TrustDomain string
	// Methods are the client's registered methods, not only the one in use.
	Methods     []oauth.AuthMethod
	GrantType   oauth.GrantType
	Resources   []string // as asked for; none takes the default
	Scope       []string // as asked for; none takes all that is allowed
	Certificate bool     // there is a certificate to bind to
	Key         bool     // there is a key to bind to, whose possession was proven
	// Settled says that Scope is what was granted before: none is then none.
	Settled bool
}

// A Decision permits one token. Only a Table makes one; the zero value permits
// nothing.
type Decision struct {
	resource string
	scope    []string
	binding  oauth.Binding
	lifetime time.Duration
	rule     string
}

// Permits reports whether a Table made the decision.
func (d Decision) Permits() bool { return d.rule != "" }

// Resource is the one audience of the token (AT-4).
func (d Decision) Resource() string { return d.resource }

// Scope is what is granted: in the order in which it was asked for, or when
// nothing was in that of the client's own list.
func (d Decision) Scope() []string { return d.scope }

// Binding is what the token must be bound to.
func (d Decision) Binding() oauth.Binding { return d.binding }

// Lifetime is the longest life of the token.
func (d Decision) Lifetime() time.Duration { return d.lifetime }

// Rule is the id of the entry that decided.
func (d Decision) Rule() string { return d.rule }

// A BindingMode is an operator's word on sender constraint.
type BindingMode string

const (
	// BindAuto binds whenever there is a key or a certificate, and lets only a
	// client that has no other method than spiffe_jwt go without.
	BindAuto BindingMode = "auto"
	// BindRequired refuses what cannot be bound.
	BindRequired BindingMode = "required"
	// BindNone never binds.
	BindNone BindingMode = "none"
)

// BearerLifetime is the longest life of a token that anybody may use who has it.
const BearerLifetime = 5 * time.Minute

// A Resource is what a token can be for.
type Resource struct {
	Resource string
	Scopes   []string
	Binding  BindingMode   // empty says nothing
	Lifetime time.Duration // 0 is the table's
}

// A Client is what one client may have.
type Client struct {
	ClientID   string
	GrantTypes []oauth.GrantType
	Resources  []string
	Scope      []string
	Binding    BindingMode // empty says nothing
}

// Config is what a Table is made of.
type Config struct {
	Resources    []Resource
	Clients      []Client
	Templates    []Template
	TrustDomains map[string]BindingMode
	Binding      BindingMode   // where nothing else is said; empty is BindAuto
	Lifetime     time.Duration // longest life of a token
}

// A Table answers from a fixed configuration. It is safe for concurrent use.
type Table struct {
	resources    map[string]Resource
	clients      *index.Index // their identifiers
	rightsOf     []int32      // of each client, by its number
	rights       []Rights     // each once: most clients have those of many others
	templates    map[string]Rights
	trustDomains map[string]BindingMode
	binding      BindingMode
	lifetime     time.Duration
}

// New makes a table. Names that a client lists and no resource has are the
// configuration's to refuse; here they simply never match.
func New(c Config) *Table {
	t := &Table{
		resources:    make(map[string]Resource, len(c.Resources)),
		trustDomains: c.TrustDomains, binding: c.Binding, lifetime: c.Lifetime,
	}
	for _, r := range c.Resources {
		t.resources[r.Resource] = r
	}
	ids, known, n := make([]string, 0, len(c.Clients)), map[string]int32{}, int32(0)
	for _, client := range c.Clients {
		of := Rights{client.GrantTypes, client.Resources, client.Scope, client.Binding, 0}
		if len(t.rights) == 0 || !t.rights[n].equal(of) { // those of the client before, as a rule
			key, ok := of.key(), false
			if n, ok = known[key]; !ok {
				n = int32(len(t.rights))
				known[key], t.rights = n, append(t.rights, of)
			}
		}
		ids, t.rightsOf = append(ids, client.ClientID), append(t.rightsOf, n)
	}
	t.clients = index.New(ids)
	t.addTemplates(c.Templates)
	return t
}

// Allows answers whether a client may have what it asks for, and says what that
// is: its one resource and its scope. It says nothing of a binding, which only the
// request for the token decides. The error is an *oauth.Error.
func (t *Table) Allows(q Question) (resource string, scope []string, err error) {
	_, of, scope, err := t.allows(q)
	return of.Resource, scope, err
}

// Offers reports whether a client may use a grant type.
func (t *Table) Offers(clientID string, g oauth.GrantType) bool {
	n, ok := t.clients.Find(clientID)
	return ok && slices.Contains(t.rights[t.rightsOf[n]].GrantTypes, g)
}

func (t *Table) allows(q Question) (Rights, Resource, []string, error) {
	client, ok := t.Rights(q)
	if !ok || !slices.Contains(client.GrantTypes, q.GrantType) {
		return Rights{}, Resource{}, nil, oauth.Refuse(oauth.UnauthorizedClient, oauth.ReasonGrantDenied, "TK-5", fmt.Sprintf("one of %v", client.GrantTypes), oauth.Shown(string(q.GrantType)))
	}
	resource, err := t.resource(client, q.Resources)
	if err != nil {
		return Rights{}, Resource{}, nil, err
	}
	scope, err := granted(client, resource, q)
	if err != nil {
		return Rights{}, Resource{}, nil, err
	}
	return client, resource, scope, nil
}

// Decide answers a question. The error is an *oauth.Error.
func (t *Table) Decide(q Question) (Decision, error) {
	client, resource, scope, err := t.allows(q)
	if err != nil {
		return Decision{}, err
	}
	d := Decision{resource: resource.Resource, scope: scope, lifetime: t.lifetime, rule: q.rule()}
	if client.Lifetime > 0 {
		d.lifetime = min(d.lifetime, client.Lifetime)
	}
	if resource.Lifetime > 0 {
		d.lifetime = min(d.lifetime, resource.Lifetime)
	}
	if d.binding, err = t.bind(client, resource, q); err != nil {
		return Decision{}, err
	}
	if d.binding == oauth.BindingBearer {
		d.lifetime = min(d.lifetime, BearerLifetime)
	}
	return d, nil
}

// resource is CC-4 and AT-4: one resource, named or by default.
func (t *Table) resource(client Rights, asked []string) (Resource, error) {
	refuse := func(reason oauth.Reason, rule, expected, presented string) (Resource, error) {
		return Resource{}, oauth.Refuse(oauth.InvalidTarget, reason, rule, oauth.Shown(expected), oauth.Shown(presented))
	}
	name := ""
	switch {
	case len(asked) > 1:
		return refuse(oauth.ReasonResourceMultiple, "AT-4", "one resource", strings.Join(asked, " "))
	case len(asked) == 1:
		name = asked[0]
	case len(client.Resources) == 1:
		name = client.Resources[0]
	default:
		return refuse(oauth.ReasonResourceMissing, "CC-4", "one of "+strings.Join(client.Resources, " "), "no resource")
	}
	resource, ok := t.resources[name]
	if !ok {
		return refuse(oauth.ReasonResourceUnknown, "CC-4", "a configured resource", name)
	}
	if !slices.Contains(client.Resources, name) {
		return refuse(oauth.ReasonResourceDenied, "CC-4", "one of "+strings.Join(client.Resources, " "), name)
	}
	return resource, nil
}

// granted is CC-2 and CC-4: what was asked for, if the client may have all of it
// at this resource, or all that it may have when nothing was.
func granted(client Rights, resource Resource, q Question) ([]string, error) {
	asked := q.Scope
	var allowed []string
	for _, s := range client.Scope {
		if slices.Contains(resource.Scopes, s) {
			allowed = append(allowed, s)
		}
	}
	for _, s := range asked {
		if !slices.Contains(allowed, s) {
			return nil, oauth.Refuse(oauth.InvalidScope, oauth.ReasonScopeDenied, "CC-4",
				oauth.Shown("no more than "+strings.Join(allowed, " ")+" at "+resource.Resource), oauth.Shown(strings.Join(asked, " ")))
		}
	}
	if len(asked) > 0 || q.Settled {
		return asked, nil
	}
	return allowed, nil
}

// bind is CC-5 with the contract's modes: the strictest word of client,
// resource, trust domain and server counts, except that a narrower "none" beats
// a server-wide "auto". A key that was proven with the request goes before the
// certificate of its connection: whoever calls an API has the key at hand, and
// not always that connection.
func (t *Table) bind(client Rights, resource Resource, q Question) (oauth.Binding, error) {
	modes := []BindingMode{client.Binding, resource.Binding, t.trustDomains[q.TrustDomain], t.binding}
	required := slices.Contains(modes, BindRequired)
	switch {
	case !required && slices.Contains(modes, BindNone):
		return oauth.BindingBearer, nil
	case q.Key:
		return oauth.BindingKey, nil
	case q.Certificate:
		return oauth.BindingCertificate, nil
	case required:
		return "", bindingRequired("a key or a certificate: binding is required", "none")
	case len(q.Methods) == 1 && (q.Methods[0] == oauth.MethodJWT || q.Methods[0] == oauth.MethodNone): // a public client has no key to shed
		return oauth.BindingBearer, nil
	}
	// A client that has a key must not be able to shed it.
	return "", bindingRequired(fmt.Sprintf("a key or a certificate, since the client is registered for %v", q.Methods), "none")
}

func bindingRequired(expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonBindingRequired, "CC-5", expected, presented)
}
