package devdomain

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A socket is a listening Unix socket that only its owner may open.
type socket struct {
	listener *net.UnixListener
	path     string
	info     os.FileInfo
	folder   string // made for the socket; empty if it was there before
}

// listenSocket listens at path, or in a fresh folder when path is empty.
func listenSocket(path string) (_ *socket, err error) {
	s := &socket{path: path}
	if path == "" {
		if s.folder, err = os.MkdirTemp("", "svidgate-dev-"); err != nil {
			return nil, fmt.Errorf("socket folder: %w", err)
		}
		s.path = filepath.Join(s.folder, "workload.sock")
	} else if err := removeStale(path); err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		if s.folder != "" {
			os.RemoveAll(s.folder)
		}
		return nil, err
	}
	return s, nil
}

// listen binds the socket inside a folder that nobody else can enter, and moves
// it to its place only when it has its mode. Between bind and chmod it would
// otherwise stand open to everybody for a moment.
func (s *socket) listen() error {
	private, err := os.MkdirTemp(filepath.Dir(s.path), ".s")
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer os.RemoveAll(private)
	birthplace := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: birthplace, Net: "unix"})
	if err != nil {
		return fmt.Errorf("socket (its path may be too long: about 80 bytes for the folder are safe): %w", err)
	}
	l.SetUnlinkOnClose(false) // it would look for it where it was born
	if err = os.Chmod(birthplace, 0o600); err == nil {
		if s.info, err = os.Lstat(birthplace); err == nil {
			err = os.Rename(birthplace, s.path)
		}
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("socket: %w", err)
	}
	s.listener = l
	return nil
}

// removeStale clears away the socket of a process that is gone. Anything else at
// path, and a socket where somebody answers, is an error and stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("socket: %s is there and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("socket: another process is listening at %s", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket: cannot tell whether %s is in use: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("socket: remove the stale one: %w", err)
	}
	return nil
}

// Close stops listening and removes the file, unless another one took its place
// meanwhile.
func (s *socket) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if info, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(info, s.info) {
		err = errors.Join(err, os.Remove(s.path))
	}
	if s.folder != "" {
		err = errors.Join(err, os.RemoveAll(s.folder))
	}
	return err
}
