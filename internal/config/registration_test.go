package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/oauth"
)

const registrationAPIs = "resources: [{resource: https://api.example.com/, scopes: [read, write]}, {resource: https://b.example.com/, scopes: [audit]}]\n"

// lab is a configuration with one trust domain that registers so.
func lab(registration string) string {
	return registrationAPIs + "trust_domains:\n  lab.test:\n    bundle_file: b.json\n    registration: {" + registration + "}\n"
}

// TestWrongRegistration: RF-1, RF-9, RU-2, RU-3, RU-5 and the contract's "first_use
// without allow, quota or resource is a configuration error".
func TestWrongRegistration(t *testing.T) {
	const good = "mode: first_use, allow: [/ns/ci/*], resources: [https://api.example.com/], max_clients: 10"
	with := func(s string) string { return lab(good + ", " + s) }
	check(t, server, []wrong{
		{"RU-2 no allow", lab(good), lab("mode: first_use, resources: [https://api.example.com/], max_clients: 10"), `8:5: trust_domains.lab.test.registration needs allow: which paths may register (RU-2)`},
		{"RU-2 allow empty", lab(good), lab("mode: first_use, allow: [], resources: [https://api.example.com/], max_clients: 10"), `8:44: trust_domains.lab.test.registration needs allow: which paths may register (RU-2)`},
		{"RU-3 no resource", lab(good), lab("mode: approve, allow: [/ns/ci/*], max_clients: 10"), `8:5: trust_domains.lab.test.registration needs resources: at least one resource that its tokens are for (RU-3)`},
		{"RU-5 no quota", lab(good), lab("mode: observe, allow: [/ns/ci/*], resources: [https://api.example.com/]"), `8:26: trust_domains.lab.test.registration.mode is observe, which needs trust_domains.lab.test.registration.max_clients: how many clients there may be at once (RU-5)`},
		{"RU-5 quota 0", lab(good), lab(strings.Replace(good, "10", "0", 1)), `8:108: trust_domains.lab.test.registration.max_clients must be a number from 1 to 1000000, not the number 0`},
		{"RF-1 another mode", lab(good), lab(strings.Replace(good, "first_use", "always", 1)), `8:26: trust_domains.lab.test.registration.mode must be preregistered, first_use, approve or observe, not "always"`},
		{"RF-1 allow without a mode", lab("mode: preregistered"), lab("allow: [/ns/ci/*]"), `8:20: trust_domains.lab.test.registration.allow is of no use where mode is preregistered; write mode: first_use, approve or observe, or leave it out`},
		{"RF-9 another grant", with("grants: [client_credentials]"), with("grants: [authorization_code]"), `8:121: a client that registers on first use has the grant type client_credentials only, not "authorization_code" (RF-9)`},
		{"RF-9 refresh_token", with("grants: [client_credentials]"), with("grants: [client_credentials, refresh_token]"), `8:141: a client that registers on first use has the grant type client_credentials only, not "refresh_token" (RF-9)`},
		{"MD-15 a wildcard within a segment", with("deny: [/ns/ci/a/*]"), with("deny: [/ns/ci/a*]"), `8:119: trust_domains.lab.test.registration.deny must have the path of a SPIFFE ID, or a path followed by /*, not "/ns/ci/a*": a wildcard is the two characters /* at the end, and nothing else (MD-15)`},
		{"SI-7 a path with a dot segment", with("deny: [/ns/ci/a]"), with("deny: [/ns/../a]"), `8:119: trust_domains.lab.test.registration.deny must have the path of a SPIFFE ID, or a path followed by /*, not "/ns/../a": not a workload's SPIFFE ID: the path has a dot segment (SI-7)`},
		{"a whole SPIFFE ID", with("deny: [/ns/ci/a]"), with(`deny: ["spiffe://lab.test/ns/ci/a"]`), `8:119: trust_domains.lab.test.registration.deny must have the path of a SPIFFE ID, or a path followed by /*, not "spiffe://lab.test/ns/ci/a"; write "/ns/ci/a": the trust domain is this one`},
		{"a SPIFFE ID of another trust domain", with("deny: [/ns/ci/a]"), with(`deny: ["spiffe://lab.tests/ns/ci/a"]`), `8:119: trust_domains.lab.test.registration.deny must have the path of a SPIFFE ID, or a path followed by /*, not "spiffe://lab.tests/ns/ci/a"`},
		{"a path without a slash", with("deny: [/ns/ci/a]"), with("deny: [ns/ci/a]"), `8:119: trust_domains.lab.test.registration.deny must have the path of a SPIFFE ID, or a path followed by /*, not "ns/ci/a"; it begins with a slash`},
		{"a resource that there is not", lab(good), lab(strings.Replace(good, "api.", "apj.", 1)), `8:68: trust_domains.lab.test.registration.resources names "https://apj.example.com/", which no entry of resources is; did you mean "https://api.example.com/"?`},
		{"a scope that there is not", with("scope: read"), with("scope: raed"), `8:119: trust_domains.lab.test.registration.scope names "raed", which no entry of resources has; did you mean "read"?`},
		{"a lifetime beyond that of all tokens", with("lifetime: 1m"), with("lifetime: 1h"), `8:122: trust_domains.lab.test.registration.lifetime must be from 1s to 5m, not "1h"`},
		{"idle under the day by which uses are noted", with("idle: 48h"), with("idle: 24h"), `8:118: trust_domains.lab.test.registration.idle must be from 48h to 8760h, not "24h"`},
		{"new_clients", with("new_clients: 5/m"), with("new_clients: 5"), `8:125: trust_domains.lab.test.registration.new_clients must be 0 for no limit, or a rate such as 200/s or 6000/m (at most 1000000), not the number 5`},
		{"a method without its listener", with("auth_methods: [spiffe_jwt]"), with("auth_methods: [spiffe_x509]"), `8:126: spiffe_x509 needs a listener that asks for client certificates: listen.mtls or public_client_certificates`},
		{"templates and a template", lab("mode: first_use, max_clients: 1, templates: [{allow: [/a], resources: [https://api.example.com/]}]"), lab("mode: first_use, max_clients: 1, scope: read, templates: [{allow: [/a], resources: [https://api.example.com/]}]"), `8:53: trust_domains.lab.test.registration.scope stands beside templates; put it into each of them`},
		{"templates empty", lab(good), lab("mode: first_use, max_clients: 1, templates: []"), `8:64: trust_domains.lab.test.registration.templates must be a list of tables, at least one, not a list`},
		{"RF-3 a client of another SPIFFE ID is called as a workload", lab(good) + `clients: [{client_id: "spiffe://lab.test/ns/ci/api", auth_methods: [spiffe_jwt], resources: [https://api.example.com/]}]`, lab(good) + `clients: [{client_id: "spiffe://lab.test/ns/ci/api", spiffe_id: "spiffe://lab.test/ns/prod/api/*", auth_methods: [spiffe_jwt], resources: [https://api.example.com/]}]`, `9:23: client_id "spiffe://lab.test/ns/ci/api" is the SPIFFE ID of a workload of lab.test, where clients register on first use under that name, and the client's own SPIFFE ID is "spiffe://lab.test/ns/prod/api/*" (RF-3); choose another client_id`},
		{"RF-3 it is, where nobody registers", lab("mode: preregistered") + `clients: [{client_id: "spiffe://lab.test/ns/ci/api", spiffe_id: "spiffe://lab.test/ns/prod/api", auth_methods: [spiffe_jwt], resources: [https://api.example.com/]}]`, lab("mode: observe, allow: [/x], resources: [https://api.example.com/], max_clients: 1") + `clients: [{client_id: "spiffe://lab.test/ns/ci/api", spiffe_id: "spiffe://lab.test/ns/prod/api", auth_methods: [spiffe_jwt], resources: [https://api.example.com/]}]`, `9:23: client_id "spiffe://lab.test/ns/ci/api" is the SPIFFE ID of a workload of lab.test, where clients register on first use under that name, and the client's own SPIFFE ID is "spiffe://lab.test/ns/prod/api" (RF-3); choose another client_id`},
		{"a template without resources", lab(good), lab("mode: first_use, max_clients: 1, templates: [{allow: [/a]}]"), `8:65: trust_domains.lab.test.registration.templates[0] needs resources: at least one resource that its tokens are for (RU-3)`},
	})
}

