package bundle

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"testing"
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
		{"a folder", dir, -1, errNotRegular},
		{"a device without an end", "/dev/zero", -1, errNotRegular},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := NewFile(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			document, err := f.Fetch(t.Context())
			if !document.Local || document.Origin != tt.path {
				t.Errorf("BU-14 local %v, origin %q", document.Local, document.Origin)
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
