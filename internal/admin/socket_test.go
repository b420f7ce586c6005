package admin

import (
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

	"github.com/svidgate/svidgate/internal/filelock"
)

// place is a folder whose path is short enough for a socket.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "a.sock")
}

// The socket is its owner's from its first moment, whatever the umask.
func TestSocketIsForItsOwner(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	path := place(t)
	l, err := listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|socketMode {
		t.Errorf("its mode is %v", info.Mode())
	}
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// What a crashed server left is replaced; what somebody uses, or what is no socket,
// stays and is told.
func TestSocketMakesRoom(t *testing.T) {
	for _, row := range []struct {
		name  string
		leave func(t *testing.T, path string)
		want  string
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"a crashed server's socket", func(t *testing.T, path string) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}, ""},
		{"a server that runs", func(t *testing.T, path string) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "another server answers"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
		{"a link to a file", func(t *testing.T, path string) {
			if err := os.Symlink(path+".elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := place(t)
			row.leave(t, path)
			l, err := listen(t.Context(), path)
			switch {
			case row.want == "" && err != nil:
				t.Fatal(err)
			case row.want == "":
				l.Close()
			case err == nil:
				l.Close()
				t.Fatal("it was replaced")
			case !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path):
				t.Errorf("the error is %v", err)
			}
			if _, err := os.Lstat(path); row.want != "" && err != nil {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
}

// Anybody who may read the folder may lock it, and holds up no start by that.
func TestALockedFolderHoldsUpNoSocket(t *testing.T) {
	path := place(t)
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	l, err := listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if info, err := os.Lstat(path + ".lock"); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file that is locked is %v, %v", info, err)
	}
}

// A start waits for another one, and not for ever.
func TestSocketWaitsForItsLock(t *testing.T) {
	path := place(t)
	synctest.Test(t, func(t *testing.T) {
		unlock, err := filelock.Take(t.Context(), path+".lock")
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		start := time.Now()
		if _, err := listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), path+".lock: another process has locked it") {
			t.Errorf("the error is %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("it waited %v", waited)
		}
	})
	l, err := listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
