package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Login is how people sign in. The zero value has nobody sign in: there is no
// authorization endpoint then.
type Login struct {
	// Local, `login.local`, default false: people whom `svidgate user add` made
	// sign in with a password. Danger: for one server with one store; passwords are
	// the weakest proof there is.
	Local bool
	// Providers, `login.oidc`, default none: OpenID Connect providers that people
	// sign in at, in the order of the file, which is that of the page.
	Providers []Provider
}

// Enabled reports whether anybody can sign in.
func (l Login) Enabled() bool { return l.Local || len(l.Providers) > 0 }

// A Provider is an OpenID Connect provider that people sign in at.
type Provider struct {
	// Name, `login.oidc[].name`, required: begins the id of each of its users, as in
	// corp:4711, and ends the path of its callback. Danger: another name makes
	// other users; the same name at another issuer makes the same users of others.
	Name string
	// Title, `login.oidc[].title`, default the name: how the page calls it.
	Title string
	// Issuer, `login.oidc[].issuer`, required: byte for byte the issuer of its
	// metadata. It may be on loopback or private (FX-3).
	Issuer string
	// ClientID, `login.oidc[].client_id`, required: who this server is there.
	ClientID string
	// SecretFile, `login.oidc[].client_secret_file`, default none: holds the secret,
	// and is read at each sign-in. Without one this server is a public client there.
	SecretFile string
	// CAFile, `login.oidc[].ca_file`, default the CAs of the system: PEM
	// certificates that vouch for the provider.
	CAFile string
	// Scopes, `login.oidc[].scopes`, default openid and profile: what is asked for;
	// openid always is.
	Scopes []string
	// UserClaim, `login.oidc[].claims.user`, default sub: the claim that tells
	// people apart. Danger of another one: whoever can change it at the provider can
	// become somebody else. An email counts only where email_verified is true.
	UserClaim string
	// NameClaim, `login.oidc[].claims.name`, default name: what the pages call them.
	NameClaim string
	// Allow, `login.oidc[].allow`, default everybody whom the provider knows: one of
	// these must hold.
	Allow []Claim
}

// A Claim is what a claim of an ID token may say.
type Claim struct {
	Name   string   // `login.oidc[].allow[].claim`, required
	Values []string // `login.oidc[].allow[].values`, required
}

// LocalProvider is the provider in the id of a local user.
const LocalProvider = "local"

const (
	maxProviders = 20
	nameForm     = "1 to 32 of a-z, 0-9 and -, beginning with a letter"
	clientIDForm = "1 to 2048 printable ASCII characters without a space"
	claimForm    = "1 to 64 printable ASCII characters without a space"
)

// providerNames are those that cannot be read as the scheme of a SPIFFE ID or as a
// part of a path.
var providerNames = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// reservedProviders are names that would make two kinds of users, or a user and a
// workload, look alike (CC-3).
var reservedProviders = []string{LocalProvider, "spiffe"}

func (r *reader) readLogin(t *table, cfg *Config) {
	before := len(r.faults)
	login := t.sub("login", "login")
	cfg.Login.Local = login.boolean("local", false)
	lines := map[string]int{}
	login.eachOf("oidc", "login.oidc[]", func(p *table) { r.readProvider(p, cfg, lines) })
	if len(cfg.Login.Providers) > maxProviders {
		r.fault(login.place("oidc"), "login.oidc has more than %d providers", maxProviders)
	}
	if login.opened && len(r.faults) == before && !cfg.Login.Enabled() {
		r.warn(t.members["login"].at, "login lets nobody sign in: it has neither local: true nor a provider under oidc")
	}
	if cfg.Login.Enabled() && cfg.PublicClientCertificates {
		r.warn(t.place("public_client_certificates"), "public_client_certificates: true takes the pages for browsers away, so nobody can sign in")
	}
}

