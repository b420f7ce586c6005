// Package filelock keeps processes that change the same thing from doing so at
// once, by a lock on a file of their own. Whoever can open a file can lock it, so
// the file is one that nobody else can open: a lock on a folder is open to all
// who may read it.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/svidgate/svidgate/internal/regularfile"
)

const (
	tries = 200
	pause = 50 * time.Millisecond
	// mode is what the file is made with.
	mode = 0o600
)

// errHeld is what try returns where a later try may succeed.
var errHeld = errors.New("held")

// Take locks the file at path, which is made if there is none, until unlock. It
// waits ten seconds at most for another process: making an RSA key may take a few.
//
// The file must pass [Private] and be no symbolic link. It is empty, and it stays:
// removed while two wait for it, it would let both in.
func Take(ctx context.Context, path string) (unlock func(), err error) {
	for range tries {
		unlock, err := try(path)
		if !errors.Is(err, errHeld) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil, fmt.Errorf("%s: another process has locked it", path)
}

// Private is the error about a file, named path and open already, that is not
// regular, that others than its owner may use, or that belongs neither to root nor
// to the effective user.
func Private(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("%s: others than its owner may use it (mode %04o): chmod 600 %s", path, perm, path)
	}
	owner, known := regularfile.Owner(info)
	if !known {
		return fmt.Errorf("%s: this platform does not tell who owns it", path)
	}
	if user := os.Geteuid(); owner != 0 && owner != user {
		return fmt.Errorf("%s: it belongs to uid %d: it must belong to uid %d, which this runs as, or to root", path, owner, user)
	}
	return nil
}
