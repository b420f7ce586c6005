package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/store/powerloss"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/store/storetest"
)

// A place is a file on a disk that can be full.
type place struct {
	file string
	disk *powerloss.Disk
}

func newPlace(t *testing.T) storetest.Place {
	disk, err := powerloss.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(disk.Close)
	return &place{filepath.Join(t.TempDir(), "svidgate.db"), disk}
}

func (p *place) Open(t *testing.T, now func() time.Time) storetest.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "sqlite:" + p.file, Version: "test", Now: now, VFS: p.disk.VFS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Keep is what docs/store.md tells to do.
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

func (p *place) Later(t *testing.T) error {
	t.Helper()
	change := func(statement string) {
		t.Helper()
		db, err := sql.Open("sqlite", p.file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	change(`INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, 1 FROM goose_db_version`)
	_, err := sqlite.Open(t.Context(), sqlite.Config{Address: "sqlite:" + p.file, VFS: p.disk.VFS()})
	change(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	return err
}

func (p *place) Fill() (mend func()) { return p.disk.Fill() }

func TestStore(t *testing.T) { storetest.Test(t, newPlace) }
