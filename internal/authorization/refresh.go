package authorization

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

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
	s := &drawing{grants: a, now: a.config.Now(), by: r.By, secret: r.Token, resources: r.Resources, scope: r.Scope}
	if err := a.judge(ctx, s, refreshRules, oauth.ReasonRefreshTokenReused); err != nil {
		return refusedDraft(s), err
	}
	scope := s.grant.Scope
	if len(r.Scope) > 0 { // RT-2: of this access token only
		scope = slices.Clone(r.Scope)
	}
	return Draft{s, scope, a.rotate}, nil
}

// rotate replaces the refresh token, where those of the client are replaced.
func (a *Grants) rotate(ctx context.Context, s *drawing) (oauth.RefreshToken, error) {
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
	switch {
	case err != nil:
		return "", a.lost(err, s.Refusal(oauth.ReasonRefreshTokenReused, "RT-3", "the latest refresh token of the grant", "one that was replaced"))
	case salt != fresh: // that of whoever came first, and nothing was replaced
		return s.token.successor(salt).wire(), nil
	case !a.rotates(s.by):
		return next.wire(), nil
	}
	s.undo = func(ctx context.Context) error { return a.config.Records.Unrotate(ctx, w, s.grant.Refresh) }
	return next.wire(), nil
}

func (a *Grants) rotates(by Presenter) bool { return a.config.Refresh.Rotation || !by.authenticated() }

// grace forgives nothing to whom nobody knows (RT-4).
func (a *Grants) grace(by Presenter) time.Duration {
	if !by.authenticated() {
		return 0
	}
	return a.config.Refresh.Grace
}

// refreshRules are what is asked of a refresh token, in order.
var refreshRules = slices.Concat([]drawRule{
	uses(oauth.GrantRefreshToken),
	sent("RT-1", "RFC 6749 6", "there is a refresh token", oauth.ParamRefreshToken),
	givenOut("RT-1", "RFC 6749 6", "refresh token", func(ctx context.Context, s *drawing) (Grant, error) {
		var ok bool
		if s.token, ok = parseRefreshToken(s.secret); !ok {
			return Grant{}, ErrNotFound
		}
		return s.grants.config.Records.ByRefreshToken(ctx, s.token.family(), s.now)
	}, oauth.ReasonRefreshTokenUnknown),
}, theirs, []drawRule{
	inForce,
	{
		ID: "RT-3", Source: "RFC 9700 4.14.2", What: "the refresh token is the latest, or was replaced a moment ago", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			digest, state := s.token.digest(), s.grant.Refresh
			latest := subtle.ConstantTimeCompare(digest[:], state.Current[:]) == 1
			if !latest && !state.Forgives(digest, s.grants.grace(s.by), s.now) {
				return oauth.ReasonRefreshTokenReused
			}
			return ""
		},
		Expected: func(*drawing) string { return "the latest refresh token of the grant" },
		Presented: func(s *drawing) string {
			if s.token.digest() == s.grant.Refresh.Current {
				return "the latest"
			}
			return "one that was replaced"
		},
	},
	{
		ID: "RT-6", Source: "RFC 9700 4.14.2", What: "the refresh token is not too old, and was used within its time", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if !s.now.Before(s.grant.Refresh.ends()) {
				return oauth.ReasonRefreshTokenExpired
			}
			return ""
		},
		Expected:  func(*drawing) string { return "a refresh token used within its time" },
		Presented: func(s *drawing) string { return ago(s.now, s.grant.Refresh.ends()) },
	},
	{
		ID: "RT-2", Source: "RFC 6749 6", What: "the scope is no more than was granted", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if slices.ContainsFunc(s.scope, func(scope string) bool { return !slices.Contains(s.grant.Scope, scope) }) {
				return oauth.ReasonScopeDenied
			}
			return ""
		},
		Expected:  func(s *drawing) string { return "no more than " + shown(strings.Join(s.grant.Scope, " ")) },
		Presented: func(s *drawing) string { return shown(strings.Join(s.scope, " ")) },
	},
	withinResource,
})
