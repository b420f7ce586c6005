package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// A User is somebody who signs in with a password of this server. It prints without
// what is kept of that.
type User struct {
	Name     string
	Password string // a PHC string
	Created  time.Time
	Changed  time.Time // of the password
}

func (u User) String() string   { return "user " + u.Name }
func (u User) GoString() string { return u.String() }

// Subject is who a local user is in a token.
func (u User) Subject() string { return Local + ":" + u.Name }

// Credential tells the password that a user has from each other, also of another
// user of the same name: what is kept of a password has a salt of its own.
func (u User) Credential() Digest { return sha256.Sum256([]byte(u.Password)) }

var (
	// ErrNone is for what is not there, or no longer.
	ErrNone = errors.New("there is none")
	// ErrExists is for a user that is there already.
	ErrExists = errors.New("there is a user of that name")
	// ErrFull is for one more than there may be.
	ErrFull = errors.New("there are as many as there may be")
	// ErrUnfit is for a name or a password that cannot be one; what is wrong with it is
	// in the text of the error, the password is not.
	ErrUnfit = errors.New("no name or password of a user")
)

// An unfit is an error with a text of its own that is ErrUnfit.
type unfit string

func (u unfit) Error() string   { return string(u) }
func (unfit) Is(err error) bool { return err == ErrUnfit }

// MaxUsers is how many local users there may be: they are for one server.
const MaxUsers = 10_000

// Users keep the local users. Taking one away, or its password, ends its sessions in
// the same write.
type Users interface {
	// AddUser keeps a new user; the error is ErrExists or ErrFull.
	AddUser(ctx context.Context, u User) error
	// User is the one of a name; the error is ErrNone.
	User(ctx context.Context, name string) (User, error)
	// Users are all of them, by name.
	Users(ctx context.Context) ([]User, error)
	// ChangePassword replaces what is kept of a password; the error is ErrNone.
	ChangePassword(ctx context.Context, u User) error
	// RemoveUser takes a user away with its sessions and consents, and ends what
	// clients were granted in its name; the error is ErrNone.
	RemoveUser(ctx context.Context, name string, now time.Time) (Ended, error)
}

// Ended is what ended.
type Ended struct {
	Sessions int `json:"sessions"`
	Consents int `json:"consents"`
	Grants   int `json:"grants"` // with their refresh tokens
}

// names have no capitals, so that nobody's name looks like another's, and nothing
// that a shell or a path reads.
var names = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// CheckName says what is wrong with the name of a local user; the error is ErrUnfit.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return unfit("the name of a user must be 1 to 64 of a-z, 0-9 and . _ @ + -, beginning with a letter or a digit")
	}
	return nil
}

// Accounts looks after the local users. It is safe for concurrent use.
type Accounts struct {
	Users Users
	Now   func() time.Time
}

// Add makes a user.
func (a *Accounts) Add(ctx context.Context, name, password string) error {
	u, err := a.user(ctx, name, password)
	if err != nil {
		return err
	}
	return a.Users.AddUser(ctx, u)
}

// ChangePassword gives a user another password and ends its sessions.
func (a *Accounts) ChangePassword(ctx context.Context, name, password string) error {
	u, err := a.user(ctx, name, password)
	if err != nil {
		return err
	}
	return a.Users.ChangePassword(ctx, u)
}

// Remove takes a user away with all that goes with it.
func (a *Accounts) Remove(ctx context.Context, name string) (Ended, error) {
	if err := CheckName(name); err != nil {
		return Ended{}, err
	}
	return a.Users.RemoveUser(ctx, name, a.Now())
}

func (a *Accounts) user(ctx context.Context, name, password string) (User, error) {
	if err := errors.Join(CheckName(name), CheckPassword(password)); err != nil {
		return User{}, err
	}
	kept, err := hash(ctx, password)
	if err != nil {
		return User{}, fmt.Errorf("login: %w", err)
	}
	now := a.Now()
	return User{Name: name, Password: kept, Created: now, Changed: now}, nil
}
