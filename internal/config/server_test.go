package config_test

import (
	"strings"
	"testing"
)

// TestWrongServer has rows that are whole files.
func TestWrongServer(t *testing.T) {
	const rest = "listen: {public: \"127.0.0.1:8443\"}\ntls: {certificate: as.crt, key: as.key}\n"
	const url = "issuer: https://as.example.com\n"
	const tls = "tls: {certificate: as.crt, key: as.key}\n"
	const local = "issuer: https://127.0.0.1:8443\n"
	check(t, "", []wrong{
		{"issuer left out", server, rest, `1:1: the required key "issuer" is missing`},
		{"issuer empty", server, "issuer:\n" + rest, `1:1: issuer has no value; it must be an https URL`},
		{"issuer a list", server, "issuer: [https://as.example.com]\n" + rest, `1:9: issuer must be an https URL, not a list`},
		{"AM-2 issuer over http", server, "issuer: http://as.example.com\n" + rest, `1:9: issuer must be an https URL, not "http://as.example.com"`},
		{"AM-2 issuer over http on loopback", local + rest, "issuer: http://127.0.0.1:8443\n" + rest, `1:9: issuer must be an https URL, not "http://127.0.0.1:8443"`},
		{"issuer with its scheme in capitals", server, "issuer: HTTPS://as.example.com\n" + rest, `1:9: issuer must be an https URL, not "HTTPS://as.example.com"`},
		{"AM-2 issuer with a query", server, "issuer: https://as.example.com/?a=b\n" + rest, `1:9: issuer must be an https URL without a query, not "https://as.example.com/?a=b"`},
		{"AM-2 issuer with an empty query", server, "issuer: https://as.example.com?\n" + rest, `1:9: issuer must be an https URL without a query, not "https://as.example.com?"`},
		{"AM-2 issuer with an empty fragment", server, "issuer: \"https://as.example.com#\"\n" + rest, `1:9: issuer must be an https URL without a fragment, not "https://as.example.com#"`},
		{"AM-2 issuer with user information", server, "issuer: https://me:pw@as.example.com\n" + rest, `1:9: issuer must be an https URL without user information before the host`},
		{"issuer without a host", server, "issuer: https:///x\n" + rest, `1:9: issuer must be an https URL, not "https:///x"`},
		{"issuer with a port out of range", "issuer: https://as.example.com:65535\n" + rest, "issuer: https://as.example.com:65536\n" + rest, `1:9: issuer must be an https URL, not "https://as.example.com:65536"`},
		{"issuer with a colon and no port", server, "issuer: \"https://as.example.com:\"\n" + rest, `1:9: issuer must be an https URL, not "https://as.example.com:"`},
		{"issuer with a dot segment", "issuer: https://as.example.com/a/b/\n" + rest, "issuer: https://as.example.com/a/../b\n" + rest, `1:9: issuer must be an https URL whose path has no dot segment, no empty segment, no percent-encoding and no brace, not "https://as.example.com/a/../b"`},
		{"issuer with a brace", "issuer: https://as.example.com/a/b/\n" + rest, "issuer: https://as.example.com/{b}\n" + rest, `1:9: issuer must be an https URL whose path has no dot segment, no empty segment, no percent-encoding and no brace, not "https://as.example.com/{b}"`},
		{"issuer with two slashes at its end", "issuer: https://as.example.com/\n" + rest, "issuer: https://as.example.com//\n" + rest, `1:9: issuer must be an https URL whose path has no dot segment, no empty segment, no percent-encoding and no brace, not "https://as.example.com//"`},
		{"issuer with a space", server, "issuer: https://as.example.com/a b\n" + rest, `1:9: issuer must be an https URL, not "https://as.example.com/a b"`},

		{"listen left out", server, url + tls, `1:1: the required key "listen" is missing`},
		{"listen.public left out", server, url + "listen: {}\n" + tls, `2:1: the required key "listen.public" is missing`},
		{"listen a text", server, url + "listen: \"127.0.0.1:8443\"\n" + tls, `2:9: listen must be a table of keys, not "127.0.0.1:8443"; write {public: …}`},
		{"address without a port", url + "listen: {public: \":0\"}\n" + tls, url + "listen: {public: 127.0.0.1}\n" + tls, `2:18: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not "127.0.0.1"`},
		{"address with a port out of range", server, url + "listen: {public: \"127.0.0.1:65536\"}\n" + tls, `2:18: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not "127.0.0.1:65536"; ports end at 65535`},
		{"address a number that is no port", server, url + "listen: {public: 1.5}\n" + tls, `2:18: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not the number 1.5`},
		{"address with a service for a port", server, url + "listen: {public: \"127.0.0.1:https\"}\n" + tls, `2:18: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not "127.0.0.1:https"`},
		{"address with a host that is no name", url + "listen: {public: \"localhost:8443\"}\n" + tls, url + "listen: {public: \"local$host:8443\"}\n" + tls, `2:18: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not "local$host:8443"`},
		{"address that is a URL", url + "listen: {public: \"[::1]:8443\"}\n" + tls, url + "listen: {public: \"https://[::1]:8443\"}\n" + tls, `2:18: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not "https://[::1]:8443"`},
		{"one address for two listeners", url + "listen: {public: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\n" + tls, url + "listen: {public: \"127.0.0.1:1\", status: \"127.0.0.1:1\"}\n" + tls, `2:41: listen.status has the same address as listen.public (127.0.0.1:1); each needs its own port`},
		{"one port on every address and on one", url + "listen: {public: \":1\", status: \"127.0.0.1:2\"}\n" + tls, url + "listen: {public: \":1\", status: \"127.0.0.1:01\"}\n" + tls, `2:32: listen.status has the same address as listen.public (:1); each needs its own port`},
		{"one port on two addresses", url + "listen: {public: \"127.0.0.1:1\", status: \"127.0.0.2:1\"}\n" + tls, url + "listen: {public: \"127.0.0.1:1\", status: \"[::]:1\"}\n" + tls, `2:41: listen.status has the same address as listen.public (127.0.0.1:1); each needs its own port`},
		{"status off loopback without tls", url + "listen: {public: \":1\", status: \":2\"}\n" + tls, url + "listen: {public: \":1\", status: \":2\"}\n",
			"1:1: the required key \"tls\" is missing\n2:32: listen.status is not on loopback and so needs TLS, but there is no tls"},

		{"tls left out", server, url + "listen: {public: \":1\"}\n", `1:1: the required key "tls" is missing`},
		{"tls.key left out", server, url + "listen: {public: \":1\"}\ntls: {certificate: a}\n", `3:1: the required key "tls.key" is missing`},
		{"tls.certificate a folder", server, url + "listen: {public: \":1\"}\ntls: {certificate: a/, key: b}\n", `3:20: tls.certificate must be the name of a file, not "a/"`},

		{"listen.mtls without mtls_url", mutual, url + "listen: {public: \":1\", mtls: \":2\"}\n" + tls, `2:30: listen.mtls needs mtls_url, the URL by which clients reach it, because the issuer is not on loopback`},
		{"listen.mtls without mtls_url, and a host that only begins like loopback", "issuer: https://127.9.9.9\nlisten: {public: \":1\", mtls: \":2\"}\n" + tls, "issuer: https://127.0.0.1.example.com\nlisten: {public: \":1\", mtls: \":2\"}\n" + tls,
			`2:30: listen.mtls needs mtls_url, the URL by which clients reach it, because the issuer is not on loopback`},
		{"mtls_url without listen.mtls", mutual, server + "mtls_url: https://mtls.as.example.com\n", `4:11: mtls_url is the address of listen.mtls, but there is no listen.mtls`},
		{"mtls_url the issuer", mutual, url + "listen: {public: \":1\", mtls: \":2\"}\n" + tls + "mtls_url: https://as.example.com/\n", `4:11: mtls_url must differ from the issuer: it is the address of another listener`},
		{"mtls_url over http", mutual, url + "listen: {public: \":1\", mtls: \":2\"}\n" + tls + "mtls_url: http://mtls.as.example.com\n", `4:11: mtls_url must be an https URL, not "http://mtls.as.example.com"`},
	})
}

