package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/svidgate/svidgate/internal/regularfile"
)

// A File is a bundle document that the operator keeps on this machine
// (bundle_file). The path may be a symbolic link, as it is where a platform
// swaps a whole directory of mounted files.
type File struct {
	path string
	read func(path string) ([]byte, error)
	busy chan struct{} // holds a value while the file is being read
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

// Fetch reads the file, at most 1 MiB of it. It reads all of it each time: a
// modification time may stay the same over two writes, and one read a second
// costs nothing.
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
		data, err := f.read(f.path)
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
