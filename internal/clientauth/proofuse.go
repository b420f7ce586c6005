package clientauth

import (
	"context"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/oauth"
)

// Proofs remember which proofs of WIT-SVIDs were used. Nodes that share an issuer
// share them.
type Proofs interface {
	// UseProof marks a proof as used until a time and reports whether it was
	// unused; one whose time is over counts as used. Of any number of calls with one
	// mark, at however many nodes, exactly one gets true. The owner is whose proof it
	// is: [replay.ErrShare] means that it has as many as one may have. Any other error
	// means that nobody knows.
	UseProof(ctx context.Context, owner string, mark [32]byte, until time.Time) (unused bool, err error)
}

// A proofLookup also tells without marking, which explaining needs.
type proofLookup interface{ Used(mark [32]byte) bool }

var proof = thing{one: "a proof", it: "the proof"}

// proofUseRules come after all that could refuse the request's client, so that a
// refused request uses nothing up, and last of them comes the one that marks.
var proofUseRules = []judge.Rule[*use]{
	{
		ID: "EC-10", Source: "RFC 9449 11.1; draft-ietf-oauth-attestation-based-client-auth", What: "the proof was made since it is remembered which were used", Needs: factProven,
		Judge: func(_ context.Context, u *use) oauth.Reason {
			if u.made.Before(u.since) {
				return oauth.ReasonPoPMemoryLost
			}
			return ""
		},
		Expected: func(u *use) string {
			if u.since.IsZero() {
				return "any proof: all that were used are remembered"
			}
			return "a proof made at " + u.since.UTC().Format(time.RFC3339) + " or later"
		},
		Presented: func(u *use) string { return "iat " + u.made.UTC().Format(time.RFC3339) },
	},
	{
		ID: "PP-8", Source: "draft-ietf-oauth-attestation-based-client-auth, on replay", What: "the proof was not used before", Needs: factProven | factMemory,
		Judge:     func(ctx context.Context, u *use) oauth.Reason { return u.use(ctx, oauth.ReasonPoPReplayed) },
		Expected:  (*use).expected,
		Presented: (*use).presented,
	},
}

// useProof is PP-8.
func (a *Authenticator) useProof(ctx context.Context, identity svidgate.Identity) error {
	of, ok := identity.ProofUse()
	if !ok {
		return nil
	}
	if a.Proofs == nil { // a proof that nobody counts proves nothing
		return oauth.Refuse(oauth.ServerError, oauth.ReasonInternal, "PP-8", "a memory of proofs", "none")
	}
	u := a.proofUse(of)
	u.owner = ownerOf(identity)
	u.unused = func(ctx context.Context, mark [32]byte, until time.Time) (bool, error) {
		return a.Proofs.UseProof(ctx, u.owner, mark, until)
	}
	u.Facts = factProven | factMemory
	if e := judge.FirstRefusal(ctx, proofUseRules, u); e != nil {
		return e
	}
	return nil
}

// explainProofUse judges whether a proof could be used now. It is not judged where
// nothing is proven, or nobody knows what was used.
func (a *Authenticator) explainProofUse(ctx context.Context, of svidgate.ProofUse) oauth.Explanation {
	u := a.proofUse(of)
	u.know(factProven, of != svidgate.ProofUse{})
	memory, ok := a.Proofs.(proofLookup)
	u.know(factMemory, ok)
	u.unused = func(_ context.Context, mark [32]byte, _ time.Time) (bool, error) { return !memory.Used(mark), nil }
	return judge.Explain(ctx, proofUseRules, u)
}

func (a *Authenticator) proofUse(of svidgate.ProofUse) *use {
	return &use{thing: proof, mark: of.Mark, made: of.Made, until: of.Until, since: a.ProofsSince}
}