// long is an absolute path of so many bytes.
func long(size int) string { return "/" + strings.Repeat("a", size-1) }

// TestWrongSection has rows below the three lines of server.
func TestWrongSection(t *testing.T) {
	const brief = "access_token: {lifetime: 1s}\n"
	check(t, server, []wrong{
		{"unknown key near a known one", "keys: {}\n", "kyes: {}\n", `4:1: unknown key "kyes"; did you mean "keys"?`},
		{"unknown key with a dash", "access_token: {}\n", "access-token: {}\n", `4:1: unknown key "access-token"; did you mean "access_token"?`},
		{"unknown key in a section", "audit: {fsync: every}\n", "audit: {fsnyc: every}\n", `4:9: unknown key "fsnyc"; did you mean "fsync"?`},
		{"unknown key near nothing", "log: {level: info}\n", "log: {colour: true}\n", `4:7: unknown key "colour"; the keys here are level`},
		{"key of another table", "# status\n", "status: \":1\"\n", `4:1: unknown key "status" here; there is listen.status`},
		{"key of several tables", "# require_kid\n", "require_kid: true\n", `4:1: unknown key "require_kid" here; there is svid.require_kid, trust_domains.<name>.svid.require_kid`},
		{"comment of another language", "# a\n", "\"// a\": 1\n", `4:1: a comment begins with #, not with //`},
		{"key written twice", "profile: seed\n", "profile: seed\nprofile: seed\n", `5:1: the key "profile" is written twice; the first is on line 4`},
		{"key written twice in a section", "audit: {file: a}\n", "audit: {file: a, file: b}\n", `4:18: the key "file" is written twice; the first is on line 4`},
		{"profile unknown", "profile: ietf-02\n", "profile: ietf-03\n", `4:10: profile must be transition, latest, ietf-02 or seed, not "ietf-03"; did you mean "ietf-02"?`},
		{"profile in capitals", "profile: latest\n", "profile: Latest\n", `4:10: profile must be transition, latest, ietf-02 or seed, not "Latest"; "latest" differs only in case`},
		{"text of lines that ends in a line feed", "profile: |-\n  seed\n", "profile: |\n  seed\n", `4:10: profile must be transition, latest, ietf-02 or seed, not "seed?"; did you mean "seed"?`},
		{"number with a point", "log: {level: info}\n", "log: {level: 1.5}\n", `4:14: log.level must be info or debug, not the number 1.5`},
		{"boolean in the YAML of 1999", "public_client_certificates: true\n", "public_client_certificates: yes\n", `4:29: public_client_certificates must be true or false, not "yes"`},
		{"boolean in quotes", "public_client_certificates: false\n", "public_client_certificates: \"true\"\n", `4:29: public_client_certificates must be true or false, not "true"`},
		{"boolean empty", "public_client_certificates: false\n", "public_client_certificates:\n", `4:1: public_client_certificates has no value; it must be true or false`},
		{"binding unknown", "binding: required\n", "binding: dpop\n", `4:10: binding must be auto, required or none, not "dpop"`},
		{"store of an unknown kind", "store: sqlite:svidgate.db\n", "store: mysql://db/x\n", `4:8: store must be "memory:", sqlite: and a file, or a postgres:// URL`},
		{"store without its quotes", "store: 'memory:'\n", "store: memory:\n", `4:8: not valid YAML: no colon may stand here; a value that ends in a colon, or has ": " in it, must be in quotes`},
		{"PP-12 wit.challenge unknown", "wit: {challenge: off}\n", "wit: {challenge: always}\n", `4:18: wit.challenge must be off, offered or required, not "always"`},
		{"login", "svid: {}\n", "login: {}\n", `4:1: login is not implemented in this version`},
		{"security_profile", "profile: latest\n", "security_profile: fapi2\n", `4:1: security_profile is not implemented in this version`},
		{"audit.fsync unknown", "audit: {fsync: every}\n", "audit: {fsync: never}\n", `4:16: audit.fsync must be every, not "never"`},
		{"audit.file empty", "audit: {file: \"-\"}\n", "audit: {file: \"\"}\n", `4:15: audit.file must be the name of a file, not ""`},
		{"audit.file is keys.file", "audit: {file: a}\nkeys: {file: b}\n", "audit: {file: a}\nkeys: {file: ./a}\n", `4:15: audit.file is written by the server and must not be keys.file`},
		{"audit.file is the certificate", "audit: {file: as.log}\n", "audit: {file: as.crt}\n", `4:15: audit.file is written by the server and must not be tls.certificate`},
		{"audit.file is the configuration", "audit: {file: a.yml}\n", "audit: {file: a.yaml}\n", `4:15: audit.file is written by the server and must not be a file of the configuration`},
		{"keys.file is the key of tls", "keys: {file: keys.json}\n", "keys: {file: as.key}\n", `4:14: keys.file is written by the server and must not be tls.key`},
		{"keys.rotate under 6s", brief + "keys: {rotate: 6s}\n", brief + "keys: {rotate: 5s}\n", `5:16: keys.rotate must be 0 or from 6s to 8760h, not "5s"`},
		{"KR-2 keys.rotate that would publish 49 keys", "keys: {rotate: 10s}\n", "keys: {rotate: 9s}\n", `4:16: keys.rotate must be at least 10s where access_token.lifetime is 5m, not "9s": more than 48 keys would be published at once`},
		{"keys.rotate beyond a year", "keys: {rotate: 8760h}\n", "keys: {rotate: 8761h}\n", `4:16: keys.rotate must be 0 or from 6s to 8760h, not "8761h"`},
		{"keys.rotate in days", "keys: {rotate: 168h}\n", "keys: {rotate: 1w}\n", `4:16: keys.rotate must be a duration in whole seconds such as 60s, 5m or 1h, not "1w"; write 168h`},
		{"keys.publish_ahead 0", "keys: {publish_ahead: 3s}\n", "keys: {publish_ahead: 0}\n", `4:23: keys.publish_ahead must be from 3s to 168h, not the number 0`},
		{"keys.publish_ahead beyond a week", "keys: {publish_ahead: 168h}\n", "keys: {publish_ahead: 169h}\n", `4:23: keys.publish_ahead must be from 3s to 168h, not "169h"`},
		{"KR-2 keys.rotate under twice publish_ahead", "keys: {rotate: 2h, publish_ahead: 1h}\n", "keys: {rotate: 7199s, publish_ahead: 1h}\n", `4:16: keys.rotate must be at least twice keys.publish_ahead (1h), so 2h or more, not "7199s": each key is published that long before it signs`},
		{"keys.rotate that cannot be read is not compared", "keys: {rotate: 0, publish_ahead: 168h}\n", "keys: {rotate: 4s, publish_ahead: 168h}\n", `4:16: keys.rotate must be 0 or from 6s to 8760h, not "4s"`},
		{"admin a text", "admin: {socket: a.sock}\n", "admin: a.sock\n", `4:8: admin must be a table of keys, not "a.sock"`},
		{"admin.socket empty", "admin: {}\n", "admin: {socket: \"\"}\n", `4:17: admin.socket must be the name of a file, not ""`},
		{"admin.socket of 104 bytes", "admin: {socket: " + long(103) + "}\n", "admin: {socket: " + long(104) + "}\n", `4:17: admin.socket is 104 bytes long as an absolute path ("` + long(104) + `"), and the path of a socket has at most 103; choose a shorter one`},
		{"admin.address", "admin: {socket: a}\n", "admin: {address: \":1\"}\n", `4:9: admin.address is not implemented in this version; use admin.socket`},
		{"admin.tls", "admin: {socket: a}\n", "admin: {tls: {}}\n", `4:9: admin.tls is not implemented in this version; use admin.socket`},
		{"admin.allow", "admin: {socket: a}\n", "admin: {allow: []}\n", `4:9: admin.allow is not implemented in this version; use admin.socket`},
		{"admin.socket is keys.file", "admin: {socket: a}\nkeys: {file: b}\n", "admin: {socket: a}\nkeys: {file: a}\n", `4:17: admin.socket is written by the server and must not be keys.file`},
		{"bundles a text", "bundles: {folder: b/}\n", "bundles: b\n", `4:10: bundles must be a table of keys, not "b"`},
		{"bundles.folder empty", "bundles: {folder: /var/lib/b}\n", "bundles: {folder: \"\"}\n", `4:19: bundles.folder must be the name of a folder, not ""`},
		{"bundles.folder the root", "bundles: {folder: ./b//}\n", "bundles: {folder: /}\n", `4:19: bundles.folder must be the name of a folder, not "/"`},
		{"bundles.folder holds keys.file", "keys: {file: s/k}\nbundles: {folder: s/b}\n", "keys: {file: s/k}\nbundles: {folder: s}\n", `5:19: bundles.folder is filled by the server and must not hold keys.file; give it a folder of its own`},
		{"bundles.folder is the socket", "admin: {socket: s}\nbundles: {folder: b}\n", "admin: {socket: s}\nbundles: {folder: s}\n", `5:19: bundles.folder is filled by the server and must not hold admin.socket; give it a folder of its own`},
		{"the default of bundles.folder holds audit.file", "audit: {file: svidgate-bundles.jsonl}\n", "audit: {file: svidgate-bundles/a}\n", `1:1: bundles.folder is filled by the server and must not hold audit.file; give it a folder of its own`},
		{"keys a text", "keys: {file: k.json}\n", "keys: k.json\n", `4:7: keys must be a table of keys, not "k.json"`},
		{"log.level unknown", "log: {level: debug}\n", "log: {level: trace}\n", `4:14: log.level must be info or debug, not "trace"`},
		{"JS-10 leeway too long", "svid: {leeway: 5m}\n", "svid: {leeway: 301s}\n", `4:16: svid.leeway must be from 0s to 5m, not "301s"`},
		{"leeway without a unit", "svid: {leeway: 0}\n", "svid: {leeway: 60}\n", `4:16: svid.leeway must be a duration in whole seconds such as 60s, 5m or 1h, not the number 60; write 60s, 60m or 60h`},
		{"leeway a truth", "svid: {leeway: 0}\n", "svid: {leeway: true}\n", `4:16: svid.leeway must be a duration in whole seconds such as 60s, 5m or 1h, not true`},
		{"leeway negative", "svid: {leeway: 0s}\n", "svid: {leeway: -1s}\n", `4:16: svid.leeway must be a duration in whole seconds such as 60s, 5m or 1h, not "-1s"`},
		{"leeway of half a second", "svid: {leeway: 1s}\n", "svid: {leeway: 500ms}\n", `4:16: svid.leeway must be a duration in whole seconds such as 60s, 5m or 1h, not "500ms"`},
		{"JS-19 lifetime beyond a year", "svid: {max_assertion_lifetime: 0}\n", "svid: {max_assertion_lifetime: 9000h}\n", `4:32: svid.max_assertion_lifetime must be 0 or from 1s to 8760h, not "9000h"`},
		{"JS-14 require_kid a number", "svid: {require_kid: true}\n", "svid: {require_kid: 1}\n", `4:21: svid.require_kid must be true or false, not the number 1`},
		{"access_token.lifetime 0", "access_token: {lifetime: 1s}\n", "access_token: {lifetime: 0}\n", `4:26: access_token.lifetime must be from 1s to 24h, not the number 0`},
		{"access_token.lifetime in days", "access_token: {lifetime: 24h}\n", "access_token: {lifetime: 1d}\n", `4:26: access_token.lifetime must be a duration in whole seconds such as 60s, 5m or 1h, not "1d"; write 24h`},
		{"access_token.alg symmetric", "access_token: {alg: EdDSA}\n", "access_token: {alg: HS256}\n", `4:21: access_token.alg must be ES256, EdDSA, PS256 or RS256, not "HS256"; did you mean "ES256"?`},
		{"access_token.alg none", "access_token: {alg: PS256}\n", "access_token: {alg: none}\n", `4:21: access_token.alg must be ES256, EdDSA, PS256 or RS256, not "none"`},
		{"rate without a unit", "limits: {failures_per_source: 200/s}\n", "limits: {failures_per_source: 200}\n", `4:31: limits.failures_per_source must be 0 for no limit, or a rate such as 200/s or 6000/m (at most 1000000), not the number 200`},
		{"rate per hour", "limits: {requests_per_client: 6000/m}\n", "limits: {requests_per_client: 1/h}\n", `4:31: limits.requests_per_client must be 0 for no limit, or a rate such as 200/s or 6000/m (at most 1000000), not "1/h"`},
		{"rate of nothing", "limits: {requests_per_client: 0}\n", "limits: {requests_per_client: 0/s}\n", `4:31: limits.requests_per_client must be 0 for no limit, or a rate such as 200/s or 6000/m (at most 1000000), not "0/s"`},
		{"resources a table", "resources: []\n", "resources: {}\n", `4:12: resources must be a list of tables, not a table; begin each entry with a dash`},
		{"resources empty", "resources: []\n", "resources:\n", `4:1: resources has no value; it must be a list of tables`},
		{"resource a text", "resources: [{resource: https://a/}]\n", "resources: [https://a/]\n", `4:13: resources[] must be a table of keys, not "https://a/"; write {resource: …}`},
		{"resource without its name", "resources: [{resource: https://a/, scopes: [r]}]\n", "resources: [{scopes: [r]}]\n", `4:13: the required key "resources[].resource" is missing`},
		{"resource relative", "resources: [{resource: \"urn:a:b\"}]\n", "resources: [{resource: api.example.com}]\n", `4:24: resources[].resource must be an absolute URI without a fragment, such as https://api.example.com/, not "api.example.com"`},
		{"resource with a fragment", "resources: [{resource: https://a/?b}]\n", "resources: [{resource: \"https://a/#\"}]\n", `4:24: resources[].resource must be an absolute URI without a fragment, such as https://api.example.com/, not "https://a/#"`},
		{"resource without a host", "resources: [{resource: https://a}]\n", "resources: [{resource: \"https:\"}]\n", `4:24: resources[].resource must be an absolute URI without a fragment, such as https://api.example.com/, not "https:"`},
		{"resource twice", "resources: [{resource: https://a}, {resource: https://a/}]\n", "resources: [{resource: https://a/}, {resource: https://a/}]\n", `4:48: the resource "https://a/" is configured twice; the first is on line 4`},
		{"scope with a space", "resources: [{resource: https://a/, scopes: [r, w]}]\n", "resources: [{resource: https://a/, scopes: [r w]}]\n", `4:45: resources[].scopes must be words of printable ASCII without spaces, quotes and backslashes, not "r w"`},
		{"scopes in one text", "resources: [{resource: https://a/, scopes: []}]\n", "resources: [{resource: https://a/, scopes: r w}]\n", `4:44: resources[].scopes must be a list of scopes, not "r w"; put it in brackets: [ ]`},
		{"scope twice", "resources: [{resource: https://a/, scopes: [r]}]\n", "resources: [{resource: https://a/, scopes: [r, r]}]\n", `4:48: resources[].scopes names "r" a second time`},
		{"scope a boolean", "resources: [{resource: https://a/, scopes: [\"true\"]}]\n", "resources: [{resource: https://a/, scopes: [true]}]\n", `4:45: resources[].scopes[0] must be a text, not true`},
		{"lifetime of a resource beyond that of tokens", "resources: [{resource: https://a/, lifetime: 1m}]\n", "resources: [{resource: https://a/, lifetime: 6m}]\n", `4:46: resources[].lifetime must be from 1s to 5m, not "6m"`},
	})
}
