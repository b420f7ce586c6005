package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"modernc.org/sqlite"

	"github.com/svidgate/svidgate/internal/store"
)

const (
	driverName = "sqlite"
	// maxStatements bounds what a connection keeps of its statements.
	maxStatements = 512
)

// common is what holds for every connection.
var common = []string{
	"_busy_timeout=5000", // of another process
	"_foreign_keys=1",
	"_dqs=0",
	"_defensive=1",
	"_pragma=trusted_schema(0)",
	"_pragma=cell_size_check(1)",
}

// fileNames are the data source names of a file: that of the writer and that of
// readers. That the file has a write-ahead log is seen to when it is known to be ours.
func fileNames(path, vfs string) (write, read string) {
	base := (&url.URL{Scheme: "file", Path: path}).String()
	own := slices.Clone(common)
	if vfs != "" {
		own = append(own, "vfs="+url.QueryEscape(vfs))
	}
	writer := append(slices.Clone(own), "_synchronous=FULL",
		"_pragma=fullfsync(1)", "_pragma=checkpoint_fullfsync(1)", // elsewhere than on macOS they do nothing
		"_pragma=journal_size_limit(67108864)")
	reader := append(own, "mode=ro", "_query_only=1")
	return base + "?" + strings.Join(writer, "&"), base + "?" + strings.Join(reader, "&")
}

// memoryNames are those of a database in memory that all connections of one name see.
func memoryNames(name string) (write, read string) {
	base := "file:" + name + "?vfs=memdb&" + strings.Join(common, "&")
	return base, base + "&_query_only=1"
}

// A connection keeps its statements.
type connection struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func connect(ctx context.Context, db *sql.DB) (*connection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn, map[string]*sql.Stmt{}}, nil
}

func (c *connection) close() error {
	if c == nil {
		return nil
	}
	for _, s := range c.statements {
		s.Close()
	}
	return c.conn.Close()
}

// statement is the prepared statement of a query. No call here takes the context of a
// request: what has begun is finished.
func (c *connection) statement(query string) (*sql.Stmt, error) {
	if s, ok := c.statements[query]; ok {
		return s, nil
	}
	if len(c.statements) == maxStatements {
		return nil, errors.New("too many different queries: a query is a constant")
	}
	s, err := c.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.statements[query] = s
	return s, nil
}

func (c *connection) exec(query string, args ...any) (int64, error) {
	s, err := c.statement(query)
	if err != nil {
		return 0, err
	}
	result, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Result codes of SQLite: the low byte tells the kind.
const (
	codeError      = 1
	codePerm       = 3
	codeAbort      = 4
	codeBusy       = 5
	codeLocked     = 6
	codeNoMemory   = 7
	codeReadOnly   = 8
	codeInterrupt  = 9
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCannotOpen = 14
	codeProtocol   = 15
	codeConstraint = 19
	codeNotADB     = 26
)

func kind(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// classify wraps an error of the store itself in [store.ErrUnavailable]. One that a
// statement deserves stays what it is.
func classify(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	switch kind(err) {
	case codePerm, codeAbort, codeBusy, codeLocked, codeNoMemory, codeReadOnly, codeInterrupt, codeIO, codeCorrupt, codeFull,
		codeCannotOpen, codeProtocol, codeNotADB:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	case 0:
		if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	return err
}

// isConstraint reports whether a row was refused by a constraint of its table. The
// statement did nothing, and the unit may go on. What is put in at most once needs it
// not: INSERT … ON CONFLICT DO NOTHING tells by its count.
func isConstraint(err error) bool { return kind(err) == codeConstraint }
