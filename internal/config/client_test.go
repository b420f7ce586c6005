package config_test

import "testing"

// above has the trust domains and resources that clients name: eleven lines.
const above = mutual + `trust_domains:
  example.org: {bundle_file: b.json}
  old.test: {bundle_file: b.json, profile: seed}
  off.test: {bundle_file: b.json, enable_wit: false}
resources:
  - {resource: https://a/, scopes: [read, write]}
clients:
`

// TestWrongClient has rows of one client, on line 12.
func TestWrongClient(t *testing.T) {
	client := func(s string) string { return "  - {resources: [https://a/], " + s + "}\n" }
	const id = "client_id: spiffe://example.org/a"
	const jwt = id + ", token_endpoint_auth_method: spiffe_jwt"
	const wild = `client_id: fleet, spiffe_id: "spiffe://example.org/ci/*", token_endpoint_auth_method: spiffe_x509`
	check(t, above, []wrong{
		{"client_id left out", client(jwt), client("spiffe_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]"), `12:5: the required key "clients[].client_id" is missing`},
		{"client_id a number", client("client_id: \"7\", spiffe_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]"), client("client_id: 7, spiffe_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]"), `12:42: clients[].client_id must be 1 to 2048 printable ASCII characters without a space, not the number 7`},
		{"client_id with a space", client(jwt), client("client_id: a b, spiffe_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]"), `12:42: clients[].client_id must be 1 to 2048 printable ASCII characters without a space, not "a b"`},
		{"client_id outside ASCII", client(jwt), client("client_id: ä, spiffe_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]"), `12:42: clients[].client_id must be 1 to 2048 printable ASCII characters without a space, not "?"`},
		{"client_id twice", client(jwt), client(jwt) + client(jwt), `13:42: the client "spiffe://example.org/a" is configured twice; the first is on line 12`},
		{"CA-9 neither spiffe_id nor a SPIFFE ID", client(jwt), client("client_id: billing, token_endpoint_auth_method: spiffe_jwt"), `12:42: "billing" is not a workload's SPIFFE ID, so this client needs spiffe_id (CA-9)`},
		{"SI-12 client_id without a path", client(jwt), client("client_id: spiffe://example.org, token_endpoint_auth_method: spiffe_jwt"), `12:42: "spiffe://example.org" is not a workload's SPIFFE ID, and this client has no spiffe_id (CA-9): it names a trust domain, not a workload: the path is missing (SI-12)`},
		{"MD-15 wildcard within a segment", client(wild), client("client_id: f, spiffe_id: spiffe://example.org/ci*, auth_methods: [spiffe_jwt]"), `12:56: clients[].spiffe_id must be a workload's SPIFFE ID, or a SPIFFE ID followed by /*, not "spiffe://example.org/ci*": a wildcard is the two characters /* at the end, and nothing else (MD-15)`},
		{"MD-16 wildcard of every trust domain", client(wild), client(`client_id: f, spiffe_id: "spiffe://*", auth_methods: [spiffe_jwt]`), `12:56: clients[].spiffe_id must be a workload's SPIFFE ID, or a SPIFFE ID followed by /*, not "spiffe://*": what precedes /* is not a SPIFFE ID: does not begin with spiffe:// (SI-1) (MD-16)`},
		{"A-13 spiffe_id a list", client(wild), client("client_id: f, spiffe_id: [spiffe://example.org/a], auth_methods: [spiffe_jwt]"), `12:56: clients[].spiffe_id must be a workload's SPIFFE ID, or a SPIFFE ID followed by /*, not a list`},
		{"MD-18 depth of an exact SPIFFE ID", client(wild + ", spiffe_id_depth: 1"), client(jwt + ", spiffe_id_depth: 1"), `12:123: clients[].spiffe_id_depth narrows a wildcard, but "spiffe://example.org/a" is none`},
		{"MD-18 depth 0", client(wild + ", spiffe_id_depth: 100"), client(wild + ", spiffe_id_depth: 0"), `12:147: clients[].spiffe_id_depth must be a number from 1 to 100, not the number 0`},
		{"trust domain not configured", client(jwt), client("client_id: spiffe://example.com/a, token_endpoint_auth_method: spiffe_jwt"), `12:42: the trust domain "example.com" of this client is not configured under trust_domains`},
		{"trust domain of spiffe_id not configured", client(wild), client(`client_id: f, spiffe_id: "spiffe://example.com/*", auth_methods: [spiffe_jwt]`), `12:56: the trust domain "example.com" of this client is not configured under trust_domains`},
		{"F49 trust domain configured in another case", client(jwt), client("client_id: spiffe://Example.org/a, token_endpoint_auth_method: spiffe_jwt"), `12:42: "spiffe://Example.org/a" is not a workload's SPIFFE ID, and this client has no spiffe_id (CA-9): the trust domain is not in lower case (SI-4); the configured trust domain "example.org" differs only in case`},
		{"F49 trust domain not configured in any case", client(jwt), client("client_id: spiffe://Example.net/a, token_endpoint_auth_method: spiffe_jwt"), `12:42: "spiffe://Example.net/a" is not a workload's SPIFFE ID, and this client has no spiffe_id (CA-9): the trust domain is not in lower case (SI-4); write "spiffe://example.net/a"`},
		{"F49 scheme in another case", client(wild), client(`client_id: f, spiffe_id: "SPIFFE://example.org/*", auth_methods: [spiffe_jwt]`), `12:56: clients[].spiffe_id must be a workload's SPIFFE ID, or a SPIFFE ID followed by /*, not "SPIFFE://example.org/*": what precedes /* is not a SPIFFE ID: the scheme is not in lower case (SI-10) (MD-16); the configured trust domain "example.org" differs only in case`},
		{"F49 resource in another case", client(jwt), "  - {" + jwt + ", resources: [https://A/]}\n", `12:93: clients[].resources names "https://A/", which no entry of resources is; "https://a/" differs only in case`},
		{"F49 scope in another case", client(jwt + ", scope: read"), client(jwt + ", scope: READ"), `12:113: clients[].scope names "READ", which no entry of resources has; "read" differs only in case`},
		{"wildcard in client_id", client(wild), client("client_id: spiffe://example.org/ci/*, token_endpoint_auth_method: spiffe_jwt"), `12:42: "spiffe://example.org/ci/*" is not a workload's SPIFFE ID: a wildcard stands in spiffe_id, beside a client_id of your choice (CA-9)`},
		{"trust domain misspelt", client(jwt), client("client_id: spiffe://exmaple.org/a, token_endpoint_auth_method: spiffe_jwt"), `12:42: the trust domain "exmaple.org" of this client is not configured under trust_domains; did you mean "example.org"?`},
		{"no method", client(jwt), client(id), `12:5: a client needs token_endpoint_auth_method (spiffe_jwt, spiffe_x509 or spiffe_wit) or auth_methods (a list of them)`},
		{"CA-7 both kinds of method", client(jwt), client(jwt + ", auth_methods: [spiffe_x509]"), `12:106: a client has token_endpoint_auth_method or auth_methods, not both`},
		{"no method in the list", client(id + ", auth_methods: [spiffe_jwt, spiffe_x509]"), client(id + ", auth_methods: []"), `12:80: clients[].auth_methods must name at least one method`},
		{"method a list", client(jwt), client(id + ", token_endpoint_auth_method: [spiffe_jwt]"), `12:94: clients[].token_endpoint_auth_method must be spiffe_jwt, spiffe_x509 or spiffe_wit, not a list`},
		{"method twice", client(id + ", auth_methods: [spiffe_jwt]"), client(id + ", auth_methods: [spiffe_jwt, spiffe_jwt]"), `12:93: clients[].auth_methods names "spiffe_jwt" a second time`},
		{"MD-24 method with a secret", client(jwt), client(id + ", token_endpoint_auth_method: client_secret_basic"), `12:94: the method must be spiffe_jwt, spiffe_x509 or spiffe_wit, not "client_secret_basic"`},
		{"MD-24 client_secret", client(jwt), client(jwt + ", client_secret: hunter2"), `12:106: clients[].client_secret is not for this server: a client authenticates with its SVID and has no secret (MD-24)`},
		{"MD-13 a client's own bundle endpoint", client(jwt), client(jwt + ", spiffe_bundle_endpoint: https://example.org/"), `12:106: clients[].spiffe_bundle_endpoint is not believed of a client (MD-13); configure the endpoint under trust_domains`},
		{"spiffe_wit under profile seed", client(id + ", token_endpoint_auth_method: spiffe_wit"), client(id + ", token_endpoint_auth_method: spiffe_wit, profile: seed"), `12:94: profile seed has no spiffe_wit`},
		{"spiffe_wit in a list under the trust domain's profile seed", client("client_id: spiffe://old.test/a, auth_methods: [spiffe_jwt, spiffe_wit], profile: latest"), client("client_id: spiffe://old.test/a, auth_methods: [spiffe_jwt, spiffe_wit]"), `12:77: profile seed has no spiffe_wit`},
		{"spiffe_wit where enable_wit is false", client("client_id: spiffe://off.test/a, token_endpoint_auth_method: spiffe_jwt"), client("client_id: spiffe://off.test/a, token_endpoint_auth_method: spiffe_wit"), `12:91: spiffe_wit is switched off for the trust domain "off.test" (enable_wit)`},
		{"IN-2 introspects what no entry is", client(jwt + ", introspects: [https://a/]"), client(jwt + ", introspects: [https://a]"), `12:120: clients[].introspects names "https://a", which no entry of resources is; did you mean "https://a/"?`},
		{"introspects twice", client(jwt + ", introspects: [https://a/]"), client(jwt + ", introspects: [https://a/, https://a/]"), `12:132: clients[].introspects names "https://a/" a second time`},
		{"introspects a text", client(jwt + ", introspects: [https://a/]"), client(jwt + ", introspects: https://a/"), `12:119: clients[].introspects must be a list of resources, not "https://a/"; put it in brackets: [ ]`},
		{"grant of a later version", client(jwt + ", grant_types: [client_credentials]"), client(jwt + ", grant_types: [\"urn:ietf:params:oauth:grant-type:jwt-bearer\"]"), `12:120: the grant type urn:ietf:params:oauth:grant-type:jwt-bearer is not implemented in this version`},
		{"grant unknown", client(jwt), client(jwt + ", grant_types: [password]"), `12:120: the grant type must be client_credentials, authorization_code or refresh_token, not "password"`},
		{"no grant", client(jwt), client(jwt + ", grant_types: []"), `12:119: clients[].grant_types must name at least one grant type`},
		{"scope that no resource has", client(jwt + ", scope: read write"), client(jwt + ", scope: read admin"), `12:113: clients[].scope names "admin", which no entry of resources has`},
		{"scope with two spaces", client(jwt + ", scope: \"\""), client(jwt + ", scope: read  write"), `12:113: clients[].scope must be scopes of printable ASCII in one text, with single spaces between them, such as "read write", not "read  write"`},
		{"scope a list", client(jwt + ", scope: write"), client(jwt + ", scope: [write]"), `12:113: clients[].scope must be scopes of printable ASCII in one text, with single spaces between them, such as "read write", not a list`},
		{"scope twice", client(jwt + ", scope: read"), client(jwt + ", scope: read read"), `12:113: clients[].scope names "read" a second time`},
		{"resource that no entry is", "  - {" + jwt + ", resources: [https://a/]}\n", "  - {" + jwt + ", resources: [https://a]}\n", `12:93: clients[].resources names "https://a", which no entry of resources is; did you mean "https://a/"?`},
		{"binding of a client", client(jwt + ", binding: required"), client(jwt + ", binding: always"), `12:115: clients[].binding must be auto, required or none, not "always"`},
		{"profile of a client", client(jwt + ", profile: latest"), client(jwt + ", profile: last"), `12:115: clients[].profile must be transition, latest, ietf-02 or seed, not "last"`},
		{"wildcard under profile seed", client(wild), client(wild + ", profile: seed"), `12:60: "spiffe://example.org/ci/*" is a wildcard, which profile seed does not allow with spiffe_x509; profiles that do are transition, latest`},
		{"wildcard under the trust domain's profile seed", client(`client_id: f, spiffe_id: "spiffe://old.test/*", auth_methods: [spiffe_jwt], profile: latest`), client(`client_id: f, spiffe_id: "spiffe://old.test/*", auth_methods: [spiffe_jwt]`), `12:56: "spiffe://old.test/*" is a wildcard, which profile seed does not allow with spiffe_jwt; profiles that do are transition, latest, ietf-02`},
		{"wildcard under ietf-02 with a certificate", client(`client_id: f, spiffe_id: "spiffe://example.org/*", auth_methods: [spiffe_jwt], profile: ietf-02`), client(`client_id: f, spiffe_id: "spiffe://example.org/*", auth_methods: [spiffe_jwt, spiffe_x509], profile: ietf-02`), `12:56: "spiffe://example.org/*" is a wildcard, which profile ietf-02 does not allow with spiffe_x509; profiles that do are transition, latest`},
		{"unknown key resource", client(jwt), "  - {" + jwt + ", resource: https://a/}\n", `12:81: unknown key "resource"; did you mean "resources"?`},
		{"method key misspelt", client(jwt), client(id + ", auth_metods: [spiffe_jwt]"), `12:66: unknown key "auth_metods"; did you mean "auth_methods"?`},
		{"client a text", client(jwt), "  - spiffe://example.org/a\n", `12:5: clients[] must be a table of keys, not "spiffe://example.org/a"; write {client_id: …}`},
	})
}

func TestWrongClientWithoutCertificates(t *testing.T) {
	const rest = "trust_domains: {example.org: {bundle_file: b.json}}\n"
	const client = "clients: [{client_id: spiffe://example.org/a, token_endpoint_auth_method: spiffe_x509}]\n"
	const want = `5:75: spiffe_x509 needs a listener that asks for client certificates: listen.mtls or public_client_certificates`
	check(t, server+rest, []wrong{
		{"no listener", client + "public_client_certificates: true\n", client, want},
		{"public listener told not to ask", client + "public_client_certificates: true\n", client + "public_client_certificates: false\n", want},
	})
	check(t, "", []wrong{{"mtls listener", mutual + rest + client, server + rest + client, want}})
}
