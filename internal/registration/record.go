package registration

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/oauth"
)

// A Kind says how a record came about.
type Kind string

const (
	// FirstUseKind is a client that was registered by its own first request. Its
	// client_id is its SPIFFE ID (RF-3).
	FirstUseKind Kind = "first_use"
	// MemberKind is one workload of a configured client with a wildcard, so that it
	// can be told from the others and blocked alone (RU-8).
	MemberKind Kind = "member"
)

// A State is where a record stands.
type State string

const (
	Active   State = "active"   // it may get what its template gives
	Pending  State = "pending"  // it waits for an operator (mode approve)
	Observed State = "observed" // it would have been registered (mode observe)
)

// rank orders states: a record only ever goes up.
func (s State) rank() int { return slices.Index([]State{Observed, Pending, Active}, s) }

// Above reports whether s gives more than other.
func (s State) Above(other State) bool { return s.rank() > other.rank() }

// A MethodSet are authentication methods.
type MethodSet uint8

var setOrder = []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT}

// MethodsOf makes a set; what is no method of this server is left out.
func MethodsOf(methods ...oauth.AuthMethod) (set MethodSet) {
	for _, m := range methods {
		if i := slices.Index(setOrder, m); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// Has reports whether all of other are in the set.
func (s MethodSet) Has(other MethodSet) bool { return s&other == other }

// keyed are the methods by which a workload proves a key of its own.
const keyed MethodSet = 1<<1 | 1<<2

// holds reports whether a record with the methods of s need not be written before a
// caller by other is answered: that it has a key must not be forgotten (CC-5).
func (s MethodSet) holds(other MethodSet) bool { return s.Has(other & keyed) }

// List are the methods in their usual order.
func (s MethodSet) List() (methods []oauth.AuthMethod) {
	for i, m := range setOrder {
		if s&(1<<i) != 0 {
			methods = append(methods, m)
		}
	}
	return methods
}

// A Record is what is kept of a client that is not in the configuration, or of one
// workload of a client that is. It gives no rights: those come from the
// configuration in force.
type Record struct {
	Kind     Kind
	State    State
	ClientID string
	SPIFFEID spiffeid.ID // concrete, never a pattern
	// Methods are those by which it has authenticated.
	Methods MethodSet
	Created time.Time
	// Used is when it authenticated last, to the day.
	Used time.Time
	// Recorded says that a line of the audit record tells of it.
	Recorded bool
	// Raised is what there was below it, of one that RegisterClient has just made of
	// that; it is not kept.
	Raised *Record
	Provenance
}

// Provenance is where a record comes from (RU-7). It keeps what was, whatever the
// configuration says later.
type Provenance struct {
	Credential        oauth.AuthMethod // the kind of SVID
	CredentialDigest  [32]byte         // SHA-256 of the SVID
	BundleSequence    uint64           // of the bundle that judged it
	HasBundleSequence bool
	Template          string   // name of the template
	TemplateDigest    [32]byte // SHA-256 of all that it gives
	ApprovedBy        string   // empty: nobody had to
	Approved          time.Time
}

// Lapsed reports whether the record has ended: an active one when it was not used
// for idle, another one when nothing became of it for [WaitFor].
func (r Record) Lapsed(now time.Time, idle time.Duration) bool {
	if r.State == Active {
		return !r.Used.Add(idle).After(now)
	}
	return !r.Created.Add(WaitFor).After(now)
}

const (
	// WaitFor is how long a record waits for an operator, or is kept as one of what
	// would have been.
	WaitFor = 7 * 24 * time.Hour
	// DefaultIdle is how long a record is kept unused where the configuration does
	// not say (RF-10).
	DefaultIdle = 30 * 24 * time.Hour
	// MaxMembers bounds the records of workloads under wildcards in one trust domain.
	MaxMembers = 100_000
	// MaxBlocks bounds what operators block and delete.
	MaxBlocks = 200_000
	// useEvery is how often a use is noted.
	useEvery = 24 * time.Hour
)

// A Quota bounds the clients of one trust domain (RU-5).
type Quota struct {
	MaxClients int           // records of [FirstUseKind], in any state
	NewClients int           // so many new ones Per; 0 is no limit
	Per        time.Duration // more than 0 with NewClients
	Idle       time.Duration
}

// A Block is an operator's word on a client_id or a SPIFFE ID.
type Block struct {
	Subject string // the client_id or the SPIFFE ID
	// Deleted makes it a tombstone: nothing registers again under the SPIFFE ID, but
	// a client that is configured may have it (RU-6). Otherwise whoever has the
	// subject as client_id or as SPIFFE ID gets nothing.
	Deleted bool
	Reason  string // the operator's
	By      string
	At      time.Time
}

// A BlockKey names a block or a tombstone; a subject may have both.
type BlockKey struct {
	Subject string
	Deleted bool
}

// Key names the block.
func (b Block) Key() BlockKey { return BlockKey{b.Subject, b.Deleted} }

// A Use is one use of a record that is to be noted.
type Use struct {
	Kind     Kind
	ClientID string
	SPIFFEID spiffeid.ID
	Methods  MethodSet
	At       time.Time
	Recorded bool // a line tells of the record now
}

// Errors of [Records], each of which leaves everything as it was.
var (
	ErrMaxClients = errors.New("the trust domain has as many clients as it may")
	ErrNewClients = errors.New("the trust domain has made as many clients as it may for now")
	ErrBlocked    = errors.New("it is blocked")
	ErrDeleted    = errors.New("it was deleted")
	ErrNoRecord   = errors.New("there is no such client")
	ErrMaxBlocks  = errors.New("there are too many blocks")
)

// A Filter selects records: of one trust domain, of one client and in one state;
// a zero field selects all.
type Filter struct {
	TrustDomain spiffeid.TrustDomain
	ClientID    string
	State       State
}

// A Cursor is the place of a record in the order of lists; the zero Cursor is before
// all.
type Cursor struct {
	SPIFFEID string
	Kind     Kind
	ClientID string
}

// CursorOf is the place of a record.
func CursorOf(r Record) Cursor { return Cursor{r.SPIFFEID.String(), r.Kind, r.ClientID} }

// Counts are how many records a trust domain has.
type Counts struct{ Active, Pending, Observed, Members int }

// Records is the store of records and blocks. Several processes may share it; what
// one has changed the others see in Changes. Each call is done whole or not at all.
// An error other than those above says that the store failed.
type Records interface {
	// RegisterClient keeps r, a record of a client that registers on first use, unless
	// there is one already that is not below it and has not lapsed: exactly one is
	// made whoever asks how often (RU-4). One that is there gets the methods of r that
	// it lacks, which is a change. It returns the one that is kept, and whether
	// r was. A subject that is blocked or deleted, and what is beyond the quota, is an
	// error.
	RegisterClient(ctx context.Context, r Record, quota Quota) (kept Record, made bool, err error)
	// WithdrawClient takes back what RegisterClient made just now, if it still is that,
	// and puts back what it made it of.
	WithdrawClient(ctx context.Context, made Record) error
	// ApproveClient makes the record active, or keeps r when there is none but a
	// tombstone, which it lifts. Without either it is ErrNoRecord.
	ApproveClient(ctx context.Context, r Record, quota Quota) (Record, error)
	// DeleteClient moves the record of a client that registered on first use to the
	// archive and leaves the tombstone.
	DeleteClient(ctx context.Context, tombstone Block) (Record, error)
	// ClientRecord is one record, or ErrNoRecord.
	ClientRecord(ctx context.Context, kind Kind, clientID, spiffeID string) (Record, error)
	// ClientRecords are at most limit records behind a place, in order.
	ClientRecords(ctx context.Context, f Filter, after Cursor, limit int) ([]Record, error)
	// NoteUses notes uses: later times, further methods, and records of members that
	// are not there yet, as far as there is room for them.
	NoteUses(ctx context.Context, uses []Use) error
	// LapseClients archives at most limit records of a trust domain that have lapsed.
	LapseClients(ctx context.Context, td spiffeid.TrustDomain, idle time.Duration, now time.Time, limit int) (int, error)
	// CountClients counts the records of every trust domain that has or had some.
	CountClients(ctx context.Context) (map[string]Counts, error)

	// SetBlock keeps a block; one of the same subject is replaced.
	SetBlock(ctx context.Context, b Block) error
	// RemoveBlock ends the block of a subject. Where there is none it is ErrDeleted if
	// there is a tombstone, which stays, else ErrNoRecord.
	RemoveBlock(ctx context.Context, subject string, now time.Time) error
	// BlocksOf are the block and the tombstone of a subject, as far as there are.
	BlocksOf(ctx context.Context, subject string) ([]Block, error)
	// ClientBlocks are at most limit blocks and tombstones behind a place, in order.
	ClientBlocks(ctx context.Context, after BlockKey, limit int) ([]Block, error)

	// ClientChanges are the subjects of changes behind a number, at most limit, and the
	// number of the last of them. Registrations are not among them, further methods are
	// where RegisterClient has added them. Changes are
	// forgotten after [ChangesKept].
	ClientChanges(ctx context.Context, after int64, limit int) (subjects []string, last int64, err error)
	// LastClientChange is the number of the latest change.
	LastClientChange(ctx context.Context) (int64, error)
}

// ChangesKept is how long a process may not ask for changes and still learn of all.
const ChangesKept = time.Hour
