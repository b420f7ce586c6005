package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// A Client is one entry of `clients`. Member names are those of RFC 7591 and of
// the SPIFFE drafts.
type Client struct {
	// ClientID, `client_id`, required: 1 to 2048 printable ASCII characters
	// without a space, unique. Without spiffe_id it is itself a workload's
	// SPIFFE ID (CA-9).
	ClientID string
	// SPIFFEID, `spiffe_id` and `spiffe_id_depth`, default the SPIFFE ID that
	// client_id is: whose SVIDs are this client's. A wildcard stands for every
	// workload below its prefix, to any depth unless spiffe_id_depth (1 to 100)
	// narrows it (MD-15 to MD-19). Danger: each of them may do what the client
	// may do. Two clients may have the same exact SPIFFE ID; requests must then
	// carry client_id (CA-10).
	SPIFFEID svidgate.Pattern
	// Methods, `token_endpoint_auth_method` (one) or `auth_methods` (a list), one
	// of the two required: spiffe_jwt, spiffe_x509, spiffe_wit, or none alone, which makes a
	// public client: it has no SPIFFE ID, and anybody may use its name. Danger: with
	// spiffe_jwt alone or none and binding auto the client gets bearer tokens.
	Methods []oauth.AuthMethod
	// GrantTypes, `grant_types`, default [client_credentials].
	GrantTypes []oauth.GrantType
	// Resources, `resources`, default none: the APIs it may get tokens for, each
	// an entry of the configuration's resources. A client with exactly one gets
	// it when it asks for none; one without any gets no token (warned).
	Resources []string
	// Scope, `scope`, one string of words separated by single spaces, default
	// empty: the most it may get. Each word is a scope of some resource.
	Scope []string
	// Introspects, `introspects`, default none: the APIs whose tokens it may ask
	// about at /introspect, each an entry of the configuration's resources. To it,
	// every other token is inactive (IN-2).
	Introspects []string
	// Binding, `binding`, default empty: it says nothing.
	Binding policy.BindingMode
	// Profile, `profile`, default that of its trust domain.
	Profile svidgate.Profile
	// RedirectURIs, `redirect_uris`, default none: where a person's browser may be
	// sent back to, letter for letter (RD-1, RD-6). Required for authorization_code.
	RedirectURIs []string
	// Name, `client_name`, default client_id: what people are shown.
	Name string
	// RequirePushed, `require_pushed_authorization_requests`, default false: refuse
	// the client's authorization requests that were not pushed (PA-6).
	RequirePushed bool
}

// A clientReader reads clients, each against all that was read before it.
type clientReader struct {
	cfg       *Config
	domains   trustDomains
	resources resources
	lines     map[string]int      // of each client_id
	folded    map[string]spelling // of each SPIFFE ID, by its lower case
}

// A spelling is how a SPIFFE ID was written first.
type spelling struct {
	id   string
	line int
}

func (r *reader) readClients(t *table, cfg *Config, domains trustDomains, resources resources) {
	cr := &clientReader{cfg: cfg, domains: domains, resources: resources, lines: map[string]int{}, folded: map[string]spelling{}}
	for i, read := range domains.registrations {
		cfg.TrustDomains[i].Registration = read(cr)
	}
	t.each("clients", func(t *table) {
		if t.opened {
			cfg.Clients = append(cfg.Clients, cr.read(t))
		}
	})
}

func (cr *clientReader) read(t *table) Client {
	c := Client{Binding: t.binding("")}
	cr.identity(t, &c)
	cr.borrowed(t, &c)
	cr.twin(t, &c)
	c.Methods = readMethods(t)
	c.GrantTypes = readGrantTypes(t)
	cr.access(t, &c)
	cr.browser(t, &c)
	if public(t) {
		c.Profile = cr.cfg.Profile
		return c
	}

	c.Profile = cr.cfg.Profile
	if own, known := cr.domains.profiles[c.SPIFFEID.TrustDomain()]; known {
		c.Profile = own
	} else if !c.SPIFFEID.IsZero() && !cr.domains.unreadable {
		name := c.SPIFFEID.TrustDomain().Name()
		t.r.fault(identityPlace(t), "the trust domain %s of this client is not configured under trust_domains%s", quoted(name), t.r.meant(name, cr.domains.names))
	}
	c.Profile = t.profile(c.Profile)
	cr.methods(t, &c)
	return c
}

