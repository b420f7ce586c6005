package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// fileMode lets nobody but the owner read the record. A file that exists keeps
// the mode its owner gave it.
const fileMode = 0o600

// Open opens the file, and makes it if there is none. It continues the chain of
// a regular file: a last line without its newline is cut off, and a line with
// the event "recovered" says so. It fails when the file's last line is none of
// this package's, or when another process has the file open.
//
// Nothing is written to a file that is in order, so a full disk shows at the
// first Record. The caller must Close the Log.
func Open(cfg Config) (*Log, error) {
	var faults []error
	if cfg.File == "" {
		faults = append(faults, errors.New("no file is named"))
	}
	if cfg.Fsync != "" && cfg.Fsync != FsyncEvery {
		faults = append(faults, fmt.Errorf("fsync is %q or left out, nothing else", FsyncEvery))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	f, regular, err := openFile(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := newLog(cfg, f, regular)
	if regular {
		if err := l.begin(f, cfg.File); err != nil {
			f.Close()
			return nil, fmt.Errorf("audit: %s: %w", cfg.File, err)
		}
	}
	l.start()
	return l, nil
}

func newLog(cfg Config, f file, regular bool) *Log {
	l := &Log{
		file: f, regular: regular, every: cfg.Fsync == FsyncEvery,
		node: cfg.Node, now: cfg.Now, log: cfg.Log,
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), tended: make(chan struct{}),
	}
	l.lines.New = func() any { return new(line) }
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.tip.prev = zeros()
	return l
}

// start begins the background work, which Close ends.
func (l *Log) start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.tend(ctx)
}

// begin takes a regular file over: nobody else may write it, and the chain goes
// on behind its last whole line.
func (l *Log) begin(f *os.File, path string) error {
	if err := lockFile(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return syncFolder(path) // else a crash could take the new file's name away
	}
	end, err := readTail(f, info.Size())
	if err != nil {
		return err
	}
	l.tip = end.tip
	if l.tip.seq == 0 { // the file is one torn line
		l.tip.prev = zeros()
	}
	if len(end.torn) == 0 {
		return nil
	}
	recovered := Event{
		Event:      eventRecovered,
		lostBytes:  int64(len(end.torn)),
		lostDigest: fmt.Sprintf("%x", sha256.Sum256(end.torn)),
	}
	l.log.Warn("audit: the last line was torn by a crash and is cut off",
		"lost_bytes", recovered.lostBytes, "lost_sha256", recovered.lostDigest)
	if err := l.file.Truncate(l.tip.size); err != nil {
		return fmt.Errorf("cut off a torn last line: %w", err)
	}
	var ln line
	ln.fill(&recovered, l.now(), l.node)
	if _, err = l.write(context.Background(), &ln); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("a torn last line of %d bytes (SHA-256 %s) was cut off, but not recorded: %w",
			recovered.lostBytes, recovered.lostDigest, err)
	}
	return nil
}

// openFile opens path for appending and says whether it is a regular file.
func openFile(path string) (*os.File, bool, error) {
	if path == "-" {
		f, err := standardOutput()
		return f, false, err
	}
	// Only a regular file is read, at its end. A FIFO opened for reading too
	// would never say that its reader has gone.
	flags := os.O_RDWR | os.O_APPEND | os.O_CREATE
	before, err := os.Stat(path)
	if err == nil && !before.Mode().IsRegular() {
		// Without a reader a FIFO would hold up the start for ever.
		flags = os.O_WRONLY | os.O_APPEND | syscall.O_NONBLOCK
	}
	f, err := os.OpenFile(path, flags, fileMode)
	if errors.Is(err, syscall.ENXIO) {
		return nil, false, fmt.Errorf("%w: nobody reads it", err)
	}
	if err != nil {
		return nil, false, err
	}
	info, err := f.Stat()
	if err == nil && before != nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%s: the file was replaced while it was opened", path)
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, info.Mode().IsRegular(), nil
}

// syncFolder makes the name of a new file durable.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// isTorn reports whether b can be what a crash left of a line: the beginning of
// one of ours, or zeros where a file grew and its data was not yet on disk. What
// is neither is somebody's data, which must not be cut off.
func isTorn(b []byte) bool {
	head := string(b[:min(len(b), len(headVersion))])
	return strings.HasPrefix(headVersion, strings.TrimRight(head, "\x00"))
}
