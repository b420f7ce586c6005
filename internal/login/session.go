package login

import (
	"context"
	"time"
)

// How long a session lasts without being used, and at most.
const (
	SessionIdle = time.Hour
	SessionMost = 12 * time.Hour
	// seenEvery is how often that it was used is written down.
	seenEvery = 5 * time.Minute
	// MaxSessions is how many one person has; the oldest ends for one more.
	MaxSessions = 20
)

// A Session is a browser in which somebody has signed in.
type Session struct {
	Digest Digest // of the secret in its cookie
	Person
	Started time.Time
	Seen    time.Time
}

// Ends is when it ends if it is not used any more.
func (s Session) Ends() time.Time {
	idle, most := s.Seen.Add(SessionIdle), s.Started.Add(SessionMost)
	if idle.Before(most) {
		return idle
	}
	return most
}

// Sessions keep the sessions.
type Sessions interface {
	// StartSession keeps a session, and ends the one whose digest is before, if it is
	// there: a session that was there before somebody signed in is never theirs. The
	// error is ErrNone for a local user who is there no longer, or whose password is
	// not the one of its Credential any more.
	StartSession(ctx context.Context, s Session, before Digest) error
	// Session finds one that has not ended; the error is ErrNone.
	Session(ctx context.Context, digest Digest, now time.Time) (Session, error)
	// SeeSession notes that it was used, unless it has ended.
	SeeSession(ctx context.Context, s Session) error
	// EndSession ends one, if it is there.
	EndSession(ctx context.Context, digest Digest) error
	// EndSessions ends all of a person and says how many there were.
	EndSessions(ctx context.Context, subject string) (int, error)
}
