package authorization

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
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
	live = !g.Revoked && a.offered(g) && g.Refresh.Current == t.digest() && now.Before(g.Refresh.IdleAt) && now.Before(g.Refresh.ExpiresAt)
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
	grant  *Grant
	scope  []string
	settle func(context.Context) (oauth.RefreshToken, error)
	undo   *func(context.Context) error // what settle wrote; nil as long as that is nothing
}

// Grant is what was granted. It is also told where the draft was refused, if the
// presenter is the one that it was granted to, so that the record can name it; else
// it is nil.
func (d Draft) Grant() *Grant { return d.grant }

// Scope is what the access token may have, at most.
func (d Draft) Scope() []string { return d.scope }

// Settle writes, in one step, that the grant was drawn on, and returns the refresh
// token to be sent. The error is an *oauth.Error.
func (d Draft) Settle(ctx context.Context) (oauth.RefreshToken, error) {
	if d.settle == nil {
		return "", oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "AZ-7", "a judged code or refresh token", "none")
	}
	return d.settle(ctx)
}

// Undo takes back what Settle wrote, for an answer that never left: the client has
// nothing of it and will come again with what it has (RT-3, AZ-7). The error is the
// store's.
func (d Draft) Undo(ctx context.Context) error {
	if d.undo == nil || *d.undo == nil {
		return nil
	}
	return (*d.undo)(ctx)
}

// settling gives a draft what settles it, which says how that is undone.
func (d *Draft) settling(settle func(context.Context) (oauth.RefreshToken, func(context.Context) error, error)) {
	undo := new(func(context.Context) error)
	d.undo = undo
	d.settle = func(ctx context.Context) (token oauth.RefreshToken, err error) {
		token, *undo, err = settle(ctx)
		return token, err
	}
}

// A Redeeming is a request that redeems a code.
type Redeeming struct {
	By          Presenter
	Code        string
	RedirectURI string // empty when it was not sent
	Verifier    string
	Resources   []string
}

// Redeem judges a code (AZ-5 to AZ-7, AZ-14). It writes nothing but, for a code that
// was redeemed before, that the grant is revoked. The error is an *oauth.Error.
func (a *Grants) Redeem(ctx context.Context, r Redeeming) (Draft, error) {
	s := &redeeming{drawing: drawing{grants: a, now: a.config.Now(), by: r.By, resources: r.Resources}, asked: r}
	if refusal := judge.FirstRefusal(ctx, redeemRules, s); refusal != nil {
		return a.refused(ctx, &s.drawing, refusal, oauth.ReasonCodeReused)
	}
	draft := Draft{grant: &s.grant, scope: s.grant.Scope}
	draft.settling(func(ctx context.Context) (oauth.RefreshToken, func(context.Context) error, error) {
		return a.redeem(ctx, s)
	})
	return draft, nil
}

// redeem uses the code up. Of any number of requests that came this far with the
// same code, one gets past it.
func (a *Grants) redeem(ctx context.Context, s *redeeming) (oauth.RefreshToken, func(context.Context) error, error) {
	w := Redemption{GrantID: s.grant.ID, SPIFFEID: s.by.SPIFFEID, Key: s.by.Key, Now: s.now, ExpiresAt: s.now.Add(a.config.LongestToken)}
	var wire oauth.RefreshToken
	if a.config.Policy.Offers(s.by.ClientID, oauth.GrantRefreshToken) {
		token := newRefreshToken()
		w.Refresh = RefreshState{
			Family: token.family(), Current: token.digest(),
			IdleAt: a.idleAt(s.now, s.now.Add(a.config.Refresh.Lifetime)), ExpiresAt: s.now.Add(a.config.Refresh.Lifetime),
		}
		w.ExpiresAt = w.Refresh.ExpiresAt.Add(a.config.LongestToken)
		wire = token.wire()
	}
	if err := a.config.Records.Redeem(ctx, w); err != nil {
		return "", nil, a.lost(err, s.drawing.Refusal(oauth.ReasonCodeReused, "AZ-7", "a code that was not redeemed", "one that was"))
	}
	return wire, func(ctx context.Context) error { return a.config.Records.Unredeem(ctx, w, s.grant) }, nil
}

