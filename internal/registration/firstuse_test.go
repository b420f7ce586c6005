package registration_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

func patterns(t testing.TB, texts ...string) (all []svidgate.Pattern) {
	t.Helper()
	for _, s := range texts {
		p, err := svidgate.ParsePattern("spiffe://example.org" + s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// A fleet is a world in which workloads of example.org register on first use.
type fleet struct {
	*testidentity.World
	records registration.Records
	ledger  *registration.Ledger
	clients *registration.Registry
}

// fleetOf has a registry with first use over a store.
func fleetOf(t testing.TB, records registration.Records, w *testidentity.World, change func(*registration.FirstUse), clients ...registration.Metadata) *fleet {
	t.Helper()
	f := &fleet{World: w, records: records}
	var err error
	if f.ledger, err = registration.OpenLedger(t.Context(), records, w.Clock.Now, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	f.configure(t, change, clients...)
	return f
}

// configure puts another configuration into force.
func (f *fleet) configure(t testing.TB, change func(*registration.FirstUse), clients ...registration.Metadata) {
	t.Helper()
	d := registration.FirstUse{
		TrustDomain: spiffeid.RequireTrustDomainFromString("example.org"), Mode: registration.OnFirstUse, Deny: patterns(t, "/ns/ci/legacy/*"),
		Quota: registration.Quota{MaxClients: 100, Idle: registration.DefaultIdle},
		Templates: []registration.Template{
			{Name: "one", Allow: patterns(t, "/ns/ci/one"), Methods: []oauth.AuthMethod{oauth.MethodX509}},
			{Name: "ci", Allow: patterns(t, "/ns/ci/*"), Methods: []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}, Digest: [32]byte{1}},
		},
	}
	if change != nil {
		change(&d)
	}
	var err error
	if f.clients, err = f.Registry(t, clients...).WithFirstUse([]registration.FirstUse{d}, f.ledger); err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB, w *testidentity.World) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newFleet(t testing.TB, change func(*registration.FirstUse), clients ...registration.Metadata) *fleet {
	t.Helper()
	w := testidentity.New(t)
	return fleetOf(t, newStore(t, w), w, change, clients...)
}

// byJWT and byX509 are the way of a request from its claim to its admission.
func (f *fleet) byJWT(t testing.TB, clientID, id string) (registration.Client, registration.Admission, error) {
	t.Helper()
	claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Assertion(clientID, f.JWT(t, id)), nil))
	if err != nil {
		return registration.Client{}, registration.Admission{}, err
	}
	return admitted(t, claim, f.ProvenByJWT(t, id))
}

func (f *fleet) byX509(t testing.TB, clientID, id string) (registration.Client, registration.Admission, error) {
	t.Helper()
	chain := f.Chain(t, id)
	claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Certificate(clientID), chain))
	if err != nil {
		return registration.Client{}, registration.Admission{}, err
	}
	return admitted(t, claim, f.ProvenByX509(t, id))
}

func admitted(t testing.TB, claim registration.Claim, identity svidgate.Identity) (registration.Client, registration.Admission, error) {
	client, _, err := claim.Associate(identity)
	if err != nil {
		return registration.Client{}, registration.Admission{}, err
	}
	if client.Template() != "" && client.Registered() {
		t.Error("RU-2 it is registered before it is admitted")
	}
	return claim.Admit(t.Context(), client, identity)
}

// records is how many there are of example.org.
func (f *fleet) count(t testing.TB) registration.Counts {
	t.Helper()
	counts, err := f.records.CountClients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts["example.org"]
}

func refused(reason oauth.Reason, rule string) testidentity.Want {
	code := oauth.InvalidClient
	switch reason {
	case oauth.ReasonClientIDMissing:
		code = oauth.InvalidRequest
	case oauth.ReasonStoreUnavailable:
		code = oauth.Unavailable
	}
	return testidentity.Want{Code: code, Reason: reason, Rule: rule}
}

const job = "spiffe://example.org/ns/ci/job"

