//go:build unix

package client

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "svid.jwt")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, file, []byte("one.two.three"))
	for _, tt := range []struct{ name, path, fault string }{
		{"a file", file, ""},
		{"a FIFO that nobody writes to", fifo, "is not a regular file"},
		{"a directory", dir, "is not a regular file"},
		{"a device", "/dev/null", "is not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for kind, read := range map[string]func() error{
				"JWT":   func() error { _, err := JWTSVIDFile(tt.path).FetchJWTSVID(t.Context(), testIssuer); return err },
				"chain": func() error { _, err := readFile(tt.path, maxSVIDFile); return err },
				"X.509": func() error {
					if tt.fault == "" {
						return nil // no SVID; TestX509SVIDFiles reads one
					}
					_, err := X509SVIDFiles(tt.path, file).GetX509SVID()
					return err
				},
			} {
				done := make(chan error, 1)
				go func() { done <- read() }()
				select {
				case err := <-done:
					if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
						t.Errorf("%s: got %v, want %q", kind, err, tt.fault)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s: waits for ever", kind)
				}
			}
		})
	}
}
