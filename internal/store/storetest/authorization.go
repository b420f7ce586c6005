package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
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
