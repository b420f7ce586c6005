//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package keys

import (
	"context"
	"errors"
)

// lockFolder fails: without a lock two processes could each make the key, and
// one of them would sign with a key that nobody publishes.
func lockFolder(context.Context, string) (unlock func(), err error) {
	return nil, errors.New("this platform cannot lock a folder: make the key file on another one")
}