// idleAt is when a refresh token ends that is not used from now on.
func (a *Grants) idleAt(now, end time.Time) time.Time {
	if idle := now.Add(a.config.Refresh.Idle); idle.Before(end) {
		return idle
	}
	return end
}

// A Refreshing is a request that presents a refresh token.
type Refreshing struct {
	By        Presenter
	Token     string
	Scope     []string // none takes all that was granted
	Resources []string
}

// Refresh judges a refresh token (RT-1 to RT-7). It writes nothing but, for a token
// that was replaced before, that the grant is revoked. The error is an *oauth.Error.
func (a *Grants) Refresh(ctx context.Context, r Refreshing) (Draft, error) {
	s := &refreshing{drawing: drawing{grants: a, now: a.config.Now(), by: r.By, resources: r.Resources}, asked: r}
	if refusal := judge.FirstRefusal(ctx, refreshRules, s); refusal != nil {
		return a.refused(ctx, &s.drawing, refusal, oauth.ReasonRefreshTokenReused)
	}
	draft := Draft{grant: &s.grant, scope: s.grant.Scope}
	if len(r.Scope) > 0 { // RT-2: of this access token only
		draft.scope = slices.Clone(r.Scope)
	}
	draft.settling(func(ctx context.Context) (oauth.RefreshToken, func(context.Context) error, error) {
		return a.rotate(ctx, s)
	})
	return draft, nil
}

func (a *Grants) rotate(ctx context.Context, s *refreshing) (oauth.RefreshToken, func(context.Context) error, error) {
	var fresh [sha256.Size]byte
	rand.Read(fresh[:]) // it never fails
	next := s.token
	if a.rotates(s.by) {
		next = s.token.successor(fresh)
	}
	w := Rotation{
		GrantID: s.grant.ID, From: s.token.digest(), To: next.digest(), Salt: fresh, Grace: a.grace(s.by),
		IdleAt: a.idleAt(s.now, s.grant.Refresh.ExpiresAt), ExpiresAt: s.now.Add(a.config.LongestToken), Now: s.now,
	}
	salt, err := a.config.Records.Rotate(ctx, w)
	if err != nil {
		return "", nil, a.lost(err, s.drawing.Refusal(oauth.ReasonRefreshTokenReused, "RT-3", "the latest refresh token of the grant", "one that was replaced"))
	}
	if !a.rotates(s.by) {
		return next.wire(), nil, nil
	}
	if salt != fresh { // that of whoever came first, and nothing was replaced
		return s.token.successor(salt).wire(), nil, nil
	}
	return next.wire(), func(ctx context.Context) error { return a.config.Records.Unrotate(ctx, w, s.grant.Refresh) }, nil
}

func (a *Grants) rotates(by Presenter) bool { return a.config.Refresh.Rotation || !by.authenticated() }

// grace forgives nothing to whom nobody knows (RT-4).
func (a *Grants) grace(by Presenter) time.Duration {
	if !by.authenticated() {
		return 0
	}
	return a.config.Refresh.Grace
}

// refused revokes the grant of what was used a second time by the very client it was
// given to, with all that makes it valid (AZ-7, RT-3). A replay that fails before
// that revokes nothing. The client may be gone by now; its token must be, too.
func (a *Grants) refused(ctx context.Context, s *drawing, refusal *oauth.Error, reused oauth.Reason) (Draft, error) {
	if refusal.Reason == reused {
		if err := a.config.Records.Revoke(context.WithoutCancel(ctx), s.grant.ID, s.now); err != nil {
			return Draft{}, store.Refuse(err)
		}
	}
	if !s.Has(factTheirs) {
		return Draft{}, refusal
	}
	return Draft{grant: &s.grant}, refusal
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

// goodVerifier is RFC 7636 section 4.1: 43 to 128 unreserved characters.
func goodVerifier(v string) bool {
	return len(v) >= 43 && len(v) <= 128 && !strings.ContainsFunc(v, func(r rune) bool { return !base64URL(r) && r != '.' && r != '~' })
}
