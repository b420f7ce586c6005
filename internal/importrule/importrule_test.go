package importrule

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/svidgate/svidgate"

// allowed is the partial order: each package with all of ours that its non-test
// code may import. The pipeline's line reads backwards in it: a stage may import
// earlier stages for their values, never a later one.
var allowed = map[string][]string{
	"oauth":                {},
	"internal/strictjson":  {},
	"internal/strictid":    {},
	"internal/regularfile": {},
	"internal/proven":      {},
	"internal/index":       {},
	"internal/loopback":    {},
	"internal/build":       {},
	"internal/filelock":    {"internal/regularfile"},
	"internal/jose":        {"internal/strictjson"},
	"internal/judge":       {"oauth"},
	"internal/keyset":      {"internal/strictjson"},
	"bundle":               {"oauth", "internal/keyset", "internal/regularfile", "internal/strictjson", "internal/strictid", "internal/jose"},
	"bundle/workloadapi":   {"oauth", "bundle", "internal/keyset", "internal/jose"},
	"":                     {"oauth", "bundle", "internal/judge", "internal/spoken", "internal/strictjson", "internal/strictid", "internal/jose", "internal/proven"},

	"internal/tokenrequest": {"oauth"},
	"internal/replay":       {},
	"internal/ratelimit":    {},
	"internal/registration": {"", "oauth", "internal/index", "internal/judge", "internal/tokenrequest", "internal/redirecturi", "internal/store"},
	"internal/clientauth": {"", "oauth", "internal/judge", "internal/tokenrequest", "internal/registration", "internal/replay", "internal/trace",
		"internal/challenge"},
	"internal/policy": {"oauth", "internal/index"},
	"internal/grant":  {"oauth", "internal/tokenrequest", "internal/clientauth", "internal/policy", "internal/authorization"},
	"internal/keys":   {"oauth", "internal/filelock", "internal/jose", "internal/strictjson"},
	"internal/mint":   {"oauth", "internal/jose", "internal/keys", "internal/grant", "internal/policy", "internal/strictjson", "internal/authorization"},
	"internal/audit":  {"oauth"},
	"internal/server": {"", "oauth", "bundle", "internal/jose", "internal/tokenrequest", "internal/clientauth", "internal/grant", "internal/policy",
		"internal/keys", "internal/mint", "internal/audit", "internal/build", "internal/loopback", "internal/ratelimit",
		"internal/strictjson", "internal/trace", "internal/authorization", "internal/introspection", "internal/revocation", "internal/store",
		"internal/registration", "internal/login", "internal/page"},
	"internal/trace":      {},
	"internal/trace/otlp": {"oauth", "internal/trace"},

	"internal/credential": {"oauth", "internal/jose", "internal/strictjson"},
	"internal/explain":    {"oauth", "internal/credential", "internal/jose", "internal/spoken", "internal/strictid", "internal/strictjson"},
	"internal/config": {"", "oauth", "internal/loopback", "internal/regularfile", "internal/jose", "internal/strictid", "internal/policy",
		"internal/redirecturi"},
	"internal/admin": {"oauth", "bundle", "internal/audit", "internal/credential", "internal/explain", "internal/filelock", "internal/keys",
		"internal/revocation", "internal/login"},
	"internal/daemon": {"", "internal/authorization", "oauth", "bundle", "bundle/workloadapi", "internal/admin", "internal/credential", "internal/explain",
		"internal/regularfile", "internal/config", "internal/audit", "internal/keys", "internal/policy", "internal/registration",
		"internal/clientauth", "internal/grant", "internal/replay", "internal/server", "internal/build", "internal/trace",
		"internal/trace/otlp", "internal/store/sqlite", "internal/challenge", "internal/introspection", "internal/revocation",
		"internal/store", "internal/login"},

	"client":           {"", "oauth", "bundle", "internal/strictjson", "internal/strictid", "internal/jose"},
	"client/workload":  {"client", "oauth"},
	"internal/spoken":  {},
	"internal/inspect": {"", "oauth", "bundle", "resource", "internal/credential", "internal/jose", "internal/spoken", "internal/strictid", "internal/strictjson"},
	"internal/doctor": {"oauth", "client", "client/workload", "resource", "internal/admin", "internal/explain", "internal/inspect", "internal/jose", "internal/keys",
		"internal/loopback", "internal/spoken", "internal/strictjson"},
	"resource": {"oauth", "internal/judge", "internal/strictjson", "internal/strictid", "internal/jose", "internal/proven", "internal/replay"},

	"internal/devca":     {"internal/jose", "internal/strictid"},
	"internal/devdomain": {"oauth", "internal/devca", "internal/jose", "internal/strictid", "internal/strictjson"},
	"internal/devenv": {"", "oauth", "bundle", "client", "client/workload", "resource", "internal/config", "internal/daemon",
		"internal/devca", "internal/devdomain"},
	"internal/testidentity":  {"", "oauth", "bundle", "internal/devca", "internal/tokenrequest", "internal/registration", "internal/clientauth", "internal/replay"}, // imported by tests only
	"internal/reasonexample": {"oauth"},                                                                                                                             // imported by tests only
	"internal/vectors":       {},
	"internal/mutate":        {},
	"internal/importrule":    {},
	"internal/requirements":  {},
	"internal/store":         {"oauth"},
	"internal/store/sqlite": {"internal/filelock", "internal/store", "internal/keys", "internal/authorization", "internal/revocation", "oauth",
		"internal/registration", "internal/login"},
	"internal/store/storetest": {"internal/store", "internal/keys", "internal/authorization", "internal/revocation", "oauth", "internal/registration",
		"internal/login"}, // imported by tests only
	"internal/challenge":   {},
	"internal/redirecturi": {},
	"internal/authorization": {"oauth", "internal/judge", "internal/policy", "internal/redirecturi", "internal/registration", "internal/store",
		"internal/tokenrequest"},
	"internal/revocation": {"", "internal/strictid"},
	"internal/introspection": {"oauth", "internal/authorization", "internal/clientauth", "internal/jose", "internal/judge", "internal/proven",
		"internal/revocation", "internal/store", "internal/strictid", "internal/strictjson"},
	"internal/login":           {"oauth", "internal/regularfile", "internal/store", "internal/authorization", "internal/strictjson", "internal/jose"},
	"internal/page":            {},
	"internal/store/powerloss": {}, // imported by tests only
}

