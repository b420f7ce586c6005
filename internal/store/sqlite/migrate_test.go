package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/internal/store"
)

func storeFile(t *testing.T) string { return filepath.Join(t.TempDir(), "x.db") }

// change has SQLite do something to a file that no store has open.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

func made(t *testing.T, path, version string) {
	t.Helper()
	s, err := Open(t.Context(), Config{Address: "sqlite:" + path, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A store that a later version has changed is refused by Open and Status, with a
// message that says which version to run, and stays as it is.
func TestLaterSchema(t *testing.T) {
	path := storeFile(t)
	made(t, path, "v1.0.0")
	at, err := Status(t.Context(), Config{Address: "sqlite:" + path})
	if err != nil || at.Version != at.Needed || at.Program != "v1.0.0" {
		t.Fatalf("%+v, %v", at, err)
	}
	later := at.Needed + 3
	change(t, path,
		fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)`, later),
		fmt.Sprintf(`INSERT INTO store_schema VALUES (%d, 'v1.7.0', 0)`, later))
	before := bytesOf(t, path)
	want := fmt.Sprintf("store: %s: the store is of a later version: its schema is %d, made by svidgate v1.7.0, and this is svidgate v1.0.0, which knows schemas up to %d: run that version or a later one", path, later, at.Needed)
	cfg := Config{Address: "sqlite:" + path, Version: "v1.0.0"}
	for name, call := range map[string]func() error{
		"Open":   func() error { _, err := Open(t.Context(), cfg); return err },
		"Status": func() error { _, err := Status(t.Context(), cfg); return err },
	} {
		if err := call(); !errors.Is(err, store.ErrNewer) || err.Error() != want {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if !bytes.Equal(bytesOf(t, path), before) {
		t.Error("the file was changed")
	}
	change(t, path, fmt.Sprintf(`DELETE FROM goose_db_version WHERE version_id = %d`, later))
	made(t, path, "v1.0.0")
}

// The database of another program is left alone.
func TestForeignDatabase(t *testing.T) {
	for name, statements := range map[string][]string{
		"tables":            {`CREATE TABLE theirs (x)`},
		"an application id": {`PRAGMA application_id = 7`, `CREATE TABLE theirs (x)`},
		"migrated by the same library": {`CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER, is_applied INTEGER)`,
			`INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1)`, `CREATE TABLE theirs (x)`},
	} {
		path := storeFile(t)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		change(t, path, statements...)
		before := bytesOf(t, path)
		if _, err := Open(t.Context(), Config{Address: "sqlite:" + path}); !errors.Is(err, errForeign) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if _, err := Status(t.Context(), Config{Address: "sqlite:" + path}); !errors.Is(err, errForeign) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if !bytes.Equal(bytesOf(t, path), before) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func bytesOf(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Where there can be no write-ahead log, nothing is promised and nothing opened.
func TestNoWriteAheadLog(t *testing.T) {
	path := storeFile(t)
	if _, err := Open(t.Context(), Config{Address: "sqlite:" + path, VFS: "unix-none"}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "write-ahead log") {
		t.Errorf("the error is %v", err)
	}
	made(t, path, "")
}

// A start that was cut off between the last step and the note of who took it is made
// up for.
func TestWhoMadeTheSchema(t *testing.T) {
	path := storeFile(t)
	made(t, path, "v1.0.0")
	change(t, path, `DELETE FROM store_schema`)
	for _, version := range []string{"v1.0.1", "v1.0.2"} { // the first that comes, and nobody after it
		made(t, path, version)
		if at, err := Status(t.Context(), Config{Address: "sqlite:" + path}); err != nil || at.Program != "v1.0.1" {
			t.Errorf("after %s it is %q, %v", version, at.Program, err)
		}
	}
}

// Of several processes that open a new file at once, one makes the schema.
func TestSchemaIsMadeOnce(t *testing.T) {
	path := storeFile(t)
	var log bytes.Buffer
	var mu sync.Mutex
	cfg := Config{Address: "sqlite:" + path, Log: slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			s, err := Open(context.Background(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := strings.Count(log.String(), "store schema"); n != 1 {
		t.Errorf("%d times:\n%s", n, &log)
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// Status makes nothing, and tells what is to be done.
func TestStatusOfNothing(t *testing.T) {
	path := storeFile(t)
	at, err := Status(t.Context(), Config{Address: "sqlite:" + path})
	if err != nil || at.Version != 0 || at.Needed < 1 || len(at.Migrations) < 1 || at.Migrations[0] != (Migration{1, "keys", false}) {
		t.Errorf("%+v, %v", at, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made the file: %v", err)
	}
	if _, err := Status(t.Context(), Config{Address: "memory:"}); err == nil {
		t.Error("memory has a status")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if at, err := Status(t.Context(), Config{Address: "sqlite:" + path}); err != nil || at.Version != 0 || len(bytesOf(t, path)) != 0 {
		t.Errorf("an empty file: %+v, %v, %d bytes", at, err, len(bytesOf(t, path)))
	}
	made(t, path, "")
	at, err = Status(t.Context(), Config{Address: "sqlite:" + path})
	if err != nil || at.Version != at.Needed || !at.Migrations[0].Applied {
		t.Errorf("%+v, %v", at, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Status(t.Context(), Config{Address: "sqlite:" + path}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("the error is %v", err)
	}
}

// Every step goes forward only, and every table is as the package says.
func TestMigrationsKeepTheRules(t *testing.T) {
	names, err := fs.Glob(embedded, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]string{}
	for _, name := range names {
		data, err := fs.ReadFile(embedded, name)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^migrations/[0-9]{5}_[a-z]+\.sql$`).MatchString(name) {
			t.Errorf("%s is not a number and a word", name)
		}
		number := name[:len("migrations/00000")]
		if other := numbers[number]; other != "" {
			t.Errorf("%s has the number of %s", name, other)
		}
		numbers[number] = name
		if !bytes.HasPrefix(data, []byte("-- +goose Up\n")) || bytes.Contains(data, []byte("+goose Down")) || bytes.Contains(data, []byte("NO TRANSACTION")) {
			t.Errorf("%s does not go forward only, in one transaction", name)
		}
	}
	s := opened(t, Config{Address: "memory:"})
	check := func(what, query string) {
		t.Helper()
		err := s.read(t.Context(), func(r *reading) error {
			return r.rows(query, nil, func(scan func(...any) error) error {
				var name string
				err := scan(&name)
				if !strings.HasPrefix(name, "goose_") && !strings.HasPrefix(name, "sqlite_") {
					t.Errorf("table %s %s", name, what)
				}
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check("is not STRICT", `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict`)
	check("has no rowid", `SELECT name FROM pragma_table_list WHERE schema = 'main' AND wr`)
	for _, e := range expiring {
		column := regexp.MustCompile(`\w+ <= \?`).FindString(e.remove)
		plan := ""
		err := s.read(t.Context(), func(r *reading) error {
			return r.rows(`EXPLAIN QUERY PLAN `+e.remove, []any{1}, func(scan func(...any) error) error {
				var a, b, c int
				var detail string
				err := scan(&a, &b, &c, &detail)
				plan += detail + "\n"
				return err
			})
		})
		if err != nil || !strings.Contains(plan, "SEARCH "+e.table+" USING COVERING INDEX") {
			t.Errorf("what has expired (%s) is found in %s by %s%v", column, e.table, plan, err)
		}
	}
}