// TestRegistration: what is read, and that the flat form is one template.
func TestRegistration(t *testing.T) {
	read := func(registration string) config.Registration {
		t.Helper()
		cfg, err := config.Parse("a.yaml", []byte(mutual+lab(registration)))
		if err != nil {
			t.Fatal(err)
		}
		return cfg.TrustDomains[0].Registration
	}
	const flat = "allow: [/ns/ci/*], grants: [client_credentials], resources: [https://api.example.com/], scope: read"
	r := read("mode: first_use, deny: [/ns/ci/legacy/*], max_clients: 10000, " + flat)
	if r.Mode != config.FirstUse || !r.On() || r.MaxClients != 10000 || r.NewClients != (config.Rate{Events: 10000, Per: time.Minute}) || r.Idle != 720*time.Hour {
		t.Errorf("read %+v", r)
	}
	if len(r.Deny) != 1 || r.Deny[0].String() != "spiffe://lab.test/ns/ci/legacy/*" || len(r.Templates) != 1 {
		t.Fatalf("read %+v", r)
	}
	one := r.Templates[0]
	if one.Name != "lab.test" || one.Allow[0].String() != "spiffe://lab.test/ns/ci/*" || len(one.Methods) != 3 || one.Methods[1] != oauth.MethodX509 || one.Methods[2] != oauth.MethodWIT || len(one.Scope) != 1 {
		t.Errorf("read %+v", one)
	}
	listed := read("mode: approve, max_clients: 1, new_clients: 0, templates: [{allow: [/a/b], resources: [https://b.example.com/], lifetime: 1m, binding: required}, {" + flat + "}]")
	if len(listed.Templates) != 2 || listed.Templates[1].Name != "lab.test[1]" || listed.Templates[1].Digest != one.Digest || !listed.NewClients.Unlimited() {
		t.Errorf("RU-7 the same template has another digest, or: %+v", listed)
	}
	if first := listed.Templates[0]; first.Digest == one.Digest || first.Scope != nil || first.Lifetime != time.Minute || first.Binding != "required" || first.GrantTypes[0] != oauth.GrantClientCredentials {
		t.Errorf("RF-9 read %+v", first)
	}
	if off := read("mode: preregistered"); off.On() {
		t.Errorf("RF-1 it is on: %+v", off)
	}
}

// TestRegistrationWarnings: what may be meant and should be known.
func TestRegistrationWarnings(t *testing.T) {
	const rest = ", resources: [https://api.example.com/]"
	for _, row := range []struct{ name, registration, want string }{
		{"MD-21 the whole trust domain", "mode: first_use, max_clients: 1, allow: [/*]" + rest, "trust_domains.lab.test.registration.allow lets every workload of lab.test register (MD-21)"},
		{"a template that is never used", "mode: first_use, max_clients: 1, templates: [{allow: [/a/*]" + rest + "}, {allow: [/a/b/*, /c]" + rest + "}]", `"spiffe://lab.test/a/b/*" of lab.test[1] is never used: lab.test[0] allows it first`},
		{"the same names, no prefix", "mode: first_use, max_clients: 1, templates: [{allow: [/a/*]" + rest + "}, {allow: [/ab/*, /a]" + rest + "}]", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, err := config.Parse("a.yaml", []byte(mutual+lab(row.registration)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range cfg.Warnings {
				if !strings.Contains(w.Message, "AV-2") {
					got = append(got, w.Message)
				}
			}
			if strings.Join(got, "\n") != row.want {
				t.Errorf("warned of %q, want %q", got, row.want)
			}
		})
	}
}
