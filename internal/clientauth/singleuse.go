package clientauth

import (
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

var assertion = thing{one: "an assertion", it: "the assertion"}

var useRules = []judge.Rule[*use]{{
	ID: "CJ-13", Source: "RFC 7523 3 item 7", What: "it was not used before, where the trust domain counts each once", Needs: factProven | factMemory,
	Judge: func(ctx context.Context, u *use) oauth.Reason {
		if !u.once {
			return ""
		}
		return u.use(ctx, oauth.ReasonAssertionReplayed)
	},
	Expected: func(u *use) string {
		if !u.once && u.Has(factMemory) {
			return "any assertion: single_use is off"
		}
		return u.expected()
	},
	Presented: func(u *use) string {
		if !u.once {
			return "not looked up"
		}
		return u.presented()
	},
}}

// maxLeeway is the largest leeway that can be configured (JS-10): an assertion is
// remembered for as long as it would still let it pass.
const maxLeeway = 300 * time.Second

// ownerOf is whose share of a memory a credential takes: the workload's, which can
// have any number of keys.
func ownerOf(identity svidgate.Identity) string { return identity.SPIFFEID().String() }

// useOnce is CJ-13.
func (a *Authenticator) useOnce(ctx context.Context, identity svidgate.Identity) error {
	if identity.Method() != oauth.MethodJWT || !a.SingleUse[identity.SPIFFEID().TrustDomain()] {
		return nil
	}
	u := &use{thing: assertion, once: true, owner: ownerOf(identity), mark: identity.UseDigest(), until: identity.ExpiresAt().Add(maxLeeway)}
	u.unused = func(_ context.Context, mark [32]byte, until time.Time) (bool, error) {
		return a.Used.Use(u.owner, mark, until)
	}
	u.Facts = factProven | factMemory
	if e := judge.FirstRefusal(ctx, useRules, u); e != nil {
		return e
	}
	return nil
}

// explainUse judges whether an assertion could be used now. It is not judged where
// nothing is proven, or it matters and nobody knows what was used.
func (a *Authenticator) explainUse(ctx context.Context, text string, id spiffeid.ID, proven bool) oauth.Explanation {
	u := &use{thing: assertion, once: a.SingleUse[id.TrustDomain()], mark: svidgate.UseDigest(text)}
	u.know(factProven, proven)
	u.know(factMemory, a.Used != nil || !u.once && a.Clients != nil)
	u.unused = func(_ context.Context, mark [32]byte, _ time.Time) (bool, error) { return !a.Used.Used(mark), nil }
	return judge.Explain(ctx, useRules, u)
}
