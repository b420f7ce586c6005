package clientauth

import (
	"context"
	"errors"
	"time"

	"github.com/svidgate/svidgate/internal/judge"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/oauth"
)

// A use is something that counts once, a JWT-SVID or the proof beside a WIT-SVID,
// on its way to be used by whom it proves.
type use struct {
	judge.Judgement
	thing thing
	mark  [32]byte
	until time.Time // when its time alone refuses it
	owner string    // the workload
	// unused tells whether it was not used before. Verifying marks it as used,
	// explaining only looks.
	unused func(ctx context.Context, mark [32]byte, until time.Time) (bool, error)

	once bool // JWT-SVIDs of this trust domain count once

	made time.Time // of a proof
	// since is the moment from which the memory is whole: what was made before it, by
	// its own word, may have been used.
	since time.Time

	share  bool // the workload has used as many as one may have remembered
	broken bool // there was no room to remember it, or nobody knows
	spent  bool // it was used before
}

// A thing is what counts once, in words.
type thing struct{ one, it string }

// The facts that the rules on use build on.
const (
	factProven judge.Fact = 1 << iota // the assertion, or WIT-SVID and proof, proves an identity
	factMemory                        // what was used before is known
)

// know is for explaining, which may lack a fact.
func (u *use) know(fact judge.Fact, known bool) {
	if known {
		u.Facts |= fact
	} else {
		u.Unknown |= fact
	}
}

// use uses it; replayed is the reason where it was used before.
func (u *use) use(ctx context.Context, replayed oauth.Reason) oauth.Reason {
	unused, err := u.unused(ctx, u.mark, u.until)
	switch {
	case errors.Is(err, replay.ErrShare):
		u.share, u.Cause = true, err
		return oauth.ReasonRateLimited
	case err != nil:
		u.broken, u.Cause = true, err
		return oauth.ReasonInternal
	}
	if u.spent = !unused; u.spent {
		return replayed
	}
	return ""
}

func (u *use) expected() string {
	switch {
	case u.share:
		return "no more of one workload at once than are remembered for it"
	case u.broken:
		return "room to remember " + u.thing.it
	}
	return u.thing.one + " not used before"
}

func (u *use) presented() string {
	switch {
	case u.share:
		return "another of " + oauth.Shown(u.owner)
	case u.broken:
		return "none"
	case u.spent:
		return "one that was"
	}
	return "one that was not"
}

// shareWait is what a workload is told to wait that has used up its share of what is
// remembered: what it used ends one by one, so there is room again before long.
const shareWait = 10 * time.Second

// Refusal gives a reason its code.
func (u *use) Refusal(reason oauth.Reason, rule, expected, presented string) *oauth.Error {
	e := oauth.Refuse(oauth.InvalidClient, reason, rule, expected, presented)
	switch reason {
	case oauth.ReasonInternal:
		e.Code = oauth.Unavailable
	case oauth.ReasonPoPMemoryLost:
		e.Code, e.RetryAfter = oauth.Unavailable, u.since.Sub(u.made)
	case oauth.ReasonRateLimited:
		e.Code, e.RetryAfter = oauth.TooMany, shareWait
	}
	return e
}