// TestFirstUse: who registers (RF-12, RU-2, RU-3), each refusal beside one that is
// accepted, and no refusal leaves a record.
func TestFirstUse(t *testing.T) {
	named := registration.Metadata{ClientID: "named", SPIFFEID: patterns(t, "/ns/ci/static")[0], AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}}
	wide := registration.Metadata{ClientID: "wide", SPIFFEID: patterns(t, "/ns/ci/wide/*")[0], AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}}
	for _, row := range []struct {
		name         string
		clientID, id string // of a JWT-SVID
		want         testidentity.Want
		template     string
	}{
		{"RU-1 without client_id", "", job, testidentity.Want{}, "ci"},
		{"RF-12 client_id is the SPIFFE ID", job, job, testidentity.Want{}, "ci"},
		{"RF-12 client_id is another SPIFFE ID", job + "2", job, refused(oauth.ReasonClientIDMismatch, "RF-12"), ""},
		{"CA-2 client_id is a name", "job", job, refused(oauth.ReasonClientNotFound, "CA-2"), ""},
		{"CA-2 client_id is of a trust domain without first use", "spiffe://other.test/ns/ci/job", job, refused(oauth.ReasonClientNotFound, "CA-2"), ""},
		{"RU-2 the SPIFFE ID is of a trust domain without first use", "", "spiffe://other.test/ns/ci/job", refused(oauth.ReasonClientNotFound, "CJ-10"), ""},
		{"RU-2 one of example.org names it, and is of another", job, "spiffe://other.test/ns/ci/job", refused(oauth.ReasonClientNotFound, "CJ-10"), ""},
		{"RU-2 outside of all patterns", "", "spiffe://example.org/ns/cd/job", refused(oauth.ReasonFirstUseDenied, "RU-2"), ""},
		{"MD-17 not a whole segment", "", "spiffe://example.org/ns/ci2/job", refused(oauth.ReasonFirstUseDenied, "RU-2"), ""},
		{"MD-17 the prefix itself", "", "spiffe://example.org/ns/ci", refused(oauth.ReasonFirstUseDenied, "RU-2"), ""},
		{"RU-2 denied", "", "spiffe://example.org/ns/ci/legacy/x", refused(oauth.ReasonFirstUseDenied, "RU-2"), ""},
		{"RU-2 the name that is denied, alone", "", "spiffe://example.org/ns/ci/legacy", testidentity.Want{}, "ci"},
		{"RU-3 the first template has another method", "", "spiffe://example.org/ns/ci/one", refused(oauth.ReasonMethodNotAllowed, "RU-3"), ""},
		{"a client of the configuration has the SPIFFE ID", "", "spiffe://example.org/ns/ci/static", testidentity.Want{}, "static"},
		{"CA-8 and it is named otherwise", "spiffe://example.org/ns/ci/static", "spiffe://example.org/ns/ci/static", refused(oauth.ReasonClientNotFound, "CJ-10"), ""},
		{"a wildcard is its client's when it is named", "wide", "spiffe://example.org/ns/ci/wide/a", testidentity.Want{}, "static"},
		{"CJ-10 and else first use's", "", "spiffe://example.org/ns/ci/wide/a", testidentity.Want{}, "ci"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFleet(t, nil, named, wide)
			client, admission, err := f.byJWT(t, row.clientID, row.id)
			row.want.Check(t, err)
			n := f.count(t)
			switch row.template {
			case "":
				if n.Active+n.Pending+n.Observed != 0 || client.Registered() {
					t.Errorf("RU-2 a refusal leaves a record: %+v, %+v", n, client)
				}
			case "static":
				if n.Active != 0 || client.Template() != "" || admission.Outcome != "" || !client.Registered() {
					t.Errorf("it registered: %+v, %+v", n, admission)
				}
			default:
				if n.Active != 1 || client.ID() != row.id || client.Template() != row.template || !client.Registered() || admission.Outcome != registration.Registered || !admission.New {
					t.Errorf("RF-3 %+v, %+v, %+v", n, client, admission)
				}
			}
		})
	}
}

