// Package regularfile reads files that an operator named, and nothing that only
// looks like one: opening a pipe waits for its writer and reading a device may
// never end.
package regularfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
)

// ErrNotRegular is wrapped in the error for a folder, a pipe, a device or a
// socket.
var ErrNotRegular = errors.New("not a regular file")

// Read reads at most so many bytes of a regular file, or of one that a symbolic
// link leads to; what is longer is cut. Errors are *os.PathError.
//
// It is judged once it is open, so that nothing can be put in its place in
// between. On a network file system that is gone it may wait for ever.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // or a pipe would wait here
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: path, Err: ErrNotRegular}
	}
	data := bytes.NewBuffer(make([]byte, 0, min(info.Size(), most)+bytes.MinRead))
	_, err = data.ReadFrom(io.LimitReader(f, most))
	return data.Bytes(), err
}
