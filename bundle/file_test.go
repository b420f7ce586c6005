package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svidgate/svidgate/internal/regularfile"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

func TestNewFile(t *testing.T) {
	if _, err := NewFile("bundle.json"); err != nil {
		t.Error(err)
	}
	if _, err := NewFile(""); err == nil {
		t.Error("an empty path was accepted")
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte(" "), size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write("linked", 3), link); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		size       int // -1: refused
		want       error
	}{
		{"a file", write("small", 5), 5, nil},
		{"a symbolic link", link, 3, nil},
		{"BE-9 exactly 1 MiB", write("large", 1<<20), 1 << 20, nil},
		{"BE-9 one byte more", write("larger", 1<<20+1), -1, errTooLong},
		{"no file", filepath.Join(dir, "none"), -1, fs.ErrNotExist},
		{"a folder", dir, -1, regularfile.ErrNotRegular},
		{"a device without an end", "/dev/zero", -1, regularfile.ErrNotRegular},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := NewFile(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			document, err := f.Fetch(t.Context())
			if !document.Local || f.Origin() != tt.path {
				t.Errorf("BU-14 local %v, origin %q", document.Local, f.Origin())
			}
			if tt.size < 0 {
				if !errors.Is(err, tt.want) {
					t.Fatalf("error %v, want %v", err, tt.want)
				}
			} else if err != nil || len(document.Bytes) != tt.size {
				t.Fatalf("%d bytes, error %v", len(document.Bytes), err)
			}
		})
	}
}

// A file that looks as it did is not read again, for a while; whatever changes is.
func TestFileIsReadWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "bundle.json"), filepath.Join(dir, "other.json")
	old := time.Now().Add(-time.Hour)
	write := func(path, content string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if !at.IsZero() {
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	f.read = func(path string) ([]byte, error) {
		reads++
		return readFile(path)
	}
	for _, step := range []struct {
		name   string
		change func()
		want   string // empty: an error
		read   bool
	}{
		{"the first time", func() { write(path, "one", old) }, "one", true},
		{"as it was", func() {}, "one", false},
		{"another content", func() { write(path, "two", time.Time{}) }, "two", true},
		{"written just now, so it may be written again in the same moment", func() {}, "two", true},
		{"older again", func() { write(path, "two", old.Add(time.Second)) }, "two", true},
		{"as it was", func() {}, "two", false},
		{"another file in its place, with its length and time", func() {
			write(other, "six", old.Add(time.Second))
			if err := os.Rename(other, path); err != nil {
				t.Fatal(err)
			}
		}, "six", true},
		{"as it was", func() {}, "six", false},
		{"gone", func() { os.Remove(path) }, "", true},
		{"there again", func() { write(path, "six", old.Add(time.Second)) }, "six", true},
		{"as it was", func() {}, "six", false},
		{"long ago", func() { f.last.at = f.last.at.Add(-fileReread) }, "six", true},
	} {
		step.change()
		before := reads
		document, err := f.Fetch(t.Context())
		if string(document.Bytes) != step.want || (err == nil) != (step.want != "") || (reads > before) != step.read {
			t.Errorf("%s: %q, %v, read %t, want %q, read %t", step.name, document.Bytes, err, reads > before, step.want, step.read)
		}
	}
}

// A mounted file system that is gone holds a read for ever. Neither the attempt
// nor the end of Run waits for it, and only one such read is ever under way.
func TestFileHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, err := NewFile("/mnt/gone/bundle.json")
		if err != nil {
			t.Fatal(err)
		}
		var reads, reading, most atomic.Int32
		back := make(chan struct{})
		document := jwtDocument(t, nil, "a")
		file.read = func(string) ([]byte, error) {
			reads.Add(1)
			most.Store(max(most.Load(), reading.Add(1)))
			defer reading.Add(-1)
			<-back
			return document, nil
		}
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: file}
		quick := TrustDomain{Name: trustDomain(t, "quick.test"), Source: holding(document)}
		s := newSet(t, td, quick)
		started := time.Now()
		if err := s.Load(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load: %v", err)
		}
		if took := time.Since(started); took != fetchTimeout {
			t.Errorf("Load took %v", took)
		}
		stop := run(t, s)
		time.Sleep(time.Hour)
		if status := s.Status()[0]; status.Failures < 10 || status.LastError == "" || len(status.Alarm) == 0 || !hasKey(s, quick, "a") {
			t.Errorf("status %+v", status)
		}
		started = time.Now()
		stop()
		if took := time.Since(started); took != 0 {
			t.Errorf("the end of Run took %v", took)
		}
		if reads.Load() != 1 {
			t.Errorf("%d reads", reads.Load())
		}
		close(back) // the file system is there again
		synctest.Wait()
		stop = run(t, s)
		time.Sleep(2 * time.Minute)
		stop()
		if !hasKey(s, td, "a") || most.Load() != 1 {
			t.Errorf("afterwards: ready %v, %d reads at the same time", hasKey(s, td, "a"), most.Load())
		}
	})
}