// TestNameOfAConfiguredClientIsTaken: RF-3: rights are given to names, so no workload
// registers under the client_id of a client of the configuration, in no state and
// neither by an operator.
func TestNameOfAConfiguredClientIsTaken(t *testing.T) {
	prod := patterns(t, "/ns/prod/api/*")[0]
	for _, row := range []struct {
		name     string
		client   registration.Metadata
		clientID string
		want     testidentity.Want
		approve  error
	}{
		{"another is called so", registration.Metadata{ClientID: job, SPIFFEID: prod}, "", refused(oauth.ReasonClientNotFound, "CJ-10"), registration.ErrConfigured},
		{"CA-9 and the workload says so", registration.Metadata{ClientID: job, SPIFFEID: prod}, job, refused(oauth.ReasonClientIDMismatch, "CA-9"), registration.ErrConfigured},
		{"a wildcard over it is called so", registration.Metadata{ClientID: job, SPIFFEID: patterns(t, "/ns/ci/*")[0]}, "", refused(oauth.ReasonClientNotFound, "CJ-10"), registration.ErrConfigured},
		{"another has another name", registration.Metadata{ClientID: "api", SPIFFEID: prod}, "", testidentity.Want{}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.client.AuthMethods = []oauth.AuthMethod{oauth.MethodJWT}
			f := newFleet(t, func(d *registration.FirstUse) { d.Mode = registration.OnApproval })
			_, _, err := f.byJWT(t, "", job)
			refused(oauth.ReasonFirstUsePending, "RU-5").Check(t, err)
			f.configure(t, func(d *registration.FirstUse) { d.Mode = registration.OnApproval }, row.client)
			if _, err := f.ledger.Approve(t.Context(), f.clients, spiffeid.RequireFromString(job), "uid 0"); !errors.Is(err, row.approve) {
				t.Errorf("approving it gives %v, want %v", err, row.approve)
			}
			if name, _ := f.clients.Template(spiffeid.RequireFromString(job)); (name == "") != (row.approve != nil) {
				t.Errorf("its template is %q", name)
			}
			f.configure(t, nil, row.client)
			_, _, err = f.byJWT(t, row.clientID, job)
			row.want.Check(t, err)
			// And one that was registered before is known no longer.
			f.configure(t, nil)
			_, _, err = f.byJWT(t, "", job)
			testidentity.Want{}.Check(t, err)
			f.configure(t, nil, row.client)
			_, _, err = f.byJWT(t, row.clientID, job)
			row.want.Check(t, err)
		})
	}
}

