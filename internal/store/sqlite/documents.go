package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/svidgate/svidgate/internal/keys"
)

// A document is one row of the documents: read and replaced as a whole. It is
// keys.Document.
type document struct {
	store *Store
	name  string
}

// SigningKeys is the document of the signing keys.
func (s *Store) SigningKeys() keys.Document { return &document{s, "signing-keys"} }

// UsedProofs is the document that says which record has the used proofs.
func (s *Store) UsedProofs() keys.Document { return &document{s, "used-proofs"} }

// Read is the content and its version, or nothing and version 0 when there is none.
func (d *document) Read(ctx context.Context) (content []byte, version int64, err error) {
	err = d.store.read(ctx, func(r *reading) error {
		return r.row(`SELECT content, version FROM documents WHERE name = ?`, []any{d.name}, &content, &version)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return content, version, nil
}

// Replace puts content in the place of a version, and is false when another one is
// there. Version 0 is none.
func (d *document) Replace(ctx context.Context, version int64, content []byte) (replaced bool, err error) {
	err = d.store.write(ctx, func(w *writing) error {
		var n int64
		var err error
		if version == 0 {
			n, err = w.exec(`INSERT INTO documents (name, version, content) VALUES (?, 1, ?) ON CONFLICT DO NOTHING`, d.name, content)
		} else {
			n, err = w.exec(`UPDATE documents SET version = version + 1, content = ? WHERE name = ? AND version = ?`, content, d.name, version)
		}
		replaced = n == 1
		return err
	})
	return replaced && err == nil, err
}
