package registration_test

import (
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

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
