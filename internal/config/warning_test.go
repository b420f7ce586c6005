package config_test

import (
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

// TestWarnings: each is accepted, said once, and not said of its twin.
func TestWarnings(t *testing.T) {
	const domain = "trust_domains: {a: {spiffe_bundle_endpoint: {url: https://a/}}}\nresources: [{resource: https://a/, scopes: [r]}, {resource: https://b/, scopes: [w]}]\n"
	client := func(s string) string {
		return domain + "clients: [{" + s + "}]\n"
	}
	const plain = "client_id: spiffe://a/b, auth_methods: [spiffe_x509], resources: [https://a/]"
	for _, row := range []struct{ name, quiet, warned, want string }{
		{"binding none", "binding: required\n", "binding: none\n", `5:10: binding is none: whoever sees such a token can use it`},
		{"keys.encryption_key_file without keys.in", "store: sqlite:x\nkeys: {in: store, encryption_key_file: k}\n", "store: sqlite:x\nkeys: {encryption_key_file: k}\n", `6:29: keys.encryption_key_file encrypts nothing: keys.in is not store, and keys.file is not encrypted`},
		{"keys.rotate 0", "keys: {rotate: 10s}\n", "keys: {rotate: 0}\n", `5:16: keys.rotate is 0: the signing key is never replaced, so one that was copied makes tokens for ever`},
		{"AV-1 Workload API", domain, "trust_domains: {a: {workload_api: {address: unix:///a}}}\n", `5:35: the bundle of a comes from a Workload API, which makes the server depend on an agent of its own machine; spiffe_bundle_endpoint is preferred (AV-1)`},
		{"F49 two SPIFFE IDs that differ only in case", client(plain + "}, {client_id: c, spiffe_id: spiffe://a/b, auth_methods: [spiffe_x509], resources: [https://a/]"), client(plain + "}, {client_id: c, spiffe_id: spiffe://a/B, auth_methods: [spiffe_x509], resources: [https://a/]"), `7:118: "spiffe://a/B" differs only in case from "spiffe://a/b" on line 7; they are two workloads, because the path of a SPIFFE ID is compared byte for byte`},
		{"F6 a plain JWK Set", domain, "trust_domains: {a: {spiffe_bundle_endpoint: {url: https://a/}, bundle_format: jwks}}\n", `5:79: the bundle of a is a plain JWK Set: it verifies no X.509-SVID, and an older one played again is not noticed`},
		{"AV-2 bundle file", domain, "trust_domains: {a: {bundle_file: b}}\n", `5:34: the bundle of a is a file: nobody renews it when the trust domain rotates its keys (AV-2)`},
		{"max_stale 0", domain, "trust_domains: {a: {max_stale: 0, spiffe_bundle_endpoint: {url: https://a/}}}\n", `5:32: trust_domains.a.max_stale is 0: the last bundle is trusted for ever when no newer one can be had`},
		{"JS-19 max_assertion_lifetime 0", "svid: {max_assertion_lifetime: 1s}\n", "svid: {max_assertion_lifetime: 0}\n", `5:32: svid.max_assertion_lifetime is 0: an SVID is accepted however long it is valid (JS-19)`},
		{"MD-21 whole trust domain", client("spiffe_id: spiffe://a/b/*, client_id: c, auth_methods: [spiffe_x509], resources: [https://a/]"), client("spiffe_id: spiffe://a/*, client_id: c, auth_methods: [spiffe_x509], resources: [https://a/]"), `7:23: "spiffe://a/*" stands for every workload of the trust domain (MD-21)`},
		{"CX-3 client_id another than the SPIFFE ID", client(plain + ", profile: seed"), client("client_id: c, spiffe_id: spiffe://a/b, auth_methods: [spiffe_x509], resources: [https://a/], profile: seed"), `7:23: profile seed wants a client_id that is the SPIFFE ID of the certificate, so "c" cannot authenticate with spiffe_x509 (CX-3)`},
		{"client without resources", client(plain), client("client_id: spiffe://a/b, auth_methods: [spiffe_x509]"), `7:11: the client "spiffe://a/b" has no resources and so gets no token`},
		{"client that only introspects", client("client_id: spiffe://a/b, auth_methods: [spiffe_x509], introspects: [https://a/]"), client("client_id: spiffe://a/b, auth_methods: [spiffe_x509], introspects: []"), `7:11: the client "spiffe://a/b" has no resources and so gets no token`},
		{"scope of another's resource", client(plain + ", scope: r"), client(plain + ", scope: w"), `7:98: clients[].scope names "w", which none of the client's own resources has`},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, twin := range []struct{ text, want string }{{row.quiet, ""}, {row.warned, "a.yaml:" + row.want}} {
				cfg, err := config.Parse("a.yaml", []byte(mutual+twin.text))
				if err != nil {
					t.Fatal(err)
				}
				if got := config.Faults(cfg.Warnings).Error(); got != twin.want {
					t.Errorf("got %s\nwant %s", got, twin.want)
				}
			}
		})
	}
	cfg, err := config.Parse("a.yaml", []byte(server+"binding: required\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.Faults(cfg.Warnings).Error(), "a.yaml:4:10: binding is required, but no listener asks for client certificates, so every token it is about is refused, except to clients of spiffe_wit"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestDefaultSocketTooLong: a deep folder is no fault of the operator's, who
// named no socket; there is none then, and that is said.
func TestDefaultSocketTooLong(t *testing.T) {
	for _, row := range []struct {
		folder, socket, want string
	}{
		{long(83), long(83) + "/svidgate-admin.sock", ""},
		{long(84), "", long(84) + "/a.yaml:1:1: there is no admin socket: beside the configuration its path would be 104 bytes long, and the path of a socket has at most 103; name a shorter one as admin.socket"},
	} {
		cfg, err := config.Parse(row.folder+"/a.yaml", []byte(server))
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Faults(cfg.Warnings).Error(); got != row.want || cfg.Admin.Socket != row.socket {
			t.Errorf("%q, %s, want %s", cfg.Admin.Socket, got, row.want)
		}
	}
}
