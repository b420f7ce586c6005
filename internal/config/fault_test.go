package config_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

// server is the least a configuration can be: three lines.
const server = `issuer: https://as.example.com
listen: {public: "127.0.0.1:8443"}
tls: {certificate: as.crt, key: as.key}
`

// mutual is server with a listener for client certificates: four lines.
const mutual = `issuer: https://as.example.com
listen: {public: "127.0.0.1:8443", mtls: "127.0.0.1:8444"}
mtls_url: https://mtls.as.example.com
tls: {certificate: as.crt, key: as.key}
`

// A wrong row is a configuration with one defect, beside its twin without it.
type wrong struct {
	name string
	good string
	bad  string
	want string // LINE:COL: message; several lines where one defect is seen from several places
}

// check reads both twins below the same lines.
func check(t *testing.T, above string, rows []wrong) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Helper()
			if _, err := config.Parse("dir/a.yaml", []byte(above+row.good)); err != nil {
				t.Errorf("the accepted twin is refused:\n%v", err)
			}
			if got := faults(t, above+row.bad); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// faults reads a configuration that is wrong and gives what is wrong, without
// the name of the file.
func faults(t *testing.T, data string) string {
	t.Helper()
	cfg, err := config.Parse("dir/a.yaml", []byte(data))
	if err == nil {
		t.Error("accepted")
		return ""
	}
	if cfg != nil {
		t.Error("a configuration comes with the faults")
	}
	var list config.Faults
	if !errors.As(err, &list) {
		t.Fatalf("not Faults: %v", err)
	}
	var lines []string
	for _, f := range list {
		if f.File != "dir/a.yaml" {
			t.Errorf("the fault is in %q", f.File)
		}
		if at, ok := pointsAt(data, f); !ok {
			t.Errorf("%v points at %q", f, at)
		}
		lines = append(lines, strings.TrimPrefix(f.String(), "dir/a.yaml:"))
	}
	return strings.Join(lines, "\n")
}

var presented = regexp.MustCompile(`(?:, not|names|unknown key) "([^"?…]+)"`)

// pointsAt reports whether a fault points at something, and where it repeats
// what was written, whether that stands there (or, in a scope, after it).
func pointsAt(data string, f config.Fault) (string, bool) {
	lines := strings.Split(data, "\n")
	if f.Line < 1 || f.Line > len(lines) {
		return "no line", false
	}
	line := []rune(strings.TrimSuffix(strings.TrimPrefix(lines[f.Line-1], "\ufeff"), "\r"))
	if f.Column < 1 || f.Column > len(line) {
		return "no column", f.Line == 1 && f.Column == 1
	}
	rest := string(line[f.Column-1:])
	words := presented.FindStringSubmatch(f.Message)
	if words == nil {
		return rest, rest[0] != ' '
	}
	if strings.Contains(f.Message, ".scope names") {
		return rest, strings.Contains(rest, words[1])
	}
	return rest, strings.HasPrefix(strings.TrimLeft(rest, `"'`), words[1])
}

func TestEveryFaultAtOnce(t *testing.T) {
	got := faults(t, `isuer: https://as.example.com
profile: newest
listen:
  public: 8443
tls: {certificate: as.crt}
access_token: {lifetime: 5, alg: HS256}
trust_domains:
  Example.org: {bundle_file: b.json}
  lab.test:
    max_stale: 5s
resources:
  - {resource: /api, scopes: [read]}
clients:
  - client_id: billing
    token_endpoint_auth_method: client_secret_basic
    scope: read write
`)
	want := `1:1: unknown key "isuer"; did you mean "issuer"?
2:10: profile must be transition, latest, ietf-02 or seed, not "newest"
4:11: listen.public must be an address such as 127.0.0.1:8443 (port 0 takes a free one), not the number 8443; for every address of the machine write ":8443"
5:1: the required key "tls.key" is missing
6:26: access_token.lifetime must be a duration in whole seconds such as 60s, 5m or 1h, not the number 5; write 5s, 5m or 5h
6:34: access_token.alg must be ES256, EdDSA, PS256 or RS256, not "HS256"; did you mean "ES256"?
8:3: "Example.org" is not the name of a trust domain: the trust domain is not in lower case (SI-4); write "example.org"
9:3: the trust domain "lab.test" needs a source for its bundle: spiffe_bundle_endpoint, workload_api or bundle_file
10:16: trust_domains.lab.test.max_stale must be 0 or from 1m to 8760h, not "5s"
12:16: resources[].resource must be an absolute URI without a fragment, such as https://api.example.com/, not "/api"
14:16: "billing" is not a workload's SPIFFE ID, so this client needs spiffe_id (CA-9)
15:33: the method must be spiffe_jwt, spiffe_x509 or spiffe_wit, not "client_secret_basic"
16:12: clients[].scope names "write", which no entry of resources has`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFaultsAreFileLineColumn(t *testing.T) {
	_, err := config.Parse("some/where.yaml", []byte(server+"store: mysql://u:secret@db/x\n"))
	want := `some/where.yaml:4:8: store must be "memory:", or sqlite: and a file`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestNothingIsRepeatedRaw keeps a configuration from forging a line of a log
// (AK-31), and passwords out of it.
func TestNothingIsRepeatedRaw(t *testing.T) {
	for name, text := range map[string]string{
		"a line feed in a key":         "\"x\\nforged: 1\": 1\n",
		"an escape in a value":         "profile: \"\\e[31m\"\n",
		"a password in a URL":          "mtls_url: https://u:secret@mtls.example.com\n",
		"a password in a store":        "store: mysql://u:secret@db/x\n",
		"a password of PostgreSQL":     "store: postgres://u:secret@db/x\n",
		"a control in a trust domain":  "trust_domains: {\"a\\u0085b\": {bundle_file: b}}\n",
		"a line feed in a tag's place": "binding: [\"\\n\"]\n",
	} {
		got := faults(t, server+text)
		if strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 }) ||
			strings.Contains(got, "secret") || strings.Contains(got, "\nforged") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
