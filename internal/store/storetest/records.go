package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/oauth"
)

var lab = spiffeid.RequireTrustDomainFromString("lab.test")

// roomy is a quota that stands in nobody's way.
var roomy = registration.Quota{MaxClients: 100_000, Idle: registration.DefaultIdle}

// newcomer is a record as a first request makes it.
func newcomer(path string, state registration.State, at time.Time) registration.Record {
	id := spiffeid.RequireFromPath(lab, path)
	return registration.Record{
		Kind: registration.FirstUseKind, State: state, ClientID: id.String(), SPIFFEID: id, Methods: registration.MethodsOf(oauth.MethodJWT), Created: at, Used: at,
		Provenance: registration.Provenance{
			Credential: oauth.MethodJWT, CredentialDigest: [32]byte{1, 2, 3}, BundleSequence: 1<<64 - 1, HasBundleSequence: true, Template: "lab.test[0]", TemplateDigest: [32]byte{4, 5},
		},
	}
}

// A desk is an open store and the clock that its records are made by.
type desk struct {
	Store
	*Clock
}

// register keeps a record, which must be made or not.
func (d desk) register(t *testing.T, r registration.Record, made bool) registration.Record {
	t.Helper()
	kept, was, err := d.RegisterClient(t.Context(), r, roomy)
	if err != nil || was != made {
		t.Fatalf("%s: made %v, %v; want %v", r.ClientID, was, err, made)
	}
	return kept
}

// is holds the record of a client to what is wanted; nil is none.
func (d desk) is(t *testing.T, path string, want *registration.Record) {
	t.Helper()
	id := spiffeid.RequireFromPath(lab, path).String()
	got, err := d.ClientRecord(t.Context(), registration.FirstUseKind, id, id)
	switch {
	case want == nil && !errors.Is(err, registration.ErrNoRecord):
		t.Errorf("%s is %+v, %v; want none", id, got, err)
	case want != nil && (err != nil || !reflect.DeepEqual(got, *want)):
		t.Errorf("%s is\n%+v, %v; want\n%+v", id, got, err, *want)
	}
}

// counts are those of the trust domain.
func (d desk) counts(t *testing.T, want registration.Counts) {
	t.Helper()
	all, err := d.CountClients(t.Context())
	if err != nil || all[lab.Name()] != want {
		t.Errorf("there are %+v, %v; want %+v", all[lab.Name()], err, want)
	}
}

// TestRecords is what [registration.Records] promises.
func TestRecords(t *testing.T, place Place) {
	clock := NewClock()
	d := desk{place.Open(t, clock.Now), clock}
	for _, one := range []struct {
		name string
		test func(*testing.T, desk)
	}{
		{"RU-4 one record", oneRecord},
		{"states", states},
		{"RU-5 quota", quota},
		{"RU-6 blocks and tombstones", blocks},
		{"RU-8 members", members},
		{"RF-10 idle", idle},
		{"lists", lists},
		{"changes", changes},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, desk{place.Open(t, clock.Now), clock}) })
	}
	restart(t, place, d)
	full(t, place, d)
}

// oneRecord: of 1,000 first calls of one workload one makes its record, and all get
// that.
func oneRecord(t *testing.T, d desk) {
	var (
		group sync.WaitGroup
		start = make(chan struct{})
		made  atomic.Int64
	)
	all := make([]registration.Record, 1000)
	for i := range all {
		group.Go(func() {
			r := newcomer("/one", registration.Active, d.Now())
			r.CredentialDigest = [32]byte{byte(i), byte(i >> 8)}
			<-start
			kept, was, err := d.RegisterClient(context.Background(), r, roomy)
			if err != nil {
				t.Error(err)
			}
			if all[i] = kept; was {
				made.Add(1)
			}
		})
	}
	close(start)
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("RU-4 %d were made", made.Load())
	}
	for _, r := range all {
		if !reflect.DeepEqual(r, all[0]) {
			t.Fatalf("RU-4 some got another record: %+v and %+v", r, all[0])
		}
	}
	d.is(t, "/one", &all[0])
}

