package clientauth

import (
	"context"
	"errors"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/oauth"
)

// use is a proven JWT-SVID on its way to be used.
type use struct {
	judge.Judgement
	once bool // its trust domain's JWT-SVIDs count once
	// unused tells of the digest of the assertion whether it was not used before;
	// verifying marks it as used, explaining does not.
	unused func(digest [32]byte, until time.Time) (bool, error)
	digest [32]byte  // of the assertion
	until  time.Time // when it expires
	owner  string    // the workload
	share  bool      // the workload has used as many as one may have remembered
	full   bool      // there was no room to remember it
	spent  bool      // it was used before
}

// The facts that the rules on use build on.
const (
	factProven judge.Fact = 1 << iota // the assertion, or WIT-SVID and proof, proves an identity
	factMemory                        // what was used before is known
)

var useRules = []judge.Rule[*use]{{
	ID: "CJ-13", Source: "RFC 7523 3 item 7", What: "it was not used before, where the trust domain counts each once", Needs: factProven | factMemory,
	Judge: func(_ context.Context, u *use) oauth.Reason {
		if !u.once {
			return ""
		}
		// Remembered for as long as the leeway would still let it pass.
		unused, err := u.unused(u.digest, u.until.Add(maxLeeway))
		switch {
		case errors.Is(err, replay.ErrShare):
			u.share, u.Cause = true, err
			return oauth.ReasonRateLimited
		case err != nil:
			u.full, u.Cause = true, err
			return oauth.ReasonInternal
		}
		if u.spent = !unused; u.spent {
			return oauth.ReasonAssertionReplayed
		}
		return ""
	},
	Expected: func(u *use) string {
		switch {
		case u.share:
			return shareExpected
		case u.full:
			return "room to remember the assertion"
		case !u.once && u.Has(factMemory):
			return "any assertion: single_use is off"
		}
		return "an assertion not used before"
	},
	Presented: func(u *use) string {
		switch {
		case u.share:
			return "another of " + oauth.Shown(u.owner)
		case u.full:
			return "none"
		case !u.once:
			return "not looked up"
		case u.spent:
			return "one that was"
		}
		return "one that was not"
	},
}}

// maxLeeway is the largest leeway that can be configured (JS-10).
const maxLeeway = 300 * time.Second

// Refusal gives a reason its code.
func (u *use) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	code := oauth.InvalidClient
	switch reason {
	case oauth.ReasonInternal:
		code = oauth.Unavailable
	case oauth.ReasonRateLimited:
		code = oauth.TooMany
	}
	e := oauth.Refuse(code, reason, rule, expected, presented)
	if reason == oauth.ReasonRateLimited {
		e.RetryAfter = shareWait
	}
	return e
}

// What a workload is told that has used up its share of what is remembered: what it
// used ends one by one, so there is room again before long.
const (
	shareExpected = "no more of one workload at once than are remembered for it"
	shareWait     = 10 * time.Second
)

// ownerOf is whose share of a memory a credential takes: the workload's, which can
// have any number of keys.
func ownerOf(identity svidgate.Identity) string { return identity.SPIFFEID().String() }

// useOnce is CJ-13.
func (a *Authenticator) useOnce(ctx context.Context, identity svidgate.Identity) error {
	if identity.Method() != oauth.MethodJWT || !a.SingleUse[identity.SPIFFEID().TrustDomain()] {
		return nil
	}
	u := &use{once: true, owner: ownerOf(identity), digest: identity.UseDigest(), until: identity.ExpiresAt()}
	u.unused = func(digest [32]byte, until time.Time) (bool, error) { return a.Used.Use(u.owner, digest, until) }
	u.Facts = factProven | factMemory
	if e := judge.FirstRefusal(ctx, useRules, u); e != nil {
		return e
	}
	return nil
}
