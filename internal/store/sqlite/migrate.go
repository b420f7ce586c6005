package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/svidgate/svidgate/internal/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

const (
	versionTable  = "goose_db_version"
	applicationID = 1400260468 // see migrations/00001_keys.sql
)

// errForeign is for a file that is no store of ours.
var errForeign = errors.New("it is the database of another program")

// A Schema is how far the schema of a store has come, and how far this program needs
// it to be.
type Schema struct {
	File string `json:"file"`
	// Version is that of the file; 0 is a file that is not there, or is empty.
	Version int64 `json:"version"`
	// Needed is the version that this program brings it to.
	Needed int64 `json:"needed"`
	// Program is the svidgate that brought it to Version, empty where that is not known.
	Program    string      `json:"program,omitempty"`
	Migrations []Migration `json:"migrations"`
}

// A Migration is one step of the schema.
type Migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

// Status is the schema of a file, which is neither made nor changed. Like [Open] it
// refuses what others may use, what is no store of ours, and with [store.ErrNewer] what
// a later version has changed.
func Status(ctx context.Context, cfg Config) (Schema, error) {
	at, err := status(ctx, cfg)
	if err != nil {
		return Schema{}, fmt.Errorf("store: %w", err)
	}
	return at, nil
}

func status(ctx context.Context, cfg Config) (Schema, error) {
	path, err := place(cfg.Address)
	if err != nil {
		return Schema{}, err
	}
	if path == "" {
		return Schema{}, errors.New("it is memory, which has its schema anew at each start")
	}
	s := &Store{config: cfg, path: path}
	write, _ := fileNames(path, cfg.VFS)
	if s.db, err = sql.Open(driverName, write+"&mode=rw"); err != nil { // read-only, it would leave a log behind
		return Schema{}, err
	}
	defer s.db.Close()
	p, err := s.provider()
	if err != nil {
		return Schema{}, err
	}
	at := Schema{File: path, Needed: needed(p)}
	switch _, err := private(path); {
	case err == nil:
		if s.anchor, err = connect(ctx, s.db); err != nil {
			return Schema{}, s.named(err)
		}
		defer s.anchor.close()
		if at.Version, at.Program, err = s.schema(ctx, at.Needed); err != nil {
			return Schema{}, s.named(err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return Schema{}, err
	}
	for _, source := range p.ListSources() {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(source.Path), ".sql"), "_")
		at.Migrations = append(at.Migrations, Migration{source.Version, name, source.Version <= at.Version})
	}
	return at, nil
}

func needed(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}

func (s *Store) provider() (*goose.Provider, error) {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, s.db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
}

// migrate brings the schema to the version that this program needs. The file is
// locked against other processes.
func (s *Store) migrate(ctx context.Context) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	needed := needed(p)
	found, program, err := s.schema(ctx, needed)
	if err != nil {
		return err
	}
	if err := s.logAhead(ctx); err != nil {
		return err
	}
	if found == needed && program != "" {
		return nil
	}
	start := time.Now()
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("the schema could not be brought from version %d to %d: %w", found, needed, err)
	}
	// A start that was cut off here is made up for by the next one.
	if _, err := s.anchor.exec(`INSERT INTO store_schema (schema, program, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		needed, s.config.Version, stamp(s.config.Now())); err != nil {
		return err
	}
	if s.path != "" && found != needed {
		s.config.Log.Info("store schema", "file", s.path, "from", found, "to", needed, "took", time.Since(start))
	}
	return nil
}

// logAhead gives the file its write-ahead log, which all that is promised of commits
// and snapshots rests on; it keeps that. Not every file system can have one.
func (s *Store) logAhead(ctx context.Context) error {
	if s.path == "" {
		return nil
	}
	var mode string
	if err := s.anchor.conn.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%w: it cannot have a write-ahead log there, only the journal mode %q", store.ErrUnavailable, mode)
	}
	return nil
}

// schema is the version of the schema that is there, 0 for an empty file, and which
// svidgate made it. One that this program does not know is an error.
func (s *Store) schema(ctx context.Context, known int64) (version int64, program string, err error) {
	c := s.anchor.conn
	var id, tables, versions int64
	if err := c.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return 0, "", err
	}
	err = c.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = ?) FROM sqlite_schema WHERE type = 'table'`, versionTable).Scan(&tables, &versions)
	switch {
	case err != nil:
		return 0, "", err
	case id == 0 && tables == 0:
		return 0, "", nil
	case id == 0 && versions == 1: // a first start that was cut off before the first step
	case id != applicationID || versions == 0:
		return 0, "", errForeign
	}
	var found sql.NullInt64
	if err := c.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versionTable+` WHERE is_applied`).Scan(&found); err != nil {
		return 0, "", err
	}
	switch {
	case id == 0 && found.Int64 == 0:
		return 0, "", nil
	case id == 0: // steps of somebody else
		return 0, "", errForeign
	}
	err = c.QueryRowContext(ctx, `SELECT program FROM store_schema WHERE schema >= ? ORDER BY schema LIMIT 1`, found.Int64).Scan(&program)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, "", err
	}
	if found.Int64 <= known {
		return found.Int64, program, nil
	}
	return 0, "", fmt.Errorf("%w: its schema is %d, made by svidgate %s, and this is svidgate %s, which knows schemas up to %d: run that version or a later one",
		store.ErrNewer, found.Int64, cmp.Or(program, "of a later version"), s.config.Version, known)
}
