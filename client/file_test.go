package client

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJWTSVIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svid.jwt")
	source := JWTSVIDFile(path)
	if _, err := source.FetchJWTSVID(t.Context(), testIssuer); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("no file: got %v", err)
	}
	for _, tt := range []struct{ name, content, want, fault string }{
		{"plain", "one.two.three", "one.two.three", ""},
		{"with a newline", "one.two.three\n", "one.two.three", ""},
		{"replaced", "four.five.six\r\n", "four.five.six", ""},
		{"empty", "\n", "", "is empty"},
		{"too long", strings.Repeat("a", maxAssertion+3), "", "is longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, path, []byte(tt.content))
			got, err := source.FetchJWTSVID(t.Context(), testIssuer)
			if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

func TestX509SVIDFiles(t *testing.T) {
	authority := newAuthority(t, nil)
	svid := func() (chain, key []byte) {
		t.Helper()
		s, err := authority.X509SVID("/billing")
		if err != nil {
			t.Fatal(err)
		}
		key, err = s.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		return s.ChainPEM(), key
	}
	dir := t.TempDir()
	chainPath, keyPath := filepath.Join(dir, "svid.pem"), filepath.Join(dir, "key.pem")
	source := X509SVIDFiles(chainPath, keyPath)
	if _, err := source.GetX509SVID(); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, errUnsettled) {
		t.Fatalf("no files: got %v", err)
	}

	chain, key := svid()
	write(t, chainPath, chain)
	write(t, keyPath, key)
	first, err := source.GetX509SVID()
	if err != nil || first.ID.String() != "spiffe://example.org/billing" {
		t.Fatalf("got %v, %v", first, err)
	}
	if again, err := source.GetX509SVID(); err != nil || again != first {
		t.Fatalf("nothing changed, but the files were read again: %v", err)
	}

	// The writer replaces one file, then the other.
	chain, key = svid()
	write(t, chainPath, chain)
	tick(t, chainPath)
	if _, err := source.GetX509SVID(); !errors.Is(err, errUnsettled) || !strings.Contains(err.Error(), keyPath) {
		t.Fatalf("half replaced: got %v, want a fault that names the files", err)
	}
	write(t, keyPath, key)
	tick(t, keyPath)
	second, err := source.GetX509SVID()
	if err != nil || second == first {
		t.Fatalf("replaced: got the same SVID, or %v", err)
	}

	write(t, chainPath, make([]byte, maxSVIDFile+1))
	tick(t, chainPath)
	if _, err := source.GetX509SVID(); err == nil || !strings.Contains(err.Error(), "is longer than") {
		t.Fatalf("too long: got %v", err)
	}
	if err := os.Remove(chainPath); err != nil {
		t.Fatal(err)
	}
	if _, err := source.GetX509SVID(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("taken away: got %v", err)
	}
}

func TestX509SVIDFilesBehindASymlink(t *testing.T) { // how Kubernetes replaces files
	authority := newAuthority(t, nil)
	dir := t.TempDir()
	link := filepath.Join(dir, "data")
	for _, name := range []string{"v1", "v2"} {
		s, err := authority.X509SVID("/billing")
		if err != nil {
			t.Fatal(err)
		}
		key, err := s.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "both.pem"), append(s.ChainPEM(), key...))
	}
	swap := func(to string) {
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(link, "both.pem")
	source := X509SVIDFiles(path, path)
	swap("v1")
	first, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	swap("v2")
	second, err := source.GetX509SVID()
	if err != nil || second.Certificates[0].Equal(first.Certificates[0]) {
		t.Fatalf("the new files were not read: %v", err)
	}
}

// tick gives a file a modification time of its own, since two writes in a test can
// fall into one tick of the file system's clock.
func tick(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	later := info.ModTime().Add(time.Second)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}

func TestX509SVIDFilesReplacedWhileInUse(t *testing.T) { // F23
	now := time.Now()
	authority, err := devca.New("example.org", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := authority.X509SVID("/billing")
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	chainPath, keyPath := filepath.Join(dir, "svid.pem"), filepath.Join(dir, "key.pem")
	write(t, chainPath, s.ChainPEM())
	write(t, keyPath, key)
	c := &Client{config: Config{}, now: func() time.Time { return now }}
	certs := &certificates{source: X509SVIDFiles(chainPath, keyPath), now: c.now, newHTTPClient: c.newHTTPClient}
	first, _, err := certs.sessions()
	if err != nil {
		t.Fatal(err)
	}
	write(t, chainPath, s.ChainPEM()[:100])
	tick(t, chainPath)
	if got, _, err := certs.sessions(); err != nil || got != first {
		t.Fatalf("half a file: got %v, want to stay with the SVID at hand", err)
	}
	now = now.Add(2 * time.Hour)
	if _, _, err := certs.sessions(); !errors.Is(err, errUnsettled) {
		t.Fatalf("half a file, and the SVID at hand has ended: got %v", err)
	}
	now = now.Add(-2 * time.Hour)
	if err := os.Remove(chainPath); err != nil {
		t.Fatal(err)
	}
	if _, _, err := certs.sessions(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("CL-4 file taken away: got %v, want no SVID", err)
	}
}
