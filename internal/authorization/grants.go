package authorization

import (
	"context"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// Refresh is how refresh tokens live.
type Refresh struct {
	// Rotation replaces a refresh token whenever it is used. Those of public clients
	// are replaced whatever it says (RT-3).
	Rotation bool
	Idle     time.Duration // longest time without use (RT-6)
	Lifetime time.Duration // longest life of all that follow one another (RT-6)
	// Grace is how long a replaced token gives its successor once more, to a client
	// that is authenticated (RT-4); 0 is never.
	Grace time.Duration
}

// MaxGrace bounds Refresh.Grace.
const MaxGrace = 30 * time.Second

// GrantsConfig is what Grants are made of.
type GrantsConfig struct {
	Records Records
	Policy  *policy.Table
	Refresh Refresh
	// LongestToken is the longest life of an access token: a grant is remembered as
	// long as one of its tokens can live, so that it can be asked about.
	LongestToken time.Duration
	// Blocked reports whether a workload of a client is blocked; nil is never.
	Blocked func(clientID string, id spiffeid.ID) bool
	// Revoked reports whether all that a client, or a workload of it, had at a moment
	// was revoked since; nil is never.
	Revoked func(ctx context.Context, clientID string, id spiffeid.ID, at time.Time) (bool, error)
	// Offered reports whether people like this one may still sign in, by their sub;
	// nil is always.
	Offered func(user string) bool
	Now     func() time.Time
}

// Grants judges what clients present to draw on a grant, by one configuration. It
// is safe for concurrent use.
type Grants struct{ config GrantsConfig }

// NewGrants makes Grants.
func NewGrants(c GrantsConfig) (*Grants, error) {
	if c.Records == nil || c.Policy == nil || c.Now == nil || c.LongestToken <= 0 || c.Refresh.Idle <= 0 || c.Refresh.Lifetime <= 0 ||
		c.Refresh.Grace < 0 || c.Refresh.Grace > MaxGrace {
		return nil, errors.New("authorization: the configuration of grants is not complete")
	}
	return &Grants{c}, nil
}

// ByID finds a grant, also a revoked one, by the grant_id of its access tokens. The
// error is ErrNotFound, or the store's.
func (a *Grants) ByID(ctx context.Context, id string) (Grant, error) {
	return a.config.Records.ByID(ctx, id, a.config.Now())
}

// ByRefreshToken finds the grant of a refresh token, and whether the token is the
// one that would be accepted now. The error is ErrNotFound, or the store's.
func (a *Grants) ByRefreshToken(ctx context.Context, token string) (g Grant, live bool, err error) {
	t, ok := parseRefreshToken(token)
	if !ok {
		return Grant{}, false, ErrNotFound
	}
	now := a.config.Now()
	if g, err = a.config.Records.ByRefreshToken(ctx, t.family(), now); err != nil {
		return Grant{}, false, err
	}
	live = !g.Revoked && a.offered(g) && g.Refresh.Current == t.digest() && now.Before(g.Refresh.ends())
	return g, live, nil
}

// offered reports whether the person who granted could sign in in that way today.
func (a *Grants) offered(g Grant) bool {
	return a.config.Offered == nil || a.config.Offered(g.Subject.User)
}

// Revoke revokes a grant: its refresh tokens at once, and its access tokens wherever
// somebody asks about them. The error is the store's.
func (a *Grants) Revoke(ctx context.Context, id string) error {
	return a.config.Records.Revoke(ctx, id, a.config.Now())
}

// A Draft is a grant that may be drawn on, and what is to be written when it is.
// Only Grants makes one; the zero value permits nothing.
type Draft struct {
	drawn  *drawing // nil where nothing may be told of it
	scope  []string
	settle func(context.Context, *drawing) (oauth.RefreshToken, error) // nil where it was refused
}

// refusedDraft tells of a grant that was refused what the presenter may know: nothing,
// unless it is theirs.
func refusedDraft(s *drawing) Draft {
	if !s.Has(factTheirs) {
		return Draft{}
	}
	return Draft{drawn: s}
}

// Grant is what was granted. It is also told where the draft was refused, if the
// presenter is the one that it was granted to, so that the record can name it; else
// it is nil.
func (d Draft) Grant() *Grant {
	if d.drawn == nil {
		return nil
	}
	return &d.drawn.grant
}

// Scope is what the access token may have, at most.
func (d Draft) Scope() []string { return d.scope }

// Settle writes, in one step, that the grant was drawn on, and returns the refresh
// token to be sent; none where the client has no grant for it. The error is an
// *oauth.Error.
func (d Draft) Settle(ctx context.Context) (oauth.RefreshToken, error) {
	if d.settle == nil {
		return "", oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "AZ-7", "a judged code or refresh token", "none")
	}
	return d.settle(ctx, d.drawn)
}

// Undo takes back what Settle wrote, for an answer that never left: the client has
// nothing of it and will come again with what it has (RT-3, AZ-7). The error is the
// store's.
func (d Draft) Undo(ctx context.Context) error {
	if d.drawn == nil || d.drawn.undo == nil {
		return nil
	}
	return d.drawn.undo(ctx)
}

// judge judges what was presented. It revokes the grant of what was used a second time
// by the very client it was given to, with all that makes it valid (AZ-7, RT-3). A
// replay that fails before that revokes nothing. The client may be gone by now; its
// token must be, too.
func (a *Grants) judge(ctx context.Context, s *drawing, rules []drawRule, reused oauth.Reason) error {
	refusal := judge.FirstRefusal(ctx, rules, s)
	switch {
	case refusal == nil:
		return nil
	case refusal.Reason == reused:
		if err := a.config.Records.Revoke(context.WithoutCancel(ctx), s.grant.ID, s.now); err != nil {
			return store.Refuse(err)
		}
	}
	return refusal
}

// idleAt is when a refresh token ends that is not used from now on.
func (a *Grants) idleAt(now, end time.Time) time.Time {
	return earlier(now.Add(a.config.Refresh.Idle), end)
}

// lost is the refusal for what another request got ahead of.
func (a *Grants) lost(err error, reused *oauth.Error) *oauth.Error {
	switch {
	case errors.Is(err, ErrUsed):
		return reused
	case errors.Is(err, ErrRevoked):
		return oauth.Refuse(oauth.InvalidGrant, oauth.ReasonGrantRevoked, "RT-3", "a grant in force", "a revoked one")
	case errors.Is(err, ErrNotFound):
		return oauth.Refuse(oauth.InvalidGrant, oauth.ReasonGrantRevoked, "RT-3", "a grant in force", "one that expired")
	}
	return store.Refuse(err)
}
