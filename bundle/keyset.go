package bundle

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/svidgate/svidgate/internal/keyset"
)

// A KeySet is a source whose documents are plain JWK Sets, such as an OpenID
// provider publishes: its entries have no use, or `sig`. By the operator's word
// they are keys for JWT-SVIDs, and never anything else: there are no anchors in
// it. A plain set has no sequence, so that an older one played again is not
// noticed, and no refresh hint.
//
// Nothing finds out by itself that a document is of this kind: a SPIFFE bundle
// without its uses is a broken one (F6).
type KeySet struct{ source Source }

// NewKeySet reads the documents of another source as plain JWK Sets.
func NewKeySet(source Source) KeySet { return KeySet{source} }

// Origin is the other source's, marked, so that what was kept of it as a SPIFFE
// bundle is not taken for what this made of it.
func (k KeySet) Origin() string { return k.source.Origin() + " (JWK Set)" }

// Fetch gets the document and writes it as a SPIFFE bundle.
func (k KeySet) Fetch(ctx context.Context) (Document, error) {
	document, err := k.source.Fetch(ctx)
	if err != nil {
		return document, err
	}
	entries, err := keyset.Entries(document.Bytes, maxEntries)
	if err != nil {
		document.Bytes = nil
		return document, fmt.Errorf("bundle: %s: JWK Set: %w", k.Origin(), err)
	}
	document.Bytes = slices.Concat([]byte(`{"keys":[`), bytes.Join(entries, []byte(",")), []byte("]}"))
	return document, nil
}
