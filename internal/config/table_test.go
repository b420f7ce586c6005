package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/config"
)

// TestTableFile: the table of trust domains in a file of its own, with its own
// name in faults and its own folder for paths.
func TestTableFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good/td.json", `{"example.org": {"spiffe_bundle_endpoint": {"url": "https://example.com/bundle.json", "ca_file": "ca.pem"}}}`)
	write("good/td.yaml", "example.org: {bundle_file: b.json}\n")
	write("bad/key.json", "{\n  \"example.org\": {\"bundel_file\": \"b\"}\n}\n")
	write("bad/list.yaml", "- example.org\n")
	write("bad/syntax.json", "{\n")
	write("bad/empty.yaml", "# nothing\n")
	write("bad/big.yaml", strings.Repeat("#", 1<<20+1))
	above := server + "trust_domains: "
	below := "\nclients: [{client_id: spiffe://example.org/a, auth_methods: [spiffe_jwt]}]\n"

	for name, want := range map[string]config.TrustDomain{
		"good/td.json": {BundleEndpoint: config.BundleEndpoint{URL: "https://example.com/bundle.json", CAFile: filepath.Join(dir, "good", "ca.pem"), Redirects: true}},
		"good/td.yaml": {BundleFile: filepath.Join(dir, "good", "b.json")},
	} {
		for _, written := range []string{name, filepath.Join(dir, name)} {
			cfg, err := config.Parse(filepath.Join(dir, "a.yaml"), []byte(above+written+below))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := cfg.TrustDomains[0]
			if got.Name.Name() != "example.org" || got.BundleEndpoint != want.BundleEndpoint || got.BundleFile != want.BundleFile {
				t.Errorf("%s: %+v", name, got)
			}
			if diff := cmp.Diff([]string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, name)}, cfg.Files); diff != "" {
				t.Error(diff)
			}
		}
	}
	for name, want := range map[string]string{
		"bad/key.json":    "bad/key.json:2:19: unknown key \"bundel_file\"; did you mean \"bundle_file\"?",
		"bad/list.yaml":   "bad/list.yaml:1:1: the file must hold a table of trust domains, not a list",
		"bad/empty.yaml":  "bad/empty.yaml:1:1: the file must hold a table of trust domains, not nothing",
		"bad/syntax.json": "bad/syntax.json:1:1: not valid YAML: the { here is never closed",
		"bad/big.yaml":    "bad/big.yaml:1:1: the file has more than 1048576 bytes",
		"bad/none.yaml":   "a.yaml:4:16: the table of trust domains in \"bad/none.yaml\" cannot be read: no such file or directory in the folder of this configuration",
		"bad":             "a.yaml:4:16: the table of trust domains in \"bad\" cannot be read: not a regular file",
		"bad/":            "a.yaml:4:16: trust_domains must be the name of a file, not \"bad/\"",
	} {
		_, err := config.Parse(filepath.Join(dir, "a.yaml"), []byte(above+name+below))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}
