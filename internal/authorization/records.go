package authorization

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Digest is the SHA-256 of a secret: all that is kept of one (GL-13). It prints
// as nothing, because who has it can look for the secret in a dump.
type Digest [sha256.Size]byte

// Format keeps every verb of fmt from it.
func (Digest) Format(f fmt.State, _ rune) { io.WriteString(f, "digest") }

func digestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// A Subject is the person who grants, as the sign-in knows them.
type Subject struct {
	User     string    // sub; never a SPIFFE ID (CC-3)
	AuthTime time.Time // when they signed in; zero where that is not known
	AMR      []string  // how, as far as it is known (RFC 8176)
	ACR      string
}

// A Permission is by what a person grants. The zero value permits nothing.
type Permission struct {
	Session Digest // of the session of the person, in which they must still be signed in
	// Remembered says that they were not asked, because they agreed before. Otherwise
	// they agreed just now, which is remembered with the grant.
	Remembered bool
}

// A Pushed is an authorization request that a client pushed.
type Pushed struct {
	URI        Digest // of the request_uri
	ClientID   string
	SPIFFEID   string // of the workload that pushed it; empty for a public client
	Source     string // where a public client pushed it from; nobody else has one
	Key        string // thumbprint of its key; empty where the method has none
	Parameters string // as they were sent, form-encoded
	ExpiresAt  time.Time
}

// Format keeps what was sent from every verb of fmt.
func (p Pushed) Format(f fmt.State, _ rune) { io.WriteString(f, "pushed request of "+p.ClientID) }

// A Grant is what a person granted to a client. Its code and refresh token go on
// with it, so that revoking it is one mark on one record, and a client that
// refreshes for a month takes no more room than one that does so once (F42).
type Grant struct {
	ID       string // grant_id of its access tokens; no secret
	ClientID string
	// SPIFFEID is the workload that it is bound to: the one that pushed the request,
	// else the one that redeemed the code (CW-9, CX-10). Empty before, and always
	// for a public client.
	SPIFFEID string
	// Key is the thumbprint of the key that it is bound to (CW-8), in the same way.
	Key      string
	Subject  Subject
	Scope    []string
	Resource string
	IssuedAt time.Time
	// ExpiresAt is when nothing that was issued under it can be valid any more, so
	// that it may be forgotten.
	ExpiresAt time.Time
	Revoked   bool

	Code    Code
	Refresh RefreshState
}

// Format is all that a grant prints as.
func (g Grant) Format(f fmt.State, _ rune) { io.WriteString(f, "grant "+g.ID) }

// A Code is the authorization code of a grant (AZ-6).
type Code struct {
	Digest      Digest
	RedirectURI string
	Challenge   string // by S256
	ExpiresAt   time.Time
	Redeemed    bool
}

// A RefreshState is the refresh token of a grant. The zero value is none.
type RefreshState struct {
	Family   Digest // of what all its refresh tokens have in common
	Current  Digest // the latest
	Previous Digest // the one before, zero if there was none
	// Salt makes Current from Previous, for whoever has that. It is there only
	// where a lost answer is forgiven (RT-4).
	Salt      [sha256.Size]byte
	RotatedAt time.Time // when Current replaced Previous
	IdleAt    time.Time // when Current ends unless it is used (RT-6)
	ExpiresAt time.Time // when all of them end (RT-6)
}

// Forgives reports whether a token that was replaced may be presented again now,
// for the same successor: the answer with that may have been lost (RT-4).
func (s RefreshState) Forgives(token Digest, grace time.Duration, now time.Time) bool {
	return grace > 0 && s.Previous == token && token != (Digest{}) && s.Salt != ([sha256.Size]byte{}) && !now.After(s.RotatedAt.Add(grace))
}

