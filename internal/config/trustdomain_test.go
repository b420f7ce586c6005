package config_test

import "testing"

// TestWrongTrustDomain has rows below server and `trust_domains:`, from line 5.
func TestWrongTrustDomain(t *testing.T) {
	const good = "  example.org: {spiffe_bundle_endpoint: {url: https://example.com/bundle.json}}\n"
	endpoint := func(s string) string { return "  example.org: {spiffe_bundle_endpoint: {" + s + "}}\n" }
	domain := func(s string) string { return "  example.org: {bundle_file: b.json, " + s + "}\n" }
	check(t, server+"trust_domains:\n", []wrong{
		{"SI-13 name with a path", "  spiffe://example.org: {bundle_file: b}\n", "  spiffe://example.org/x: {bundle_file: b}\n", `5:3: "spiffe://example.org/x" is not the name of a trust domain: a trust domain is a name, or spiffe:// and a name, with nothing after it (SI-13)`},
		{"SI-13 name that is a URL", good, "  https://example.org: {bundle_file: b}\n", `5:3: "https://example.org" is not the name of a trust domain: a trust domain is a name, or spiffe:// and a name, with nothing after it (SI-13)`},
		{"SI-4 name in capitals", "  1.2.3.4: {bundle_file: b}\n", "  EXAMPLE.org: {bundle_file: b}\n", `5:3: "EXAMPLE.org" is not the name of a trust domain: the trust domain is not in lower case (SI-4)`},
		{"SI-3 name empty", "  a: {bundle_file: b}\n", "  \"\": {bundle_file: b}\n", `5:3: "" is not the name of a trust domain: the trust domain is empty (SI-3)`},
		{"SI-13 one trust domain in two spellings", good, good + "  spiffe://example.org: {bundle_file: b}\n", `6:3: the trust domain "example.org" is configured twice; the first is on line 5`},
		{"a list", good, "  - example.org\n", `5:3: trust_domains must be a table of trust domains or the name of a file that holds one, not a list`},
		{"empty", good, "", `4:1: trust_domains has no value; it must be a table of trust domains or the name of a file that holds one`},
		{"trust domain empty", good, "  example.org:\n", `5:3: trust_domains.example.org must be a table of keys, not nothing`},
		{"BE-1 no source", good, "  example.org: {max_stale: 1h}\n", `5:3: the trust domain "example.org" needs a source for its bundle: spiffe_bundle_endpoint or bundle_file`},
		{"two sources", good, "  example.org:\n    bundle_file: b\n    spiffe_bundle_endpoint: {url: https://example.com/}\n", `6:18: the trust domain "example.org" has more than one source for its bundle (spiffe_bundle_endpoint and bundle_file); keep one`},
		{"workload_api", good, "  example.org: {workload_api: {address: unix:///a}}\n", `5:17: trust_domains.example.org.workload_api is not implemented in this version; use spiffe_bundle_endpoint or bundle_file`},
		{"endpoint a text, as clients write it (MD-11)", good, "  example.org: {spiffe_bundle_endpoint: https://example.com/}\n", `5:41: trust_domains.example.org.spiffe_bundle_endpoint must be a table of keys, not "https://example.com/"`},
		{"BE-1 endpoint without url", good, endpoint("redirects: false"), `5:17: the required key "trust_domains.example.org.spiffe_bundle_endpoint.url" is missing`},
		{"BE-2 endpoint over http", endpoint("url: https://h:8443/x?y=a@b"), endpoint("url: http://h:8443/x?y=a@b"), `5:47: trust_domains.example.org.spiffe_bundle_endpoint.url must be an https URL, not "http://h:8443/x?y=a@b"`},
		{"BE-2 endpoint with user information", good, endpoint("url: https://u@h/"), `5:47: trust_domains.example.org.spiffe_bundle_endpoint.url must be an https URL without user information before the host`},
		{"BE-4 endpoint profile https_spiffe", endpoint("url: https://h/, profile: https_web"), endpoint("url: https://h/, profile: https_spiffe"), `5:68: trust_domains.example.org.spiffe_bundle_endpoint.profile must be https_web: https_spiffe is not implemented in this version`},
		{"endpoint profile unknown", good, endpoint("url: https://h/, profile: web"), `5:68: trust_domains.example.org.spiffe_bundle_endpoint.profile must be https_web or https_spiffe, not "web"`},
		{"endpoint_spiffe_id", good, endpoint("url: https://h/, endpoint_spiffe_id: spiffe://a/b"), `5:59: trust_domains.example.org.spiffe_bundle_endpoint.endpoint_spiffe_id is not implemented in this version; it belongs to profile https_spiffe`},
		{"initial_bundle_file", good, endpoint("url: https://h/, initial_bundle_file: b"), `5:59: trust_domains.example.org.spiffe_bundle_endpoint.initial_bundle_file is not implemented in this version; it belongs to profile https_spiffe`},
		{"BE-12 redirects a number", endpoint("url: https://h/, redirects: false"), endpoint("url: https://h/, redirects: 5"), `5:70: trust_domains.example.org.spiffe_bundle_endpoint.redirects must be true or false, not the number 5`},
		{"ca_file a list", endpoint("url: https://h/, ca_file: a.pem"), endpoint("url: https://h/, ca_file: [a.pem]"), `5:68: trust_domains.example.org.spiffe_bundle_endpoint.ca_file must be the name of a file, not a list`},
		{"audit.file is a bundle", "  example.org: {bundle_file: audit.json}\n", "  example.org: {bundle_file: audit.jsonl}\n", `1:1: audit.file is written by the server and must not be a bundle_file`},
		{"refresh.min under 1s", domain("refresh: {min: 1s}"), domain("refresh: {min: 0s}"), `5:53: trust_domains.example.org.refresh.min must be from 1s to 24h, not "0s"`},
		{"refresh.max under refresh.min", domain("refresh: {min: 1m, max: 1m}"), domain("refresh: {min: 1m, max: 59s}"), `5:62: trust_domains.example.org.refresh.max must not be shorter than refresh.min (1m)`},
		{"refresh.min beyond the default of refresh.max", domain("refresh: {min: 2h}"), domain("refresh: {min: 25h}"), `5:53: trust_domains.example.org.refresh.min must be from 1s to 24h, not "25h"`},
		{"name that is a number", "  7: {bundle_file: b}\n", "  7: {}\n", `5:3: the trust domain "7" needs a source for its bundle: spiffe_bundle_endpoint or bundle_file`},
		{"max_stale under 1m", domain("max_stale: 1m"), domain("max_stale: 59s"), `5:49: trust_domains.example.org.max_stale must be 0 or from 1m to 8760h, not "59s"`},
		{"max_stale under refresh.min", domain("max_stale: 0, refresh: {min: 5m}"), domain("max_stale: 1m, refresh: {min: 5m}"), `5:49: trust_domains.example.org.max_stale must not be shorter than refresh.min (5m): every bundle would be too old before the next fetch`},
		{"leeway of a trust domain", domain("svid: {leeway: 0s}"), domain("svid: {leeway: 1h}"), `5:53: trust_domains.example.org.svid.leeway must be from 0s to 5m, not "1h"`},
		{"unknown key in svid", domain("svid: {require_kid: true}"), domain("svid: {requires_kid: true}"), `5:45: unknown key "requires_kid"; did you mean "require_kid"?`},
		{"profile of a trust domain", domain("profile: seed"), domain("profile: fapi2"), `5:47: trust_domains.example.org.profile must be transition, latest, ietf-02 or seed, not "fapi2"`},
		{"binding of a trust domain", domain("binding: required"), domain("binding: true"), `5:47: trust_domains.example.org.binding must be auto, required or none, not true`},
		{"CJ-13 single_use", domain("single_use: true"), domain("single_use: once"), `5:50: trust_domains.example.org.single_use must be true or false, not "once"`},
		{"enable_wit", domain("enable_wit: false"), domain("enable_wit: true"), `5:50: trust_domains.example.org.enable_wit must be false: WIT-SVID is not implemented in this version`},
		{"RF-1 registration on first use", domain("registration: {mode: preregistered}"), domain("registration: {mode: first_use}"), `5:59: trust_domains.example.org.registration.mode must be preregistered: first_use is not implemented in this version`},
		{"RF-1 allow", domain("registration: {}"), domain("registration: {allow: [a]}"), `5:53: trust_domains.example.org.registration.allow is not implemented in this version; it belongs to mode first_use`},
		{"client metadata as a setting", domain("single_use: false"), domain("spiffe_id: a"), `5:38: unknown key "spiffe_id"; the keys here are spiffe_bundle_endpoint, bundle_file, refresh, max_stale, profile, binding, svid, single_use, enable_wit, registration`},
	})
}
