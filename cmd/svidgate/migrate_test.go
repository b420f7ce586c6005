package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/store/sqlite"
)

// The schema of a new file is made by `up`, shown by `status`, which changes nothing,
// and one of a later version is refused by both.
func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "svidgate.yaml")
	write := func(store string) {
		t.Helper()
		text := "issuer: https://as.example.com\nlisten: {public: \"127.0.0.1:0\"}\ntls: {certificate: a, key: b}\nstore: " + store + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status := func() sqlite.Schema {
		t.Helper()
		out, _, err := run(t, "migrate", "status", "--config", file, "--json")
		if err != nil {
			t.Fatal(err)
		}
		var at sqlite.Schema
		if err := json.Unmarshal([]byte(out), &at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	write("sqlite:x.db")
	db := filepath.Join(dir, "x.db")
	if at := status(); at.Version != 0 || at.Needed < 1 || at.File != db || len(at.Migrations) == 0 {
		t.Errorf("%+v", at)
	}
	if _, err := os.Stat(db); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("status made the file: %v", err)
	}
	for i, want := range []string{", was 0\n", ", nothing to do\n"} {
		if out, _, err := run(t, "migrate", "up", "--config", file); err != nil || !strings.HasPrefix(out, db+": version ") || !strings.HasSuffix(out, want) {
			t.Errorf("%d: %q, %v", i, out, err)
		}
	}
	if at := status(); at.Version != at.Needed {
		t.Errorf("%+v", at)
	}
	if out, _, err := run(t, "migrate", "status", "--config", file); err != nil || !regexp.MustCompile(`1 +keys +applied`).MatchString(out) {
		t.Errorf("%q, %v", out, err)
	}

	later, err := sql.Open("sqlite", db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	later.Close()
	for _, sub := range []string{"status", "up"} {
		if _, _, err := run(t, "migrate", sub, "--config", file); err == nil || !strings.Contains(err.Error(), "its schema is 99999") {
			t.Errorf("%s: %v", sub, err)
		}
	}

	write(`"memory:"`)
	if _, _, err := run(t, "migrate", "status", "--config", file); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
	write("nowhere")
	if _, errs, err := run(t, "migrate", "up", "--config", file); !errors.Is(err, errSilent) || !strings.HasPrefix(errs, file+":4:8: store must be") {
		t.Errorf("%q, %v", errs, err)
	}
}
