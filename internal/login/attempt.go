package login

import (
	"context"
	"time"
)

const (
	// AttemptMost is how long signing in at a provider may take.
	AttemptMost = 10 * time.Minute
	// MaxAttempts is how many are kept at once, so that a flood fills no disk.
	MaxAttempts = 10_000
	// MaxAttemptsOfSource is how many of them one source has; for one more, one that was
	// used goes, or else its oldest.
	MaxAttemptsOfSource = 500
	// maxKept bounds what an attempt is for.
	maxKept = 17 << 10
)

// An Attempt is somebody who was sent to a provider and has not come back. The
// nonce and the PKCE verifier that belong to it are made of its state and of the
// secret in the browser's cookie, so that the store holds neither, and only that
// browser can end it.
type Attempt struct {
	State    Digest
	Browser  Digest
	Source   Digest // where it began
	Provider string
	Kept     string // what the person was about to do
	Started  time.Time
	Used     bool // somebody came back with it before
}

// Attempts keep the attempts.
type Attempts interface {
	// StartAttempt keeps an attempt, with at most MaxAttemptsOfSource of its source; the
	// error is ErrFull for MaxAttempts of all.
	StartAttempt(ctx context.Context, a Attempt) error
	// UseAttempt finds the attempt of a state that the same browser began and that is
	// not older than AttemptMost, and marks it as used; Used tells whether it was
	// already. The error is ErrNone.
	UseAttempt(ctx context.Context, state, browser Digest, now time.Time) (Attempt, error)
}
