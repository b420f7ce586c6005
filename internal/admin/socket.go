package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// socketMode lets the owner in and nobody else.
const socketMode = 0o600

// listen makes the socket at path. What a server that crashed left there is
// removed; a server that answers there, or anything that is no socket, is an
// error.
func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if err := makeRoom(ctx, path); err != nil {
		return nil, fmt.Errorf("admin: socket %s: %w", path, err)
	}
	config := net.ListenConfig{
		// The mode of the open socket becomes that of the file, so that there is
		// no moment in which others could connect.
		Control: func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), socketMode) })
			return errors.Join(err, failed)
		},
	}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Perm()&^socketMode != 0 {
		// A system on which the mode does not carry over.
		err = os.Chmod(path, socketMode)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("admin: socket %s: %w", path, err)
	}
	return l.(*net.UnixListener), nil
}

func makeRoom(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is no socket is there already")
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return errors.New("another server answers there")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