// TestBlockOfAWildcardHoldsOnFirstUse: RU-8: a workload does not leave a client that
// is blocked by leaving client_id out.
func TestBlockOfAWildcardHoldsOnFirstUse(t *testing.T) {
	client := func(id, pattern string) registration.Metadata {
		return registration.Metadata{ClientID: id, SPIFFEID: patterns(t, pattern)[0], AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}}
	}
	shallow := client("shallow", "/ns/*")
	shallow.SPIFFEID = shallow.SPIFFEID.WithDepth(1)
	f := newFleet(t, nil, client("fleet", "/ns/ci/*"), client("all", "/*"), client("deep", "/ns/ci/job/*"), shallow, client("other", "/ns/cd/*"))
	id := spiffeid.RequireFromString(job)
	_, _, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	for _, row := range []struct {
		subject string
		holds   bool
	}{{"fleet", true}, {"all", true}, {"deep", false}, {"shallow", false}, {"other", false}, {"spiffe://example.org/ns/ci", false}} {
		if err := f.ledger.Block(t.Context(), registration.Block{Subject: row.subject, By: "uid 0"}); err != nil {
			t.Fatal(err)
		}
		want, approve := testidentity.Want{}, error(nil)
		if row.holds {
			want, approve = refused(oauth.ReasonClientBlocked, "RU-8"), registration.ErrBlocked
		}
		for _, one := range []string{job, job + "-new-under-" + row.subject[:3]} { // known, and new
			for _, clientID := range []string{"", one} {
				_, _, err := f.byJWT(t, clientID, one)
				want.Check(t, err)
			}
		}
		if f.clients.Blocked(job, id) != row.holds || f.clients.Blocked("fleet", id) != (row.subject == "fleet") {
			t.Errorf("with %s blocked, Blocked says %v, and of fleet %v", row.subject, f.clients.Blocked(job, id), f.clients.Blocked("fleet", id))
		}
		if _, err := f.ledger.Approve(t.Context(), f.clients, id, "uid 0"); !errors.Is(err, approve) {
			t.Errorf("with %s blocked, approving gives %v", row.subject, err)
		}
		if err := f.ledger.Unblock(t.Context(), row.subject); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFirstUseByCertificate: an X.509-SVID registers, too, with the client_id that
// CX-2 asks for; the template decides about the method.
func TestFirstUseByCertificate(t *testing.T) {
	f := newFleet(t, nil)
	if _, _, err := f.byX509(t, "", job); err == nil {
		t.Error("CX-2 accepted without client_id")
	}
	client, _, err := f.byX509(t, job, job)
	testidentity.Want{}.Check(t, err)
	if !slices.Equal(client.Methods(), []oauth.AuthMethod{oauth.MethodX509}) {
		t.Errorf("it is held to %v", client.Methods())
	}
	// One that has shown a key is held to it from then on (CC-5).
	client, admission, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	if !slices.Equal(client.Methods(), []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}) || admission.Outcome != registration.Known {
		t.Errorf("it is held to %v, %+v", client.Methods(), admission)
	}
	client, _, err = f.byJWT(t, "", job+"-jwt")
	testidentity.Want{}.Check(t, err)
	if !slices.Equal(client.Methods(), []oauth.AuthMethod{oauth.MethodJWT}) {
		t.Errorf("one that has shown no key is held to %v", client.Methods())
	}
	_, _, err = f.byX509(t, job+"-jwt", job+"-jwt")
	testidentity.Want{}.Check(t, err)
	client, _, err = f.byJWT(t, "", job+"-jwt")
	testidentity.Want{}.Check(t, err)
	if len(client.Methods()) != 2 {
		t.Errorf("CC-5 it shed its key: %v", client.Methods())
	}
}

// TestFirstUseByWITSVID: the third kind of SVID registers as the others do, where the
// template has it.
func TestFirstUseByWITSVID(t *testing.T) {
	ask := func(f *fleet) (registration.Client, error) {
		attestation, holder := f.WIT(t, job)
		claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Certificate(job), nil, testidentity.Attested(attestation, f.Proof(t, holder))...))
		if err != nil {
			return registration.Client{}, err
		}
		client, _, err := admitted(t, claim, f.ProvenByWIT(t, job))
		return client, err
	}
	_, err := ask(newFleet(t, nil))
	refused(oauth.ReasonMethodNotAllowed, "RU-3").Check(t, err)
	client, err := ask(newFleet(t, func(d *registration.FirstUse) {
		d.Templates[1].Methods = []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodWIT}
	}))
	testidentity.Want{}.Check(t, err)
	if client.ID() != job || !slices.Equal(client.Methods(), []oauth.AuthMethod{oauth.MethodWIT}) {
		t.Errorf("RF-2 it is %s, held to %v", client.ID(), client.Methods())
	}
}

// TestProfileAsksForClientID: first use takes nothing away from the profile.
func TestProfileAsksForClientID(t *testing.T) {
	w := testidentity.New(t, func(c *svidgate.Config) { c.Settings.Profile = svidgate.Latest })
	f := fleetOf(t, newStore(t, w), w, nil)
	_, _, err := f.byJWT(t, "", job)
	refused(oauth.ReasonClientIDMissing, "CJ-10").Check(t, err)
	_, _, err = f.byJWT(t, job, job)
	testidentity.Want{}.Check(t, err)
}

