package sqlite

import (
	"database/sql"
	"errors"

	"github.com/svidgate/svidgate/internal/login"
)

// people is a Store as [login.State].
type people struct{ *Store }

// People is the store of people who sign in.
func (s *Store) People() login.State { return people{s} }

var (
	_ = expires("login_sessions", "ends")
	_ = expires("login_attempts", "ends")
	_ = expires("login_tries", "ends")
	_ = expires("login_consents", "ends")
)

// none says that there is none in the word of the package that asked.
func none(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return login.ErrNone
	}
	return err
}
