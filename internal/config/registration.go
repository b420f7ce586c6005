package config

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/oauth"
)

// A RegistrationMode says what happens to a workload that no entry of clients has.
type RegistrationMode string

const (
	Preregistered RegistrationMode = "preregistered"
	FirstUse      RegistrationMode = "first_use"
	Approve       RegistrationMode = "approve"
	Observe       RegistrationMode = "observe"
)

// A Registration is `trust_domains.<name>.registration`: who may register on first
// use (RF-1).
type Registration struct {
	// Mode, `mode`, default preregistered (empty here): only clients that are configured. With
	// first_use a workload that a template allows is a client from its first request
	// on; with approve its first request asks and an operator answers; with observe
	// it is refused, and noted what would have been. Danger of first_use: whoever
	// gets an SVID that a template allows gets tokens.
	Mode RegistrationMode
	// Deny, `deny`, default none: patterns of paths that no template allows.
	Deny []svidgate.Pattern
	// Templates, `templates`: the first whose allow has the SPIFFE ID counts. One
	// template is written without a list.
	Templates []RegistrationTemplate
	// MaxClients, `max_clients`, required, 1 to 1000000: how many there may be at
	// once, those that wait and those that were only observed among them (RU-5).
	MaxClients int
	// NewClients, `new_clients`, default 10000/m; 0 is no limit: how many may be made
	// in that time.
	NewClients Rate
	// Idle, `idle`, default 720h, 48h to 8760h: a client that was not used for so
	// long is archived (RF-10).
	Idle time.Duration
}

// On reports whether anything is done on first use.
func (r Registration) On() bool { return r.Mode != "" && r.Mode != Preregistered }

// A RegistrationTemplate is what a client gets that registers on first use.
type RegistrationTemplate struct {
	// Name is made of the trust domain and the place of the template.
	Name string
	// Allow, `allow`, required: patterns of paths, each a path or a path followed by
	// /*, which stands for whole segments (MD-15 to MD-19).
	Allow []svidgate.Pattern
	// Methods, `auth_methods`, default all that the server's listeners allow.
	Methods []oauth.AuthMethod
	// GrantTypes, `grants`, default [client_credentials], the only one (RF-9).
	GrantTypes []oauth.GrantType
	// Resources, `resources`, required: at least one entry of resources.
	Resources []string
	// Scope, `scope`, default empty: none, not all (RF-9).
	Scope []string
	// Binding, `binding`, default empty: it says nothing.
	Binding policy.BindingMode
	// Lifetime, `lifetime`, default that of the resource: of its tokens, at most
	// access_token.lifetime.
	Lifetime time.Duration
	// Digest is the SHA-256 of all of it but its name.
	Digest [sha256.Size]byte
}

// templateKeys may stand in registration itself, or in each of its templates.
var templateKeys = []key{
	{name: "allow"}, {name: "auth_methods"}, {name: "grants"}, {name: "resources"}, {name: "scope"}, {name: "binding"}, {name: "lifetime"},
}

// registration opens the table of a trust domain. It is read when the resources
// are known.
func (t *table) registration(place string, name spiffeid.TrustDomain) func(cr *clientReader) Registration {
	r := t.sub(place+".registration", "registration")
	return func(cr *clientReader) Registration { return cr.registration(r, place+".registration", name) }
}

