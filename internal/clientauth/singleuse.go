package clientauth

import (
	"context"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
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
		if err != nil {
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
		case u.full:
			return "room to remember the assertion"
		case !u.once && u.Has(factMemory):
			return "any assertion: single_use is off"
		}
		return "an assertion not used before"
	},
	Presented: func(u *use) string {
		switch {
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
	if reason == oauth.ReasonInternal {
		code = oauth.Unavailable
	}
	return oauth.Refuse(code, reason, rule, expected, presented)
}

// useOnce is CJ-13.
func (a *Authenticator) useOnce(ctx context.Context, identity svidgate.Identity) error {
	if identity.Method() != oauth.MethodJWT || !a.SingleUse[identity.SPIFFEID().TrustDomain()] {
		return nil
	}
	u := &use{once: true, unused: a.Used.Use, digest: identity.UseDigest(), until: identity.ExpiresAt()}
	u.Facts = factProven | factMemory
	if e := judge.FirstRefusal(ctx, useRules, u); e != nil {
		return e
	}
	return nil
}
