package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
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
	sources := p.ListSources()
	needed := sources[len(sources)-1].Version
	found, err := s.schema(ctx, needed)
	if err != nil || found == needed {
		return err
	}
	start := time.Now()
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("the schema could not be brought from version %d to %d: %w", found, needed, err)
	}
	if _, err := s.anchor.exec(`INSERT INTO store_schema (schema, program, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		needed, s.config.Version, stamp(s.config.Now())); err != nil {
		return err
	}
	if s.path != "" {
		s.config.Log.Info("store schema", "file", s.path, "from", found, "to", needed, "took", time.Since(start))
	}
	return nil
}

// schema is the version of the schema that is there, 0 for an empty file. One that
// this program does not know is an error.
func (s *Store) schema(ctx context.Context, known int64) (int64, error) {
	c := s.anchor.conn
	var id, tables, versions int64
	if err := c.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return 0, err
	}
	err := c.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = ?) FROM sqlite_schema WHERE type = 'table'`, versionTable).Scan(&tables, &versions)
	switch {
	case err != nil:
		return 0, err
	case id == 0 && tables == 0:
		return 0, nil
	case id != applicationID && versions == 0: // without its first version: a start that was cut off
		return 0, errForeign
	}
	var found sql.NullInt64
	if err := c.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versionTable+` WHERE is_applied`).Scan(&found); err != nil {
		return 0, err
	}
	if found.Int64 <= known {
		return found.Int64, nil
	}
	program := "a later version"
	err = c.QueryRowContext(ctx, `SELECT program FROM store_schema WHERE schema >= ? ORDER BY schema LIMIT 1`, found.Int64).Scan(&program)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return 0, fmt.Errorf("%w: its schema is %d, made by svidgate %s, and this is svidgate %s, which knows schemas up to %d: run that version or a later one",
		store.ErrNewer, found.Int64, program, s.config.Version, known)
}
