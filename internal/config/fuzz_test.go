package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/svidgate/svidgate/internal/config"
)

// FuzzParse: no panic, the same answer twice, and either a configuration or
// faults, each at a place within the file.
func FuzzParse(f *testing.F) {
	wrong, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(wrong, "testdata/product.yaml", "testdata/everything.yaml", "testdata/right.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", server, mutual, above, "trust_domains:\n{\n \"a\": {}}\nb: [", "? a\n: b", "a: |\n  b\n", "a: &a [*a]", "{a, b: c}", "- - a", "\ufeffa: 'b", "a: !!x b\r\n", ": :", "#`\r\n`\r\n&", "a:\n- b: c\n  d:\n   - >-\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse("a.yaml", data)
		again, errAgain := config.Parse("a.yaml", data)
		if !reflect.DeepEqual(cfg, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two answers:\n%+v %v\n%+v %v", cfg, err, again, errAgain)
		}
		if (cfg == nil) == (err == nil) {
			t.Fatalf("%+v and %v", cfg, err)
		}
		if err == nil {
			if cfg.Issuer == "" || cfg.Listen.Public == "" || cfg.TLS.Certificate == "" || cfg.TLS.Key == "" {
				t.Errorf("accepted without what is required: %+v", cfg)
			}
			if cfg.Keys.Rotate != 0 && cfg.Keys.Rotate < 2*cfg.Keys.PublishAhead || cfg.Keys.PublishAhead < 3*time.Second || len(cfg.Admin.Socket) > 103 || cfg.Bundles.Folder == "" {
				t.Errorf("accepted beyond its bounds: %+v", cfg)
			}
			for _, d := range cfg.TrustDomains {
				if sources := []string{d.BundleEndpoint.URL, d.WorkloadAPI.Address, d.BundleFile}; len(slices.DeleteFunc(sources, func(s string) bool { return s == "" })) != 1 {
					t.Errorf("accepted without exactly one source: %+v", d)
				}
			}
			if faults := cfg.NeedsRestart(again); len(faults) > 0 {
				t.Errorf("the same configuration needs a restart: %v", faults)
			}
			return
		}
		lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
		faults, ok := err.(config.Faults)
		if !ok || len(faults) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, fault := range faults {
			if fault.File != "a.yaml" {
				continue // of the table that trust_domains names
			}
			if fault.Line < 1 || fault.Line > len(lines) || fault.Column < 1 || fault.Column > utf8.RuneCountInString(lines[fault.Line-1])+1 {
				t.Errorf("%v is outside the file", fault)
			}
			if fault.Message == "" {
				t.Error("a fault says nothing")
			}
		}
	})
}
