// Package store has the words that every store shares. What is kept, and by which
// calls, each user of state says in its own package, as a small interface with its
// own values; internal/store/sqlite has them all in one file of this machine.
//
// Rules GL-13 and GL-15 of docs/requirements.md.
package store

import (
	"context"
	"errors"

	"github.com/svidgate/svidgate/oauth"
)

// ErrUnavailable is wrapped in every error that says nothing of what was asked: the
// disk is full or broken, the file is locked, there is too much to do, the store is
// closed. Nothing was kept, with one exception: where a commit itself failed, what it
// held may be there after a crash. Whoever gets it answers with [Refuse].
var ErrUnavailable = errors.New("the store is unavailable")

// ErrNewer is wrapped in the error for a store that a later version of this program
// has changed.
var ErrNewer = errors.New("the store is of a later version")

// Refuse is the refusal of a request that could not be decided because of err
// (GL-15): reason oauth.ReasonStoreUnavailable where the store is unavailable, or
// where its answer came too late for ctx. Any other error is a fault of this program.
func Refuse(err error) *oauth.Error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return oauth.Refuse(oauth.Unavailable, oauth.ReasonStoreUnavailable, "GL-15", "an answer of the store before that of the request", "").Because(err)
	}
	return oauth.AsError(err)
}
