package registration_test

import (
	"log/slog"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
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

func (f *fleet) blocked(clientID string, id spiffeid.ID) bool {
	_, blocked := f.clients.BlockOf(clientID, id)
	return blocked
}

// count is how many there are of example.org.
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
