package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

var (
	// ErrForeign is wrapped in the error for what belongs to another user.
	ErrForeign = errors.New("it belongs neither to this user nor to root")
	// ErrWritable is wrapped in the error for what others may write to.
	ErrWritable = errors.New("its group or everybody may write to it")
)

// OwnedByUs reports whether a file belongs to the user this process runs as, or
// to root, who can do as that user anyway. It is true where the system has no
// owners.
func OwnedByUs(info fs.FileInfo) bool {
	uid, known := Owner(info)
	return !hasOwners || known && (uid == 0 || uid == os.Geteuid())
}

// OnlyWeWrite is nil if nobody but this user and root may change a file or folder:
// it belongs to one of them, and has no permission to write for group or others.
// Where the system has no owners, its permissions mean nothing either.
func OnlyWeWrite(info fs.FileInfo) error {
	switch {
	case !hasOwners:
		return nil
	case !OwnedByUs(info):
		return ErrForeign
	case info.Mode().Perm()&0o022 != 0:
		return ErrWritable
	}
	return nil
}

// OpenOwn opens a regular file that nobody but this user and root may change, for
// reading. A symbolic link is not followed, wherever it leads. The file is judged
// once it is open. Errors are *os.PathError.
func OpenOwn(path string) (*os.File, error) {
	refuse := func(err error) error { return &os.PathError{Op: "open", Path: path, Err: err} }
	// A link is told from other files first, for the text of the error, and for
	// systems that have no flag for it.
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refuse(ErrNotRegular)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|noFollow, 0)
	if err != nil {
		return nil, err
	}
	info, err = f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = refuse(ErrNotRegular)
	default:
		if err = OnlyWeWrite(info); err != nil {
			err = refuse(err)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
