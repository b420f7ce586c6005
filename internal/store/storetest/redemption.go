package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
)

// unless is no error where it is one of those expected.
func unless(err error, expected ...error) (won bool, other error) {
	if err != nil && slices.ContainsFunc(expected, func(e error) bool { return errors.Is(err, e) }) {
		return false, nil
	}
	return err == nil, err
}

func testRedemption(t *testing.T, r granting, clock *Clock) {
	now := clock.Now()
	must(t, r.Create(t.Context(), granted("raced", now), authorization.Digest{}, now))
	won := AtOnce(t, func(i int) (bool, error) {
		w := redemption("raced", now)
		w.Refresh.Family = digestOf("family ", i)
		return unless(r.Redeem(t.Context(), w), authorization.ErrUsed)
	})
	if won != 1 {
		t.Errorf("AZ-7 %d redeemed one code", won)
	}
	if g, err := r.ByID(t.Context(), "raced", now); err != nil || !g.Revoked {
		t.Errorf("AZ-7 a code was redeemed twice, and the grant is in force: %v", err)
	}

	must(t, r.Create(t.Context(), granted("once", now), authorization.Digest{}, now))
	must(t, r.Redeem(t.Context(), redemption("once", now)))
	if g, err := r.ByID(t.Context(), "once", now); err != nil || g.Revoked {
		t.Errorf("AZ-7 a code was redeemed once, and the grant is revoked: %v", err)
	}
	must(t, r.Create(t.Context(), granted("revoked before", now), authorization.Digest{}, now))
	must(t, r.Revoke(t.Context(), "revoked before", now))
	must(t, r.Revoke(t.Context(), "nobody's", now))
	wantError(t, "AZ-7 revoked", r.Redeem(t.Context(), redemption("revoked before", now)), authorization.ErrRevoked)
	wantError(t, "AZ-6 none", r.Redeem(t.Context(), redemption("none", now)), authorization.ErrNotFound)
	must(t, r.Create(t.Context(), granted("old", now), authorization.Digest{}, now))
	wantError(t, "AZ-6 expired", r.Redeem(t.Context(), redemption("old", now.Add(30*time.Second))), authorization.ErrNotFound)
}
