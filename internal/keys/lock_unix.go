//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockTries = 200
	lockPause = 50 * time.Millisecond
)

// lockFolder keeps other processes from making keys in the folder of path; those
// that only read are not kept. It waits ten seconds at most: making an RSA key
// may take a few. The lock is on the folder, so that no lock file stays behind.
func lockFolder(ctx context.Context, path string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for range lockTries {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		select {
		case <-ctx.Done():
			dir.Close()
			return nil, ctx.Err()
		case <-time.After(lockPause):
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("%s: another process has locked the folder", dir.Name())
	case err != nil:
		err = fmt.Errorf("%s: lock the folder: %w", dir.Name(), err)
	default:
		return func() { dir.Close() }, nil
	}
	dir.Close()
	return nil, err
}