// ends is when the refresh token ends unless it is used (RT-6).
func (s RefreshState) ends() time.Time { return earlier(s.IdleAt, s.ExpiresAt) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Format keeps every verb of fmt from it.
func (RefreshState) Format(f fmt.State, _ rune) { io.WriteString(f, "refresh token") }

// A Redemption is what redeeming a code writes.
type Redemption struct {
	GrantID       string
	SPIFFEID, Key string       // of the caller, for a grant that is not bound yet
	Refresh       RefreshState // zero for none
	ExpiresAt     time.Time    // of the grant
	Now           time.Time
}

// A Rotation is what a refresh writes.
type Rotation struct {
	GrantID   string
	From, To  Digest // the same where nothing is rotated
	Salt      [sha256.Size]byte
	Grace     time.Duration // 0 forgives nothing
	IdleAt    time.Time
	ExpiresAt time.Time // of the grant; it never becomes earlier
	Now       time.Time
}

// What Records answer when there is nothing to find or to change.
var (
	ErrNotFound  = errors.New("there is no such record")
	ErrCompleted = errors.New("the pushed request was completed or has expired")
	ErrFull      = errors.New("too many pushed requests are open")
	ErrSignedOut = errors.New("the session of the person has ended")
	ErrNotAgreed = errors.New("the person does not agree to that any more")
	ErrUsed      = errors.New("it was used before, and the grant is revoked now")
	ErrRevoked   = errors.New("the grant is revoked")
)

const (
	// MaxPushed is how many pushed requests one client may have open, MaxPushedByOne
	// how many of them one workload, and MaxPushedFrom how many one source in the name
	// of a public client: whoever takes that name shuts out those beside them only.
	MaxPushed      = 4096
	MaxPushedByOne = 2048
	MaxPushedFrom  = 128
	// MaxGrants is how many grants of one person for one client are in use. When the
	// code of one more is redeemed, one that gives nothing any more goes, or else the
	// one whose code was redeemed, or whose refresh token was replaced, longest ago.
	MaxGrants = 100
	// MaxWaiting is how many grants of one person for one client wait for their code to
	// be redeemed, beside those in use; one more removes the oldest. They wait for CodeFor.
	MaxWaiting = 100
)

// Room is how many requests like this one may be open.
func (p Pushed) Room() int {
	if p.SPIFFEID == "" {
		return MaxPushedFrom
	}
	return MaxPushedByOne
}

// Records keep pushed requests and grants. Every method is one step that is done
// whole or not at all, whatever else goes on in this process or in another one; a
// change has reached the disk when the method returns. Times come from the caller.
// What has expired is as if it were not there.
type Records interface {
	// Push keeps a request; ErrFull when MaxPushed of its client are open, or Room of
	// its client with its workload or source.
	Push(ctx context.Context, p Pushed, now time.Time) error
	// Open gives a pushed request, and the first time lets it live until then:
	// whoever began to sign in gets to the end of it. ErrNotFound.
	Open(ctx context.Context, uri Digest, now, until time.Time) (Pushed, error)
	// Create keeps a grant with its code, and what the person agreed to if that was
	// just now, and removes the pushed request that it completes, if uri is not zero.
	// ErrSignedOut when the session of the permission is not the person's or has ended,
	// ErrNotAgreed when what is remembered does not cover the grant, ErrCompleted when
	// the pushed request is gone. So who signed out, was removed or withdrew before this
	// step grants nothing. It removes what is beyond MaxWaiting, and nothing that is in
	// use.
	Create(ctx context.Context, g Grant, by Permission, uri Digest, now time.Time) error
	// Complete removes a pushed request for which nothing is granted. ErrCompleted
	// when it is gone.
	Complete(ctx context.Context, uri Digest, now time.Time) error

	// ByID, ByCode and ByRefreshToken find a grant, also a revoked one. ErrNotFound.
	ByID(ctx context.Context, id string, now time.Time) (Grant, error)
	ByCode(ctx context.Context, code Digest, now time.Time) (Grant, error)
	ByRefreshToken(ctx context.Context, family Digest, now time.Time) (Grant, error)

	// Redeem marks the code of a grant as redeemed, and removes what is beyond MaxGrants.
	// When it was so before, the grant is revoked and the answer ErrUsed (AZ-7).
	// ErrRevoked, ErrNotFound.
	Redeem(ctx context.Context, r Redemption) error
	// Rotate replaces a refresh token by its successor and returns the salt of that.
	// When the token was replaced before, that is the salt of then as long as it is
	// forgiven (RT-4); afterwards the grant is revoked and the answer is ErrUsed
	// (RT-3). ErrRevoked, ErrNotFound.
	Rotate(ctx context.Context, r Rotation) (salt [sha256.Size]byte, err error)
	// Unredeem and Unrotate take back what the one before them wrote, for an answer that
	// never left: the grant is again as it was before. A grant that was revoked since
	// then, or drawn on by somebody who was answered, stays as it is.
	Unredeem(ctx context.Context, r Redemption, before Grant) error
	Unrotate(ctx context.Context, r Rotation, before RefreshState) error
	// Revoke revokes a grant. One that is not there is no error.
	Revoke(ctx context.Context, id string, now time.Time) error
}
