package authorization

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
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

// A drawing is a code or a refresh token while it is judged.
type drawing struct {
	judge.Judgement
	grants    *Grants
	now       time.Time
	by        Presenter
	secret    string // the code or the refresh token, as it came
	resources []string

	redirectURI, verifier string // that came with a code

	scope []string     // that came with a refresh token
	token refreshToken // that it is

	grant  Grant
	broken *oauth.Error                // the store's refusal, which has its own words
	cutOff bool                        // with all else of its client or workload
	undo   func(context.Context) error // takes back what was written; nil for nothing
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
	case oauth.ReasonGrantDenied:
		code = oauth.UnauthorizedClient
	case oauth.ReasonScopeDenied:
		code = oauth.InvalidScope
	case oauth.ReasonResourceDenied:
		code = oauth.InvalidTarget
	case oauth.ReasonInternal:
		code = oauth.ServerError
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}

// A drawRule is a demand on a code, a refresh token or both.
type drawRule = judge.Rule[*drawing]

// uses is the first rule of both lists: what a client brings that may not use the grant
// is not looked at.
func uses(grantType oauth.GrantType) drawRule {
	return drawRule{
		ID: "TK-5", Source: "RFC 6749 5.2", What: "the client may use the grant",
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if !s.grants.config.Policy.Offers(s.by.ClientID, grantType) {
				return oauth.ReasonGrantDenied
			}
			return ""
		},
		Expected:  func(*drawing) string { return "a client with the grant type " + string(grantType) },
		Presented: func(s *drawing) string { return "client " + shown(s.by.ClientID) },
	}
}

// sent is the next rule of both lists: there is something to judge.
func sent(id, source, what, parameter string) drawRule {
	return drawRule{
		ID: id, Source: source, What: what,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if s.secret == "" {
				return oauth.ReasonRequestMalformed
			}
			return ""
		},
		Expected: func(*drawing) string { return parameter },
		Presented: func(s *drawing) string {
			if s.secret == "" {
				return "none"
			}
			return "one"
		},
	}
}

// givenOut finds the grant of what was sent. find answers as [Records] do.
func givenOut(id, source, what string, find func(context.Context, *drawing) (Grant, error), unknown oauth.Reason) drawRule {
	return drawRule{
		ID: id, Source: source, What: "the " + what + " is one that was given out",
		Judge: func(ctx context.Context, s *drawing) (reason oauth.Reason) {
			var err error
			switch s.grant, err = find(ctx, s); {
			case errors.Is(err, ErrNotFound):
				return unknown
			case err != nil:
				s.broken, s.Cause = store.Refuse(err), err
				return s.broken.Reason
			}
			s.Facts |= factGrant
			return ""
		},
		Expected: func(*drawing) string { return "a " + what + " that was given out" },
		Presented: func(s *drawing) string {
			if s.Has(factGrant) {
				return "one that was"
			}
			return "another"
		},
	}
}

