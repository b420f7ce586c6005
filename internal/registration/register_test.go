package registration_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// TestQuota: RU-5, and that one more costs a read when there was no room just now.
func TestQuota(t *testing.T) {
	f := newFleet(t, func(d *registration.FirstUse) { d.Quota.MaxClients = 2 })
	for i := range 5 {
		_, _, err := f.byJWT(t, "", fmt.Sprint(job, i))
		if i < 2 {
			testidentity.Want{}.Check(t, err)
		} else {
			refused(oauth.ReasonFirstUseQuota, "RU-5").Check(t, err)
		}
	}
	_, _, err := f.byJWT(t, "", job+"1")
	testidentity.Want{}.Check(t, err) // those that are there go on
	// One that another process registered meanwhile is found in spite of it.
	other := fleetOf(t, f.records, f.World, nil)
	_, _, err = other.byJWT(t, "", job+"4")
	testidentity.Want{}.Check(t, err)
	_, _, err = f.byJWT(t, "", job+"4")
	testidentity.Want{}.Check(t, err)
	if _, err := f.ledger.Delete(t.Context(), registration.Block{Subject: job + "4"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ledger.Delete(t.Context(), registration.Block{Subject: job + "0"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.byJWT(t, "", job+"2") // room is room at once
	testidentity.Want{}.Check(t, err)
}

// TestOneRecordUnderContention: RU-4, AK-26 over two processes of one store.
func TestOneRecordUnderContention(t *testing.T) {
	w := testidentity.New(t)
	records := newStore(t, w)
	processes := []*fleet{fleetOf(t, records, w, nil), fleetOf(t, records, w, nil)}
	identity := w.ProvenByJWT(t, job)
	var (
		group sync.WaitGroup
		start = make(chan struct{})
		made  atomic.Int64
		seen  sync.Map
	)
	for i := range 1000 {
		f := processes[i%2]
		claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Assertion("", "a.b.c"), nil))
		if err != nil {
			t.Fatal(err)
		}
		client, _, err := claim.Associate(identity)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			<-start
			_, admission, err := claim.Admit(context.Background(), client, identity)
			if err != nil {
				t.Error(err)
			}
			if admission.New {
				made.Add(1)
			}
			seen.Store(admission.Record.Created.String()+admission.Record.Template, true)
		})
	}
	close(start)
	group.Wait()
	n := 0
	seen.Range(func(any, any) bool { n++; return true })
	if made.Load() != 1 || n != 1 || processes[0].count(t).Active != 1 {
		t.Errorf("RU-4 %d made, %d records seen, %+v kept", made.Load(), n, processes[0].count(t))
	}
}

// A broken store has records that cannot be had.
type brokenStore struct {
	registration.Records
	broken atomic.Bool
	asked  atomic.Int64
}

func (b *brokenStore) RegisterClient(ctx context.Context, r registration.Record, q registration.Quota) (registration.Record, bool, error) {
	b.asked.Add(1)
	if b.broken.Load() {
		return registration.Record{}, false, fmt.Errorf("disk: %w", store.ErrUnavailable)
	}
	return b.Records.RegisterClient(ctx, r, q)
}

func (b *brokenStore) ClientRecord(ctx context.Context, kind registration.Kind, clientID, spiffeID string) (registration.Record, error) {
	b.asked.Add(1)
	return b.Records.ClientRecord(ctx, kind, clientID, spiffeID)
}

func (b *brokenStore) NoteUses(ctx context.Context, uses []registration.Use) error {
	b.asked.Add(1)
	return b.Records.NoteUses(ctx, uses)
}

// TestStoreDown: GL-15: new clients are refused, known ones and those of the
// configuration go on; and a known one asks the store nothing.
func TestStoreDown(t *testing.T) {
	w := testidentity.New(t)
	b := &brokenStore{Records: newStore(t, w)}
	f := fleetOf(t, b, w, nil, registration.Metadata{ClientID: "static", SPIFFEID: patterns(t, "/static")[0], AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}})
	_, _, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	b.broken.Store(true)
	asked := b.asked.Load()
	_, _, err = f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	_, _, err = f.byJWT(t, "static", "spiffe://example.org/static")
	testidentity.Want{}.Check(t, err)
	if n := b.asked.Load() - asked; n != 0 {
		t.Errorf("known clients asked the store %d times", n)
	}
	_, _, err = f.byJWT(t, "", job+"2")
	refused(oauth.ReasonStoreUnavailable, "RU-5").Check(t, err)
	b.broken.Store(false)
	_, _, err = f.byJWT(t, "", job+"2")
	testidentity.Want{}.Check(t, err)
}

