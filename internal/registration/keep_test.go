package registration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// TestIdle: RF-10, RU-5: a client that nobody uses is archived and comes back as a
// new one; one that is used once a day is not.
func TestIdle(t *testing.T) {
	w := testidentity.New(t, func(c *svidgate.Config) { c.Settings.MaxBundleAge = svidgate.Unbounded })
	f := fleetOf(t, newStore(t, w), w, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Run notes what waits, and ends
	for _, id := range []string{job, job + "-idle"} {
		_, _, err := f.byJWT(t, "", id)
		testidentity.Want{}.Check(t, err)
	}
	for range 31 {
		f.Clock.Advance(24 * time.Hour)
		_, admission, err := f.byJWT(t, "", job)
		testidentity.Want{}.Check(t, err)
		if admission.Outcome != registration.Known {
			t.Fatalf("one that is used lapsed: %+v", admission)
		}
		f.ledger.Run(ctx)
	}
	r, err := f.records.ClientRecord(t.Context(), registration.FirstUseKind, job, job)
	if err != nil || !r.Used.Equal(f.Clock.Now()) {
		t.Errorf("it was used %v, %v", r.Used, err)
	}
	_, admission, err := f.byJWT(t, "", job+"-idle")
	testidentity.Want{}.Check(t, err)
	if !admission.New || !admission.Record.Created.Equal(f.Clock.Now()) {
		t.Errorf("RF-10 it did not lapse: %+v", admission)
	}
}

// TestMembersAreKeptBehind: RU-8 without the request waiting for it, and with what
// the flood of a day costs bounded by one note a workload.
func TestMembersAreKeptBehind(t *testing.T) {
	w := testidentity.New(t)
	b := &brokenStore{Records: newStore(t, w)}
	f := fleetOf(t, b, w, nil, registration.Metadata{ClientID: "wide", SPIFFEID: patterns(t, "/pods/*")[0], AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}})
	asked := b.asked.Load()
	for i := range 100 {
		for range 3 {
			_, _, err := f.byJWT(t, "wide", fmt.Sprintf("spiffe://example.org/pods/%d", i))
			testidentity.Want{}.Check(t, err)
		}
	}
	if n := b.asked.Load() - asked; n != 0 {
		t.Errorf("the store was asked %d times within requests", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.ledger.Run(ctx)
	if n := f.count(t); n.Members != 100 || n.Active != 0 {
		t.Errorf("F35 %+v", n)
	}
	s, err := f.ledger.Show(t.Context(), "wide", 1000)
	if err != nil || len(s.Members) != 100 {
		t.Errorf("%d members, %v", len(s.Members), err)
	}
	s, err = f.ledger.Show(t.Context(), "spiffe://example.org/pods/7", 10)
	if err != nil || len(s.Members) != 1 || s.Members[0].ClientID != "wide" || s.Client != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// A heldStore holds what it is told to hold.
type heldStore struct {
	registration.Records
	lapse    chan struct{} // tending waits for it
	withdraw func()        // called before a withdrawal
}

func (h *heldStore) LapseClients(ctx context.Context, td spiffeid.TrustDomain, idle time.Duration, now time.Time, limit int) (int, error) {
	if h.lapse != nil {
		<-h.lapse
	}
	return h.Records.LapseClients(ctx, td, idle, now, limit)
}

func (h *heldStore) WithdrawClient(ctx context.Context, made registration.Record) error {
	h.withdraw()
	return h.Records.WithdrawClient(ctx, made)
}

// TestBlocksAreSeenWhileTending: RF-11: a block of another process counts within a
// second, whatever else there is to do.
func TestBlocksAreSeenWhileTending(t *testing.T) {
	w := testidentity.New(t)
	identity := w.ProvenByJWT(t, job)
	synctest.Test(t, func(t *testing.T) {
		db := newStore(t, w)
		held := &heldStore{Records: db, lapse: make(chan struct{})}
		here, there := fleetOf(t, held, w, nil), fleetOf(t, db, w, nil)
		claim, err := here.clients.Claim(testidentity.Request(t, testidentity.Assertion("", "a.b.c"), nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := admitted(t, claim, identity); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { here.ledger.Run(ctx) })
		time.Sleep(time.Second) // it tends
		if here.blocked(job, identity.SPIFFEID()) {
			t.Error("it is blocked by nobody")
		}
		if err := there.ledger.Block(t.Context(), registration.Block{Subject: job}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !here.blocked(job, identity.SPIFFEID()) {
			t.Error("the block is not seen")
		}
		close(held.lapse)
		cancel()
		run.Wait()
	})
}

// TestWithdrawnIsForgotten: GL-15: what was taken back is not there for one who asked
// meanwhile either.
func TestWithdrawnIsForgotten(t *testing.T) {
	w := testidentity.New(t)
	held := &heldStore{Records: newStore(t, w)}
	f := fleetOf(t, held, w, nil)
	ask := func(want registration.Outcome) (registration.Claim, registration.Admission) {
		t.Helper()
		claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Assertion("", f.JWT(t, job)), nil))
		if err != nil {
			t.Fatal(err)
		}
		_, admission, err := admitted(t, claim, f.ProvenByJWT(t, job))
		if err != nil || admission.Outcome != want {
			t.Errorf("%+v, %v, want %s", admission, err, want)
		}
		return claim, admission
	}
	claim, made := ask(registration.Registered)
	held.withdraw = func() { ask(registration.Known) }
	if err := claim.Withdraw(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	ask(registration.Registered)
	ask(registration.Known)
}

// TestUntold: GL-15: of a registration that no line tells of a minute later, one
// request is told so, until the line is written. Who made it needs no restart for that.
func TestUntold(t *testing.T) {
	f := newFleet(t, nil)
	f.Clock.Advance(time.Nanosecond) // which the store does not keep
	ask := func(want bool) (registration.Claim, registration.Admission) {
		t.Helper()
		claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Assertion("", f.JWT(t, job)), nil))
		if err != nil {
			t.Fatal(err)
		}
		_, admission, err := admitted(t, claim, f.ProvenByJWT(t, job))
		if err != nil || admission.Untold != want {
			t.Errorf("%+v, %v, want %t", admission, err, want)
		}
		return claim, admission
	}
	ask(false)
	f.Clock.Advance(59 * time.Second)
	ask(false) // it may be being written
	f.Clock.Advance(time.Second)
	claim, admission := ask(true)
	ask(false) // the other one writes it
	claim.Told(admission, false)
	claim, admission = ask(true)
	claim.Told(admission, true)
	ask(false)
}