func (cr *clientReader) registration(t *table, place string, td spiffeid.TrustDomain) Registration {
	r := Registration{
		Mode:       oneOf(t, "mode", Preregistered, Preregistered, FirstUse, Approve, Observe),
		NewClients: t.rate("new_clients", Rate{10_000, time.Minute}),
		Idle:       t.duration("idle", span{otherwise: DefaultIdle, min: 48 * time.Hour, max: 8760 * time.Hour}),
	}
	r.MaxClients = t.whole("max_clients", 1_000_000)
	r.Deny = cr.patterns(t, "deny", td)
	if t.has("templates") {
		cr.templates(t, place, td, &r)
	} else if t.opened {
		r.Templates = []RegistrationTemplate{cr.template(t, td.Name(), td, r.Mode != Preregistered)}
	}
	if r.Mode == Preregistered {
		if t.has("mode") && t.members["mode"].value.text != string(Preregistered) { // said already
			return Registration{}
		}
		for _, k := range tables[place] { // not passed over: whoever writes one relies on it
			if k.name != "mode" && t.has(k.name) {
				t.r.fault(t.members[k.name].at, "%s is of no use where mode is preregistered; write mode: first_use, approve or observe, or leave it out", t.name(k.name))
				break
			}
		}
		return Registration{}
	}
	if !t.has("max_clients") && !t.slips["max_clients"] {
		t.r.fault(t.place("mode"), "%s is %s, which needs %s: how many clients there may be at once (RU-5)", t.name("mode"), r.Mode, t.name("max_clients"))
	}
	return r
}

func (cr *clientReader) templates(t *table, place string, td spiffeid.TrustDomain, r *Registration) {
	for _, k := range templateKeys {
		if t.has(k.name) {
			t.r.fault(t.members[k.name].at, "%s stands beside templates; put it into each of them", t.name(k.name))
		}
	}
	m := t.members["templates"].value
	if m.kind != list || len(m.items) == 0 {
		t.mustBe("templates", "a list of tables, at least one")
		return
	}
	for i, item := range m.items {
		label := t.name("templates") + "[" + strconv.Itoa(i) + "]"
		one := t.r.open(place+".templates[]", label, t.folder, item.at, item)
		if one.opened {
			r.Templates = append(r.Templates, cr.template(one, td.Name()+"["+strconv.Itoa(i)+"]", td, r.Mode != Preregistered))
		}
	}
	cr.shadowed(t, r)
}

// shadowed warns of a template that no workload comes to.
func (cr *clientReader) shadowed(t *table, r *Registration) {
	for i := range r.Templates {
		for _, p := range r.Templates[i].Allow {
			for j := range i {
				if slices.ContainsFunc(r.Templates[j].Allow, func(before svidgate.Pattern) bool { return coveredBy(p, before) }) {
					t.r.warn(t.place("templates"), "%s of %s is never used: %s allows it first", quoted(p.String()), r.Templates[i].Name, r.Templates[j].Name)
				}
			}
		}
	}
}

// coveredBy reports whether every SPIFFE ID of p is one of other.
func coveredBy(p, other svidgate.Pattern) bool {
	if !other.Wildcard() {
		return p.String() == other.String()
	}
	base := strings.TrimSuffix(p.String(), "/*")
	if p.Wildcard() && base == strings.TrimSuffix(other.String(), "/*") {
		return true
	}
	return strings.HasPrefix(base, strings.TrimSuffix(other.String(), "*"))
}

func (cr *clientReader) template(t *table, name string, td spiffeid.TrustDomain, used bool) RegistrationTemplate {
	out := RegistrationTemplate{
		Name: name, Allow: cr.patterns(t, "allow", td), Methods: cr.templateMethods(t), GrantTypes: templateGrants(t), Binding: t.binding(""),
		Lifetime: t.duration("lifetime", span{0, time.Second, cr.cfg.AccessToken.Lifetime, false}),
	}
	var c Client
	cr.accessOf(t, &c, func() {}) // said below
	out.Resources, out.Scope = c.Resources, c.Scope
	if used {
		for _, needed := range []struct{ key, what string }{{"allow", "which paths may register (RU-2)"}, {"resources", "at least one resource that its tokens are for (RU-3)"}} {
			if m, there := t.members[needed.key]; (!there || m.value.kind == list && len(m.value.items) == 0) && !t.slips[needed.key] {
				t.r.fault(t.place(needed.key), "%s needs %s: %s", t.label, needed.key, needed.what)
			}
		}
	}
	for _, p := range out.Allow {
		if p.WholeTrustDomain() {
			t.r.warn(t.place("allow"), "%s lets every workload of %s register (MD-21)", t.name("allow"), td.Name())
		}
	}
	out.Digest = out.digest()
	return out
}