// TestShownKeyIsNotForgotten: CC-5 holds over a crash and in every process.
func TestShownKeyIsNotForgotten(t *testing.T) {
	w := testidentity.New(t)
	b := &brokenStore{Records: newStore(t, w)}
	here, there := fleetOf(t, b, w, nil), fleetOf(t, b, w, nil)
	held := func(name string, f *fleet, want ...oauth.AuthMethod) {
		t.Helper()
		client, _, err := f.byJWT(t, "", job)
		testidentity.Want{}.Check(t, err)
		if !slices.Equal(client.Methods(), want) {
			t.Errorf("%s: it is held to %v", name, client.Methods())
		}
	}
	held("here", here, oauth.MethodJWT)
	held("there", there, oauth.MethodJWT)

	// Without an answer of the store it is not taken on, and goes on as it was.
	b.broken.Store(true)
	_, _, err := here.byX509(t, job, job)
	refused(oauth.ReasonStoreUnavailable, "RU-5").Check(t, err)
	held("the store is down", here, oauth.MethodJWT)
	b.broken.Store(false)
	_, _, err = here.byX509(t, job, job)
	testidentity.Want{}.Check(t, err)

	// Nothing was written behind it, as nothing is after a crash.
	held("here", here, oauth.MethodJWT, oauth.MethodX509)
	held("a new process", fleetOf(t, b, w, nil), oauth.MethodJWT, oauth.MethodX509)
	if err := there.ledger.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	held("there", there, oauth.MethodJWT, oauth.MethodX509)
	asked := b.asked.Load()
	for _, f := range []*fleet{here, there} {
		_, _, err := f.byX509(t, job, job)
		testidentity.Want{}.Check(t, err)
		held("again", f, oauth.MethodJWT, oauth.MethodX509)
	}
	if n := b.asked.Load() - asked; n != 0 {
		t.Errorf("what is known was asked of the store %d times", n)
	}
}

// A slowStore holds each registration until it is let go.
type slowStore struct {
	registration.Records
	letGo chan struct{}
	asked atomic.Int64
}

func (s *slowStore) RegisterClient(ctx context.Context, r registration.Record, q registration.Quota) (registration.Record, bool, error) {
	s.asked.Add(1)
	<-s.letGo
	return s.Records.RegisterClient(ctx, r, q)
}

// TestWhoWaitsGetsWhatItAsks: RU-4: those who wait for the registration of another
// request take no less than they asked for: neither a record that was only observed,
// where the mode has changed meanwhile, nor one that forgets their key.
func TestWhoWaitsGetsWhatItAsks(t *testing.T) {
	w := testidentity.New(t)
	for _, row := range []struct {
		name          string
		before, after registration.Mode
		x509          bool
		asked         int64
		outcome       registration.Outcome
		methods       int
	}{
		{"the same", registration.OnFirstUse, registration.OnFirstUse, false, 1, registration.Known, 1},
		{"from observe to first_use", registration.OnPaper, registration.OnFirstUse, false, 2, registration.Registered, 1},
		{"from approve to first_use", registration.OnApproval, registration.OnFirstUse, false, 2, registration.Registered, 1},
		{"CC-5 by a key", registration.OnFirstUse, registration.OnFirstUse, true, 2, registration.Known, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			byJWT, byX509 := w.ProvenByJWT(t, job), w.ProvenByX509(t, job)
			assertion := testidentity.Request(t, testidentity.Assertion(job, w.JWT(t, job)), nil)
			certificate := testidentity.Request(t, testidentity.Certificate(job), w.Chain(t, job))
			synctest.Test(t, func(t *testing.T) {
				slow := &slowStore{Records: newStore(t, w), letGo: make(chan struct{})}
				f := fleetOf(t, slow, w, func(d *registration.FirstUse) { d.Mode = row.before })
				ask := func(req *tokenrequest.Request, identity svidgate.Identity) (registration.Client, registration.Admission, error) {
					claim, err := f.clients.Claim(req)
					if err != nil {
						return registration.Client{}, registration.Admission{}, err
					}
					client, _, err := claim.Associate(identity)
					if err != nil {
						return registration.Client{}, registration.Admission{}, err
					}
					return claim.Admit(context.Background(), client, identity)
				}
				var group sync.WaitGroup
				group.Go(func() { ask(assertion, byJWT) })
				synctest.Wait()
				f.configure(t, func(d *registration.FirstUse) { d.Mode = row.after })
				group.Go(func() {
					req, identity := assertion, byJWT
					if row.x509 {
						req, identity = certificate, byX509
					}
					client, admission, err := ask(req, identity)
					if err != nil || admission.Outcome != row.outcome || admission.Record.State != registration.Active || !client.Registered() {
						t.Errorf("%+v, %v", admission, err)
					}
				})
				synctest.Wait()
				close(slow.letGo)
				group.Wait()
				if n := slow.asked.Load(); n != row.asked {
					t.Errorf("the store was asked %d times, want %d", n, row.asked)
				}
				client, admission, err := ask(assertion, byJWT)
				if err != nil || len(client.Methods()) != row.methods {
					t.Errorf("it is held to %v, %+v, %v", client.Methods(), admission, err)
				}
			})
		})
	}
}

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
				f := fleetOf(t, busyStore{newStore(t, w), row.takes}, w, nil)
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
