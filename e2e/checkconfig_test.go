package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

// check-config names every fault of a file, one a line, with its place; serve
// says the same and opens nothing.
func TestCheckConfig(t *testing.T) {
	dir := must(filepath.Abs(filepath.Join("testdata", "config")))
	out, errs, code := command(t, dir, "check-config", "good.yaml")
	if code != 0 || out != "" || errs != "" {
		t.Errorf("good.yaml: code %d, %q, %q", code, out, errs)
	}
	files := must(filepath.Glob(filepath.Join(dir, "wrong*.yaml")))
	if len(files) < 3 {
		t.Fatalf("%d wrong files", len(files))
	}
	for _, path := range files {
		file := filepath.Base(path)
		t.Run(file, func(t *testing.T) {
			out, errs, code := command(t, dir, "check-config", file)
			if code != 1 || out != "" {
				t.Errorf("code %d, standard output %q", code, out)
			}
			golden(t, "config/"+file, []byte(errs))
			for l := range strings.Lines(errs) {
				if !regexp.MustCompile(`^` + regexp.QuoteMeta(file) + `:[1-9][0-9]*:[1-9][0-9]*: .`).MatchString(l) {
					t.Errorf("a line of another form: %s", l)
				}
			}
			out, served, code := command(t, dir, "serve", "--config", file)
			if code == 0 || out != "" || served != errs {
				t.Errorf("serve: code %d, standard output %q, standard error\n%s\nwant\n%s", code, out, served, errs)
			}
		})
	}
	for name, args := range map[string][]string{
		"no such file":   {"check-config", "nothing.yaml"},
		"a folder":       {"check-config", "."},
		"no argument":    {"check-config"},
		"serve, no file": {"serve", "--config", "nothing.yaml"},
		"no command":     {"frobnicate"},
	} {
		if _, errs, code := command(t, dir, args...); code == 0 || errs == "" || strings.Contains(errs, "panic") || strings.Contains(errs, "goroutine") {
			t.Errorf("%s: code %d, %q", name, code, errs)
		}
	}
}

// What only shows when the files are opened ends serve, too, with what is wrong,
// and no half of a server stays.
func TestServeCannotStart(t *testing.T) {
	for name, spoil := range map[string]func(s *server) error{
		"no certificate":    func(s *server) error { return os.Remove(filepath.Join(s.dir, "as.crt")) },
		"the key of others": func(s *server) error { return os.WriteFile(filepath.Join(s.dir, "as.key"), []byte("no key"), 0o600) },
		"no CA file":        func(s *server) error { return os.Remove(filepath.Join(s.dir, "ca.pem")) },
		"an audit file that is not ours": func(s *server) error {
			return os.WriteFile(filepath.Join(s.dir, "audit.jsonl"), []byte("somebody's data\n"), 0o600)
		},
		"a keys file that others can read": func(s *server) error {
			return os.WriteFile(filepath.Join(s.dir, "svidgate-keys.json"), []byte(`{"version":1,"keys":[]}`), 0o644)
		},
		"a keys file that is torn": func(s *server) error {
			return os.WriteFile(filepath.Join(s.dir, "svidgate-keys.json"), []byte(`{"version":1,"ke`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t, worldConfig, newDomain(t, "example.org", devca.Options{}))
			if _, _, code := command(t, s.dir, "check-config", "svidgate.yaml"); code != 0 {
				t.Errorf("check-config: code %d", code)
			}
			if err := spoil(s); err != nil {
				t.Fatal(err)
			}
			out, errs, code := command(t, s.dir, "serve", "--config", "svidgate.yaml")
			if code == 0 || out != "" || strings.Contains(errs, `"msg":"ready"`) || !strings.Contains(errs, "svidgate: ") || strings.Contains(errs, "panic") {
				t.Errorf("code %d, %q, %q", code, out, errs)
			}
		})
	}
	// One process at a time has an audit file.
	w := newWorld(t)
	if _, errs, code := command(t, w.dir, "serve", "--config", "svidgate.yaml"); code == 0 {
		t.Errorf("a second server on the same files: %s", errs)
	}
	w.granted(t, w.billing(t))
}
