package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/svidgate/svidgate/internal/regularfile"
)

// A File is a bundle document that the operator keeps on this machine
// (bundle_file). The path may be a symbolic link, as it is where a platform
// swaps a whole directory of mounted files.
type File struct {
	path string
	read func(path string) ([]byte, error)
	busy chan struct{} // holds a value while the file is being read
	last *fileRead     // guarded by busy; nil when the last read failed
}

// A fileRead is what was read, and what the file looked like just before.
type fileRead struct {
	data []byte
	info os.FileInfo
	at   time.Time
}

const (
	// fileSettled is how old a modification must be for the next one to have another
	// time, on any file system.
	fileSettled = 2 * time.Second
	// fileReread is how long a file that looks the same is taken for the same.
	fileReread = 10 * time.Second
)

// holds reports whether the file still is what was read, by all that it looks
// like. Somebody could write another content of the same length and set the time
// back, so that counts for some seconds only.
func (r *fileRead) holds(info os.FileInfo, now time.Time) bool {
	return r != nil && os.SameFile(info, r.info) && info.Size() == r.info.Size() && info.ModTime().Equal(r.info.ModTime()) &&
		r.at.Sub(info.ModTime()) > fileSettled && now.Sub(r.at) < fileReread
}

// NewFile makes the source for a path. The file need not exist yet.
func NewFile(path string) (*File, error) {
	if path == "" {
		return nil, errors.New("bundle: the path of the bundle file is missing")
	}
	return &File{path: path, read: readFile, busy: make(chan struct{}, 1)}, nil
}

// Origin is the path.
func (f *File) Origin() string { return f.path }

// Fetch reads the file, at most 1 MiB of it. One that looks as it did is read again
// after ten seconds only: it is asked all the time, and there may be a thousand.
func (f *File) Fetch(ctx context.Context) (Document, error) {
	document := Document{Local: true}
	data, err := f.readUntil(ctx)
	if err != nil {
		return document, fmt.Errorf("bundle: file %s: %w", f.path, err)
	}
	document.Bytes = data
	return document, nil
}

// readUntil reads the file, but no longer than ctx allows: a network file system
// that is gone can hold a read for ever, and no signal ends it. Such a read goes
// on by itself, and no other begins before it ends, so there is never more than
// one.
func (f *File) readUntil(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("an earlier read has not ended: %w", ctx.Err())
	}
	type result struct {
		data []byte
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		data, err := f.look()
		<-f.busy
		ended <- result{data, err}
	}()
	select {
	case r := <-ended:
		return r.data, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the read has not ended: %w", ctx.Err())
	}
}

// look reads the file unless it is what was read before. Its caller holds busy.
func (f *File) look() ([]byte, error) {
	now := time.Now()
	info, err := os.Stat(f.path)
	if err == nil && f.last.holds(info, now) {
		return f.last.data, nil
	}
	f.last = nil
	data, readErr := f.read(f.path)
	if readErr != nil {
		return nil, readErr
	}
	if err == nil {
		f.last = &fileRead{data, info, now}
	}
	return data, nil
}

func readFile(path string) ([]byte, error) {
	data, err := regularfile.Read(path, maxDocument+1)
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(data) > maxDocument {
		return nil, errTooLong
	}
	return data, nil
}

// withoutPath drops the path from the text, which names it already.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