// TestModes: what becomes of a first and a second request.
func TestModes(t *testing.T) {
	f := newFleet(t, func(d *registration.FirstUse) { d.Mode = registration.OnApproval })
	var admission registration.Admission
	for i := range 2 {
		_, _, err := f.byJWT(t, "", job)
		refused(oauth.ReasonFirstUsePending, "RU-5").Check(t, err)
		if !errors.As(err, &admission) || admission.Outcome != registration.Waits || admission.New != (i == 0) {
			t.Errorf("request %d: %+v", i, admission)
		}
	}
	if n := f.count(t); n != (registration.Counts{Pending: 1}) {
		t.Errorf("%+v", n)
	}
	if _, err := f.ledger.Approve(t.Context(), f.clients, spiffeid.RequireFromString(job), "uid 0"); err != nil {
		t.Fatal(err)
	}
	_, admission, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	if admission.Record.ApprovedBy != "uid 0" || admission.Record.Credential != oauth.MethodJWT || admission.Record.CredentialDigest == [32]byte{} {
		t.Errorf("RU-7 %+v", admission.Record)
	}

	// A mode that gives more takes those that waited along; one that gives less
	// leaves them what they are, and observe gives nothing.
	_, _, err = f.byJWT(t, "", job+"2")
	refused(oauth.ReasonFirstUsePending, "RU-5").Check(t, err)
	f.configure(t, nil)
	_, admission, err = f.byJWT(t, "", job+"2")
	testidentity.Want{}.Check(t, err)
	if admission.Outcome != registration.Registered {
		t.Errorf("%+v", admission)
	}
	f.configure(t, func(d *registration.FirstUse) { d.Mode = registration.OnApproval })
	_, _, err = f.byJWT(t, "", job+"2")
	testidentity.Want{}.Check(t, err)
	f.configure(t, func(d *registration.FirstUse) { d.Mode = registration.OnPaper })
	for _, row := range []struct {
		id      string
		outcome registration.Outcome
		reason  oauth.Reason
	}{
		{job + "2", registration.WouldRegister, ""}, {job + "3", registration.WouldRegister, ""},
		{"spiffe://example.org/ns/ci/legacy/x", registration.WouldRefuse, oauth.ReasonFirstUseDenied},
		{"spiffe://example.org/ns/ci/one", registration.WouldRefuse, oauth.ReasonMethodNotAllowed},
	} {
		client, _, err := f.byJWT(t, "", row.id)
		refused(oauth.ReasonClientNotFound, "CJ-10").Check(t, err)
		if !errors.As(err, &admission) || admission.Outcome != row.outcome || admission.Reason != row.reason || client.Registered() {
			t.Errorf("%s: %+v", row.id, admission)
		}
	}
	if n := f.count(t); n != (registration.Counts{Active: 2, Observed: 1}) {
		t.Errorf("%+v", n)
	}
}

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

