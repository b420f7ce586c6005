package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
)

var errNotRegular = errors.New("it is not a regular file")

// A File is a bundle document that the operator keeps on this machine
// (bundle_file). The path may be a symbolic link, as it is where a platform
// swaps a whole directory of mounted files.
type File struct{ path string }

// NewFile makes the source for a path. The file need not exist yet.
func NewFile(path string) (*File, error) {
	if path == "" {
		return nil, errors.New("bundle: the path of the bundle file is missing")
	}
	return &File{path}, nil
}

// Fetch reads the file, at most 1 MiB of it. It reads all of it each time: a
// modification time may stay the same over two writes, and one read a second
// costs nothing.
func (f *File) Fetch(context.Context) (Document, error) {
	document := Document{Origin: f.path, Local: true}
	data, err := f.read()
	if err != nil {
		return document, fmt.Errorf("bundle: file %s: %w", f.path, err)
	}
	document.Bytes = data
	return document, nil
}

func (f *File) read() ([]byte, error) {
	// Looked at before it is opened: opening a pipe waits for its writer, for
	// ever if there is none.
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer file.Close()
	return readDocument(file)
}

// withoutPath drops the path from the text, which names it already.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
