package e2e

import (
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// What a client may have: CC-1 to CC-4, TK-5, TK-6, TK-8, AT-1 to AT-6.
func TestPolicy(t *testing.T) {
	w := newWorld(t)
	several := func(set ...string) func(*call) {
		return func(c *call) {
			*c = withJWT("several", w.td.jwt(t, "/several", issuer))
			c.set("resource", apiURL)
			for i := 0; i < len(set); i += 2 {
				c.set(set[i], set[i+1])
			}
		}
	}
	scope := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_scope", reason, rule} }
	target := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_target", reason, rule} }
	w.each(t, func() call { return call{} }, []row{
		{"CC-4 a scope of the resource but not of the client", several("scope", "read"), several("scope", "write"), scope(oauth.ReasonScopeDenied, "CC-4")},
		{"CC-4 a scope of the client but not of the resource", several("scope", "read"), several("scope", "audit"), scope(oauth.ReasonScopeDenied, "CC-4")},
		{"CC-4 one scope too many", several("scope", "read"), several("scope", "read write"), scope(oauth.ReasonScopeDenied, "CC-4")},
		{"CC-4 a scope in capitals", several(), several("scope", "READ"), scope(oauth.ReasonScopeDenied, "CC-4")},
		{"TK-5 two spaces", several("scope", "read"), several("scope", "read  read"), scope(oauth.ReasonScopeMalformed, "TK-5")},
		{"TK-5 a space behind", several(), several("scope", "read "), scope(oauth.ReasonScopeMalformed, "TK-5")},
		{"TK-5 a quote", several(), several("scope", `re"ad`), scope(oauth.ReasonScopeMalformed, "TK-5")},
		{"TK-5 a tab", several(), several("scope", "read\tread"), scope(oauth.ReasonScopeMalformed, "TK-5")},
		{"CC-4 a resource of nobody", several(), several("resource", "https://elsewhere.example.com/"), target(oauth.ReasonResourceUnknown, "CC-4")},
		{"CC-4 the resource without its slash", several(), several("resource", "https://api.example.com"), target(oauth.ReasonResourceUnknown, "CC-4")},
		{"CC-4 a resource of others", several(), several("resource", "https://vault.example.com/"), target(oauth.ReasonResourceDenied, "CC-4")},
		{"CC-4 no resource where there are two", several(), several("resource", ""), target(oauth.ReasonResourceMissing, "CC-4")},
		{"TK-5 a relative resource", several(), several("resource", "/api"), target(oauth.ReasonResourceUnknown, "TK-5")},
		{"TK-5 a resource with a fragment", several(), several("resource", apiURL+"#x"), target(oauth.ReasonResourceUnknown, "TK-5")},
		{"AT-4 two resources", several(), func(c *call) { several()(c); c.form.Add("resource", "https://ledger.example.com/") }, target(oauth.ReasonResourceMultiple, "AT-4")},
	})

	// CC-2, GL-5: the defaults.
	g := w.granted(t, w.billing(t))
	if g.claim("scope") != "read" || g.claim("aud") != apiURL || g.claim("sub") != w.td.id("/billing") || g.claim("client_id") != w.td.id("/billing") {
		t.Errorf("claims %v", g.claims)
	}
	if g.number("exp")-g.number("iat") != 300 {
		t.Errorf("AT-6 it lives %d s", g.number("exp")-g.number("iat"))
	}
	if age := time.Since(time.Unix(g.number("iat"), 0)); age < -2*time.Second || age > time.Minute {
		t.Errorf("AT-2 iat is %s ago", age)
	}
	for name := range g.claims {
		switch name {
		case "iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope":
		default:
			t.Errorf("AT-2 the token has a claim %s", name)
		}
	}
	if again := w.granted(t, w.billing(t)); again.claim("jti") == g.claim("jti") {
		t.Error("AT-2 jti twice")
	}
	if len(g.token.AccessToken) > 4<<10 {
		t.Errorf("AT-9 %d bytes", len(g.token.AccessToken))
	}
	c := w.orders(t)
	c.set("scope", "write read write")
	if g := w.granted(t, c); g.claim("scope") != "write read" {
		t.Errorf("scope %q", g.claim("scope"))
	}
	// GL-5: empty is absent, unknown is ignored; audience is for later grants.
	c = w.billing(t)
	for _, name := range []string{"scope", "resource", "audience", "code", "foo", "refresh_token"} {
		c.set(name, "")
	}
	c.set("bar", "x")
	if g := w.granted(t, c); g.claim("scope") != "read" {
		t.Errorf("scope %q", g.claim("scope"))
	}
}