// light are the libraries that others import. They link go-spiffe's id, bundle
// and svid packages, go-jose and x/sync, and nothing of the kind below.
var light = []string{"", "oauth", "bundle", "client", "resource"}

var heavy = map[string]string{
	"google.golang.org/grpc":              "gRPC adds 61 packages",
	"google.golang.org/protobuf":          "comes with gRPC",
	"github.com/prometheus/client_golang": "metrics are the server's",
	"go.opentelemetry.io":                 "tracing is the server's",
	"github.com/spf13/cobra":              "commands are cmd's",
	"html/template":                       "it keeps the linker from dropping unused methods",
	"github.com/goccy/go-yaml":            "configuration files are the server's",
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func ours(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestImportOrder(t *testing.T) {
	for _, p := range list(t, "./...") {
		name, ok := ours(p.ImportPath)
		if !ok || strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "bench") || strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, "e2e") {
			continue // what wires everything together may import everything
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("package %q has no place in the import order", name)
			continue
		}
		for _, i := range p.Imports {
			if dep, ok := ours(i); ok && !slices.Contains(may, dep) {
				t.Errorf("package %q imports %q, which the import order does not allow", name, dep)
			}
		}
	}
}

func TestOrderHasNoCycle(t *testing.T) {
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Fatalf("the import order has a cycle: %v", append(path, name))
		}
		for _, dep := range allowed[name] {
			visit(dep, append(path, name))
		}
	}
	for name := range allowed {
		visit(name, nil)
	}
}

func TestLightLibrariesStayLight(t *testing.T) {
	for _, name := range light {
		for _, p := range list(t, "./"+name) {
			for _, dep := range p.Deps {
				for prefix, why := range heavy {
					if dep == prefix || strings.HasPrefix(dep, prefix+"/") {
						t.Errorf("library %q links %s: %s", name, dep, why)
					}
				}
			}
		}
	}
}

// OpenTelemetry is behind one package: whoever serves requests knows only times
// and stages.
func TestOneImporterOfOpenTelemetry(t *testing.T) {
	for _, p := range list(t, "./...") {
		name, _ := ours(p.ImportPath)
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "go.opentelemetry.io/") && name != "internal/trace/otlp" {
				t.Errorf("package %q imports %s", name, i)
			}
		}
	}
}
