package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

var update = flag.Bool("update", false, "write testdata/wrong/*.txt anew")

// TestWrongFiles: each file of testdata/wrong is testdata/right.yaml with what a
// tired operator does to it, and beside it stands all that check-config says.
func TestWrongFiles(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "wrong")) // so that faults name the file alone
	if cfg, err := config.Load("../right.yaml"); err != nil {
		t.Fatalf("the file that all were made from is refused: %v", err)
	} else if len(cfg.Warnings) != 1 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Errorf("%d files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			_, err := config.Load(file)
			var faults config.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("no faults: %v", err)
			}
			for _, f := range faults {
				data, err := os.ReadFile(f.File)
				if err != nil {
					t.Fatal(err)
				}
				if at, ok := pointsAt(string(data), f); !ok {
					t.Errorf("%v points at %q", f, at)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
	texts, err := filepath.Glob("*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) != len(files) {
		t.Errorf("%d files and %d texts", len(files), len(texts))
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed (go test -update writes it anew):\n%s", file, got)
	}
}
