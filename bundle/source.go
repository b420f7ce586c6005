package bundle

import (
	"context"
	"errors"
	"io"
)

// A Source is where the bundle document of one trust domain comes from.
//
// Fetch gets the document as it is now. It does not judge it, and returns soon
// after ctx ends. One Set never calls it twice at the same time for one trust
// domain. Any error means that nothing was learnt; it must hold no text of a
// stranger that is not fit to print.
type Source interface {
	Fetch(ctx context.Context) (Document, error)
}

// A Document is what a Source got. All but Bytes is also there beside an error.
type Document struct {
	Bytes []byte
	// Origin says where it was asked for, for logs: a URL without its query, or
	// the path of a file.
	Origin string
	// Redirects are the URLs that were followed after Origin, without queries.
	Redirects []string
	// Local marks a document that the operator keeps on this machine. It is
	// looked at every second whatever its refresh hint, and a lower sequence in
	// it is an update by hand, not a roll-back (BU-14).
	Local bool
}

var errTooLong = errors.New("the document is longer than 1 MiB (BE-9)")

// readDocument reads no more than a document may have.
func readDocument(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument {
		return nil, errTooLong
	}
	return data, nil
}
