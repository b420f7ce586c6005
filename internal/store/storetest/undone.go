package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
)

// What was written for an answer that never left is as if it had not been.
func testUndone(t *testing.T, r granting, clock *Clock) {
	const grace = 10 * time.Second
	now := clock.Now()
	later := now.Add(time.Second)
	read := func(id string) authorization.Grant {
		t.Helper()
		g, err := r.ByID(t.Context(), id, now)
		must(t, err)
		return g
	}
	begin := func(id string) {
		t.Helper()
		must(t, r.Create(t.Context(), granted(id, now), authorization.Digest{}, now))
	}
	for _, refresh := range []bool{true, false} {
		id := fmt.Sprint("redeemed with ", refresh)
		w := redemption(id, now)
		if !refresh {
			w.Refresh = authorization.RefreshState{}
		}
		begin(id)
		before := read(id)
		must(t, r.Redeem(t.Context(), w))
		other := w
		other.Now, other.Refresh.Current = later, digestOf("another's")
		must(t, r.Unredeem(t.Context(), other, before))
		if !read(id).Code.Redeemed {
			t.Error("AZ-7 what another request redeemed was undone")
		}
		must(t, r.Unredeem(t.Context(), w, before))
		if got := read(id); !sameGrant(got, before) {
			t.Errorf("AZ-7 undone, it is not what it was: redeemed %t, revoked %t", got.Code.Redeemed, got.Revoked)
		}
		must(t, r.Redeem(t.Context(), w))
		wantError(t, "AZ-7 again", r.Redeem(t.Context(), w), authorization.ErrUsed)
		must(t, r.Unredeem(t.Context(), w, before))
		if got := read(id); !got.Revoked || !got.Code.Redeemed {
			t.Error("AZ-7 a revoked grant was undone")
		}
	}

	begin("rotated")
	must(t, r.Redeem(t.Context(), redemption("rotated", now)))
	_, err := r.Rotate(t.Context(), rotation("rotated", 0, grace, now))
	must(t, err)
	before, w := read("rotated"), rotation("rotated", 1, grace, later)
	for range 2 { // the client comes again, and is not taken for a thief
		_, err = r.Rotate(t.Context(), w)
		must(t, err)
		must(t, r.Unrotate(t.Context(), w, before.Refresh))
		if got := read("rotated"); !sameGrant(got, before) {
			t.Errorf("RT-3 undone, it is not what it was: %+v, want %+v", got.Refresh, before.Refresh)
		}
	}
	_, err = r.Rotate(t.Context(), w)
	must(t, err)
	_, err = r.Rotate(t.Context(), rotation("rotated", 2, grace, later))
	must(t, err)
	must(t, r.Unrotate(t.Context(), w, before.Refresh))
	if got := read("rotated"); got.Refresh.Current != digestOf("refresh ", 3, " of ", "rotated") {
		t.Error("RT-3 a token that was used since was undone")
	}

	// RT-4: the successor was given to somebody else meanwhile.
	begin("given twice")
	must(t, r.Redeem(t.Context(), redemption("given twice", now)))
	before, w = read("given twice"), rotation("given twice", 0, grace, now)
	for range 2 {
		_, err = r.Rotate(t.Context(), w)
		must(t, err)
	}
	must(t, r.Unrotate(t.Context(), w, before.Refresh))
	if got := read("given twice"); got.Refresh.Current != w.To || got.Revoked {
		t.Error("RT-4 a successor that somebody was given was undone")
	}
	// Nothing comes back to life.
	must(t, r.Revoke(t.Context(), "given twice", now))
	must(t, r.Unrotate(t.Context(), w, before.Refresh))
	if !read("given twice").Revoked {
		t.Error("RT-3 a revoked grant was undone")
	}
}
