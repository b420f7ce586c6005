package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
)

// testMaxGrants: one person has so many grants for one client that are in use, and
// beside them so many that wait for their code to be redeemed; neither makes the other
// go.
func testMaxGrants(t *testing.T, r granting, clock *Clock) {
	now := clock.Now()
	create := func(id, client, user string) {
		t.Helper()
		now = now.Add(time.Microsecond) // they are told apart by their age
		g := granted(id, now)
		g.ClientID, g.Subject.User = client, user
		must(t, r.Create(t.Context(), g, authorization.Digest{}, now))
	}
	redeem := func(id string) {
		t.Helper()
		now = now.Add(time.Microsecond)
		must(t, r.Redeem(t.Context(), redemption(id, now)))
	}
	wants := func(what string, want bool, ids ...string) {
		t.Helper()
		for _, id := range ids {
			_, err := r.ByID(t.Context(), id, now)
			if err != nil {
				wantError(t, id, err, authorization.ErrNotFound)
			}
			if (err == nil) != want {
				t.Errorf("F42 %s: %q is there: %t", what, id, err == nil)
			}
		}
	}
	used := func(i int) string { return fmt.Sprint("used ", i) }
	flood := func(n int) {
		t.Helper()
		for range n {
			create(fmt.Sprint("flood ", now.UnixMicro()), "app", "many")
		}
	}
	others := []string{"of another client", "of another person"}
	create(others[0], "another app", "many")
	create(others[1], "app", "few")
	for _, id := range others {
		redeem(id)
	}
	for i := range authorization.MaxGrants {
		create(used(i), "app", "many")
		redeem(used(i))
	}
	wants("there was room", true, used(0), used(authorization.MaxGrants-1))

	// Codes that nobody redeems make each other go.
	create("waits", "app", "many")
	flood(authorization.MaxWaiting - 1)
	wants("there was room for one that waits", true, "waits")
	create("revoked", "app", "many")
	must(t, r.Revoke(t.Context(), "revoked", now))
	wants("the oldest that waits", false, "waits")
	create("waits in its place", "app", "many")
	wants("one that was revoked goes first", false, "revoked")
	flood(authorization.MaxWaiting - 1)
	wants("the latest that wait", true, "waits in its place")
	flood(1)
	wants("the oldest that waits", false, "waits in its place")
	for i := range authorization.MaxGrants {
		wants("nobody redeemed what came", true, used(i))
	}

	// Several sign-ins at once at the bound: each comes to its end, and what goes is what
	// was not used for longest.
	now = now.Add(time.Microsecond)
	_, err := r.Rotate(t.Context(), rotation(used(0), 0, 0, now))
	must(t, err)
	create("one", "app", "many")
	create("two", "app", "many")
	redeem("one")
	wants("one was redeemed", false, used(1))
	redeem("two")
	wants("another was redeemed", false, used(2))
	wants("they are in use", true, used(0), used(3), "one", "two")

	// What gives nothing any more goes first.
	last := used(authorization.MaxGrants - 1)
	must(t, r.Revoke(t.Context(), last, now))
	create("three", "app", "many")
	redeem("three")
	wants("one that was revoked", false, last)
	create("ends", "app", "many")
	w := redemption("ends", now)
	w.Refresh, w.ExpiresAt = authorization.RefreshState{}, now.Add(time.Second)
	must(t, r.Redeem(t.Context(), w))
	wants("one was redeemed", false, used(3))
	now = now.Add(2 * time.Second)
	create("four", "app", "many")
	redeem("four")
	wants("one ended by itself", true, used(0), used(4), "one", "two", "three", "four")
	wants("they have nothing to do with it", true, others...)
}
