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

// proofUse is the proof of a proven identity on its way to be used.
type proofUse struct {
	judge.Judgement
	svidgate.ProofUse
	// since is the moment from which the memory is whole: what was made before it,
	// by its own word, may have been used.
	since time.Time
	// unused is [Proofs.UseProof]; explaining looks and marks nothing.
	unused func(context.Context, svidgate.ProofUse) (bool, error)
	owner  string // the workload
	share  bool   // the workload has used as many as one may have remembered
	broken bool   // nobody knows
	spent  bool   // it was used before
}

// proofUseRules come after all that could refuse the request's client, so that a
// refused request uses nothing up, and last of them comes the one that marks.
var proofUseRules = []judge.Rule[*proofUse]{
	{
		ID: "EC-10", Source: "RFC 9449 11.1; draft-ietf-oauth-attestation-based-client-auth", What: "the proof was made since it is remembered which were used", Needs: factProven,
		Judge: func(_ context.Context, u *proofUse) oauth.Reason {
			if u.Made.Before(u.since) {
				return oauth.ReasonPoPMemoryLost
			}
			return ""
		},
		Expected: func(u *proofUse) string {
			if u.since.IsZero() {
				return "any proof: all that were used are remembered"
			}
			return "a proof made at " + u.since.UTC().Format(time.RFC3339) + " or later"
		},
		Presented: func(u *proofUse) string { return "iat " + u.Made.UTC().Format(time.RFC3339) },
	},
	{
		ID: "PP-8", Source: "draft-ietf-oauth-attestation-based-client-auth, on replay", What: "the proof was not used before", Needs: factProven | factMemory,
		Judge: func(ctx context.Context, u *proofUse) oauth.Reason {
			unused, err := u.unused(ctx, u.ProofUse)
			switch {
			case errors.Is(err, replay.ErrShare):
				u.share, u.Cause = true, err
				return oauth.ReasonRateLimited
			case err != nil:
				u.broken, u.Cause = true, err
				return oauth.ReasonInternal
			}
			if u.spent = !unused; u.spent {
				return oauth.ReasonPoPReplayed
			}
			return ""
		},
		Expected: func(u *proofUse) string {
			switch {
			case u.share:
				return shareExpected
			case u.broken:
				return "room to remember the proof"
			}
			return "a proof not used before"
		},
		Presented: func(u *proofUse) string {
			switch {
			case u.share:
				return "another of " + oauth.Shown(u.owner)
			case u.broken:
				return "none"
			case u.spent:
				return "one that was"
			}
			return "one that was not"
		},
	},
}

// Refusal gives a reason its code.
func (u *proofUse) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	code := oauth.InvalidClient
	switch reason {
	case oauth.ReasonInternal, oauth.ReasonPoPMemoryLost:
		code = oauth.Unavailable
	case oauth.ReasonRateLimited:
		code = oauth.TooMany
	}
	e := oauth.Refuse(code, reason, rule, expected, presented)
	switch reason {
	case oauth.ReasonPoPMemoryLost:
		e.RetryAfter = u.since.Sub(u.Made)
	case oauth.ReasonRateLimited:
		e.RetryAfter = shareWait
	}
	return e
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
	u := &proofUse{ProofUse: of, since: a.ProofsSince, owner: ownerOf(identity)}
	u.unused = func(ctx context.Context, of svidgate.ProofUse) (bool, error) {
		return a.Proofs.UseProof(ctx, u.owner, of.Mark, of.Until)
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
	u := &proofUse{ProofUse: of, since: a.ProofsSince}
	if of != (svidgate.ProofUse{}) {
		u.Facts |= factProven
	} else {
		u.Unknown |= factProven
	}
	if memory, ok := a.Proofs.(proofLookup); ok {
		u.Facts |= factMemory
		u.unused = func(_ context.Context, of svidgate.ProofUse) (bool, error) { return !memory.Used(of.Mark), nil }
	} else {
		u.Unknown |= factMemory
	}
	return judge.Explain(ctx, proofUseRules, u)
}
