package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Binary data goes into a file or a pipe, never onto a terminal.
func TestTerminal(t *testing.T) {
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	_, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	for _, row := range []struct {
		name string
		file *os.File
		want bool
	}{
		{"a character device, as a terminal is", open("/dev/zero"), true},
		{"a file", open(filepath.Join(t.TempDir(), "cpu.pprof")), false},
		{"a pipe", pipe, false},
		{"nothing", open(os.DevNull), false},
	} {
		if got := terminal(row.file); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
	if terminal(new(strings.Builder)) {
		t.Error("a text is none")
	}
}
