package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const nobody = 65534

func TestOpenOwn(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	file := func(name string, mode fs.FileMode) error {
		return errors.Join(os.WriteFile(at(name), []byte("text"), 0o600), os.Chmod(at(name), mode))
	}
	if err := errors.Join(
		file("own", 0o600), file("all may read", 0o644), file("group may write", 0o620), file("all may write", 0o602),
		os.Symlink("own", at("link")), os.Symlink("none", at("link to nothing")),
		os.Mkdir(at("folder"), 0o700), syscall.Mkfifo(at("pipe"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name string
		err  error
	}{
		{"own", nil}, {"all may read", nil},
		{"group may write", ErrWritable}, {"all may write", ErrWritable},
		{"link", ErrNotRegular}, {"link to nothing", ErrNotRegular}, {"folder", ErrNotRegular}, {"pipe", ErrNotRegular},
		{"none", fs.ErrNotExist},
	}
	if os.Geteuid() == 0 { // who else may give files away
		if err := errors.Join(file("foreign", 0o600), os.Chown(at("foreign"), nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, struct {
			name string
			err  error
		}{"foreign", ErrForeign})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f, err := OpenOwn(at(row.name))
			if err == nil {
				f.Close()
			} else if _, ok := errors.AsType[*os.PathError](err); !ok {
				t.Errorf("the error is a %T", err)
			}
			if !errors.Is(err, row.err) {
				t.Errorf("%v, want %v", err, row.err)
			}
		})
	}
}

func TestOwnedByUs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	owned := func(path string) bool {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return OwnedByUs(info)
	}
	if !owned(file) || !owned("/") {
		t.Error("a file of this user or of root counts as foreign")
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(file, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if owned(file) {
			t.Error("a file of another user counts as ours")
		}
	}
}
