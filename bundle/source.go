package bundle

import (
	"context"
	"errors"
	"io"
	"reflect"
)

// A Source is where the bundle document of one trust domain comes from.
type Source interface {
	// Fetch gets the document as it is now. It does not judge it, and returns
	// soon after ctx ends. Any error means that nothing was learnt; it must hold no
	// text of a stranger that is not fit to print.
	//
	// One Set asks for a configured trust domain once at a time. Two calls can
	// overlap all the same: when a trust domain was taken out and then configured
	// again with the same Source, while a call from before has yet to return; when
	// a Source serves several trust domains or Sets; and when its owner asks it
	// by himself, as for [TrustDomain] First.
	Fetch(ctx context.Context) (Document, error)

	// Origin says where Fetch asks: a URL without its query, the path of a file,
	// the address of a socket. It never changes. It is shown in logs, and it is the
	// identity of a source: two that ask at different places must not have the same
	// one, for a bundle and what was kept of it are good for their origin only.
	Origin() string
}

// A Watcher is a source that knows when its document changed.
type Watcher interface {
	Source

	// Watch calls changed once for each change until ctx ends, and then returns.
	// The caller fetches by itself: changed returns at once, may be called from
	// any goroutine, and changes that come close together may be taken for one. Like
	// those of Fetch, two calls can overlap when a trust domain is configured again.
	Watch(ctx context.Context, changed func())
}

// A Document is what a Source got. All but Bytes is also there beside an error.
type Document struct {
	Bytes []byte
	// Redirects are the URLs that were followed after Origin, without queries.
	Redirects []string
	// Local marks a document that the operator keeps on this machine. It is
	// looked at every second or so whatever its refresh hint, a lower sequence in it is
	// an update by hand, not a roll-back (BU-14), and it is not kept a second
	// time (BE-15).
	Local bool
}

// sameSource reports whether two sources are one and the same value. Values that
// Go cannot compare are never the same.
func sameSource(a, b Source) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
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