// identityPlace is where the client's SPIFFE ID stands.
func identityPlace(t *table) position {
	if t.has("spiffe_id") {
		return t.place("spiffe_id")
	}
	return t.place("client_id")
}

// identity reads who the client is.
func (cr *clientReader) identity(t *table, c *Client) {
	const want = "1 to 2048 printable ASCII characters without a space"
	id, ok := t.text("client_id", want)
	switch {
	case ok && !printable(id):
		t.mustBe("client_id", want)
		ok = false
	case ok:
		c.ClientID = id
		if first, twice := cr.lines[id]; twice {
			t.r.fault(t.place("client_id"), "the client %s is configured twice; the first is on line %d", quoted(id), first)
		} else {
			cr.lines[id] = t.place("client_id").line
		}
	}
	switch {
	case public(t):
		cr.publicIdentity(t, id)
		return
	case t.has("spiffe_id"):
		const want = "a workload's SPIFFE ID, or a SPIFFE ID followed by /*"
		s, ok := t.text("spiffe_id", want)
		if !ok {
			return
		}
		pattern, err := svidgate.ParsePattern(s)
		if err != nil {
			t.r.fault(t.place("spiffe_id"), "%s must be %s, not %s: %v%s", t.name("spiffe_id"), want, quoted(s), err, cr.inLowerCase(s))
			return
		}
		c.SPIFFEID = pattern
	case ok:
		if _, err := strictid.Workload(id); err != nil {
			cr.noWorkload(t, id, err)
			return
		}
		c.SPIFFEID, _ = svidgate.ParsePattern(id) // a workload's SPIFFE ID is an exact pattern
	}
	if depth := t.depth(); depth > 0 && !c.SPIFFEID.Wildcard() && !c.SPIFFEID.IsZero() {
		t.r.fault(t.place("spiffe_id_depth"), "%s narrows a wildcard, but %s is none", t.name("spiffe_id_depth"), quoted(c.SPIFFEID.String()))
	} else if depth > 0 {
		c.SPIFFEID = c.SPIFFEID.WithDepth(depth)
	}
	if c.SPIFFEID.WholeTrustDomain() {
		t.r.warn(identityPlace(t), "%s stands for every workload of the trust domain (MD-21)", quoted(c.SPIFFEID.String()))
	}
}

// noWorkload reports a client_id that ought to be a SPIFFE ID, for want of
// spiffe_id (CA-9). Of one that was meant to be one it says why it is none.
func (cr *clientReader) noWorkload(t *table, id string, err error) {
	rest := ", so this client needs spiffe_id (CA-9)"
	switch {
	case strings.HasSuffix(id, "/*"):
		rest = ": a wildcard stands in spiffe_id, beside a client_id of your choice (CA-9)"
	case strictid.Cut(id).Scheme != "":
		rest = ", and this client has no spiffe_id (CA-9): " + err.Error() + cr.inLowerCase(id)
	}
	t.r.fault(t.place("client_id"), "%s is not a workload's SPIFFE ID%s", quoted(id), rest)
}

// inLowerCase says, for the end of a sentence, how a pattern that is refused is
// written when only the case of its trust domain is wrong (F49), and whether
// that one is configured.
func (cr *clientReader) inLowerCase(written string) string {
	p := strictid.Cut(written)
	lower := strings.ToLower(p.Scheme + p.Name)
	pattern, err := svidgate.ParsePattern(lower + p.Path)
	if err != nil || lower == p.Scheme+p.Name {
		return ""
	}
	if _, known := cr.domains.profiles[pattern.TrustDomain()]; known {
		return "; the configured trust domain " + quoted(pattern.TrustDomain().Name()) + " differs only in case"
	}
	return "; write " + quoted(pattern.String())
}

