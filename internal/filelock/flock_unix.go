//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filelock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// try takes the lock or does not wait. The lock ends with the file's closing or
// the process.
func try(path string) (unlock func(), err error) {
	// Not to wait keeps a pipe that was put there from stopping this.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, mode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s: a symbolic link, and not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	if err := lock(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func lock(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := Private(path, info); err != nil {
		return err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	if err != nil {
		return fmt.Errorf("%s: lock: %w", path, err)
	}
	// Somebody may have removed the file between the opening and the lock, and the
	// next one would make and lock another.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(now, info) {
		return errHeld
	}
	return nil
}
