package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/svidgate/svidgate/internal/filelock"
)

const (
	// Schemes of an address.
	fileScheme   = "sqlite:"
	memoryScheme = "memory:"

	// maxQueue is how many units may wait. At a thousand commits a second it is
	// full only when the disk stands still.
	maxQueue = 4096
	// maxBatch is how many units one commit holds.
	maxBatch = 256
	// maxUnits is after how long the units of a commit are too many. It takes a
	// processor that thousands of others want, or one long unit: those that are done do
	// not wait for the rest.
	maxUnits = 50 * time.Millisecond
	// readers is how many snapshots may be read at once.
	readers = 6
	// lockSuffix makes the name of the file that is locked while the schema changes.
	lockSuffix = ".lock"
	// fileMode is the only mode made; any that lets others in is refused.
	fileMode = 0o600
)

// A Config says where the store is.
type Config struct {
	// Address is "sqlite:" and a file, which is made if there is none and is on a disk
	// of this machine, or "memory:", which is a new and empty store that ends with Close.
	Address string
	// Version is that of this program: a store remembers which version its schema is
	// from, to name it to an older one.
	Version string
	// Now is the clock that says what has expired; nil means time.Now.
	Now func() time.Time
	// Log gets failures and changes of the schema; nil is silent.
	Log *slog.Logger
	// VFS is the name of a file system that was registered with SQLite; empty is that
	// of the operating system.
	VFS string
}

// A Store is an open store. Any number of goroutines may use it.
type Store struct {
	config Config
	path   string      // of the file; empty in memory
	file   fs.FileInfo // it, when it was opened
	db     *sql.DB     // of the writer
	reads  *sql.DB
	anchor *connection   // keeps what is in memory alive
	memory *sync.RWMutex // memory has no snapshots: who reads keeps the writer away; else nil

	mu     sync.RWMutex // held to put into queue, and whole to close it
	closed bool
	queue  chan *unit

	slots   chan *connection // of readers; a nil one is still to be opened
	written chan struct{}    // the writer has ended
	figures figures

	probing sync.Mutex
	probe   *probe // guarded by probing; the one under way
}

// Open opens the store, makes it if there is none and brings its schema to the
// version that this program needs. A file that others than its owner may use is
// refused, and so is one that is no store of ours, and with [store.ErrNewer] one that
// a later version has changed.
//
// Several processes of one machine may have the same file open.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{config: cfg, queue: make(chan *unit, maxQueue), slots: make(chan *connection, readers), written: make(chan struct{}), figures: newFigures()}
	if s.path, err = place(cfg.Address); err != nil {
		return nil, err
	}
	var write, read string
	if s.path == "" {
		s.memory = new(sync.RWMutex)
		write, read = memoryNames("/svidgate-" + rand.Text())
	} else {
		unlock, err := filelock.Take(ctx, s.path+lockSuffix)
		if err != nil {
			return nil, err
		}
		defer unlock()
		if s.file, err = prepare(s.path); err != nil {
			return nil, err
		}
		write, read = fileNames(s.path, cfg.VFS)
	}
	if s.db, err = sql.Open(driverName, write); err != nil {
		return nil, err
	}
	if s.reads, err = sql.Open(driverName, read); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.shut(nil)
		}
	}()
	s.db.SetMaxIdleConns(0) // a connection that failed is not to come back
	s.reads.SetMaxIdleConns(0)
	if s.anchor, err = connect(ctx, s.db); err != nil {
		return nil, s.named(err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, s.named(err)
	}
	for range readers {
		s.slots <- nil
	}
	go s.serve()
	return s, nil
}

// place is the path of an address, absolute, or empty for memory.
func place(address string) (string, error) {
	if address == memoryScheme {
		return "", nil
	}
	path, ok := strings.CutPrefix(address, fileScheme)
	if !ok || path == "" {
		return "", errors.New(`the address must be "memory:", or sqlite: and a file`)
	}
	return filepath.Abs(path)
}

// prepare makes the file if there is none: SQLite would make it readable for
// everybody. What it makes beside the file it gives the same mode.
//
// A file that is there is not opened: closing it again would end the locks that
// this process may have on it.
func prepare(path string) (fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), syncFolder(path))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return private(path)
}

// private is the file, if nobody else may use it or what SQLite keeps beside it.
func private(path string) (fs.FileInfo, error) {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		info, err := os.Lstat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = filelock.Private(path+suffix, info)
		}
		if err != nil {
			return nil, err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return info, filelock.Private(path, info)
}

// syncFolder makes a new name last.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// named adds the file to an error.
func (s *Store) named(err error) error {
	if s.path == "" {
		return classify(err)
	}
	return fmt.Errorf("%s: %w", s.path, classify(err))
}

// Close ends the store when every write that it has accepted is done. What comes
// later is refused with [store.ErrUnavailable].
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.written
		return nil
	}
	s.closed = true
	close(s.queue)
	s.mu.Unlock()
	<-s.written
	var open []*connection
	for range readers { // those that read come to their end
		open = append(open, <-s.slots)
	}
	close(s.slots)
	return s.shut(open)
}

// shut closes all connections, that of the writer last: it brings all into the one
// file.
func (s *Store) shut(open []*connection) error {
	var faults []error
	for _, c := range open {
		faults = append(faults, c.close())
	}
	faults = append(faults, s.reads.Close(), s.anchor.close(), s.db.Close())
	return errors.Join(faults...)
}
