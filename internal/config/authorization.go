package config

import (
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/redirecturi"
	"github.com/svidgate/svidgate/oauth"
)

// RefreshToken is how refresh tokens live. A client gets one where its grant_types
// have refresh_token.
type RefreshToken struct {
	// Rotation, `refresh_token.rotation`, default true: a refresh token is replaced
	// whenever it is used, and one that is used again revokes the grant (RT-3).
	// Those of public clients are always replaced. Danger of false: whoever copied
	// one, and can authenticate as its workload, shares the grant unseen (warned).
	Rotation bool
	// Idle, `refresh_token.idle`, default 168h, 1m to 8760h: the longest time
	// without use (RT-6).
	Idle time.Duration
	// Lifetime, `refresh_token.lifetime`, default 720h, 1m to 8760h and at least
	// idle: how long a person's word lasts (RT-6).
	Lifetime time.Duration
	// Grace, `refresh_token.grace`, default 0s, at most 30s: how long a replaced
	// token gives the same successor once more to its authenticated client, so that
	// a lost answer does not end the grant (RT-4). Danger: that long a copied one
	// does so, too.
	Grace time.Duration
}

func readRefreshToken(t *table) RefreshToken {
	const hour = time.Hour
	r := RefreshToken{
		Rotation: t.boolean("rotation", true),
		Grace:    t.duration("grace", span{max: 30 * time.Second}),
	}
	before := len(t.r.faults)
	r.Idle = t.duration("idle", span{168 * hour, time.Minute, 8760 * hour, false})
	r.Lifetime = t.duration("lifetime", span{max(720*hour, r.Idle), time.Minute, 8760 * hour, false})
	switch {
	case len(t.r.faults) > before:
	case r.Idle <= r.Lifetime:
	case !t.has("idle"): // it cannot last longer than the whole
		r.Idle = r.Lifetime
	default:
		t.r.fault(t.place("idle"), "%s must be at most refresh_token.lifetime (%s), not %s", t.name("idle"), short(r.Lifetime), t.members["idle"].value.written())
	}
	if !r.Rotation {
		t.r.warn(t.place("rotation"), "%s is false: a refresh token that was copied is not noticed (RT-3)", t.name("rotation"))
	}
	return r
}

// Codes reports whether any client has the authorization code grant.
func (c *Config) Codes() bool {
	return slices.ContainsFunc(c.Clients, func(client Client) bool { return slices.Contains(client.GrantTypes, oauth.GrantAuthorizationCode) })
}

// Public reports whether the client proves nothing when it asks for something.
func (c Client) Public() bool { return len(c.Methods) == 1 && c.Methods[0] == oauth.MethodNone }

// public reports whether the table is that of a public client, before anything of it
// is read: it has no SPIFFE ID.
func public(t *table) bool {
	m, there := t.members["token_endpoint_auth_method"]
	return there && m.value.kind == text && m.value.text == string(oauth.MethodNone)
}

// publicIdentity judges what names a public client. An identifier that could be a
// workload's would make the two one (CC-3).
func (cr *clientReader) publicIdentity(t *table, id string) {
	if _, err := spiffeid.FromString(id); err == nil || strings.HasPrefix(strings.ToLower(id), "spiffe:") {
		t.r.fault(t.place("client_id"), "%s is a SPIFFE ID, which a client with method none must not have: anybody may use its name (CC-3)", quoted(id))
	}
	for _, key := range []string{"spiffe_id", "spiffe_id_depth", "profile"} {
		if t.has(key) {
			t.r.fault(t.place(key), "%s is for clients that have an SVID, and one with method none has none", t.name(key))
		}
	}
}

// browser reads what a client has that people sign in for (RD-1 to RD-6).
func (cr *clientReader) browser(t *table, c *Client) {
	for _, e := range t.list("redirect_uris", "redirect URIs") {
		if err := redirecturi.Check(e.text); err != nil {
			t.r.fault(e.at, "%s has %s: %v", t.name("redirect_uris"), quoted(e.text), err)
			continue
		}
		c.RedirectURIs = append(c.RedirectURIs, e.text)
	}
	const want = "a text of 1 to 200 characters on one line"
	if name, ok := t.text("client_name", want); ok {
		if badTitle(name, 200) {
			t.mustBe("client_name", want)
		}
		c.Name = name
	}
	c.RequirePushed = t.boolean("require_pushed_authorization_requests", false)

	codes, refreshes := slices.Contains(c.GrantTypes, oauth.GrantAuthorizationCode), slices.Contains(c.GrantTypes, oauth.GrantRefreshToken)
	readable := !t.has("grant_types") || len(c.GrantTypes) > 0
	switch {
	case !readable:
	case codes && !t.has("redirect_uris"):
		t.r.fault(t.place("grant_types"), "the grant type authorization_code needs redirect_uris (RD-6)")
	case !codes && t.has("redirect_uris"):
		t.r.fault(t.place("redirect_uris"), "%s belongs to the grant type authorization_code, which the client does not have", t.name("redirect_uris"))
	case !codes && refreshes:
		t.r.fault(t.place("grant_types"), "the grant type refresh_token goes with authorization_code, which the client does not have")
	case !codes && c.RequirePushed:
		t.r.fault(t.place("require_pushed_authorization_requests"), "%s belongs to the grant type authorization_code, which the client does not have", t.name("require_pushed_authorization_requests"))
	}
	if c.Public() && slices.Contains(c.GrantTypes, oauth.GrantClientCredentials) {
		t.r.fault(t.place("grant_types"), "a client with method none cannot have the grant type client_credentials (CC-1)")
	}
}
