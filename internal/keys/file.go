package keys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/svidgate/svidgate/internal/filelock"
)

const (
	// maxFile is about a hundred RSA keys.
	maxFile = 256 << 10
	// maxKeys stays well under what resource servers take in one JWK Set.
	maxKeys = 64
	// fileMode is the only mode written; any that lets others in is refused.
	fileMode = 0o600
	// lockSuffix makes the name of the file that is locked during a change.
	lockSuffix = ".lock"
)

// errNoRoom is returned for a change that makes the file too large.
var errNoRoom = errors.New("no room for another key")

// A digest tells contents of the file apart.
type digest [sha256.Size]byte

// readFile reads and judges a whole file. The error is fs.ErrNotExist when there
// is none.
func readFile(path string) (*document, digest, error) {
	data, err := readBytes(path)
	if err != nil {
		return nil, digest{}, err
	}
	d, err := parse(data)
	if err != nil {
		return nil, digest{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, sha256.Sum256(data), nil
}

func readBytes(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // or a pipe would wait here
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of the file that is open, not of what the name means now
	if err != nil {
		return nil, err
	}
	if err := filelock.Private(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", path, maxFile)
	}
	return data, nil
}

// encode is what is written of a document; it is known to open again.
func encode(d *document) ([]byte, error) {
	data, err := format(d)
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile || len(d.keys) > maxKeys {
		return nil, errNoRoom
	}
	if _, err := parse(data); err != nil { // a clock beyond the calendar, a bug
		return nil, fmt.Errorf("what was to be written would not open again: %w", err)
	}
	return data, nil
}

// writeFile replaces the file as a whole: a reader, and the next start after a
// crash, finds the old keys or the new ones. On error it is as it was. The caller
// holds the lock, and syncs the folder afterwards.
func writeFile(path string, d *document) (_ digest, err error) {
	data, err := encode(d)
	if err != nil {
		return digest{}, fmt.Errorf("%s: %w", path, err)
	}
	// What a crash left is removed and never opened: it might be somebody
	// else's trap.
	temporary := path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return digest{}, err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return digest{}, err
	}
	defer func() {
		if err != nil {
			os.Remove(temporary)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return digest{}, err
	}
	if err := os.Rename(temporary, path); err != nil {
		return digest{}, err
	}
	return sha256.Sum256(data), nil
}

// syncFolder makes a rename last.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
