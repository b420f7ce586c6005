package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

const manual = "../../docs/configuration.md"

func readManual(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestManualNamesEveryKey: each key has a row of its own in a table, and those
// that are refused stand under the heading that says so.
func TestManualNamesEveryKey(t *testing.T) {
	works, refused, found := strings.Cut(readManual(t), "## Known, and refused by this version")
	if !found {
		t.Fatal("the manual has no section of refused keys")
	}
	config.EveryKey(func(path string, no bool) {
		section := works
		if no {
			section = refused
		}
		row := "\n| `" + path + "` |"
		switch path {
		case "clients[].client_secret", "clients[].spiffe_bundle_endpoint", "login.oidc[].client_secret": // refused for good
			section, row = works, "`"+path+"`"
		}
		if !strings.Contains(section, row) {
			t.Errorf("the manual has no row for %s (refused: %v)", path, no)
		}
	})
}

// TestManualNamesNoOtherKey: a row of the manual is a key that there is.
func TestManualNamesNoOtherKey(t *testing.T) {
	keys := map[string]bool{}
	config.EveryKey(func(path string, _ bool) { keys[path] = true })
	for line := range strings.SplitSeq(readManual(t), "\n") {
		if rest, row := strings.CutPrefix(line, "| `"); row {
			if path, _, _ := strings.Cut(rest, "`"); !keys[path] {
				t.Errorf("the manual has a row for %s, which is no key", path)
			}
		}
	}
}

// TestExamples: each configuration in the manual and in the README is whole, and
// none is warned of.
func TestExamples(t *testing.T) {
	for document, want := range map[string]int{"../../docs/configuration.md": 3, "../../docs/sign-in.md": 1, "../../README.md": 1} {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		examples := strings.Split(string(text), "```yaml\n")[1:]
		if len(examples) != want {
			t.Errorf("%s: %d examples, want %d", document, len(examples), want)
		}
		for i, example := range examples {
			text, _, _ := strings.Cut(example, "```")
			cfg, err := config.Parse("svidgate.yaml", []byte(text))
			if err != nil {
				t.Errorf("%s: example %d: %v", document, i+1, err)
				continue
			}
			if len(cfg.Warnings) > 0 {
				t.Errorf("%s: example %d: %v", document, i+1, config.Faults(cfg.Warnings))
			}
		}
	}
}
