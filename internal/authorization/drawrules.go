package authorization

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

// The facts that the rules on codes and refresh tokens build on.
const (
	factGrant  judge.Fact = 1 << iota // there is a grant
	factTheirs                        // and it is the presenter's
)

// A drawing is what codes and refresh tokens have in common while they are judged.
type drawing struct {
	judge.Judgement
	grants    *Grants
	now       time.Time
	by        Presenter
	resources []string
	grant     Grant
	broken    *oauth.Error // the store's refusal, which has its own words
	cutOff    bool         // with all else of its client or workload
}

// Refusal gives a reason its code.
func (s *drawing) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	if s.broken != nil {
		return s.broken
	}
	code := oauth.InvalidGrant
	switch reason {
	case oauth.ReasonRequestMalformed:
		code = oauth.InvalidRequest
	case oauth.ReasonScopeDenied:
		code = oauth.InvalidScope
	case oauth.ReasonResourceDenied:
		code = oauth.InvalidTarget
	case oauth.ReasonInternal:
		code = oauth.ServerError
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}

// found takes what the store answered.
func (s *drawing) found(g Grant, err error, unknown oauth.Reason) oauth.Reason {
	switch {
	case errors.Is(err, ErrNotFound):
		return unknown
	case err != nil:
		s.broken, s.Cause = store.Refuse(err), err
		return s.broken.Reason
	}
	s.grant = g
	s.Facts |= factGrant
	return ""
}

func (s *drawing) client() oauth.Reason {
	if s.by.ClientID == "" || s.grant.ClientID != s.by.ClientID {
		return oauth.ReasonGrantNotYours
	}
	return ""
}

// workload is CW-9 and CX-10: once a workload is known, it is that one, and once the
// code was redeemed it is known that there is none. So a grant of a client that became
// public since, or no longer is, is nobody's.
func (s *drawing) workload() oauth.Reason {
	if known := s.grant.SPIFFEID != "" || s.grant.Code.Redeemed; known && s.grant.SPIFFEID != s.by.SPIFFEID {
		return oauth.ReasonGrantNotYours
	}
	return ""
}

// key is CW-8: a key that was proven once is to be proven again.
func (s *drawing) key() oauth.Reason {
	if s.grant.Key != "" && subtle.ConstantTimeCompare([]byte(s.grant.Key), []byte(s.by.Key)) != 1 {
		return oauth.ReasonGrantNotYours
	}
	s.Facts |= factTheirs
	return ""
}

func (s *drawing) blocked() bool {
	if s.grants.config.Blocked == nil {
		return false
	}
	id, _ := spiffeid.FromString(s.by.SPIFFEID) // the zero ID for a public client
	return s.grants.config.Blocked(s.by.ClientID, id)
}

// revoked refuses what an operator revoked with all else of the client or workload
// (RV-4).
func (s *drawing) revoked(ctx context.Context) oauth.Reason {
	if s.grants.config.Revoked == nil {
		return ""
	}
	id, _ := spiffeid.FromString(s.by.SPIFFEID)
	var err error
	if s.cutOff, err = s.grants.config.Revoked(ctx, s.by.ClientID, id, s.grant.IssuedAt); err != nil {
		s.broken = store.Refuse(errors.Join(store.ErrUnavailable, err))
		return s.broken.Reason
	}
	if s.cutOff {
		return oauth.ReasonGrantRevoked
	}
	return ""
}

func expectedClient(s *drawing) string { return "client " + shown(s.grant.ClientID) }
func shownClient(s *drawing) string    { return "client " + shown(s.by.ClientID) }

func expectedWorkload(s *drawing) string {
	switch {
	case s.grant.SPIFFEID == "" && s.grant.Code.Redeemed:
		return "no workload: the client was public"
	case s.grant.SPIFFEID == "":
		return "any workload of the client"
	}
	return oauth.Shown(s.grant.SPIFFEID)
}

func presentedKey(s *drawing) string {
	switch s.by.Key {
	case "":
		return "none"
	case s.grant.Key:
		return "a proof of that key"
	}
	return "a proof of another key"
}

