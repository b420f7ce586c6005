//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filelock

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func place(t *testing.T) string { return filepath.Join(t.TempDir(), "x.lock") }

// Who comes second waits for the first, and not for ever.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := place(t)
		first, err := Take(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := Take(t.Context(), path); err == nil || err.Error() != path+": another process has locked it" {
			t.Errorf("the error is %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("it waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Take(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		go func() {
			time.Sleep(3 * time.Second)
			first()
		}()
		second, err := Take(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		second()
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != mode || info.Size() != 0 {
			t.Errorf("what stays is %v, %v", info, err)
		}
	})
}

// A file that is removed while somebody holds it, or waits, is not a second lock.
func TestTheFileIsReplaced(t *testing.T) {
	path := place(t)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := lock(f, path); !errors.Is(err, errHeld) {
		t.Errorf("it is gone, and the error is %v", err)
	}
	other, err := Take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer other()
	if err := lock(f, path); !errors.Is(err, errHeld) {
		t.Errorf("another one is there, and the error is %v", err)
	}
}

// What somebody else may have put there is not opened for long, not locked and
// not followed.
func TestWhatIsRefused(t *testing.T) {
	for _, row := range []struct {
		name string
		put  func(path string) error
		want string
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"a file of ours", func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, ""},
		{"loose mode", func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o644))
		}, "others than its owner may use it (mode 0644): chmod 600 "},
		{"a link to a file of ours", func(path string) error {
			return errors.Join(os.WriteFile(path+".x", nil, 0o600), os.Symlink(path+".x", path))
		}, "a symbolic link"},
		{"a link to nothing", func(path string) error { return os.Symlink(path+".x", path) }, "a symbolic link"},
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "not a regular file"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		{"a socket", func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return l.Close()
		}, "no such device"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "lock") // short enough for a socket
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			path := filepath.Join(dir, "x.lock")
			if err := row.put(path); err != nil {
				t.Fatal(err)
			}
			unlock, err := Take(t.Context(), path)
			switch {
			case row.want == "" && err != nil:
				t.Error(err)
			case row.want == "":
				unlock()
			case err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path):
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// ownedBy is a regular file of mode 0600 of some user.
type ownedBy struct {
	fs.FileInfo
	stat any
}

func (ownedBy) Mode() fs.FileMode { return 0o600 }
func (f ownedBy) Sys() any        { return f.stat }

func TestOwner(t *testing.T) {
	user := uint32(os.Geteuid())
	for _, row := range []struct {
		name string
		stat any
		want string
	}{
		{"the effective user", &syscall.Stat_t{Uid: user}, ""},
		{"root", &syscall.Stat_t{Uid: 0}, ""},
		{"another user", &syscall.Stat_t{Uid: user + 1}, "/x: it belongs to uid "},
		{"unknown", nil, "/x: this platform does not tell"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := Private("/x", ownedBy{stat: row.stat})
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