// borrowed reports a client_id that is the SPIFFE ID of a workload that may register
// on first use, and is not this client's own: the two would be one name (RF-3).
func (cr *clientReader) borrowed(t *table, c *Client) {
	id, err := strictid.Workload(c.ClientID)
	if err != nil || c.SPIFFEID.IsZero() || c.SPIFFEID.String() == c.ClientID {
		return
	}
	for i := range cr.cfg.TrustDomains {
		if td := &cr.cfg.TrustDomains[i]; td.Name == id.TrustDomain() && td.Registration.On() {
			t.r.fault(t.place("client_id"), "client_id %s is the SPIFFE ID of a workload of %s, where clients register on first use under that name, and the client's own SPIFFE ID is %s (RF-3); choose another client_id", quoted(c.ClientID), td.Name.Name(), quoted(c.SPIFFEID.String()))
		}
	}
}

// twin warns of two clients whose SPIFFE IDs differ only in case: they are two,
// because a path is compared byte for byte (SI-14), and hardly meant as two.
func (cr *clientReader) twin(t *table, c *Client) {
	id := c.SPIFFEID.String()
	first, there := cr.folded[strings.ToLower(id)]
	switch {
	case id == "":
	case !there:
		cr.folded[strings.ToLower(id)] = spelling{id, identityPlace(t).line}
	case first.id != id:
		t.r.warn(identityPlace(t), "%s differs only in case from %s on line %d; they are two workloads, because the path of a SPIFFE ID is compared byte for byte", quoted(id), quoted(first.id), first.line)
	}
}

// apis reads a list of entries of resources.
func (cr *clientReader) apis(t *table, key string) []string {
	var all []string
	for _, e := range t.list(key, "resources") {
		if _, known := cr.resources.byURI[e.text]; !known && !cr.resources.unreadable && !cr.resources.unnamed {
			t.r.fault(e.at, "%s names %s, which no entry of resources is%s", t.name(key), quoted(e.text), t.r.meant(e.text, cr.resources.uris))
		}
		all = append(all, e.text)
	}
	return all
}

func (t *table) depth() int {
	const most = 100
	m, there := t.members["spiffe_id_depth"]
	if !there {
		return 0
	}
	n, err := strconv.ParseUint(m.value.text, 10, 8)
	if m.value.kind != number || err != nil || n < 1 || n > most {
		t.mustBe("spiffe_id_depth", "a number from 1 to 100")
		return 0
	}
	return int(n)
}

// access reads what the client may get tokens for. A name that no entry of
// resources has is a fault, because it would be refused at every request.
func (cr *clientReader) access(t *table, c *Client) {
	cr.accessOf(t, c, func() {
		t.r.warn(t.at, "the client %s has no resources and so gets no token", quoted(c.ClientID))
	})
}

// accessOf is access, with what to do where there are no resources.
func (cr *clientReader) accessOf(t *table, c *Client, none func()) {
	scopes := map[string]bool{}
	c.Resources = cr.apis(t, "resources")
	for _, r := range c.Resources {
		for s := range cr.resources.byURI[r] {
			scopes[s] = true
		}
	}
	c.Introspects = cr.apis(t, "introspects")
	if len(c.Resources) == 0 && len(c.Introspects) == 0 {
		none()
	}
	cr.scopeOf(t, c, scopes)
}

// scopeOf reads scope; scopes are those of the client's own resources.
func (cr *clientReader) scopeOf(t *table, c *Client, scopes map[string]bool) {
	const want = `scopes of printable ASCII in one text, with single spaces between them, such as "read write"`
	s, ok := t.text("scope", want)
	if !ok || s == "" {
		return
	}
	for word := range strings.SplitSeq(s, " ") {
		switch {
		case badScope(word):
			t.mustBe("scope", want)
			return
		case slices.Contains(c.Scope, word):
			t.r.fault(t.place("scope"), "%s names %s a second time", t.name("scope"), quoted(word))
			continue
		case !cr.resources.scopes[word] && !cr.resources.unreadable:
			t.r.fault(t.place("scope"), "%s names %s, which no entry of resources has%s", t.name("scope"), quoted(word), t.r.meant(word, cr.resources.scopeList))
		case !scopes[word] && len(c.Resources) > 0:
			t.r.warn(t.place("scope"), "%s names %s, which none of the client's own resources has", t.name("scope"), quoted(word))
		}
		c.Scope = append(c.Scope, word)
	}
}
