package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/internal/filelock"
)

// socketMode lets the owner in and nobody else.
const socketMode = 0o600

// A socket is a listener on a Unix socket. Closing it removes its file, unless that
// is another server's by now.
type socket struct {
	net.Listener
	path string
	made fs.FileInfo
	once sync.Once
}

func (s *socket) Close() (err error) {
	s.once.Do(func() {
		if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.made) {
			err = os.Remove(s.path)
		}
		err = errors.Join(err, s.Listener.Close())
	})
	return err
}

// listen makes the socket at path. What a server that crashed left there is
// removed; a server that answers there, or anything that is no socket, is an
// error.
func listen(ctx context.Context, path string) (*socket, error) {
	// Of servers that start together one makes room and binds before the next
	// looks.
	unlock, err := filelock.Take(ctx, path+".lock")
	if err != nil {
		return nil, fmt.Errorf("admin: socket %s: %w", path, err)
	}
	defer unlock()
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
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	s := &socket{Listener: l, path: path}
	if s.made, err = os.Lstat(path); err == nil && s.made.Mode().Perm()&^socketMode != 0 {
		err = os.Chmod(path, socketMode) // a system on which the mode does not carry over
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("admin: socket %s: %w", path, err)
	}
	return s, nil
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