func expectedResource(s *drawing) string { return shown(s.grant.Resource) }
func shownResources(s *drawing) string   { return shown(strings.Join(s.resources, " ")) }

// ago is how long a time has passed.
func ago(now, then time.Time) string {
	return "one that expired " + max(0, now.Sub(then)).Truncate(time.Second).String() + " ago"
}

// theirs are the rules that both have, in order: whose it is.
func theirs[S judge.State](of func(S) *drawing) []judge.Rule[S] {
	rule := func(id, source, what string, needs judge.Fact, ask func(*drawing) oauth.Reason, expected, presented func(*drawing) string) judge.Rule[S] {
		return judge.Rule[S]{
			ID: id, Source: source, What: what, Needs: needs,
			Judge:     func(_ context.Context, s S) oauth.Reason { return ask(of(s)) },
			Expected:  func(s S) string { return expected(of(s)) },
			Presented: func(s S) string { return presented(of(s)) },
		}
	}
	return []judge.Rule[S]{
		rule("AZ-6", "RFC 6749 5.2", "it was given to the client", factGrant, (*drawing).client, expectedClient, shownClient),
		rule("CX-10", "RFC 8705 7.1", "the workload is the one that it is bound to", factGrant, (*drawing).workload, expectedWorkload,
			func(s *drawing) string { return shown(s.by.SPIFFEID) }),
		rule("CW-8", "ABCA, refresh token binding", "the key is the one that it is bound to", factGrant, (*drawing).key,
			func(s *drawing) string {
				if s.grant.Key == "" {
					return "any key, or none"
				}
				return "a proof of the key that it is bound to"
			}, presentedKey),
	}
}

// withinResource is RI-2: what is asked for is what was granted.
func withinResource[S judge.State](of func(S) *drawing) judge.Rule[S] {
	return judge.Rule[S]{
		ID: "RI-2", Source: "RFC 8707 2.2", What: "the resource is the one that was granted", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s S) oauth.Reason {
			d := of(s)
			if slices.ContainsFunc(d.resources, func(r string) bool { return r != d.grant.Resource }) {
				return oauth.ReasonResourceDenied
			}
			return ""
		},
		Expected:  func(s S) string { return expectedResource(of(s)) },
		Presented: func(s S) string { return shownResources(of(s)) },
	}
}

// inForce refuses what was revoked, what people granted whose way of signing in was
// taken away, and whoever is blocked.
func inForce[S judge.State](of func(S) *drawing) judge.Rule[S] {
	return judge.Rule[S]{
		ID: "RT-6", Source: "RFC 9700 4.14.2", What: "the grant is in force, and the workload is not blocked", Needs: factGrant | factTheirs,
		Judge: func(ctx context.Context, s S) oauth.Reason {
			switch d := of(s); {
			case d.grant.Revoked, !d.grants.offered(d.grant):
				return oauth.ReasonGrantRevoked
			case d.blocked():
				return oauth.ReasonClientBlocked
			default:
				return d.revoked(ctx)
			}
		},
		Expected: func(S) string { return "a grant in force, and a client that is not blocked" },
		Presented: func(s S) string {
			switch d := of(s); {
			case d.grant.Revoked:
				return "a revoked grant"
			case d.cutOff:
				return "a grant of a client or workload of which all was revoked since"
			case !d.grants.offered(d.grant):
				return "a grant of a person whose way of signing in is not offered any more"
			}
			return "a blocked client"
		},
	}
}

// A redeeming is a code while it is judged.
type redeeming struct {
	drawing
	asked Redeeming
}

func ofRedeeming(s *redeeming) *drawing { return &s.drawing }

