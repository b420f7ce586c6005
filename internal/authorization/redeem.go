package authorization

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

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
	s := &drawing{grants: a, now: a.config.Now(), by: r.By, secret: r.Code, resources: r.Resources, redirectURI: r.RedirectURI, verifier: r.Verifier}
	if err := a.judge(ctx, s, redeemRules, oauth.ReasonCodeReused); err != nil {
		return refusedDraft(s), err
	}
	return Draft{s, s.grant.Scope, a.redeem}, nil
}

// redeem uses the code up. Of any number of requests that came this far with the
// same code, one gets past it.
func (a *Grants) redeem(ctx context.Context, s *drawing) (oauth.RefreshToken, error) {
	w := Redemption{GrantID: s.grant.ID, SPIFFEID: s.by.SPIFFEID, Key: s.by.Key, Now: s.now, ExpiresAt: s.now.Add(a.config.LongestToken)}
	var wire oauth.RefreshToken
	if a.config.Policy.Offers(s.by.ClientID, oauth.GrantRefreshToken) {
		token, end := newRefreshToken(), s.now.Add(a.config.Refresh.Lifetime)
		w.Refresh = RefreshState{Family: token.family(), Current: token.digest(), IdleAt: a.idleAt(s.now, end), ExpiresAt: end}
		w.ExpiresAt = end.Add(a.config.LongestToken)
		wire = token.wire()
	}
	if err := a.config.Records.Redeem(ctx, w); err != nil {
		return "", a.lost(err, s.Refusal(oauth.ReasonCodeReused, "AZ-7", "a code that was not redeemed", "one that was"))
	}
	s.undo = func(ctx context.Context) error { return a.config.Records.Unredeem(ctx, w, s.grant) }
	return wire, nil
}

// redeemRules are what is asked of a code, in order. All that makes a use valid comes
// before the rule that revokes on a second one (AZ-7).
var redeemRules = slices.Concat([]drawRule{
	uses(oauth.GrantAuthorizationCode),
	sent("AZ-6", "RFC 6749 4.1.3", "there is a code", oauth.ParamCode),
	{
		ID: "AZ-5", Source: "RFC 7636 4.1", What: "code_verifier is 43 to 128 unreserved characters",
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if !goodVerifier(s.verifier) {
				return oauth.ReasonCodeVerifierBad
			}
			return ""
		},
		Expected: func(*drawing) string { return "a code_verifier of 43 to 128 unreserved characters" },
		Presented: func(s *drawing) string {
			n := len(s.verifier)
			switch {
			case n == 0:
				return "none"
			case n >= 43 && n <= 128 && !goodVerifier(s.verifier):
				return "other characters"
			}
			return strconv.Itoa(n) + " characters"
		},
	},
	givenOut("AZ-6", "RFC 6749 4.1.2", "code", func(ctx context.Context, s *drawing) (Grant, error) {
		return s.grants.config.Records.ByCode(ctx, digestOf(s.secret), s.now)
	}, oauth.ReasonCodeUnknown),
}, theirs, []drawRule{
	{
		ID: "AZ-14", Source: "RFC 6749 4.1.3", What: "redirect_uri, if sent, is that of the authorization request", Needs: factGrant,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if s.redirectURI != "" && s.redirectURI != s.grant.Code.RedirectURI {
				return oauth.ReasonRedirectURIMismatch
			}
			return ""
		},
		Expected:  func(s *drawing) string { return shown(s.grant.Code.RedirectURI) },
		Presented: func(s *drawing) string { return shown(s.redirectURI) },
	},
	{
		ID: "AZ-5", Source: "RFC 7636 4.6", What: "code_challenge was made of the code_verifier", Needs: factGrant,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			sum := sha256.Sum256([]byte(s.verifier))
			made := base64.RawURLEncoding.EncodeToString(sum[:])
			if subtle.ConstantTimeCompare([]byte(made), []byte(s.grant.Code.Challenge)) != 1 {
				return oauth.ReasonCodeVerifierBad
			}
			return ""
		},
		Expected:  func(*drawing) string { return "the code_verifier of the code_challenge" },
		Presented: func(*drawing) string { return "another" },
	},
	{
		ID: "AZ-7", Source: "RFC 9700 2.1.1; RFC 6749 4.1.2", What: "the code was not redeemed before", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if s.grant.Code.Redeemed {
				return oauth.ReasonCodeReused
			}
			return ""
		},
		Expected: func(*drawing) string { return "a code that was not redeemed" },
		Presented: func(s *drawing) string {
			if s.grant.Code.Redeemed {
				return "one that was"
			}
			return "one that was not"
		},
	},
	inForce,
	{
		ID: "AZ-6", Source: "RFC 6749 4.1.2", What: "the code is not too old", Needs: factGrant | factTheirs,
		Judge: func(_ context.Context, s *drawing) oauth.Reason {
			if !s.now.Before(s.grant.Code.ExpiresAt) {
				return oauth.ReasonCodeExpired
			}
			return ""
		},
		Expected:  func(*drawing) string { return "a code of at most " + CodeFor.String() },
		Presented: func(s *drawing) string { return ago(s.now, s.grant.Code.ExpiresAt) },
	},
	withinResource,
})

// goodVerifier is RFC 7636 section 4.1: 43 to 128 unreserved characters.
func goodVerifier(v string) bool {
	return len(v) >= 43 && len(v) <= 128 && !strings.ContainsFunc(v, func(r rune) bool { return !base64URL(r) && r != '.' && r != '~' })
}
