package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/store"
)

// digestOf is the digest of a word.
func digestOf(word string, of ...any) authorization.Digest {
	return sha256.Sum256(fmt.Append([]byte(word), of...))
}

// granted is a grant that nobody has drawn on.
func granted(id string, now time.Time) authorization.Grant {
	return authorization.Grant{
		ID: id, ClientID: "app", Subject: authorization.Subject{User: "jo", AuthTime: now.Add(-time.Minute), AMR: []string{"pwd", "otp"}, ACR: "2"},
		Scope: []string{"read", "write"}, Resource: "https://api.example.com/", IssuedAt: now, ExpiresAt: now.Add(30 * time.Second),
		Code: authorization.Code{Digest: digestOf("code of ", id), RedirectURI: "https://app.example.com/cb", Challenge: "challenge", ExpiresAt: now.Add(30 * time.Second)},
	}
}

// redemption is one by a workload, with a refresh token.
func redemption(id string, now time.Time) authorization.Redemption {
	return authorization.Redemption{
		GrantID: id, SPIFFEID: "spiffe://example.org/app", Key: "key", Now: now, ExpiresAt: now.Add(31 * time.Hour),
		Refresh: authorization.RefreshState{
			Family: digestOf("family of ", id), Current: digestOf("refresh 0 of ", id), IdleAt: now.Add(time.Hour), ExpiresAt: now.Add(30 * time.Hour),
		},
	}
}