// redeemRules are what is asked of a code, in order. All that makes a use valid comes
// before the rule that revokes on a second one (AZ-7).
var redeemRules = slices.Concat([]judge.Rule[*redeeming]{
	{
		ID: "AZ-6", Source: "RFC 6749 4.1.3", What: "there is a code",
		Judge: func(_ context.Context, s *redeeming) oauth.Reason {
			if s.asked.Code == "" {
				return oauth.ReasonRequestMalformed
			}
			return ""
		},
		Expected: func(*redeeming) string { return oauth.ParamCode },
		Presented: func(s *redeeming) string {
			if s.asked.Code == "" {
				return "none"
			}
			return "one"
		},
	},
	{
		ID: "AZ-5", Source: "RFC 7636 4.1", What: "code_verifier is 43 to 128 unreserved characters",
		Judge: func(_ context.Context, s *redeeming) oauth.Reason {
			if !goodVerifier(s.asked.Verifier) {
				return oauth.ReasonCodeVerifierBad
			}
			return ""
		},
		Expected: func(*redeeming) string { return "a code_verifier of 43 to 128 unreserved characters" },
		Presented: func(s *redeeming) string {
			n := len(s.asked.Verifier)
			switch {
			case n == 0:
				return "none"
			case n >= 43 && n <= 128 && !goodVerifier(s.asked.Verifier):
				return "other characters"
			}
			return strconv.Itoa(n) + " characters"
		},
	},
	{
		ID: "AZ-6", Source: "RFC 6749 4.1.2", What: "the code is one that was given out",
		Judge: func(ctx context.Context, s *redeeming) oauth.Reason {
			g, err := s.grants.config.Records.ByCode(ctx, digestOf(s.asked.Code), s.now)
			return s.found(g, err, oauth.ReasonCodeUnknown)
		},
		Expected:  func(*redeeming) string { return "a code that was given out" },
		Presented: presentedGrant(ofRedeeming),
	},
}, theirs(ofRedeeming), []judge.Rule[*redeeming]{
	{
		ID: "AZ-14", Source: "RFC 6749 4.1.3", What: "redirect_uri, if sent, is that of the authorization request", Needs: factGrant,
		Judge: func(_ context.Context, s *redeeming) oauth.Reason {
			if s.asked.RedirectURI != "" && s.asked.RedirectURI != s.grant.Code.RedirectURI {
				return oauth.ReasonRedirectURIMismatch
			}
			return ""
		},
		Expected:  func(s *redeeming) string { return shown(s.grant.Code.RedirectURI) },
		Presented: func(s *redeeming) string { return shown(s.asked.RedirectURI) },
	},
	{
		ID: "AZ-5", Source: "RFC 7636 4.6", What: "code_challenge was made of the code_verifier", Needs: factGrant,
		Judge: func(_ context.Context, s *redeeming) oauth.Reason {
			sum := sha256.Sum256([]byte(s.asked.Verifier))
			made := base64.RawURLEncoding.EncodeToString(sum[:])
			if subtle.ConstantTimeCompare([]byte(made), []byte(s.grant.Code.Challenge)) != 1 {
				return oauth.ReasonCodeVerifierBad
			}
			return ""
		},
		Expected:  func(*redeeming) string { return "the code_verifier of the code_challenge" },
		Presented: func(*redeeming) string { return "another" },
	},
	{
		ID: "AZ-7", Source: "RFC 9700 2.1.1; RFC 6749 4.1.2", What: "the code was not redeemed before", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *redeeming) oauth.Reason {
			if s.grant.Code.Redeemed {
				return oauth.ReasonCodeReused
			}
			return ""
		},
		Expected: func(*redeeming) string { return "a code that was not redeemed" },
		Presented: func(s *redeeming) string {
			if s.grant.Code.Redeemed {
				return "one that was"
			}
			return "one that was not"
		},
	},
	inForce(ofRedeeming),
	{
		ID: "AZ-6", Source: "RFC 6749 4.1.2", What: "the code is not too old", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *redeeming) oauth.Reason {
			if !s.now.Before(s.grant.Code.ExpiresAt) {
				return oauth.ReasonCodeExpired
			}
			return ""
		},
		Expected:  func(*redeeming) string { return "a code of at most " + CodeFor.String() },
		Presented: func(s *redeeming) string { return ago(s.now, s.grant.Code.ExpiresAt) },
	},
	withinResource(ofRedeeming),
})

