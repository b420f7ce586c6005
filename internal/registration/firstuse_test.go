package registration_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

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
