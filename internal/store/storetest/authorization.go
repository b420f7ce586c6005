package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/login"
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

// SignedIn is the permission of somebody who has signed in and agrees now.
func SignedIn(t testing.TB, p login.State, subject string, now time.Time) authorization.Permission {
	t.Helper()
	session := sessionOf(subject, fmt.Sprint(subject, " at ", now), now)
	if name, local := strings.CutPrefix(subject, login.Local+":"); local {
		if err := p.AddUser(t.Context(), user(name, now)); err != nil && !errors.Is(err, login.ErrExists) {
			t.Fatal(err)
		}
		session.Credential = user(name, now).Credential()
	}
	if err := p.StartSession(t.Context(), session, session.Digest); err != nil {
		t.Fatal(err)
	}
	return authorization.Permission{Session: authorization.Digest(session.Digest)}
}

// granting are Records for people who have signed in and agree just now.
type granting struct {
	authorization.Records
	p login.State
}

func grantingAt(s Store) granting { return granting{s.Authorizations(), s.People()} }

func (r granting) Create(ctx context.Context, g authorization.Grant, uri authorization.Digest, now time.Time) error {
	session := sessionOf(g.Subject.User, fmt.Sprint(g.Subject.User, " at ", now), now)
	if err := r.p.StartSession(ctx, session, session.Digest); err != nil {
		return err
	}
	return r.Records.Create(ctx, g, authorization.Permission{Session: authorization.Digest(session.Digest)}, uri, now)
}

// TestAuthorizations is what [authorization.Records] promises.
func TestAuthorizations(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	for _, part := range []struct {
		name string
		test func(*testing.T, granting, *Clock)
	}{
		{"what is kept", testKept},
		{"pushed", testPushed},
		{"AZ-7 redemption", testRedemption},
		{"RT-3 rotation", testRotation},
		{"RT-4 grace", testGrace},
		{"AZ-7 RT-3 undone", testUndone},
		{"F42 grants of one person", testMaxGrants},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, grantingAt(s), clock) })
	}
	r, now := grantingAt(s), clock.Now()
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
	r = grantingAt(s)
	wantError(t, "AZ-7 after a restart", r.Redeem(t.Context(), redemption("last", now)), authorization.ErrUsed)

	// Restored from a backup, it knows what it knew then.
	must(t, r.Create(t.Context(), granted("kept", now), authorization.Digest{}, now))
	place.Keep(t)
	must(t, r.Redeem(t.Context(), redemption("kept", now)))
	must(t, s.Close())
	place.Restore(t)
	s = place.Open(t, clock.Now)
	r = grantingAt(s)
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

func testKept(t *testing.T, r granting, clock *Clock) {
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

func testPushed(t *testing.T, r granting, clock *Clock) {
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

	// A client fills its own room, and no other's; a workload of it, and a source in the
	// name of a public one, only a part of that.
	fill := func(of authorization.Pushed, n int) {
		t.Helper()
		AtOnce(t, func(i int) (bool, error) {
			for j := i; j < n; j += callers {
				p := of
				p.URI = digestOf("many ", of.ClientID, of.SPIFFEID, of.Source, j)
				if err := r.Push(t.Context(), p, now); err != nil {
					return false, err
				}
			}
			return true, nil
		})
	}
	full := func(what string, of authorization.Pushed) {
		t.Helper()
		of.URI = digestOf("one more of ", what)
		wantError(t, "F42 "+what, r.Push(t.Context(), of, now), authorization.ErrFull)
	}
	one, two := pushed("one"), pushed("two")
	two.SPIFFEID = "spiffe://example.org/two"
	fill(one, authorization.MaxPushedByOne-1) // one was never opened
	full("of one workload", one)
	fill(two, authorization.MaxPushed-authorization.MaxPushedByOne)
	two.SPIFFEID = "spiffe://example.org/three"
	full("of one client", two)
	phone := pushed("phone")
	phone.ClientID, phone.SPIFFEID, phone.Source = "phone", "", "2001:db8::"
	fill(phone, authorization.MaxPushedFrom)
	full("of one source", phone)
	phone.Source = "2001:db8:1::"
	must(t, r.Push(t.Context(), phone, now))
	if got, err := r.Open(t.Context(), phone.URI, now, phone.ExpiresAt); err != nil || got != phone {
		t.Errorf("PA-2 opened: %v, %v", got, err)
	}
	other := pushed("of another client")
	other.ClientID = "other"
	must(t, r.Push(t.Context(), other, now))
	p = pushed("later")
	p.ExpiresAt = now.Add(2 * time.Minute)
	must(t, r.Push(t.Context(), p, now.Add(time.Minute)))
}

func countGrants(t *testing.T, r granting, prefix string, now time.Time) (n int) {
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

// One person has so many grants for one client: those that give nothing go first, and
// of each kind the oldest.
func testMaxGrants(t *testing.T, r granting, clock *Clock) {
	now := clock.Now()
	n := 0
	create := func(word, client string) string {
		t.Helper()
		n++
		g := granted(fmt.Sprint(word, " ", n), now)
		g.ClientID, g.Subject.User, g.IssuedAt = client, "many", now.Add(time.Duration(n)*time.Microsecond)
		must(t, r.Create(t.Context(), g, authorization.Digest{}, now))
		return g.ID
	}
	used := func() string {
		t.Helper()
		id := create("used", "app")
		must(t, r.Redeem(t.Context(), redemption(id, now)))
		return id
	}
	there := func(id string) bool {
		t.Helper()
		_, err := r.ByID(t.Context(), id, now)
		if err != nil {
			wantError(t, id, err, authorization.ErrNotFound)
		}
		return err == nil
	}
	other, first, second := create("other", "another app"), used(), used()
	old := create("waits", "app")
	for range authorization.MaxGrants - 3 {
		create("flood", "app")
	}
	if !there(old) || !there(first) {
		t.Error("one was removed though there was room")
	}
	for range authorization.MaxGrants { // by nobody who redeems
		create("flood", "app")
	}
	if there(old) || !there(first) || !there(second) || !there(other) {
		t.Error("F42 not just codes that nobody redeemed were removed")
	}
	must(t, r.Revoke(t.Context(), second, now))
	create("flood", "app")
	for range authorization.MaxGrants - 1 {
		used()
	}
	if there(second) || !there(first) {
		t.Error("F42 one in use went before one that was revoked")
	}
	last := used()
	if there(first) || !there(last) || !there(other) {
		t.Error("F42 the oldest is not the one that went")
	}
}