// A refreshing is a refresh token while it is judged.
type refreshing struct {
	drawing
	asked Refreshing
	token refreshToken
}

func ofRefreshing(s *refreshing) *drawing { return &s.drawing }

// refreshRules are what is asked of a refresh token, in order.
var refreshRules = slices.Concat([]judge.Rule[*refreshing]{
	{
		ID: "RT-1", Source: "RFC 6749 6", What: "there is a refresh token",
		Judge: func(_ context.Context, s *refreshing) oauth.Reason {
			if s.asked.Token == "" {
				return oauth.ReasonRequestMalformed
			}
			return ""
		},
		Expected: func(*refreshing) string { return oauth.ParamRefreshToken },
		Presented: func(s *refreshing) string {
			if s.asked.Token == "" {
				return "none"
			}
			return "one"
		},
	},
	{
		ID: "RT-1", Source: "RFC 6749 6", What: "the refresh token is one that was given out",
		Judge: func(ctx context.Context, s *refreshing) oauth.Reason {
			var ok bool
			if s.token, ok = parseRefreshToken(s.asked.Token); !ok {
				return oauth.ReasonRefreshTokenUnknown
			}
			g, err := s.grants.config.Records.ByRefreshToken(ctx, s.token.family(), s.now)
			return s.found(g, err, oauth.ReasonRefreshTokenUnknown)
		},
		Expected:  func(*refreshing) string { return "a refresh token that was given out" },
		Presented: presentedGrant(ofRefreshing),
	},
}, theirs(ofRefreshing), []judge.Rule[*refreshing]{
	inForce(ofRefreshing),
	{
		ID: "RT-3", Source: "RFC 9700 4.14.2", What: "the refresh token is the latest, or was replaced a moment ago", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *refreshing) oauth.Reason {
			digest, state := s.token.digest(), s.grant.Refresh
			latest := subtle.ConstantTimeCompare(digest[:], state.Current[:]) == 1
			if !latest && !state.Forgives(digest, s.grants.grace(s.by), s.now) {
				return oauth.ReasonRefreshTokenReused
			}
			return ""
		},
		Expected: func(*refreshing) string { return "the latest refresh token of the grant" },
		Presented: func(s *refreshing) string {
			if s.token.digest() == s.grant.Refresh.Current {
				return "the latest"
			}
			return "one that was replaced"
		},
	},
	{
		ID: "RT-6", Source: "RFC 9700 4.14.2", What: "the refresh token is not too old, and was used within its time", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *refreshing) oauth.Reason {
			if !s.now.Before(s.ends()) {
				return oauth.ReasonRefreshTokenExpired
			}
			return ""
		},
		Expected:  func(*refreshing) string { return "a refresh token used within its time" },
		Presented: func(s *refreshing) string { return ago(s.now, s.ends()) },
	},
	{
		ID: "RT-2", Source: "RFC 6749 6", What: "the scope is no more than was granted", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *refreshing) oauth.Reason {
			if slices.ContainsFunc(s.asked.Scope, func(scope string) bool { return !slices.Contains(s.grant.Scope, scope) }) {
				return oauth.ReasonScopeDenied
			}
			return ""
		},
		Expected:  func(s *refreshing) string { return "no more than " + shown(strings.Join(s.grant.Scope, " ")) },
		Presented: func(s *refreshing) string { return shown(strings.Join(s.asked.Scope, " ")) },
	},
	withinResource(ofRefreshing),
})

// ends is when the refresh token ends unless it is used.
func (s *refreshing) ends() time.Time {
	if s.grant.Refresh.IdleAt.Before(s.grant.Refresh.ExpiresAt) {
		return s.grant.Refresh.IdleAt
	}
	return s.grant.Refresh.ExpiresAt
}

func presentedGrant[S judge.State](of func(S) *drawing) func(S) string {
	return func(s S) string {
		if of(s).Has(factGrant) {
			return "one that was"
		}
		return "another"
	}
}