// states: a record only goes up, keeps its methods, and one that an operator approved
// still tells where it came from.
func states(t *testing.T, d desk) {
	observed := newcomer("/states", registration.Observed, d.Now())
	d.register(t, observed, true)
	d.register(t, observed, false)
	d.Advance(time.Minute)
	pending := newcomer("/states", registration.Pending, d.Now())
	pending.Methods = registration.MethodsOf(oauth.MethodX509)
	kept := d.register(t, pending, true)
	if kept.Methods != registration.MethodsOf(oauth.MethodJWT, oauth.MethodX509) || kept.State != registration.Pending {
		t.Errorf("it is %+v", kept)
	}
	if kept.Raised == nil || !reflect.DeepEqual(*kept.Raised, observed) {
		t.Errorf("it was raised from %+v", kept.Raised)
	}
	// Taken back, it is what it was, and has shown what it has.
	if err := d.WithdrawClient(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	back := observed
	back.Methods = kept.Methods
	d.is(t, "/states", &back)
	kept = d.register(t, pending, true)
	kept.Raised = nil
	d.register(t, observed, false)
	d.is(t, "/states", &kept)
	// That a line tells of it is kept.
	if err := d.NoteUses(t.Context(), []registration.Use{{Kind: kept.Kind, ClientID: kept.ClientID, SPIFFEID: kept.SPIFFEID, At: kept.Used, Recorded: true}, {Kind: kept.Kind, ClientID: kept.ClientID, SPIFFEID: kept.SPIFFEID, At: kept.Used}}); err != nil {
		t.Fatal(err)
	}
	kept.Recorded = true
	d.is(t, "/states", &kept)

	d.Advance(time.Minute)
	approval := registration.Record{
		Kind: registration.FirstUseKind, State: registration.Active, ClientID: kept.ClientID, SPIFFEID: kept.SPIFFEID, Created: d.Now(), Used: d.Now(),
		Provenance: registration.Provenance{Template: "lab.test[1]", TemplateDigest: [32]byte{9}, ApprovedBy: "uid 0", Approved: d.Now()},
	}
	approved, err := d.ApproveClient(t.Context(), approval, roomy)
	want := kept
	want.State, want.Used, want.Template, want.TemplateDigest, want.ApprovedBy, want.Approved = registration.Active, d.Now(), "lab.test[1]", [32]byte{9}, "uid 0", d.Now()
	if err != nil || !reflect.DeepEqual(approved, want) {
		t.Errorf("RU-7 approved it is\n%+v, %v; want\n%+v", approved, err, want)
	}
	d.is(t, "/states", &want)
	d.register(t, newcomer("/states", registration.Pending, d.Now()), false)
	stranger := approval
	stranger.SPIFFEID = spiffeid.RequireFromPath(lab, "/nobody")
	stranger.ClientID = stranger.SPIFFEID.String()
	if _, err := d.ApproveClient(t.Context(), stranger, roomy); !errors.Is(err, registration.ErrNoRecord) {
		t.Errorf("nobody was approved: %v", err)
	}

	// One that comes by another method is the same, and what it has shown is kept.
	d.Advance(time.Minute)
	shown := newcomer("/states", registration.Active, d.Now())
	shown.Methods = registration.MethodsOf(oauth.MethodWIT)
	want.Methods |= shown.Methods
	if kept := d.register(t, shown, false); !reflect.DeepEqual(kept, want) {
		t.Errorf("CC-5 it is\n%+v, want\n%+v", kept, want)
	}
	d.is(t, "/states", &want)

	// What could not be recorded is taken back, and nothing else.
	taken := d.register(t, newcomer("/taken", registration.Active, d.Now()), true)
	other := taken
	other.CredentialDigest = [32]byte{7}
	for _, r := range []registration.Record{other, taken, taken} {
		if err := d.WithdrawClient(t.Context(), r); err != nil {
			t.Error(err)
		}
		if r.CredentialDigest == other.CredentialDigest {
			d.is(t, "/taken", &taken)
		}
	}
	d.is(t, "/taken", nil)
}

// quota: no more than so many, and no more than so many in a time, however many ask.
func quota(t *testing.T, d desk) {
	td := spiffeid.RequireTrustDomainFromString("quota.test")
	register := func(i int, q registration.Quota) error {
		id := spiffeid.RequireFromPathf(td, "/pod-%d", i)
		r := newcomer("/x", registration.Active, d.Now())
		r.SPIFFEID, r.ClientID = id, id.String()
		_, _, err := d.RegisterClient(context.Background(), r, q)
		return err
	}
	most := registration.Quota{MaxClients: 10, Idle: registration.DefaultIdle}
	won := AtOnce(t, func(i int) (bool, error) {
		err := register(i, most)
		if errors.Is(err, registration.ErrMaxClients) {
			return false, nil
		}
		return err == nil, err
	})
	if won != 10 {
		t.Errorf("RU-5 %d of %d were registered", won, callers)
	}
	counts, err := d.CountClients(t.Context())
	if err != nil || counts[td.Name()].Active != 10 {
		t.Errorf("RU-5 there are %+v, %v", counts[td.Name()], err)
	}

	// Six in a minute: six at once, then one every ten seconds.
	rated := registration.Quota{MaxClients: 1000, NewClients: 6, Per: time.Minute, Idle: registration.DefaultIdle}
	n := 100
	try := func(want int) {
		t.Helper()
		got := 0
		for range 8 {
			n++
			if err := register(n, rated); err == nil {
				got++
			} else if !errors.Is(err, registration.ErrNewClients) {
				t.Fatal(err)
			}
		}
		if got != want {
			t.Errorf("RU-5 %d were registered, want %d", got, want)
		}
	}
	try(6)
	try(0)
	d.Advance(10 * time.Second)
	try(1)
	d.Advance(time.Hour)
	try(6)
	if err := register(101, rated); err != nil {
		t.Errorf("one that is there needs no room: %v", err)
	}
}

// blocks: what is blocked or deleted does not come back, and a subject may be both.
func blocks(t *testing.T, d desk) {
	r := d.register(t, newcomer("/gone", registration.Active, d.Now()), true)
	subject := r.ClientID
	before := d.all(t)
	tombstone := registration.Block{Subject: subject, Deleted: true, Reason: "left", By: "uid 0", At: d.Now()}
	block := registration.Block{Subject: subject, Reason: "bad", By: "uid 1", At: d.Now()}
	refused := func(want error) {
		t.Helper()
		if _, _, err := d.RegisterClient(t.Context(), newcomer("/gone", registration.Active, d.Now()), roomy); !errors.Is(err, want) {
			t.Errorf("RU-6 registering gives %v, want %v", err, want)
		}
	}
	has := func(want ...registration.Block) {
		t.Helper()
		got, err := d.BlocksOf(t.Context(), subject)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("blocks %+v, %v; want %+v", got, err, want)
		}
	}
	if err := d.RemoveBlock(t.Context(), subject, d.Now()); !errors.Is(err, registration.ErrNoRecord) {
		t.Errorf("unblocked what is not: %v", err)
	}
	ended, err := d.DeleteClient(t.Context(), tombstone)
	if err != nil || !reflect.DeepEqual(ended, r) {
		t.Errorf("deleted %+v, %v", ended, err)
	}
	d.is(t, "/gone", nil)
	has(tombstone)
	refused(registration.ErrDeleted)
	if err := d.RemoveBlock(t.Context(), subject, d.Now()); !errors.Is(err, registration.ErrDeleted) {
		t.Errorf("a tombstone was unblocked: %v", err)
	}
	if _, err := d.DeleteClient(t.Context(), tombstone); !errors.Is(err, registration.ErrNoRecord) {
		t.Errorf("deleted twice: %v", err)
	}
	if err := d.SetBlock(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	has(block, tombstone)
	refused(registration.ErrBlocked)
	approval := r
	approval.ApprovedBy, approval.Approved = "uid 0", d.Now()
	if _, err := d.ApproveClient(t.Context(), approval, roomy); !errors.Is(err, registration.ErrBlocked) {
		t.Errorf("one that is blocked was approved: %v", err)
	}
	if err := d.RemoveBlock(t.Context(), subject, d.Now()); err != nil {
		t.Fatal(err)
	}
	has(tombstone)
	refused(registration.ErrDeleted)
	after := before
	after.Active--
	d.counts(t, after)
	if _, err := d.ApproveClient(t.Context(), approval, roomy); err != nil {
		t.Fatal(err)
	}
	has()
	d.is(t, "/gone", &approval)
	d.counts(t, before)
}

// all are the counts as they are.
func (d desk) all(t *testing.T) registration.Counts {
	t.Helper()
	counts, err := d.CountClients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts[lab.Name()]
}

// members: uses make records of workloads under a wildcard, and never a client.
func members(t *testing.T, d desk) {
	use := func(kind registration.Kind, clientID, path string, m oauth.AuthMethod) registration.Use {
		return registration.Use{Kind: kind, ClientID: clientID, SPIFFEID: spiffeid.RequireFromPath(lab, path), Methods: registration.MethodsOf(m), At: d.Now()}
	}
	note := func(uses ...registration.Use) {
		t.Helper()
		if err := d.NoteUses(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	}
	before := d.all(t)
	note(use(registration.MemberKind, "fleet", "/m/1", oauth.MethodJWT), use(registration.MemberKind, "fleet", "/m/2", oauth.MethodJWT), use(registration.MemberKind, "other", "/m/1", oauth.MethodJWT))
	d.Advance(time.Hour)
	late := use(registration.MemberKind, "fleet", "/m/1", oauth.MethodX509)
	early := late
	early.At = late.At.Add(-30 * time.Minute)
	note(late, early, use(registration.FirstUseKind, lab.IDString()+"/m/1", "/m/1", oauth.MethodJWT))
	got, err := d.ClientRecord(t.Context(), registration.MemberKind, "fleet", lab.IDString()+"/m/1")
	if err != nil || got.Methods != registration.MethodsOf(oauth.MethodJWT, oauth.MethodX509) || !got.Used.Equal(late.At) || !got.Created.Equal(late.At.Add(-time.Hour)) {
		t.Errorf("RU-8 it is %+v, %v", got, err)
	}
	d.is(t, "/m/1", nil) // a use is no registration
	before.Members += 3
	d.counts(t, before)
	of, err := d.ClientRecords(t.Context(), registration.Filter{ClientID: "fleet"}, registration.Cursor{}, 10)
	if err != nil || len(of) != 2 {
		t.Errorf("RU-8 of fleet there are %+v, %v", of, err)
	}
	if _, err := d.DeleteClient(t.Context(), registration.Block{Subject: lab.IDString() + "/m/1", Deleted: true, At: d.Now()}); !errors.Is(err, registration.ErrNoRecord) {
		t.Errorf("a member was deleted: %v", err)
	}
}

// idle: what was not used goes, also where it asks again before anybody looked.
func idle(t *testing.T, d desk) {
	made := d.Now()
	active := newcomer("/idle", registration.Active, made)
	d.register(t, active, true)
	d.register(t, newcomer("/idle-pending", registration.Pending, made), true)
	d.Advance(registration.WaitFor)
	lapse := func() int {
		t.Helper()
		n := 0
		for {
			some, err := d.LapseClients(t.Context(), lab, registration.DefaultIdle, d.Now(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if n += some; some < 2 {
				return n
			}
		}
	}
	if lapse() < 1 {
		t.Error("nothing lapsed")
	}
	d.is(t, "/idle-pending", nil)
	d.is(t, "/idle", &active)
	again := d.register(t, newcomer("/idle-twice", registration.Active, d.Now()), true)
	d.Advance(registration.DefaultIdle - registration.WaitFor)
	if lapse() < 1 {
		t.Error("RF-10 nothing lapsed")
	}
	d.is(t, "/idle", nil)
	d.is(t, "/idle-twice", &again)
	d.Advance(registration.DefaultIdle)
	anew := newcomer("/idle-twice", registration.Active, d.Now())
	d.register(t, anew, true) // as if it had never been there
	d.is(t, "/idle-twice", &anew)
}

// lists: a list is whole and in order, in parts of any size.
func lists(t *testing.T, d desk) {
	td := spiffeid.RequireTrustDomainFromString("lists.test")
	neighbour := spiffeid.RequireTrustDomainFromString("lists.test.a")
	var want []string
	for i := range 25 {
		r := newcomer("/x", registration.Active, d.Now())
		if i%5 == 0 {
			r.State = registration.Pending
		}
		r.SPIFFEID = spiffeid.RequireFromPathf(td, "/pod-%02d", i)
		r.ClientID = r.SPIFFEID.String()
		want = append(want, r.ClientID)
		d.register(t, r, true)
		r.SPIFFEID = spiffeid.RequireFromPathf(neighbour, "/pod-%02d", i)
		r.ClientID = r.SPIFFEID.String()
		d.register(t, r, true)
	}
	for _, size := range []int{1, 7, 100} {
		var got []string
		for after := (registration.Cursor{}); ; {
			some, err := d.ClientRecords(t.Context(), registration.Filter{TrustDomain: td}, after, size)
			if err != nil || len(some) > size {
				t.Fatalf("%d records, %v", len(some), err)
			}
			for _, r := range some {
				got, after = append(got, r.ClientID), registration.CursorOf(r)
			}
			if len(some) < size {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in parts of %d: %v", size, got)
		}
	}
	pending, err := d.ClientRecords(t.Context(), registration.Filter{TrustDomain: td, State: registration.Pending}, registration.Cursor{}, 100)
	if err != nil || len(pending) != 5 {
		t.Errorf("%d are pending, %v", len(pending), err)
	}
	for i := range 5 {
		if err := d.SetBlock(t.Context(), registration.Block{Subject: fmt.Sprintf("zz-%d", i), At: d.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for after := (registration.BlockKey{Subject: "zz"}); ; {
		some, err := d.ClientBlocks(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range some {
			after = b.Key()
		}
		if n += len(some); len(some) < 2 {
			break
		}
	}
	if n != 5 {
		t.Errorf("%d blocks are listed", n)
	}
}

// changes: what an operator did is told to whoever asks, once, and not for ever.
func changes(t *testing.T, d desk) {
	from, err := d.LastClientChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := d.register(t, newcomer("/changes", registration.Active, d.Now()), true) // is none
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d.register(t, newcomer("/changes", registration.Active, d.Now()), false) // nor this
	shown := newcomer("/changes", registration.Active, d.Now())
	shown.Methods = registration.MethodsOf(oauth.MethodX509)
	r = d.register(t, shown, false) // a key that it had not shown before
	do(d.SetBlock(t.Context(), registration.Block{Subject: "a", At: d.Now()}))
	do(d.RemoveBlock(t.Context(), "a", d.Now()))
	_, err = d.DeleteClient(t.Context(), registration.Block{Subject: r.ClientID, Deleted: true, At: d.Now()})
	do(err)
	_, err = d.ApproveClient(t.Context(), r, roomy)
	do(err)
	var got []string
	for after := from; ; {
		some, last, err := d.ClientChanges(t.Context(), after, 3)
		do(err)
		if got = append(got, some...); len(some) == 0 {
			if now, err := d.LastClientChange(t.Context()); err != nil || now != last {
				t.Errorf("the last change is %d, %v, and %d was told", now, err, last)
			}
			break
		}
		after = last
	}
	if want := []string{r.ClientID, "a", "a", r.ClientID, r.ClientID}; !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}

// restart: all of it is there again.
func restart(t *testing.T, place Place, d desk) {
	r := d.register(t, newcomer("/restart", registration.Active, d.Now()), true)
	b := registration.Block{Subject: r.ClientID + "-x", Reason: "why", By: "uid 0", At: d.Now()}
	if err := d.SetBlock(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	counts := d.all(t)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := desk{place.Open(t, d.Now), d.Clock}
	again.is(t, "/restart", &r)
	again.counts(t, counts)
	if got, err := again.BlocksOf(t.Context(), b.Subject); err != nil || len(got) != 1 || got[0] != b {
		t.Errorf("after a restart the block is %+v, %v", got, err)
	}
}

// full: on a full disk nothing is half written, and it goes on when there is room.
func full(t *testing.T, place Place, _ desk) {
	clock := NewClock()
	d := desk{place.Open(t, clock.Now), clock}
	mend := place.Fill()
	r := newcomer("/full", registration.Active, d.Now())
	if _, _, err := d.RegisterClient(t.Context(), r, roomy); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("GL-15 on a full disk: %v", err)
	}
	d.is(t, "/full", nil)
	mend()
	d.register(t, r, true)
}
