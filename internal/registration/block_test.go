package registration_test

import (
	"errors"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

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
	if !there.blocked("wide", spiffeid.RequireFromString(one)) || there.blocked("wide", spiffeid.RequireFromString(two)) {
		t.Error("BlockOf says otherwise")
	}
	if err := here.ledger.Block(t.Context(), registration.Block{Subject: "wide"}); err != nil {
		t.Fatal(err)
	}
	try(here, "wide", two, blocked) // the client with all of its workloads
	if !here.blocked("wide", spiffeid.ID{}) {
		t.Error("BlockOf says otherwise")
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
		if f.blocked(job, id) != row.holds || f.blocked("fleet", id) != (row.subject == "fleet") {
			t.Errorf("with %s blocked, BlockOf says %v, and of fleet %v", row.subject, f.blocked(job, id), f.blocked("fleet", id))
		}
		if _, err := f.ledger.Approve(t.Context(), f.clients, id, "uid 0"); !errors.Is(err, approve) {
			t.Errorf("with %s blocked, approving gives %v", row.subject, err)
		}
		if err := f.ledger.Unblock(t.Context(), row.subject); err != nil {
			t.Fatal(err)
		}
	}
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
