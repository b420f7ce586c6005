package registration_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// A busyStore takes its time for each registration, and keeps none.
type busyStore struct {
	registration.Records
	takes time.Duration
}

func (b busyStore) RegisterClient(ctx context.Context, r registration.Record, _ registration.Quota) (registration.Record, bool, error) {
	select {
	case <-time.After(b.takes):
		return r, true, nil
	case <-ctx.Done():
		return registration.Record{}, false, ctx.Err()
	}
}

// TestCrowd: GL-15: of many that register at once nobody is refused because the others
// take time, as long as the store answers; where it does not, all are, and soon.
func TestCrowd(t *testing.T) {
	const crowd = 600 // more than ask the store at once
	w := testidentity.New(t)
	var identities []svidgate.Identity
	for i := range crowd {
		identities = append(identities, w.ProvenByJWT(t, fmt.Sprint(job, i)))
	}
	assertion := testidentity.Request(t, testidentity.Assertion("", w.JWT(t, job)), nil)
	for _, row := range []struct {
		name       string
		takes      time.Duration
		registered int64
		until      time.Duration // all have their answer
	}{
		{"one after the other", 3 * time.Second, crowd, 6 * time.Second},
		{"it hangs", time.Hour, 0, 10 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				f := fleetOf(t, busyStore{db, row.takes}, w, nil)
				var (
					group              sync.WaitGroup
					registered, refuse atomic.Int64
					start              = time.Now()
				)
				for _, identity := range identities {
					claim, err := f.clients.Claim(assertion)
					if err != nil {
						t.Fatal(err)
					}
					client, _, err := claim.Associate(identity)
					if err != nil {
						t.Fatal(err)
					}
					group.Go(func() {
						switch _, _, err := claim.Admit(context.Background(), client, identity); {
						case err == nil:
							registered.Add(1)
						case oauth.AsError(err).Reason == oauth.ReasonStoreUnavailable:
							refuse.Add(1)
						}
					})
				}
				group.Wait()
				if registered.Load() != row.registered || refuse.Load() != crowd-row.registered || time.Since(start) > row.until {
					t.Errorf("%d registered and %d were refused after %s", registered.Load(), refuse.Load(), time.Since(start))
				}
			})
		})
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
		db, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
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
		if here.ledger.Blocked(job, identity.SPIFFEID()) {
			t.Error("it is blocked by nobody")
		}
		if err := there.ledger.Block(t.Context(), registration.Block{Subject: job}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !here.ledger.Blocked(job, identity.SPIFFEID()) {
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

// TestExplainsRoomOfItsOwn: RU-5: one that lapsed makes room for itself, in what is
// explained as in what is done.
func TestExplainsRoomOfItsOwn(t *testing.T) {
	w := testidentity.New(t, func(c *svidgate.Config) { c.Settings.MaxBundleAge = svidgate.Unbounded })
	f := fleetOf(t, newStore(t, w), w, func(d *registration.FirstUse) { d.Quota.MaxClients = 1 })
	_, _, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	f.Clock.Advance(registration.DefaultIdle)
	for _, row := range []struct {
		id   string
		want testidentity.Want
	}{{job + "2", refused(oauth.ReasonFirstUseQuota, "RU-5")}, {job, testidentity.Want{}}} {
		_, e := f.clients.ExplainAssociation(t.Context(), registration.Asked{Method: oauth.MethodJWT, Said: true}, spiffeid.RequireFromString(row.id))
		var told error
		if e.Refusal != nil {
			told = e.Refusal
		}
		row.want.Check(t, told)
		_, _, did := f.byJWT(t, "", row.id)
		row.want.Check(t, did)
	}
}
