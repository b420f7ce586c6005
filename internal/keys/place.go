package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/svidgate/svidgate/internal/filelock"
)

// A Document is where one small document is kept for all processes that share it: a
// row of the store.
type Document interface {
	// Read is the content and its version, or nothing and version 0 when there is none.
	Read(ctx context.Context) (content []byte, version int64, err error)
	// Replace puts content in the place of that version, for good, and is false when
	// another one is there. Version 0 is none.
	Replace(ctx context.Context, version int64, content []byte) (bool, error)
}

// errOvertaken is returned for a write over something that another process has
// replaced meanwhile.
var errOvertaken = errors.New("another process was faster")

// A place is where the keys are.
type place interface {
	// read is what is there; the error is fs.ErrNotExist when there is nothing.
	read(ctx context.Context) (*document, mark, error)
	// changed reports whether it is no longer what it was.
	changed(ctx context.Context, was mark) bool
	// lock keeps others from changing it. A place without one refuses to write over
	// what it did not read.
	lock(ctx context.Context) (unlock func(), err error)
	// write replaces what was read, as a whole.
	write(ctx context.Context, over mark, d *document) (mark, error)
	String() string
}

// A mark tells contents of a place apart.
type mark struct {
	digest  digest
	version int64
	stale   bool // encrypted with a key that is to be replaced
}

func (c Config) place() place {
	if c.Document != nil {
		return row{c.Document, c.Encryption}
	}
	return file(c.File)
}

// file is the place of one node.
type file string

func (f file) String() string { return string(f) }

func (f file) read(context.Context) (*document, mark, error) {
	d, sum, err := readFile(string(f))
	return d, mark{digest: sum}, err
}

func (f file) changed(_ context.Context, was mark) bool {
	data, err := readBytes(string(f))
	return err != nil || sha256.Sum256(data) != was.digest
}

func (f file) lock(ctx context.Context) (func(), error) {
	return filelock.Take(ctx, string(f)+lockSuffix)
}

func (f file) write(_ context.Context, _ mark, d *document) (mark, error) {
	sum, err := writeFile(string(f), d)
	return mark{digest: sum}, err
}

// row is a document of the store, encrypted.
type row struct {
	document Document
	keys     EncryptionKeys
}

func (s row) String() string { return "the store" }

func (s row) read(ctx context.Context) (*document, mark, error) {
	content, version, err := s.document.Read(ctx)
	if err != nil {
		return nil, mark{}, err
	}
	if version == 0 {
		return nil, mark{}, fmt.Errorf("%s: %w", s, fs.ErrNotExist)
	}
	plain, stale, err := s.keys.unseal(content)
	if err != nil {
		return nil, mark{}, fmt.Errorf("%s: the signing keys: %w", s, err)
	}
	d, err := parse(plain)
	if err != nil {
		return nil, mark{}, fmt.Errorf("%s: the signing keys: %w", s, err)
	}
	return d, mark{sha256.Sum256(content), version, stale}, nil
}

func (s row) changed(ctx context.Context, was mark) bool {
	content, _, err := s.document.Read(ctx)
	return err != nil || sha256.Sum256(content) != was.digest
}

func (s row) lock(context.Context) (func(), error) { return func() {}, nil }

func (s row) write(ctx context.Context, over mark, d *document) (mark, error) {
	plain, err := encode(d)
	if err != nil {
		return mark{}, fmt.Errorf("%s: %w", s, err)
	}
	content, err := s.keys.seal(plain)
	if err != nil {
		return mark{}, fmt.Errorf("%s: %w", s, err)
	}
	replaced, err := s.document.Replace(ctx, over.version, content)
	if err != nil {
		return mark{}, err
	}
	if !replaced {
		return mark{}, errOvertaken
	}
	return mark{digest: sha256.Sum256(content), version: over.version + 1}, nil
}