// rotation replaces refresh token n by the next.
func rotation(id string, n int, grace time.Duration, now time.Time) authorization.Rotation {
	return authorization.Rotation{
		GrantID: id, From: digestOf("refresh ", n, " of ", id), To: digestOf("refresh ", n+1, " of ", id), Salt: digestOf("salt ", n),
		Grace: grace, Now: now, IdleAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour),
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestAuthorizations is what [authorization.Records] promises.
func TestAuthorizations(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	for _, part := range []struct {
		name string
		test func(*testing.T, authorization.Records, *Clock)
	}{
		{"what is kept", testKept},
		{"pushed", testPushed},
		{"AZ-7 redemption", testRedemption},
		{"RT-3 rotation", testRotation},
		{"RT-4 grace", testGrace},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, s.Authorizations(), clock) })
	}
	r, now := s.Authorizations(), clock.Now()
	must(t, r.Create(t.Context(), granted("last", now), authorization.Digest{}, now))

	// Who no longer waits changes nothing.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "ended", r.Redeem(ended, redemption("last", now)), context.Canceled)

	// Full disk: a plain error, and nothing is redeemed.
	mend := place.Fill()
	wantError(t, "on a full disk", r.Redeem(t.Context(), redemption("last", now)), store.ErrUnavailable)
	wantError(t, "on a full disk", r.Create(t.Context(), granted("more", now), authorization.Digest{}, now), store.ErrUnavailable)
	mend()
	if g, err := r.ByID(t.Context(), "last", now); err != nil || g.Code.Redeemed {
		t.Errorf("after a full disk: redeemed %t, %v", g.Code.Redeemed, err)
	}
	must(t, r.Redeem(t.Context(), redemption("last", now)))

	// Restart: a code that was redeemed stays so.
	must(t, s.Close())
	wantError(t, "closed", r.Redeem(t.Context(), redemption("last", now)), store.ErrUnavailable)
	s = place.Open(t, clock.Now)
	r = s.Authorizations()
	wantError(t, "AZ-7 after a restart", r.Redeem(t.Context(), redemption("last", now)), authorization.ErrUsed)

	// Restored from a backup, it knows what it knew then.
	must(t, r.Create(t.Context(), granted("kept", now), authorization.Digest{}, now))
	place.Keep(t)
	must(t, r.Redeem(t.Context(), redemption("kept", now)))
	must(t, s.Close())
	place.Restore(t)
	s = place.Open(t, clock.Now)
	r = s.Authorizations()
	if g, err := r.ByID(t.Context(), "kept", now); err != nil || g.Code.Redeemed {
		t.Errorf("restored: redeemed %t, %v", g.Code.Redeemed, err)
	}

	// F42: what has expired is deleted, and nothing else.
	must(t, r.Create(t.Context(), granted("young", clock.Now().Add(40*time.Hour)), authorization.Digest{}, clock.Now().Add(40*time.Hour)))
	clock.Advance(40 * time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for { // by the time of yesterday, at which they had not expired
		if _, err := r.ByID(t.Context(), "last", now); errors.Is(err, authorization.ErrNotFound) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	must(t, <-done)
	if _, err := r.ByID(t.Context(), "young", clock.Now()); err != nil {
		t.Errorf("F42 what has not expired: %v", err)
	}
	must(t, s.Close())
}

func testKept(t *testing.T, r authorization.Records, clock *Clock) {
	now := clock.Now()
	g := granted("whole", now)
	must(t, r.Create(t.Context(), g, authorization.Digest{}, now))
	for name, find := range map[string]func() (authorization.Grant, error){
		"id":   func() (authorization.Grant, error) { return r.ByID(t.Context(), "whole", now) },
		"code": func() (authorization.Grant, error) { return r.ByCode(t.Context(), g.Code.Digest, now) },
	} {
		if got, err := find(); err != nil || !sameGrant(got, g) {
			t.Errorf("by %s: %+v, %v", name, got.ID, err)
		}
	}
	must(t, r.Redeem(t.Context(), redemption("whole", now)))
	g.SPIFFEID, g.Key, g.Code.Redeemed, g.ExpiresAt, g.Refresh = "spiffe://example.org/app", "key", true, now.Add(31*time.Hour), redemption("whole", now).Refresh
	got, err := r.ByRefreshToken(t.Context(), g.Refresh.Family, now)
	if err != nil || !sameGrant(got, g) {
		t.Errorf("redeemed: %v", err)
	}
	for name, find := range map[string]func() (authorization.Grant, error){
		"id":      func() (authorization.Grant, error) { return r.ByID(t.Context(), "Whole", now) },
		"code":    func() (authorization.Grant, error) { return r.ByCode(t.Context(), g.Refresh.Family, now) },
		"refresh": func() (authorization.Grant, error) { return r.ByRefreshToken(t.Context(), g.Code.Digest, now) },
		"nothing": func() (authorization.Grant, error) {
			return r.ByRefreshToken(t.Context(), authorization.Digest{}, now)
		},
		"expired": func() (authorization.Grant, error) { return r.ByID(t.Context(), "whole", now.Add(31*time.Hour)) },
	} {
		_, err := find()
		wantError(t, "by another "+name, err, authorization.ErrNotFound)
	}
	if _, err := r.ByID(t.Context(), "whole", now.Add(31*time.Hour-time.Microsecond)); err != nil {
		t.Errorf("a moment before it expires: %v", err)
	}
	if err := r.Create(t.Context(), granted("whole", now), authorization.Digest{}, now); err == nil {
		t.Error("the same grant is there twice")
	}

	// A workload that is known from the start stays.
	g = granted("pushed by one", now)
	g.SPIFFEID, g.Key = "spiffe://example.org/one", "one"
	must(t, r.Create(t.Context(), g, authorization.Digest{}, now))
	must(t, r.Redeem(t.Context(), redemption(g.ID, now)))
	if got, err := r.ByID(t.Context(), g.ID, now); err != nil || got.SPIFFEID != g.SPIFFEID || got.Key != g.Key {
		t.Errorf("CW-9 it is bound to %s now, %v", got.SPIFFEID, err)
	}
}

// sameGrant compares without printing what prints as nothing.
func sameGrant(a, b authorization.Grant) bool { return reflect.DeepEqual(a, b) }

func testPushed(t *testing.T, r authorization.Records, clock *Clock) {
	now := clock.Now()
	pushed := func(name string) authorization.Pushed {
		return authorization.Pushed{URI: digestOf(name), ClientID: "app", SPIFFEID: "spiffe://example.org/app", Key: "key", Parameters: "a=b", ExpiresAt: now.Add(time.Minute)}
	}
	p := pushed("one")
	must(t, r.Push(t.Context(), p, now))
	got, err := r.Open(t.Context(), p.URI, now.Add(time.Minute-time.Microsecond), now.Add(10*time.Minute))
	p.ExpiresAt = now.Add(10 * time.Minute)
	if err != nil || got != p {
		t.Errorf("PA-2 opened: %v, %v", got, err)
	}
	// PA-4: a reload works, and lengthens nothing.
	if got, err = r.Open(t.Context(), p.URI, now.Add(2*time.Minute), now.Add(20*time.Minute)); err != nil || got != p {
		t.Errorf("PA-4 reloaded: %v, %v", got, err)
	}
	_, err = r.Open(t.Context(), p.URI, now.Add(10*time.Minute), now.Add(20*time.Minute))
	wantError(t, "PA-3 too late", err, authorization.ErrNotFound)
	must(t, r.Push(t.Context(), pushed("never opened"), now))
	_, err = r.Open(t.Context(), digestOf("never opened"), now.Add(time.Minute), now.Add(10*time.Minute))
	wantError(t, "PA-3 not opened in time", err, authorization.ErrNotFound)
	_, err = r.Open(t.Context(), digestOf("another"), now, now.Add(10*time.Minute))
	wantError(t, "PA-2 another", err, authorization.ErrNotFound)

	// PA-4: of any number that complete it, one does; the others leave no grant.
	won := AtOnce(t, func(i int) (bool, error) {
		err := r.Create(t.Context(), granted(fmt.Sprint("completes ", i), now), p.URI, now)
		if errors.Is(err, authorization.ErrCompleted) {
			return false, nil
		}
		return err == nil, err
	})
	if left := countGrants(t, r, "completes ", now); won != 1 || left != 1 {
		t.Errorf("PA-4 %d completed it, and there are %d grants", won, left)
	}
	_, err = r.Open(t.Context(), p.URI, now, now.Add(10*time.Minute))
	wantError(t, "PA-4 completed", err, authorization.ErrNotFound)

	// PA-4: and so does one that grants nothing.
	denied := pushed("denied")
	must(t, r.Push(t.Context(), denied, now))
	wantError(t, "PA-4 completed too late", r.Complete(t.Context(), denied.URI, denied.ExpiresAt), authorization.ErrCompleted)
	must(t, r.Complete(t.Context(), denied.URI, now))
	_, err = r.Open(t.Context(), denied.URI, now, now.Add(10*time.Minute))
	wantError(t, "PA-4 completed", err, authorization.ErrNotFound)
	wantError(t, "PA-4 completed twice", r.Complete(t.Context(), denied.URI, now), authorization.ErrCompleted)
	wantError(t, "PA-4 granted after it was denied", r.Create(t.Context(), granted("denied", now), denied.URI, now), authorization.ErrCompleted)

	// A client fills its own room, and no other's.
	const each = authorization.MaxPushed / callers
	AtOnce(t, func(i int) (bool, error) {
		for j := range each {
			if i == 0 && j == 0 { // one was never opened
				continue
			}
			if err := r.Push(t.Context(), pushed(fmt.Sprint("many ", i, " ", j)), now); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	wantError(t, "F42 one more", r.Push(t.Context(), pushed("more"), now), authorization.ErrFull)
	other := pushed("of another client")
	other.ClientID = "other"
	must(t, r.Push(t.Context(), other, now))
	p = pushed("later")
	p.ExpiresAt = now.Add(2 * time.Minute)
	must(t, r.Push(t.Context(), p, now.Add(time.Minute)))
}

func countGrants(t *testing.T, r authorization.Records, prefix string, now time.Time) (n int) {
	t.Helper()
	for i := range callers {
		_, err := r.ByID(t.Context(), fmt.Sprint(prefix, i), now)
		switch {
		case err == nil:
			n++
		case !errors.Is(err, authorization.ErrNotFound):
			t.Error(err)
		}
	}
	return n
}

// unless is no error where it is one of those expected.
func unless(err error, expected ...error) (won bool, other error) {
	if err != nil && slices.ContainsFunc(expected, func(e error) bool { return errors.Is(err, e) }) {
		return false, nil
	}
	return err == nil, err
}

func testRedemption(t *testing.T, r authorization.Records, clock *Clock) {
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

func testRotation(t *testing.T, r authorization.Records, clock *Clock) {
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

func testGrace(t *testing.T, r authorization.Records, clock *Clock) {
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
