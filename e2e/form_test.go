package e2e

import (
	"strings"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// The shape of a request, before anybody is looked up: GL-2 to GL-5, GL-8, CA-5,
// CA-13, CJ-1 to CJ-3, TK-1, TK-3.
func TestForm(t *testing.T) {
	w := newWorld(t)
	base := func() call { return w.billing(t) }
	assertion := func(c *call) string { return c.form.Get("client_assertion") }
	secret := secrets.add("client_secret", "wholly-unused-client-secret-4711")
	malformed := func(rule string) refusal { return refusal{"invalid_request", oauth.ReasonRequestMalformed, rule} }
	mixed := refusal{"invalid_request", oauth.ReasonMixedCredentials, "CA-5"}
	disabled := refusal{"invalid_client", oauth.ReasonMethodNotAllowed, "CJ-1"}
	none := refusal{"invalid_client", oauth.ReasonAssertionMissing, "TK-2"}

	w.each(t, base, []row{
		{"GL-2 JSON body", nil, func(c *call) { c.say("Content-Type: application/json"); c.body = `{"grant_type":"client_credentials"}` }, malformed("GL-2")},
		{"GL-2 form called JSON", nil, func(c *call) { c.say("Content-Type: application/json") }, malformed("GL-2")},
		{"GL-2 no content type", func(c *call) { c.say("Content-Type: application/x-www-form-urlencoded") }, func(c *call) { c.say("Content-Type:") }, malformed("GL-2")},
		{"GL-2 multipart form", nil, func(c *call) { c.say("Content-Type: multipart/form-data; boundary=x") }, malformed("GL-2")},
		{"GL-2 charset", func(c *call) { c.say("Content-Type: application/x-www-form-urlencoded; charset=UTF-8") }, func(c *call) { c.say("Content-Type: application/x-www-form-urlencoded; charset=utf-16") }, malformed("GL-2")},
		{"GL-2 bytes that are no UTF-8", func(c *call) { c.body = c.form.Encode() + "&foo=%C3%A4" }, func(c *call) { c.body = c.form.Encode() + "&foo=%E4" }, malformed("GL-2")},
		{"GL-2 broken percent-encoding", func(c *call) { c.body = c.form.Encode() + "&foo=%25" }, func(c *call) { c.body = c.form.Encode() + "&foo=%2" }, malformed("GL-2")},
		{"GL-2 semicolons", nil, func(c *call) { c.body = strings.ReplaceAll(c.form.Encode(), "&", ";") }, malformed("GL-2")},
		{"GL-3 client_id in the query", func(c *call) { c.target = "/token?foo=bar" }, func(c *call) { c.target = "/token?client_id=x" }, malformed("GL-3")},
		{"GL-3 its name percent-encoded", func(c *call) { c.target = "/token?f%6Fo=x" }, func(c *call) { c.target = "/token?client%5Fid=x" }, malformed("GL-3")},
		{"GL-3 assertion in the query only", nil, func(c *call) { c.target = "/token?client_assertion=" + assertion(c); c.drop("client_assertion") }, malformed("GL-3")},
		{"GL-3 empty parameter in the query", nil, func(c *call) { c.target = "/token?scope" }, malformed("GL-3")},
		{"GL-3 malformed query", nil, func(c *call) { c.target = "/token?a;b" }, malformed("GL-3")},
		{"GL-4 two grant_type", func(c *call) { c.form.Add("resource", apiURL) }, func(c *call) { c.form.Add("grant_type", "client_credentials") }, malformed("GL-4")},
		{"GL-4 two scope, one empty", func(c *call) { c.set("scope", "") }, func(c *call) { c.set("scope", ""); c.form.Add("scope", "read") }, malformed("GL-4")},
		{"CA-13 two client_id", nil, func(c *call) { c.form.Add("client_id", c.form.Get("client_id")) }, malformed("GL-4")},
		{"CA-13 client_id with a space behind it", nil, func(c *call) { c.set("client_id", w.td.id("/billing")+" ") }, refusal{"invalid_client", oauth.ReasonClientNotFound, "CA-2"}},
		{"CA-13 client_id in another case", nil, func(c *call) { c.set("client_id", "spiffe://example.org/Billing") }, refusal{"invalid_client", oauth.ReasonClientNotFound, "CA-2"}},
		{"GL-14 client_id with a line end", nil, func(c *call) { c.set("client_id", w.td.id("/billing")+"\n") }, malformed("GL-14")},
		{"GL-14 client_id with a NUL", nil, func(c *call) { c.set("client_id", "a\x00b") }, malformed("GL-14")},
		{"GL-14 client_id of 2049 bytes", nil, func(c *call) { c.set("client_id", strings.Repeat("a", 2049)) }, malformed("GL-14")},

		{"CA-5 Basic beside an assertion", nil, func(c *call) { c.say("Authorization: Basic " + secret) }, mixed},
		{"CA-5 Bearer beside an assertion", nil, func(c *call) { c.say("Authorization: Bearer " + assertion(c)) }, mixed},
		{"CA-5 client_secret beside an assertion", func(c *call) { c.set("client_secret", "") }, func(c *call) { c.set("client_secret", secret) }, mixed},
		{"CA-5 WIT-SVID beside an assertion", nil, func(c *call) { c.say("OAuth-Client-Attestation: " + assertion(c)) }, mixed},
		{"CA-5 proof of a WIT-SVID beside an assertion", nil, func(c *call) { c.say("OAuth-Client-Attestation-PoP: " + assertion(c)) }, mixed},
		{"CA-5 Basic beside client_secret", nil, func(c *call) {
			c.drop("client_assertion")
			c.drop("client_assertion_type")
			c.set("client_secret", secret)
			c.say("Authorization: Basic " + secret)
		}, mixed},

		{"CJ-1 assertion without its type", nil, func(c *call) { c.drop("client_assertion_type") }, malformed("CJ-1")},
		{"CJ-1 assertion with an empty type", nil, func(c *call) { c.set("client_assertion_type", "") }, malformed("CJ-1")},
		{"CJ-1 type jwt-bearer", nil, func(c *call) {
			c.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		}, disabled},
		{"CJ-1 type spiffe-jwt", nil, func(c *call) {
			c.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:spiffe-jwt")
		}, disabled},
		{"CJ-1 type in capitals", nil, func(c *call) { c.set("client_assertion_type", strings.ToUpper(oauth.ClientAssertionTypeJWTSPIFFE)) }, disabled},
		{"CJ-1 type as the drafts print it", nil, func(c *call) {
			c.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type=jwt-spiffe")
		}, disabled},
		{"CJ-3 type without an assertion", nil, func(c *call) { c.drop("client_assertion") }, refusal{"invalid_request", oauth.ReasonAssertionMissing, "CJ-3"}},
		{"CJ-3 two assertions in two parameters", nil, func(c *call) { c.form.Add("client_assertion", w.td.jwt(t, "/billing", issuer)) }, malformed("GL-4")},
		{"CJ-3 two assertions in one", nil, func(c *call) { c.set("client_assertion", assertion(c)+" "+w.td.jwt(t, "/billing", issuer)) }, refusal{"invalid_client", oauth.ReasonAssertionMalformed, "JS-1"}},
		{"CJ-3 assertion in a header", nil, func(c *call) {
			c.say("Authorization: Bearer " + assertion(c))
			c.drop("client_assertion")
			c.drop("client_assertion_type")
		}, refusal{"invalid_client", oauth.ReasonMethodNotAllowed, "CA-7"}},

		{"TK-1 no grant_type", nil, func(c *call) { c.drop("grant_type") }, malformed("TK-1")},
		{"TK-1 empty grant_type", nil, func(c *call) { c.set("grant_type", "") }, malformed("TK-1")},
		{"TK-1 unknown grant_type", nil, func(c *call) { c.set("grant_type", "password") }, refusal{"unsupported_grant_type", oauth.ReasonGrantUnsupported, "TK-1"}},
		{"TK-1 grant_type in capitals", nil, func(c *call) { c.set("grant_type", "CLIENT_CREDENTIALS") }, refusal{"unsupported_grant_type", oauth.ReasonGrantUnsupported, "TK-1"}},
		{"TK-2 no authentication", nil, func(c *call) { c.drop("client_assertion"); c.drop("client_assertion_type") }, none},
		{"GL-5 empty authentication", nil, func(c *call) { c.set("client_assertion", ""); c.set("client_assertion_type", "") }, none},
		{"TK-2 no authentication and no client_id", nil, func(c *call) { c.form = form() }, none},

		{"GL-8 assertion of 16 KiB and a byte", nil, func(c *call) { c.set("client_assertion", strings.Repeat("a", 16<<10+1)) }, refusal{"invalid_client", oauth.ReasonAssertionTooLarge, "GL-8"}},
		{"GL-8 body of 64 KiB and a byte", func(c *call) { c.body = padded(c, 64<<10) }, func(c *call) { c.body = padded(c, 64<<10+1) }, refusal{"(too_large)", oauth.ReasonRequestTooLarge, "GL-8"}},
		{"GL-8 as much in chunks", func(c *call) { c.body = padded(c, 64<<10); c.chunks = true }, func(c *call) { c.body = padded(c, 64<<10+1); c.chunks = true }, refusal{"(too_large)", oauth.ReasonRequestTooLarge, "GL-8"}},
		{"GL-8 body of a megabyte", nil, func(c *call) { c.body = padded(c, 1<<20) }, refusal{"(too_large)", oauth.ReasonRequestTooLarge, "GL-8"}},
	})
}

// padded is a call's form with an unknown parameter that makes it n bytes long.
func padded(c *call, n int) string {
	body := c.form.Encode() + "&pad="
	return body + strings.Repeat("x", n-len(body))
}

// TK-4, ER-2: a challenge goes to one who used the Authorization header, by its
// scheme, and to nobody else.
func TestChallenge(t *testing.T) {
	w := newWorld(t)
	credential := secrets.add("Authorization header", "Y2xpZW50OnNlY3JldC1vZi1ub2JvZHk")
	notAllowed := refusal{"invalid_client", oauth.ReasonMethodNotAllowed, "CA-7"}
	for _, row := range []struct {
		name, authorization, want string
		refusal                   refusal
	}{
		{"Basic", "Basic " + credential, `Basic realm="token endpoint"`, notAllowed},
		{"basic in lower case", "basic " + credential, `Basic realm="token endpoint"`, notAllowed},
		{"Bearer", "Bearer " + credential, `Bearer realm="token endpoint"`, notAllowed},
		{"a scheme nobody knows", "Frob " + credential, "", notAllowed},
		{"no scheme", credential, "", notAllowed},
		{"no header", "", "", refusal{"invalid_client", oauth.ReasonAssertionMissing, "TK-2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := call{form: form("client_id", w.td.id("/billing"))}
			if row.authorization != "" {
				c.say("Authorization: " + row.authorization)
			}
			a := w.refused(t, c, row.refusal)
			if got := a.header.Get("WWW-Authenticate"); got != row.want {
				t.Errorf("WWW-Authenticate %q, want %q", got, row.want)
			}
		})
	}
	a := w.refused(t, withJWT(w.td.id("/billing"), "no.jwt.here"), refusal{"invalid_client", oauth.ReasonAssertionMalformed, "JS-1"})
	if got := a.header.Get("WWW-Authenticate"); got != "" {
		t.Errorf("an assertion is answered with WWW-Authenticate %q", got)
	}
}
