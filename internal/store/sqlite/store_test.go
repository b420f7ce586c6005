package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
)

// A place is a folder with a file.
type place struct{ file string }

func newPlace(t *testing.T) storetest.Place {
	return &place{filepath.Join(t.TempDir(), "svidgate.db")}
}

func (p *place) Open(t *testing.T, now func() time.Time) storetest.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "sqlite:" + p.file, Version: "test", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Keep is what docs/operations.md tells to do.
func (p *place) Keep(t *testing.T) {
	t.Helper()
	os.Remove(p.file + ".backup")
	db, err := sql.Open("sqlite", p.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`VACUUM INTO ?`, p.file+".backup"); err != nil {
		t.Fatal(err)
	}
}

func (p *place) Restore(t *testing.T) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		os.Remove(p.file + suffix)
	}
	if err := os.Rename(p.file+".backup", p.file); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Break is in powerloss, on a file system of its own.
func (p *place) Break(*testing.T, storetest.Store) func() { return nil }

func TestStore(t *testing.T) { storetest.Test(t, newPlace) }