// digest is over JSON with a fixed order, so that the same template has the same
// one in every process.
func (t RegistrationTemplate) digest() [sha256.Size]byte {
	texts := func(patterns []svidgate.Pattern) (all []string) {
		for _, p := range patterns {
			all = append(all, p.String())
		}
		return all
	}
	b, err := json.Marshal([]any{1, texts(t.Allow), t.Methods, t.GrantTypes, t.Resources, t.Scope, t.Binding, int64(t.Lifetime)})
	if err != nil { // cannot be: strings and a number
		panic(err)
	}
	return sha256.Sum256(b)
}

// patterns reads a list of paths in one trust domain.
func (cr *clientReader) patterns(t *table, key string, td spiffeid.TrustDomain) (patterns []svidgate.Pattern) {
	for _, e := range t.list(key, "paths such as /ns/ci/*") {
		hint := ""
		if rest, ok := strings.CutPrefix(e.text, td.IDString()); ok && strings.HasPrefix(rest, "/") {
			hint = "; write " + quoted(rest) + ": the trust domain is this one"
		} else if !strings.HasPrefix(e.text, "/") && !strings.Contains(e.text, ":") {
			hint = "; it begins with a slash"
		}
		pattern, err := svidgate.ParsePattern(td.IDString() + e.text)
		switch {
		case !strings.HasPrefix(e.text, "/"):
			t.r.fault(e.at, "%s must have the path of a SPIFFE ID, or a path followed by /*, not %s%s", t.name(key), quoted(e.text), hint)
		case err != nil:
			t.r.fault(e.at, "%s must have the path of a SPIFFE ID, or a path followed by /*, not %s: %v", t.name(key), quoted(e.text), err)
		default:
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

// templateMethods are those that work, unless the template names some.
func (cr *clientReader) templateMethods(t *table) (methods []oauth.AuthMethod) {
	if !t.has("auth_methods") {
		for _, m := range authMethods {
			if m != oauth.MethodX509 || t.r.certificates {
				methods = append(methods, m)
			}
		}
		return methods
	}
	methods = readMethods(t)
	if slices.Contains(methods, oauth.MethodX509) && !t.r.certificates {
		t.r.fault(t.place("auth_methods"), "spiffe_x509 needs a listener that asks for client certificates: listen.mtls or public_client_certificates")
	}
	return methods
}

// templateGrants are what a client may do that nobody has looked at: ask in its own
// name (RF-9).
func templateGrants(t *table) []oauth.GrantType {
	if !t.has("grants") {
		return []oauth.GrantType{oauth.GrantClientCredentials}
	}
	if m := t.members["grants"].value; m.kind == list && len(m.items) == 0 {
		t.r.fault(m.at, "%s must name at least one grant type", t.name("grants"))
	}
	var grants []oauth.GrantType
	for _, e := range t.list("grants", "grant types") {
		switch e.text {
		case string(oauth.GrantClientCredentials):
			grants = append(grants, oauth.GrantClientCredentials)
		case "urn:ietf:params:oauth:grant-type:token-exchange":
			t.r.fault(e.at, "the grant type %s %s; only client_credentials is", e.text, later)
		default:
			t.r.fault(e.at, "a client that registers on first use has the grant type client_credentials only, not %s (RF-9)", quoted(e.text))
		}
	}
	return grants
}

// whole reads a whole number from 1 to most; 0 when it is absent or wrong.
func (t *table) whole(key string, most uint64) int {
	m, there := t.members[key]
	if !there {
		return 0
	}
	n, err := strconv.ParseUint(m.value.text, 10, 32)
	if m.value.kind != number || err != nil || n < 1 || n > most {
		t.mustBe(key, "a number from 1 to "+strconv.FormatUint(most, 10))
		return 0
	}
	return int(n)
}

// DefaultIdle is how long a client is kept that nobody uses.
const DefaultIdle = 720 * time.Hour
