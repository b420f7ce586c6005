package config_test

import (
	"strings"
	"testing"
)

// TestWrongCodeClient has rows of one client that people sign in for, on line 11.
func TestWrongCodeClient(t *testing.T) {
	client := func(s string) string { return "  - {resources: [https://a/], " + s + "}\n" }
	uris := func(s string) string {
		return client("client_id: spiffe://example.org/a, auth_methods: [spiffe_jwt], grant_types: [authorization_code], redirect_uris: [" + s + "]")
	}
	const jwt = "client_id: spiffe://example.org/a, auth_methods: [spiffe_jwt], "
	const code = "grant_types: [authorization_code], redirect_uris: [https://app/cb]"
	const none = "token_endpoint_auth_method: none, " + code
	check(t, above, []wrong{
		{"RD-4 a fragment", uris("https://app/cb"), uris(`"https://app/cb#x"`), `12:145: clients[].redirect_uris has "https://app/cb#x": it must have no fragment (RD-4)`},
		{"RD-4 http", uris("https://app/cb"), uris("http://app/cb"), `12:145: clients[].redirect_uris has "http://app/cb": http is for http://127.0.0.1, http://[::1] and http://localhost only (RD-4)`},
		{"RD-2 another loopback address", uris("http://127.0.0.1/cb"), uris("http://127.0.0.2/cb"), `12:145: clients[].redirect_uris has "http://127.0.0.2/cb": http is for http://127.0.0.1, http://[::1] and http://localhost only (RD-4)`},
		{"RD-2 a host that begins as loopback", uris(`"http://[::1]:80/cb"`), uris("http://127.0.0.1.evil.test/cb"), `12:145: clients[].redirect_uris has "http://127.0.0.1.evil.test/cb": http is for http://127.0.0.1, http://[::1] and http://localhost only (RD-4)`},
		{"RD-3 localhost without a port", uris("http://localhost/cb"), uris("http://localhost.evil.test/cb"), `12:145: clients[].redirect_uris has "http://localhost.evil.test/cb": http is for http://127.0.0.1, http://[::1] and http://localhost only (RD-4)`},
		{"RD-4 user information", uris(`"http://localhost:80/cb"`), uris(`"https://a@app/cb"`), `12:145: clients[].redirect_uris has "https://a@app/cb": it must have no user information (RD-4)`},
		{"RD-4 a private scheme without a period", uris("com.example.app:/cb"), uris("myapp:/cb"), `12:145: clients[].redirect_uris has "myapp:/cb": its scheme must be https, or a private one with a period in it, such as com.example.app (RD-4)`},
		{"RD-4 a script", uris("com.example.app:/cb"), uris(`"javascript:alert(1)"`), `12:145: clients[].redirect_uris has "javascript:alert(1)": its scheme must be https, or a private one with a period in it, such as com.example.app (RD-4)`},
		{"RD-1 a wildcard", uris("https://app/cb"), uris("https://app/*"), `12:145: clients[].redirect_uris has "https://app/*": there are no wildcards in it (RD-1)`},
		{"RD-4 relative", uris("https://app/cb"), uris("/cb"), `12:145: clients[].redirect_uris has "/cb": it must be an absolute URI`},
		{"RD-1 twice", uris("https://app/a, https://app/b"), uris("https://app/a, https://app/a"), `12:160: clients[].redirect_uris names "https://app/a" a second time`},
		{"RD-6 codes without redirect_uris", client(jwt + code), client(jwt + "grant_types: [authorization_code]"), `12:107: the grant type authorization_code needs redirect_uris (RD-6)`},
		{"RD-6 redirect_uris without codes", client(jwt + code), client(jwt + "redirect_uris: [https://app/cb]"), `12:109: clients[].redirect_uris belongs to the grant type authorization_code, which the client does not have`},
		{"RT-1 refresh tokens without codes", client(jwt + "grant_types: [authorization_code, refresh_token], redirect_uris: [https://app/cb]"), client(jwt + "grant_types: [refresh_token]"), `12:107: the grant type refresh_token goes with authorization_code, which the client does not have`},
		{"PA-6 pushing without codes", client(jwt + code + ", require_pushed_authorization_requests: true"), client(jwt + "require_pushed_authorization_requests: true"), `12:133: clients[].require_pushed_authorization_requests belongs to the grant type authorization_code, which the client does not have`},
		{"client_name empty", client(jwt + code + ", client_name: An app"), client(jwt + code + `, client_name: ""`), `12:175: clients[].client_name must be a text of 1 to 200 characters on one line, not ""`},
		{"client_name on two lines", client(jwt + code + ", client_name: An app"), client(jwt + code + `, client_name: "a\nb"`), `12:175: clients[].client_name must be a text of 1 to 200 characters on one line, not "a?b"`},
		{"client_name with a direction mark", client(jwt + code + ", client_name: " + strings.Repeat("ä", 200)), client(jwt + code + `, client_name: "An \u202eapp"`), `12:175: clients[].client_name must be a text of 1 to 200 characters on one line, not "An ?app"`},
		{"CC-3 a public client with a workload's name", client("client_id: phone, " + none), client("client_id: spiffe://example.org/a, " + none), `12:42: "spiffe://example.org/a" is a SPIFFE ID, which a client with method none must not have: anybody may use its name (CC-3)`},
		{"CC-3 a public client with nearly a workload's name", client("client_id: phone, " + none), client("client_id: SPIFFE://Example.org, " + none), `12:42: "SPIFFE://Example.org" is a SPIFFE ID, which a client with method none must not have: anybody may use its name (CC-3)`},
		{"CC-3 a public client with spiffe_id", client("client_id: phone, " + none), client("client_id: phone, spiffe_id: spiffe://example.org/a, " + none), `12:60: clients[].spiffe_id is for clients that have an SVID, and one with method none has none`},
		{"CA-7 none beside another method", client("client_id: phone, " + none), client(jwt[:len(jwt)-len("auth_methods: [spiffe_jwt], ")] + "auth_methods: [none, spiffe_jwt], " + code), `12:81: the method none stands alone, in token_endpoint_auth_method: a client with it authenticates in no way`},
		{"CC-1 a public client in its own name", client("client_id: phone, " + none), client("client_id: phone, token_endpoint_auth_method: none, grant_types: [client_credentials]"), `12:96: a client with method none cannot have the grant type client_credentials (CC-1)`},
	})
}

func TestWrongRefreshToken(t *testing.T) {
	check(t, server, []wrong{
		{"RT-4 grace over 30 s", "refresh_token: {grace: 30s}\n", "refresh_token: {grace: 31s}\n", `4:24: refresh_token.grace must be from 0s to 30s, not "31s"`},
		{"RT-6 idle longer than lifetime", "refresh_token: {idle: 24h, lifetime: 24h}\n", "refresh_token: {idle: 25h, lifetime: 24h}\n", `4:23: refresh_token.idle must be at most refresh_token.lifetime (24h), not "25h"`},
		{"RT-6 lifetime 0", "refresh_token: {lifetime: 1m}\n", "refresh_token: {lifetime: 0}\n", `4:27: refresh_token.lifetime must be from 1m to 8760h, not the number 0`},
		{"RT-3 rotation a word", "refresh_token: {rotation: true}\n", "refresh_token: {rotation: always}\n", `4:27: refresh_token.rotation must be true or false, not "always"`},
	})
}
