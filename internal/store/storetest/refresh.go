package storetest

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
)

func testRotation(t *testing.T, r granting, clock *Clock) {
	now := clock.Now()
	begin := func(id string) {
		must(t, r.Create(t.Context(), granted(id, now), authorization.Digest{}, now))
		must(t, r.Redeem(t.Context(), redemption(id, now)))
	}
	begin("chain")
	for n := range 5 {
		now := now.Add(time.Duration(n) * 30 * time.Minute)
		salt, err := r.Rotate(t.Context(), rotation("chain", n, 0, now))
		g, found := r.ByID(t.Context(), "chain", now)
		want := authorization.RefreshState{
			Family: digestOf("family of chain"), Current: digestOf("refresh ", n+1, " of chain"), Previous: digestOf("refresh ", n, " of chain"),
			RotatedAt: now, IdleAt: now.Add(time.Hour), ExpiresAt: clock.Now().Add(30 * time.Hour),
		}
		if err != nil || found != nil || salt != digestOf("salt ", n) || g.Refresh != want || g.ExpiresAt != clock.Now().Add(31*time.Hour) {
			t.Errorf("RT-3 replaced %d times: %v, %v, %+v", n+1, err, found, g.Refresh)
		}
	}
	// A token from long ago.
	_, err := r.Rotate(t.Context(), rotation("chain", 1, 0, now))
	wantError(t, "RT-3 replaced before", err, authorization.ErrUsed)
	_, err = r.Rotate(t.Context(), rotation("chain", 5, 0, now))
	wantError(t, "RT-3 the latest, after that", err, authorization.ErrRevoked)
	_, err = r.Rotate(t.Context(), rotation("none", 0, 0, now))
	wantError(t, "RT-1 none", err, authorization.ErrNotFound)

	begin("raced rotation")
	won := AtOnce(t, func(int) (bool, error) {
		_, err := r.Rotate(t.Context(), rotation("raced rotation", 0, 0, now))
		return unless(err, authorization.ErrUsed, authorization.ErrRevoked)
	})
	if g, err := r.ByID(t.Context(), "raced rotation", now); won != 1 || err != nil || !g.Revoked {
		t.Errorf("RT-3 %d replaced one token; revoked %t, %v", won, g.Revoked, err)
	}

	begin("not replaced") // RT-5
	w := rotation("not replaced", 0, 0, now.Add(time.Minute))
	w.To = w.From
	for range 2 {
		if _, err := r.Rotate(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
	if g, err := r.ByID(t.Context(), "not replaced", now); err != nil || g.Refresh.Current != w.From || g.Refresh.IdleAt != w.IdleAt {
		t.Errorf("RT-5 used twice: %+v, %v", g.Refresh, err)
	}
}

func testGrace(t *testing.T, r granting, clock *Clock) {
	const grace = 10 * time.Second
	now := clock.Now()
	begin := func(id string) {
		must(t, r.Create(t.Context(), granted(id, now), authorization.Digest{}, now))
		must(t, r.Redeem(t.Context(), redemption(id, now)))
	}
	again := func(id string, at time.Time) ([sha256.Size]byte, error) {
		w := rotation(id, 0, grace, at)
		w.Salt = digestOf("another salt")
		return r.Rotate(t.Context(), w)
	}
	begin("grace")
	first, err := r.Rotate(t.Context(), rotation("grace", 0, grace, now))
	must(t, err)
	if salt, err := again("grace", now.Add(grace)); err != nil || salt != first {
		t.Errorf("RT-4 the same token within the time gives another successor: %v", err)
	}
	_, err = again("grace", now.Add(grace+time.Microsecond))
	wantError(t, "RT-4 too late", err, authorization.ErrUsed)

	begin("grace, and the successor was used")
	_, err = r.Rotate(t.Context(), rotation("grace, and the successor was used", 0, grace, now))
	must(t, err)
	_, err = r.Rotate(t.Context(), rotation("grace, and the successor was used", 1, grace, now))
	must(t, err)
	_, err = again("grace, and the successor was used", now)
	wantError(t, "RT-4 the successor was used", err, authorization.ErrUsed)

	begin("no grace then")
	_, err = r.Rotate(t.Context(), rotation("no grace then", 0, 0, now))
	must(t, err)
	_, err = again("no grace then", now)
	wantError(t, "RT-4 there was no grace when it was replaced", err, authorization.ErrUsed)

	begin("raced grace")
	salts := make([][sha256.Size]byte, callers)
	won := AtOnce(t, func(i int) (bool, error) {
		w := rotation("raced grace", 0, grace, now)
		w.Salt = digestOf("salt of ", i)
		var err error
		salts[i], err = r.Rotate(t.Context(), w)
		return err == nil, err
	})
	slices.SortFunc(salts, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
	if g, err := r.ByID(t.Context(), "raced grace", now); won != callers || len(slices.Compact(salts)) != 1 || err != nil || g.Revoked {
		t.Errorf("RT-4 %d were answered, revoked %t, %v", won, g.Revoked, err)
	}
}