// theirs are the rules that both lists have next, in order: whose it is.
var theirs = []drawRule{
	{
		ID: "AZ-6", Source: "RFC 6749 5.2", What: "it was given to the client", Needs: factGrant,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if s.grant.ClientID != s.by.ClientID {
				return oauth.ReasonGrantNotYours
			}
			return ""
		},
		Expected:  func(s *drawing) string { return "client " + shown(s.grant.ClientID) },
		Presented: func(s *drawing) string { return "client " + shown(s.by.ClientID) },
	},
	{
		// CW-9, CX-10: once a workload is known, it is that one, and once the code was
		// redeemed it is known that there is none. So a grant of a client that became
		// public since, or no longer is, is nobody's.
		ID: "CX-10", Source: "RFC 8705 7.1", What: "the workload is the one that it is bound to", Needs: factGrant,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if known := s.grant.SPIFFEID != "" || s.grant.Code.Redeemed; known && s.grant.SPIFFEID != s.by.SPIFFEID {
				return oauth.ReasonGrantNotYours
			}
			return ""
		},
		Expected: func(s *drawing) string {
			switch {
			case s.grant.SPIFFEID == "" && s.grant.Code.Redeemed:
				return "no workload: the client was public"
			case s.grant.SPIFFEID == "":
				return "any workload of the client"
			}
			return oauth.Shown(s.grant.SPIFFEID)
		},
		Presented: func(s *drawing) string { return shown(s.by.SPIFFEID) },
	},
	{
		// A key that was proven once is to be proven again.
		ID: "CW-8", Source: "ABCA, refresh token binding", What: "the key is the one that it is bound to", Needs: factGrant,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if s.grant.Key != "" && subtle.ConstantTimeCompare([]byte(s.grant.Key), []byte(s.by.Key)) != 1 {
				return oauth.ReasonGrantNotYours
			}
			s.Facts |= factTheirs
			return ""
		},
		Expected: func(s *drawing) string {
			if s.grant.Key == "" {
				return "any key, or none"
			}
			return "a proof of the key that it is bound to"
		},
		Presented: func(s *drawing) string {
			switch s.by.Key {
			case "":
				return "none"
			case s.grant.Key:
				return "a proof of that key"
			}
			return "a proof of another key"
		},
	},
}

// inForce refuses what was revoked, what people granted whose way of signing in was
// taken away, and whoever is blocked.
var inForce = drawRule{
	ID: "RT-6", Source: "RFC 9700 4.14.2", What: "the grant is in force, and the workload is not blocked", Needs: factGrant | factTheirs,
	Judge: func(ctx context.Context, s *drawing) oauth.Reason {
		switch {
		case s.grant.Revoked, !s.grants.offered(s.grant):
			return oauth.ReasonGrantRevoked
		case s.blocked():
			return oauth.ReasonClientBlocked
		}
		return s.revoked(ctx)
	},
	Expected: func(*drawing) string { return "a grant in force, and a client that is not blocked" },
	Presented: func(s *drawing) string {
		switch {
		case s.grant.Revoked:
			return "a revoked grant"
		case s.cutOff:
			return "a grant of a client or workload of which all was revoked since"
		case !s.grants.offered(s.grant):
			return "a grant of a person whose way of signing in is not offered any more"
		}
		return "a blocked client"
	},
}

// withinResource is RI-2: what is asked for is what was granted.
var withinResource = drawRule{
	ID: "RI-2", Source: "RFC 8707 2.2", What: "the resource is the one that was granted", Needs: factGrant | factTheirs,
	Judge: func(_ context.Context, s *drawing) oauth.Reason {
		if slices.ContainsFunc(s.resources, func(r string) bool { return r != s.grant.Resource }) {
			return oauth.ReasonResourceDenied
		}
		return ""
	},
	Expected:  func(s *drawing) string { return shown(s.grant.Resource) },
	Presented: func(s *drawing) string { return shown(strings.Join(s.resources, " ")) },
}

// workload is that of the presenter; the zero ID for a public client.
func (s *drawing) workload() spiffeid.ID {
	id, _ := spiffeid.FromString(s.by.SPIFFEID)
	return id
}

func (s *drawing) blocked() bool {
	blocked := s.grants.config.Blocked
	return blocked != nil && blocked(s.by.ClientID, s.workload())
}

// revoked refuses what an operator revoked with all else of the client or workload
// (RV-4).
func (s *drawing) revoked(ctx context.Context) oauth.Reason {
	if s.grants.config.Revoked == nil {
		return ""
	}
	var err error
	if s.cutOff, err = s.grants.config.Revoked(ctx, s.by.ClientID, s.workload(), s.grant.IssuedAt); err != nil {
		s.broken = store.Refuse(errors.Join(store.ErrUnavailable, err))
		return s.broken.Reason
	}
	if s.cutOff {
		return oauth.ReasonGrantRevoked
	}
	return ""
}

// ago is how long a time has passed.
func ago(now, then time.Time) string {
	return "one that expired " + max(0, now.Sub(then)).Truncate(time.Second).String() + " ago"
}
