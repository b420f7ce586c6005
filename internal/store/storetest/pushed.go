package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
)

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
