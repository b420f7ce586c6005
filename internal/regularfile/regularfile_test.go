package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(at("file"), []byte("0123456789"), 0o600),
		os.WriteFile(at("empty"), nil, 0o600),
		os.Symlink("file", at("link")),
		os.Mkdir(at("folder"), 0o700),
		syscall.Mkfifo(at("pipe"), 0o600),
		os.Symlink("pipe", at("link to a pipe")),
		os.Symlink("/dev/zero", at("device")),
	); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, want string
		err        error
	}{
		{"file", "01234", nil}, {"link", "01234", nil}, {"empty", "", nil},
		{"none", "", fs.ErrNotExist},
		{"folder", "", ErrNotRegular}, {"pipe", "", ErrNotRegular}, {"link to a pipe", "", ErrNotRegular}, {"device", "", ErrNotRegular},
	} {
		t.Run(row.name, func(t *testing.T) {
			data, err := Read(at(row.name), 5)
			if string(data) != row.want || !errors.Is(err, row.err) {
				t.Errorf("%q, %v", data, err)
			}
			if row.err != nil {
				if _, ok := errors.AsType[*os.PathError](err); !ok {
					t.Errorf("the error is a %T", err)
				}
			}
		})
	}
}