// TestBlocks: RU-6, RU-8, RF-11, of a client, of a workload, and of one of a client
// with a wildcard; in this process at once, in another with the next look.
func TestBlocks(t *testing.T) {
	wide := registration.Metadata{ClientID: "wide", SPIFFEID: patterns(t, "/pods/*")[0], AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}}
	w := testidentity.New(t)
	records := newStore(t, w)
	here, there := fleetOf(t, records, w, nil, wide), fleetOf(t, records, w, nil, wide)
	const one, two = "spiffe://example.org/pods/one", "spiffe://example.org/pods/two"
	try := func(f *fleet, clientID, id string, want testidentity.Want) {
		t.Helper()
		_, _, err := f.byJWT(t, clientID, id)
		want.Check(t, err)
	}
	look := func() {
		t.Helper()
		if err := there.ledger.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	blocked := refused(oauth.ReasonClientBlocked, "RU-8")
	for _, f := range []*fleet{here, there} {
		try(f, "wide", one, testidentity.Want{})
		try(f, "", job, testidentity.Want{})
	}
	if err := here.ledger.Block(t.Context(), registration.Block{Subject: one, Reason: "leaked", By: "uid 0"}); err != nil {
		t.Fatal(err)
	}
	try(here, "wide", one, blocked)
	try(here, "wide", two, testidentity.Want{}) // its sibling goes on
	look()
	try(there, "wide", one, blocked)
	if !there.ledger.Blocked("wide", spiffeid.RequireFromString(one)) || there.ledger.Blocked("wide", spiffeid.RequireFromString(two)) {
		t.Error("Blocked says otherwise")
	}
	if err := here.ledger.Block(t.Context(), registration.Block{Subject: "wide"}); err != nil {
		t.Fatal(err)
	}
	try(here, "wide", two, blocked) // the client with all of its workloads
	if !here.ledger.Blocked("wide", spiffeid.ID{}) {
		t.Error("Blocked says otherwise")
	}

	// Deleted, it does not come back, in either process; blocked on top, it is both.
	if _, err := here.ledger.Delete(t.Context(), registration.Block{Subject: job, By: "uid 0"}); err != nil {
		t.Fatal(err)
	}
	try(here, "", job, refused(oauth.ReasonFirstUseDenied, "RU-6"))
	look()
	try(there, "", job, refused(oauth.ReasonFirstUseDenied, "RU-6"))
	if err := there.ledger.Block(t.Context(), registration.Block{Subject: job}); err != nil {
		t.Fatal(err)
	}
	try(there, "", job, blocked)
	if err := here.ledger.Unblock(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	look()
	try(there, "", job, refused(oauth.ReasonFirstUseDenied, "RU-6"))
	if err := here.ledger.Unblock(t.Context(), job); !errors.Is(err, registration.ErrDeleted) {
		t.Errorf("a tombstone was unblocked: %v", err)
	}
	if _, err := here.ledger.Approve(t.Context(), here.clients, spiffeid.RequireFromString(job), "uid 0"); err != nil {
		t.Fatal(err)
	}
	try(here, "", job, testidentity.Want{})
	look()
	try(there, "", job, testidentity.Want{})

	// A new process knows all of it.
	again := fleetOf(t, records, w, nil, wide)
	try(again, "wide", one, blocked)
	ended := func(want bool, clientID, id string) {
		t.Helper()
		if again.clients.Ended(clientID, spiffeid.RequireFromString(id)) != want {
			t.Errorf("RU-6 client %s with %s: ended %t", clientID, id, !want)
		}
	}
	ended(false, job, job)
	ended(true, "wide", one)
	// A tombstone stops first use, not an operator who configures a client.
	if _, err := again.ledger.Delete(t.Context(), registration.Block{Subject: job}); err != nil {
		t.Fatal(err)
	}
	ended(true, job, job)
	ended(false, "another", job) // of the configuration
	again.configure(t, nil, registration.Metadata{ClientID: job, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}})
	try(again, "", job, testidentity.Want{})
	ended(false, job, job)
}

