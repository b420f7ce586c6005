package login

import (
	"context"
	"slices"
	"time"
)

const (
	// ConsentMost is how long a consent is remembered.
	ConsentMost = 365 * 24 * time.Hour
	// MaxConsents is how many one person has; the oldest is forgotten for one more.
	MaxConsents = 500
)

// A Consent is what somebody lets a client have in their name at one resource.
type Consent struct {
	Subject  string
	ClientID string
	Resource string
	Scope    []string // sorted, each once
	Given    time.Time
}

// Covers reports whether all of a scope was agreed to.
func (c Consent) Covers(scope []string) bool {
	return !slices.ContainsFunc(scope, func(s string) bool { return !slices.Contains(c.Scope, s) })
}

// Ends is when it is forgotten.
func (c Consent) Ends() time.Time { return c.Given.Add(ConsentMost) }

// Consents keep what people agreed to.
type Consents interface {
	// GiveConsent keeps a consent, with what was agreed to before for the same
	// client and resource.
	GiveConsent(ctx context.Context, c Consent) error
	// Consent finds one that is still remembered; the error is ErrNone.
	Consent(ctx context.Context, subject, clientID, resource string, now time.Time) (Consent, error)
	// Consents are all of a person, the newest first.
	Consents(ctx context.Context, subject string, now time.Time) ([]Consent, error)
	// Withdraw forgets those for a client, or for all where that is empty, and ends
	// what they were granted in the person's name.
	Withdraw(ctx context.Context, subject, clientID string, now time.Time) (Ended, error)
}
