//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filelock

import (
	"errors"
)

// try fails: without a lock two processes could each make the key, and one of
// them would sign with a key that nobody publishes.
func try(string) (unlock func(), err error) {
	return nil, errors.New("this platform cannot lock a file")
}