// TestConfigurationInForceDecides: a record gives nothing by itself (RU-3).
func TestConfigurationInForceDecides(t *testing.T) {
	f := newFleet(t, nil)
	_, _, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	f.configure(t, func(d *registration.FirstUse) { d.Deny = append(d.Deny, patterns(t, "/ns/ci/job")...) })
	_, _, err = f.byJWT(t, "", job)
	refused(oauth.ReasonFirstUseDenied, "RU-2").Check(t, err)
	f.configure(t, func(d *registration.FirstUse) { d.Templates[1].Name, d.Templates[1].Digest = "other", [32]byte{2} })
	client, admission, err := f.byJWT(t, "", job)
	testidentity.Want{}.Check(t, err)
	if client.Template() != "other" || client.TemplateDigest() != [32]byte{2} || admission.Record.Template != "ci" || admission.Record.TemplateDigest != [32]byte{1} {
		t.Errorf("RU-7 now %s, first %s", client.Template(), admission.Record.Template)
	}
	if f.clients, err = f.Registry(t).WithFirstUse(nil, f.ledger); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.byJWT(t, "", job)
	refused(oauth.ReasonClientNotFound, "CJ-10").Check(t, err) // RF-10: the trust domain registers nobody any more
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

// TestExplainFirstUse: what is explained is what would be done, and nothing is.
func TestExplainFirstUse(t *testing.T) {
	f := newFleet(t, func(d *registration.FirstUse) { d.Quota.MaxClients = 1 })
	if err := f.ledger.Block(t.Context(), registration.Block{Subject: job + "-bad"}); err != nil {
		t.Fatal(err)
	}
	explained := func(clientID, id string) *oauth.Error {
		t.Helper()
		asked := registration.Asked{Method: oauth.MethodJWT, ClientID: clientID, Said: true}
		if e := f.clients.ExplainClaim(t.Context(), asked); e.Refusal != nil {
			return e.Refusal
		}
		_, e := f.clients.ExplainAssociation(t.Context(), asked, spiffeid.RequireFromString(id))
		var rules []string
		for _, finding := range e.Findings {
			rules = append(rules, finding.Rule)
		}
		if got, want := strings.Join(rules, " "), "CJ-10 CX-3 CA-9 MD-20 CA-7 RU-2 RF-12 RU-3 RU-8 RU-6 RU-5"; got != want {
			t.Errorf("%s has the rules %s, want %s", id, got, want)
		}
		return e.Refusal
	}
	for _, mode := range []registration.Mode{registration.OnFirstUse, registration.OnApproval, registration.OnPaper} {
		f.configure(t, func(d *registration.FirstUse) { d.Mode, d.Quota.MaxClients = mode, 1 })
		for _, row := range [][2]string{
			{"", job}, {job, job}, {job + "x", job}, {"", "spiffe://example.org/elsewhere"}, {"", "spiffe://example.org/ns/ci/legacy/x"}, {"", "spiffe://example.org/ns/ci/one"}, {"", job + "-bad"}, {"nobody", job},
		} {
			before := f.count(t)
			told := explained(row[0], row[1])
			if now := f.count(t); now != before {
				t.Errorf("explaining changed %+v to %+v", before, now)
			}
			_, _, err := f.byJWT(t, row[0], row[1])
			var did *oauth.Error
			if err != nil {
				did = oauth.AsError(err)
			}
			if (told == nil) != (did == nil) || told != nil && (told.Reason != did.Reason || told.Rule != did.Rule || told.Expected != did.Expected) {
				t.Errorf("%s %v: told %v, and then %v", mode, row, told, did)
			}
		}
		told, _ := explained("", job+"-second"), 0
		if mode == registration.OnFirstUse && (told == nil || told.Reason != oauth.ReasonFirstUseQuota) {
			t.Errorf("RU-5 told %v", told)
		}
	}
	// Where there is no store to ask, what is in it is not judged.
	offline, err := f.Registry(t).WithFirstUse([]registration.FirstUse{{
		TrustDomain: spiffeid.RequireTrustDomainFromString("example.org"), Mode: registration.OnFirstUse, Quota: registration.Quota{MaxClients: 1, Idle: registration.DefaultIdle},
		Templates: []registration.Template{{Name: "ci", Allow: patterns(t, "/ns/ci/*"), Methods: []oauth.AuthMethod{oauth.MethodJWT}}},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, e := offline.ExplainAssociation(t.Context(), registration.Asked{Method: oauth.MethodJWT, Said: true}, spiffeid.RequireFromString(job))
	if e.Refusal != nil || client.ID() != job || e.Findings[len(e.Findings)-1].Outcome != oauth.NotJudged {
		t.Errorf("%+v %+v", client, e)
	}
}

// TestFirstUseFaults: a registry is not made of what is not whole.
func TestFirstUseFaults(t *testing.T) {
	w := testidentity.New(t)
	good := func() registration.FirstUse {
		return registration.FirstUse{
			TrustDomain: spiffeid.RequireTrustDomainFromString("example.org"), Mode: registration.OnFirstUse, Quota: registration.Quota{MaxClients: 1, Idle: registration.DefaultIdle},
			Templates: []registration.Template{{Name: "ci", Allow: patterns(t, "/ns/ci/*"), Methods: []oauth.AuthMethod{oauth.MethodJWT}}},
		}
	}
	for _, row := range []struct {
		name   string
		change func(*registration.FirstUse)
		wrong  bool
	}{
		{"whole", func(*registration.FirstUse) {}, false},
		{"RF-1 no mode", func(d *registration.FirstUse) { d.Mode = "" }, true},
		{"RU-2 no template", func(d *registration.FirstUse) { d.Templates = nil }, true},
		{"RU-2 no pattern", func(d *registration.FirstUse) { d.Templates[0].Allow = nil }, true},
		{"RU-3 no method", func(d *registration.FirstUse) { d.Templates[0].Methods = nil }, true},
		{"RU-3 two of one name", func(d *registration.FirstUse) { d.Templates = append(d.Templates, d.Templates[0]) }, true},
		{"RU-5 no bound", func(d *registration.FirstUse) { d.Quota.MaxClients = 0 }, true},
		{"RU-5 idle within the day", func(d *registration.FirstUse) { d.Quota.Idle = 24 * time.Hour }, true},
		{"RF-12 a pattern of another trust domain", func(d *registration.FirstUse) { d.TrustDomain = spiffeid.RequireTrustDomainFromString("other.test") }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := good()
			row.change(&d)
			if _, err := w.Registry(t).WithFirstUse([]registration.FirstUse{d}, nil); (err != nil) != row.wrong {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// FuzzAllow compares who is allowed with a comparison segment by segment (AK-6).
func FuzzAllow(f *testing.F) {
	for _, seed := range [][2]string{{"/client/*", "/client"}, {"/client/*", "/client/x"}, {"/client/*", "/client123"}, {"/client/*", "/client/a/b"}, {"/a", "/a"}, {"/*", "/x"}, {"/a/b/*", "/a/bc/d"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := svidgate.ParsePattern("spiffe://example.org" + pattern)
		if err != nil || !strings.HasPrefix(pattern, "/") {
			return
		}
		id, err := spiffeid.FromString("spiffe://example.org" + path)
		if err != nil || id.Path() == "" || !strings.HasPrefix(path, "/") {
			return
		}
		r, err := testRegistry(t).WithFirstUse([]registration.FirstUse{{
			TrustDomain: id.TrustDomain(), Mode: registration.OnFirstUse, Quota: registration.Quota{MaxClients: 1, Idle: registration.DefaultIdle},
			Templates: []registration.Template{{Name: "t", Allow: []svidgate.Pattern{p}, Methods: []oauth.AuthMethod{oauth.MethodJWT}}},
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, have := strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/")
		match := slices.Equal(want, have)
		if last := len(want) - 1; want[last] == "*" {
			match = len(have) > last && slices.Equal(want[:last], have[:last])
		}
		if name, _ := r.Template(id); (name != "") != match {
			t.Errorf("%q and %q: %v", pattern, path, name != "")
		}
	})
}

func testRegistry(t testing.TB) *registration.Registry {
	t.Helper()
	r, err := registration.New(nil, func(spiffeid.TrustDomain) svidgate.Profile { return svidgate.Transition })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBlockedPublicClient: a client that proves nothing can be blocked, too.
func TestBlockedPublicClient(t *testing.T) {
	f := newFleet(t, nil, registration.Metadata{ClientID: "app", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}, RedirectURIs: []string{"https://app.example.com/"}})
	claim, err := f.clients.Claim(testidentity.Request(t, testidentity.Certificate("app"), nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.PublicBlocked(); err != nil {
		t.Errorf("it is not blocked: %v", err)
	}
	if err := f.ledger.Block(t.Context(), registration.Block{Subject: "app"}); err != nil {
		t.Fatal(err)
	}
	refused(oauth.ReasonClientBlocked, "RU-8").Check(t, claim.PublicBlocked())
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
				db, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: w.Clock.Now})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				slow := &slowStore{Records: db, letGo: make(chan struct{})}
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
