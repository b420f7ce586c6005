package revocation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/strictid"
)

// A Kind says what the value of an Entry is.
type Kind string

const (
	TokenID        Kind = "jti"              // one access token
	Client         Kind = "client"           // a client_id
	SPIFFEID       Kind = "spiffe_id"        // one workload
	SPIFFEIDPrefix Kind = "spiffe_id_prefix" // every workload below a path, written as in a client's spiffe_id
	TrustDomain    Kind = "trust_domain"     // by its name
	Key            Kind = "kid"              // a signing key of ours

	// Grant is what a person granted to a client. It is revoked in its own record, and
	// never the kind of an Entry that is kept here.
	Grant Kind = "grant"
)

// Kinds are all that entries have.
var Kinds = []Kind{TokenID, Client, SPIFFEID, SPIFFEIDPrefix, TrustDomain, Key}

// An Entry is one revocation.
type Entry struct {
	Kind  Kind
	Value string
	// Before is when it was revoked. What was issued before, or in the same second,
	// is dead; a token that is issued later is not. One token and what one key
	// signed are dead whenever they were issued.
	Before time.Time
	// Expires is when nothing that it is about can be alive any more.
	Expires time.Time
	Reason  string // an operator's words, perhaps none
	By      string // who revoked it
}

const (
	maxValue  = 2048 // a SPIFFE ID is no longer
	maxReason = 256
	maxBy     = 4096
)

// Life is how long an entry counts that is about more than one access token: nothing
// that was issued before, not even a refresh token, lives longer.
const Life = 366 * 24 * time.Hour

// ErrEntry is the cause when an entry is none.
var ErrEntry = errors.New("it cannot be revoked")

// check refuses an entry that could never match anything, or would match what
// nobody meant.
func (e Entry) check() error {
	if !slices.Contains(Kinds, e.Kind) {
		return fmt.Errorf("%w: there is no kind %q", ErrEntry, e.Kind)
	}
	if !plain(e.Value, maxValue) || e.Value == "" {
		return fmt.Errorf("%w: a %s has 1 to %d printable ASCII characters", ErrEntry, e.Kind, maxValue)
	}
	if len(e.Reason) > maxReason || strings.ContainsFunc(e.Reason, func(c rune) bool { return c < 0x20 || c == 0x7f || c == 0xfffd }) {
		return fmt.Errorf("%w: a reason has at most %d bytes in one line", ErrEntry, maxReason)
	}
	if len(e.By) > maxBy || e.Before.IsZero() || !e.Expires.After(e.Before) {
		return fmt.Errorf("%w: it has no time", ErrEntry)
	}
	var err error
	switch e.Kind {
	case SPIFFEID:
		_, err = strictid.Workload(e.Value)
	case SPIFFEIDPrefix:
		var pattern svidgate.Pattern
		if pattern, err = svidgate.ParsePattern(e.Value); err == nil && !pattern.Wildcard() {
			err = errors.New("it ends with /*, as in spiffe://example.org/ns/ci/*")
		}
	case TrustDomain:
		var td spiffeid.TrustDomain
		if td, err = spiffeid.TrustDomainFromString(e.Value); err == nil && td.Name() != e.Value {
			err = errors.New("it is a name, such as example.org")
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s %q: %w", ErrEntry, e.Kind, e.Value, err)
	}
	return nil
}

func plain(s string, most int) bool {
	return len(s) <= most && !strings.ContainsFunc(s, func(c rune) bool { return c < 0x21 || c > 0x7e })
}

// A Token is what is known of a token that somebody asks about. What does not apply
// is empty.
type Token struct {
	ID       string
	ClientID string
	KeyID    string
	// SPIFFEIDs are all workloads that it is of: the subject, and whoever acts.
	SPIFFEIDs []spiffeid.ID
	IssuedAt  time.Time
}
