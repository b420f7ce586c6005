package config_test

import (
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

// TestWrongTrustDomain has rows below server and `trust_domains:`, from line 5 (CA-1,
// FX-4).
func TestWrongTrustDomain(t *testing.T) {
	const good = "  example.org: {spiffe_bundle_endpoint: {url: https://example.com/bundle.json}}\n"
	endpoint := func(s string) string { return "  example.org: {spiffe_bundle_endpoint: {" + s + "}}\n" }
	spiffe := func(s string) string { return endpoint("url: https://h/, profile: https_spiffe, " + s) }
	known := spiffe("endpoint_spiffe_id: spiffe://example.org/host, initial_bundle_file: b")
	const lab = "  lab.test: {bundle_file: l}\n"
	elsewhere := spiffe("endpoint_spiffe_id: spiffe://lab.test/host") + lab
	domain := func(s string) string { return "  example.org: {bundle_file: b.json, " + s + "}\n" }
	workload := func(s string) string { return "  production: {workload_api: {" + s + "}}\n" }
	check(t, server+"trust_domains:\n", []wrong{
		{"SI-13 name with a path", "  spiffe://example.org: {bundle_file: b}\n", "  spiffe://example.org/x: {bundle_file: b}\n", `5:3: "spiffe://example.org/x" is not the name of a trust domain: a trust domain is a name, or spiffe:// and a name, with nothing after it (SI-13)`},
		{"SI-13 name that is a URL", good, "  https://example.org: {bundle_file: b}\n", `5:3: "https://example.org" is not the name of a trust domain: a trust domain is a name, or spiffe:// and a name, with nothing after it (SI-13)`},
		{"SI-4 name in capitals", "  1.2.3.4: {bundle_file: b}\n", "  EXAMPLE.org: {bundle_file: b}\n", `5:3: "EXAMPLE.org" is not the name of a trust domain: the trust domain is not in lower case (SI-4); write "example.org"`},
		{"F49 name configured in another case", good, good + "  EXAMPLE.org: {bundle_file: b}\n", `6:3: "EXAMPLE.org" is not the name of a trust domain: the trust domain is not in lower case (SI-4); "example.org" on line 5 differs only in case`},
		{"F49 scheme in another case", good, "  SPIFFE://example.org: {bundle_file: b}\n", `5:3: "SPIFFE://example.org" is not the name of a trust domain: a trust domain is a name, or spiffe:// and a name, with nothing after it (SI-13); write "spiffe://example.org"`},
		{"SI-3 name empty", "  a: {bundle_file: b}\n", "  \"\": {bundle_file: b}\n", `5:3: "" is not the name of a trust domain: the trust domain is empty (SI-3)`},
		{"SI-13 one trust domain in two spellings", good, good + "  spiffe://example.org: {bundle_file: b}\n", `6:3: the trust domain "example.org" is configured twice; the first is on line 5`},
		{"a list", good, "  - example.org\n", `5:3: trust_domains must be a table of trust domains (indented below it) or the name of a file that holds one, not a list`},
		{"empty", good, "", `4:1: trust_domains has no value; it must be a table of trust domains (indented below it) or the name of a file that holds one`},
		{"trust domain empty", good, "  example.org:\n", `5:3: trust_domains.example.org has no value; its keys stand below it, indented by spaces`},
		{"BE-1 no source", good, "  example.org: {max_stale: 1h}\n", `5:3: the trust domain "example.org" needs a source for its bundle: spiffe_bundle_endpoint, workload_api or bundle_file`},
		{"two sources", good, "  example.org:\n    bundle_file: b\n    spiffe_bundle_endpoint: {url: https://example.com/}\n", `6:18: the trust domain "example.org" has more than one source for its bundle (spiffe_bundle_endpoint and bundle_file); keep one`},
		{"AV-1 workload_api without an address", workload("address: unix:///run/spire/agent.sock"), workload(""), `5:16: the required key "trust_domains.production.workload_api.address" is missing`},
		{"AV-1 workload_api a text", workload("address: unix:///a"), "  production: {workload_api: unix:///a}\n", `5:30: trust_domains.production.workload_api must be a table of keys, not "unix:///a"; write {address: …}`},
		{"AV-1 workload_api beside a bundle endpoint", good, "  production:\n    spiffe_bundle_endpoint: {url: https://h/}\n    workload_api: {address: unix:///a}\n", `7:19: the trust domain "production" has more than one source for its bundle (spiffe_bundle_endpoint and workload_api); keep one`},
		{"AV-1 workload_api beside a bundle file", good, "  production:\n    bundle_file: b\n    workload_api: {address: unix:///a}\n", `6:18: the trust domain "production" has more than one source for its bundle (workload_api and bundle_file); keep one`},
		{"endpoint a text, as clients write it (MD-11)", good, "  example.org: {spiffe_bundle_endpoint: https://example.com/}\n", `5:41: trust_domains.example.org.spiffe_bundle_endpoint must be a table of keys, not "https://example.com/"; write {url: …}`},
		{"BE-1 endpoint without url", good, endpoint("redirects: false"), `5:17: the required key "trust_domains.example.org.spiffe_bundle_endpoint.url" is missing`},
		{"BE-2 endpoint over http", endpoint("url: https://h:8443/x?y=a@b"), endpoint("url: http://h:8443/x?y=a@b"), `5:47: trust_domains.example.org.spiffe_bundle_endpoint.url must be an https URL, not "http://h:8443/x?y=a@b"`},
		{"BE-2 endpoint with user information", good, endpoint("url: https://u@h/"), `5:47: trust_domains.example.org.spiffe_bundle_endpoint.url must be an https URL without user information before the host`},
		{"endpoint profile unknown", good, endpoint("url: https://h/, profile: web"), `5:68: trust_domains.example.org.spiffe_bundle_endpoint.profile must be https_web or https_spiffe, not "web"`},
		{"BE-6 https_spiffe without endpoint_spiffe_id", known, spiffe("initial_bundle_file: b"), `5:68: the profile https_spiffe needs endpoint_spiffe_id, the SPIFFE ID of the endpoint, with a path, such as spiffe://example.org/spire/server (BE-6)`},
		{"BE-6 endpoint_spiffe_id without a path", known, spiffe("endpoint_spiffe_id: \"spiffe://example.org\", initial_bundle_file: b"), `5:102: trust_domains.example.org.spiffe_bundle_endpoint.endpoint_spiffe_id must be the SPIFFE ID of the endpoint, with a path, such as spiffe://example.org/spire/server, not "spiffe://example.org": it names a trust domain, not a workload: the path is missing (SI-12)`},
		{"BE-4 endpoint_spiffe_id with https_web", known, endpoint("url: https://h/, endpoint_spiffe_id: spiffe://a/b"), `5:79: trust_domains.example.org.spiffe_bundle_endpoint.endpoint_spiffe_id belongs to the profile https_spiffe, and that of this endpoint is https_web`},
		{"BE-4 initial_bundle_file with https_web", known, endpoint("url: https://h/, profile: https_web, initial_bundle_file: b"), `5:100: trust_domains.example.org.spiffe_bundle_endpoint.initial_bundle_file belongs to the profile https_spiffe, and that of this endpoint is https_web`},
		{"BE-4 ca_file with https_spiffe", known, spiffe("endpoint_spiffe_id: spiffe://example.org/host, initial_bundle_file: b, ca_file: c"), `5:162: trust_domains.example.org.spiffe_bundle_endpoint.ca_file belongs to the profile https_web, and that of this endpoint is https_spiffe`},
		{"BE-7 its own endpoint without an initial bundle", known, spiffe("endpoint_spiffe_id: spiffe://example.org/host"), `5:102: the endpoint is in the trust domain whose bundle it serves, so initial_bundle_file has to say what it is known by at first (BE-7)`},
		{"BE-8 one elsewhere with an initial bundle", elsewhere, spiffe("endpoint_spiffe_id: spiffe://lab.test/host, initial_bundle_file: b") + lab, `5:147: trust_domains.example.org.spiffe_bundle_endpoint.initial_bundle_file is for an endpoint in the trust domain whose bundle it serves; this one is known by the bundle of lab.test (BE-8)`},
		{"BE-8 one elsewhere that is not configured", elsewhere, spiffe("endpoint_spiffe_id: spiffe://lab.test/host"), `5:102: the endpoint is in the trust domain "lab.test", which is not configured: it is by the bundle of that one that it is known (BE-8)`},
		{"BE-8 two that wait for each other", elsewhere, spiffe("endpoint_spiffe_id: spiffe://lab.test/host") + "  lab.test: {spiffe_bundle_endpoint: {url: https://h/, profile: https_spiffe, endpoint_spiffe_id: spiffe://example.org/host}}\n", `5:102: the trust domains "example.org" and "lab.test" wait for each other's bundle: give one of them a source that does not need the other (BE-8)` + "\n" + `6:99: the trust domains "lab.test" and "example.org" wait for each other's bundle: give one of them a source that does not need the other (BE-8)`},
		{"F6 a JWK Set from one known by its SPIFFE ID", known, "  example.org: {bundle_format: jwks, spiffe_bundle_endpoint: {url: https://h/, profile: https_spiffe, endpoint_spiffe_id: spiffe://example.org/host, initial_bundle_file: b}}\n", `5:32: trust_domains.example.org.bundle_format is jwks, which no endpoint with the profile https_spiffe serves`},
		{"audit.file is an initial bundle", known, spiffe("endpoint_spiffe_id: spiffe://example.org/host, initial_bundle_file: audit.jsonl"), `1:1: audit.file is written by the server and must not be an initial_bundle_file`},
		{"BE-12 redirects a number", endpoint("url: https://h/, redirects: false"), endpoint("url: https://h/, redirects: 5"), `5:70: trust_domains.example.org.spiffe_bundle_endpoint.redirects must be true or false, not the number 5`},
		{"ca_file a list", endpoint("url: https://h/, ca_file: a.pem"), endpoint("url: https://h/, ca_file: [a.pem]"), `5:68: trust_domains.example.org.spiffe_bundle_endpoint.ca_file must be the name of a file, not a list`},
		{"audit.file is a bundle", "  example.org: {bundle_file: audit.json}\n", "  example.org: {bundle_file: audit.jsonl}\n", `1:1: audit.file is written by the server and must not be a bundle_file`},
		{"refresh.min under 1s", domain("refresh: {min: 1s}"), domain("refresh: {min: 0s}"), `5:53: trust_domains.example.org.refresh.min must be from 1s to 24h, not "0s"`},
		{"refresh.max under refresh.min", domain("refresh: {min: 1m, max: 1m}"), domain("refresh: {min: 1m, max: 59s}"), `5:62: trust_domains.example.org.refresh.max must not be shorter than refresh.min (1m)`},
		{"refresh.min beyond the default of refresh.max", domain("refresh: {min: 2h}"), domain("refresh: {min: 25h}"), `5:53: trust_domains.example.org.refresh.min must be from 1s to 24h, not "25h"`},
		{"name that is a number", "  7: {bundle_file: b}\n", "  7: {}\n", `5:3: the trust domain "7" needs a source for its bundle: spiffe_bundle_endpoint, workload_api or bundle_file`},
		{"max_stale under 1m", domain("max_stale: 1m"), domain("max_stale: 59s"), `5:49: trust_domains.example.org.max_stale must be 0 or from 1m to 8760h, not "59s"`},
		{"max_stale under refresh.min", domain("max_stale: 0, refresh: {min: 5m}"), domain("max_stale: 1m, refresh: {min: 5m}"), `5:49: trust_domains.example.org.max_stale must not be shorter than refresh.min (5m): every bundle would be too old before the next fetch`},
		{"leeway of a trust domain", domain("svid: {leeway: 0s}"), domain("svid: {leeway: 1h}"), `5:53: trust_domains.example.org.svid.leeway must be from 0s to 5m, not "1h"`},
		{"unknown key in svid", domain("svid: {require_kid: true}"), domain("svid: {requires_kid: true}"), `5:45: unknown key "requires_kid"; did you mean "require_kid"?`},
		{"profile of a trust domain", domain("profile: seed"), domain("profile: fapi2"), `5:47: trust_domains.example.org.profile must be transition, latest, ietf-02 or seed, not "fapi2"`},
		{"binding of a trust domain", domain("binding: required"), domain("binding: true"), `5:47: trust_domains.example.org.binding must be auto, required or none, not true`},
		{"F6 bundle_format", domain("bundle_format: jwks"), domain("bundle_format: oidc"), `5:53: trust_domains.example.org.bundle_format must be spiffe or jwks, not "oidc"`},
		{"F6 bundle_format beside a Workload API", workload("address: unix:///a"), "  production: {workload_api: {address: unix:///a}, bundle_format: jwks}\n", `5:67: trust_domains.production.bundle_format is for spiffe_bundle_endpoint and bundle_file; a Workload API has its own`},
		{"CJ-13 single_use", domain("single_use: true"), domain("single_use: once"), `5:50: trust_domains.example.org.single_use must be true or false, not "once"`},
		{"enable_wit no boolean", domain("enable_wit: false"), domain("enable_wit: 1"), `5:50: trust_domains.example.org.enable_wit must be true or false, not the number 1`},
		{"client metadata as a setting", domain("single_use: false"), domain("spiffe_id: a"), `5:38: unknown key "spiffe_id" here; there is clients[].spiffe_id`},
	})
}

// TestWorkloadAPIAddress: the two forms of SPIFFE Workload Endpoint section 4,
// and of the second only what this machine alone can answer.
func TestWorkloadAPIAddress(t *testing.T) {
	const (
		unix = "must be unix:// and the absolute path of a socket, such as unix:///run/spire/agent.sock, not "
		tcp  = "must be tcp:// with a loopback IP address and a port, such as tcp://127.0.0.1:8081, not "
		both = "must be unix:// and the absolute path of a socket, such as unix:///run/spire/agent.sock, or tcp:// with a loopback IP address and a port, such as tcp://127.0.0.1:8081, not "
	)
	for address, want := range map[string]string{
		"unix:///run/spire/agent.sock": "",
		"unix:///a":                    "",
		"tcp://127.0.0.1:8081":         "",
		"tcp://127.3.2.1:1":            "",
		"tcp://[::1]:65535":            "",

		"unix://run/spire/agent.sock":    unix,
		"unix://localhost/agent.sock":    unix,
		"unix:/run/spire/agent.sock":     both,
		"unix:agent.sock":                both,
		"unix://":                        unix,
		"unix:///":                       unix,
		"unix:///run/":                   unix,
		"unix:///a?b":                    unix,
		"unix:///a#":                     unix,
		"unix:///a%20b":                  unix,
		"unix:///a b":                    unix,
		"UNIX:///a":                      both,
		"tcp://127.0.0.1":                tcp,
		"tcp://127.0.0.1:":               tcp,
		"tcp://127.0.0.1:0":              tcp,
		"tcp://127.0.0.1:00":             tcp,
		"tcp://127.0.0.1:65536":          tcp,
		"tcp://127.0.0.1:8081/":          tcp,
		"tcp://127.0.0.1:8081?a":         tcp,
		"tcp://127.0.0.1:8081#":          tcp,
		"tcp://127.0.0.1:+1":             tcp,
		"tcp://localhost:8081":           tcp,
		"tcp://10.0.0.7:8081":            tcp,
		"tcp://0.0.0.0:8081":             tcp,
		"tcp://:8081":                    tcp,
		"tcp://[::1%lo]:8081":            tcp,
		"tcp://[::ffff:192.0.2.1]:8081":  tcp,
		"https://127.0.0.1:8081":         both,
		"127.0.0.1:8081":                 both,
		"npipe:spire-agent\\public\\api": both,
		"":                               both,
	} {
		text := "trust_domains: {production: {workload_api: {address: '" + address + "'}}}\n"
		if want == "" {
			cfg, err := config.Parse("a.yaml", []byte(server+text))
			if err != nil || cfg.TrustDomains[0].WorkloadAPI.Address != address {
				t.Errorf("%s: %+v %v", address, cfg, err)
			}
			continue
		}
		shown := strings.ReplaceAll(address, `\`, "?")
		if got := faults(t, server+text); got != `4:54: trust_domains.production.workload_api.address `+want+`"`+shown+`"` {
			t.Errorf("%s: %s", address, got)
		}
	}
	for address, want := range map[string]string{
		"/run/spire/agent.sock":     unix + `"/run/spire/agent.sock"; put unix:// before it`,
		"tcp://me:pw@127.0.0.1:1":   "must be an address without user information",
		"unix://me:pw@/run/a":       "must be an address without user information",
		"${SPIFFE_ENDPOINT_SOCKET}": both + `"${SPIFFE_ENDPOINT_SOCKET}"; variables and templates are not expanded here`,
	} {
		text := "trust_domains: {production: {workload_api: {address: '" + address + "'}}}\n"
		if got := faults(t, server+text); got != `4:54: trust_domains.production.workload_api.address `+want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

// F6: a plain JWK Set is taken by the operator's word only.
func TestBundleFormat(t *testing.T) {
	for format, want := range map[string]bool{"": false, ", bundle_format: spiffe": false, ", bundle_format: jwks": true} {
		cfg, err := config.Parse("a.yaml", []byte(server+"trust_domains: {a: {bundle_file: b.json"+format+"}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if cfg.TrustDomains[0].KeySet != want {
			t.Errorf("%q: KeySet is %t", format, !want)
		}
	}
}