func (r *reader) readProvider(t *table, cfg *Config, lines map[string]int) {
	p := Provider{SecretFile: t.path("client_secret_file", ""), CAFile: t.path("ca_file", "")}
	if name, ok := t.text("name", nameForm); ok {
		first, twice := lines[name]
		switch {
		case !providerNames.MatchString(name):
			t.mustBe("name", nameForm)
		case slices.Contains(reservedProviders, name):
			r.fault(t.place("name"), "%s must not be %s: users of other kinds are called so (CC-3)", t.name("name"), quoted(name))
		case twice:
			r.fault(t.place("name"), "the provider %s is configured twice; the first is on line %d", quoted(name), first)
		}
		lines[name] = t.place("name").line
		p.Name, p.Title = name, name
	}
	p.Title = t.title("title", p.Title)
	p.Issuer, _ = t.httpsURL("issuer", urlForm{})
	if id, ok := t.text("client_id", clientIDForm); ok {
		if p.ClientID = id; !printable(id) {
			t.mustBe("client_id", clientIDForm)
		}
	}
	p.Scopes = []string{"openid"}
	scopes := t.list("scopes", "scopes")
	if !t.has("scopes") {
		p.Scopes = append(p.Scopes, "profile")
	}
	for _, s := range scopes {
		if badScope(s.text) {
			r.fault(s.at, "%s must be words of printable ASCII without spaces, quotes and backslashes, not %s", t.name("scopes"), quoted(s.text))
		}
		if s.text != "openid" {
			p.Scopes = append(p.Scopes, s.text)
		}
	}
	claims := t.sub("login.oidc[].claims", "claims")
	p.UserClaim, p.NameClaim = claims.claim("user", "sub"), claims.claim("name", "name")
	t.eachOf("allow", "login.oidc[].allow[]", func(a *table) {
		c := Claim{Name: a.claim("claim", "")}
		for _, v := range a.list("values", "texts") {
			if v.text == "" || len(v.text) > maxURI {
				r.fault(v.at, "%s must be texts of 1 to %d bytes", a.name("values"), maxURI)
			}
			c.Values = append(c.Values, v.text)
		}
		if m := a.members["values"].value; m != nil && m.kind == list && len(m.items) == 0 {
			r.fault(a.place("values"), "%s is empty, so nobody is allowed by it", a.name("values"))
		}
		p.Allow = append(p.Allow, c)
	})
	if m := t.members["allow"].value; m != nil && m.kind == list && len(m.items) == 0 {
		r.fault(t.place("allow"), "%s is empty; leave it out to let in everybody whom the provider knows", t.name("allow"))
	}
	cfg.Login.Providers = append(cfg.Login.Providers, p)
}

const (
	maxTitle  = 100
	titleForm = "1 to 100 characters on one line"
)

// badTitle reports what people cannot be shown in one line of so many characters: also
// what turns the direction of a text, or is not seen at all.
func badTitle(s string, most int) bool {
	return strings.TrimSpace(s) == "" || utf8.RuneCountInString(s) > most || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// title reads a text that people are shown.
func (t *table) title(key, otherwise string) string {
	s, ok := t.text(key, titleForm)
	if !ok {
		return otherwise
	}
	if badTitle(s, maxTitle) {
		t.mustBe(key, titleForm)
	}
	return strings.TrimSpace(s)
}

// scopeTitles reads a table whose keys are scopes of the same resource.
func (t *table) scopeTitles(scopes map[string]bool) map[string]string {
	const key = "scope_titles"
	m, there := t.members[key]
	if !there {
		return nil
	}
	if m.value.kind != mapping {
		t.mustBe(key, "a table of scopes and what each means")
		return nil
	}
	all := map[string]string{}
	for _, entry := range m.value.members {
		_, twice := all[entry.name]
		switch {
		case !scopes[entry.name]:
			t.r.fault(entry.at, "%s has %s, which is none of the scopes of this resource", t.name(key), quoted(entry.name))
		case twice:
			t.r.fault(entry.at, "%s has %s twice", t.name(key), quoted(entry.name))
		case entry.value.kind != text || badTitle(entry.value.text, maxTitle):
			t.r.fault(valuePlace(entry.at, entry.value), "%s.%s must be %s, not %s", t.name(key), entry.name, titleForm, entry.value.written())
		default:
			all[entry.name] = strings.TrimSpace(entry.value.text)
		}
	}
	return all
}

func (t *table) claim(key, otherwise string) string {
	s, ok := t.text(key, claimForm)
	if !ok {
		return otherwise
	}
	if !printable(s) || len(s) > 64 {
		t.mustBe(key, claimForm)
	}
	return s
}

// CallbackPath is where a provider sends people back to, below the issuer.
func (p Provider) CallbackPath() string { return "/login/callback/" + p.Name }

// files are the files that a provider names.
func (p Provider) files() []claim {
	return []claim{{path: p.SecretFile, what: "a client_secret_file"}, {path: p.CAFile, what: "a ca_file"}}
}
