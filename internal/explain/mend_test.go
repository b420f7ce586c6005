package explain

import (
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/oauth"
)

var both = []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}

// estate has clients of every kind.
func estate() Situation {
	s := example()
	jwt, x509 := both[:1], both[1:]
	s.Certificates = true
	s.Clients = []Client{
		{ID: "spiffe://example.org/billing", SPIFFEID: "spiffe://example.org/billing", Methods: jwt, Permits: both},
		{ID: "reports", SPIFFEID: "spiffe://example.org/reports", Methods: jwt, Permits: both},
		{ID: "fleet", SPIFFEID: "spiffe://example.org/ns/ci/*", Methods: x509, Permits: both},
		{ID: "batch", SPIFFEID: "spiffe://example.org/ns/batch/*", Methods: jwt, Permits: jwt},
		{ID: "batch-too", SPIFFEID: "spiffe://example.org/ns/batch/*", Methods: x509, Permits: both},
	}
	s.Covering = func(id string) (ids []string) {
		for _, c := range s.Clients {
			base, wildcard := strings.CutSuffix(c.SPIFFEID, "*")
			if id == c.SPIFFEID || wildcard && strings.HasPrefix(id, base) {
				ids = append(ids, c.ID)
			}
		}
		return ids
	}
	return s
}

const exampleOrg = "spiffe://example.org"

// CA-9, CA-10: no step gives the rights of one workload to another, and none ends in
// another refusal that is plain to see.
func TestMendClient(t *testing.T) {
	const (
		notFound, mismatch, method = oauth.ReasonClientNotFound, oauth.ReasonClientIDMismatch, oauth.ReasonMethodNotAllowed
		jwt, x509                  = oauth.MethodJWT, oauth.MethodX509
	)
	for _, c := range []struct {
		name         string
		reason       oauth.Reason
		rule         string
		method       oauth.AuthMethod
		clientID, id string
		edit, next   string // what they have
		says         string
	}{
		{"another case of a name's SPIFFE ID", mismatch, "CA-9", jwt, "reports", "/Reports", `at reports: spiffe_id: "spiffe://example.org/Reports"`, "svidgate reload", "write it so"},
		{"another workload than a name's", mismatch, "CA-9", jwt, "reports", "/payments", `clients: - {client_id: "spiffe://example.org/payments"`, "svidgate reload", "reports is the client of another workload"},
		{"another workload than a SPIFFE ID", mismatch, "CA-9", jwt, exampleOrg + "/billing", "/payments", `clients: - {client_id: "spiffe://example.org/payments"`, "svidgate reload", "by itself"},
		{"another case of a client_id that is a SPIFFE ID", mismatch, "CA-9", jwt, exampleOrg + "/billing", "/Billing", `clients: - {client_id: "spiffe://example.org/Billing"`, "svidgate reload", "by itself"},
		{"another workload than a wildcard's", mismatch, "CA-9", x509, "fleet", "/payments", "token_endpoint_auth_method: spiffe_x509", "svidgate reload", "by itself"},
		{"a workload of another client", mismatch, "CA-9", jwt, "reports", "/billing", "", "--spiffe-id spiffe://example.org/billing", "belongs to another client"},
		{"nobody's client_id, and a known workload", notFound, "CA-2", jwt, "reprots", "/reports", "", "--client-id reports", "belongs to another client"},
		{"nobody's client_id, and nobody's workload", notFound, "CA-2", jwt, "reprots", "/payments", `"spiffe://example.org/payments"`, "svidgate reload", "No client is reprots"},
		{"no client_id, and a wildcard", notFound, "CJ-10", x509, "", "/ns/ci/1", "", "--client-id fleet", "The request names no client"},
		{"the only one may not use the method", notFound, "CJ-10", jwt, "", "/ns/ci/1", "at fleet: auth_methods: [spiffe_x509, spiffe_jwt]", "svidgate reload", "fleet is meant to authenticate by spiffe_jwt"},
		{"one of two may use the method", notFound, "CJ-10", x509, "", "/ns/batch/1", "", "--client-id batch-too", "names no client"},
		{"another method", method, "CA-7", x509, "reports", "/reports", "at reports: auth_methods: [spiffe_jwt, spiffe_x509]", "svidgate reload", "in place of the methods it has"},
		{"another method, before the SVID was looked at", method, "CA-7", x509, "reports", "", "at reports: auth_methods: [spiffe_jwt, spiffe_x509]", "svidgate reload", ""},
		{"a method that check-config would refuse", method, "CA-7", x509, "batch", "/ns/batch/1", "", "--method spiffe_jwt --spiffe-id spiffe://example.org/ns/batch/1 --client-id batch", "profile does not allow spiffe_x509"},
		{"a shared secret", method, "CA-7", "", "reports", "", "", "--method spiffe_jwt --client-id reports", "authenticates by spiffe_jwt"},
		{"a profile that wants the SPIFFE ID", mismatch, "CX-3", jwt, "reports", "/billing", "", "--spiffe-id spiffe://example.org/billing", "Send the SPIFFE ID"},
		{"and nobody has it", mismatch, "CX-3", x509, "reports", "/reports", `clients: - {client_id: "spiffe://example.org/reports"`, "svidgate reload", ""},
		{"and it may not use the method", mismatch, "CX-3", x509, "reports", "/billing", "at spiffe://example.org/billing: auth_methods:", "svidgate reload", ""},
		{"a profile without wildcards", mismatch, "MD-20", x509, "fleet", "/ns/ci/1", `clients: - {client_id: "spiffe://example.org/ns/ci/1"`, "svidgate reload", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := refusedBy(oauth.Refuse(oauth.InvalidClient, c.reason, c.rule, "", ""), "")
			v.Method, v.ClientID = c.method, c.clientID
			if c.id != "" {
				v.Subject = exampleOrg + c.id
			}
			r := New(credential.Credential{}, v, estate(), noon)
			edit := ""
			if r.Edit != nil {
				edit = r.Edit.Under + ": " + r.Edit.Write
			}
			if !strings.Contains(edit, c.edit) || c.edit == "" && edit != "" || !strings.Contains(r.Next, c.next) || !strings.Contains(r.Advice, c.says) {
				t.Errorf("advice %q\nedit %q\nnext %q", r.Advice, edit, r.Next)
			}
			if token := strings.HasPrefix(r.Next, "svidgate token"); token != (r.Where == "where the workload runs") {
				t.Errorf("%q %s", r.Next, r.Where)
			}
		})
	}
}

// An edit is written out whole or not at all.
func TestEditIsWhole(t *testing.T) {
	for id, whole := range map[string]bool{
		exampleOrg + "/" + strings.Repeat("a", 150): true,
		exampleOrg + "/" + strings.Repeat("a", 250): false,
		exampleOrg + "/eyJhbGciOiJFUzI1NiJ9":        false,
	} {
		step := next(estate(), subject{reason: oauth.ReasonClientNotFound, rule: "CJ-10", method: oauth.MethodJWT, spiffeID: id}, nil)
		if (step.Edit != nil) != whole || strings.Contains(step.Advice, "written out") == whole {
			t.Errorf("%d bytes: %+v", len(id), step)
		}
	}
	// Nor is what is no SPIFFE ID, though it begins like one.
	for id, can := range map[string]bool{"spiffe://example.org/new": true, "spiffe://example.org/new one": false, "spiffe://example.org": false, exampleOrg + "/" + strings.Repeat("a", 250): false} {
		if step := next(estate(), subject{reason: oauth.ReasonClientNotFound, rule: "CA-2", clientID: id}, nil); (step.Edit != nil) != can {
			t.Errorf("%s: %+v", id, step)
		}
	}
}

// A method that no listener serves is not offered.
func TestMendWithoutCertificates(t *testing.T) {
	for _, certificates := range []bool{true, false} {
		s := estate()
		s.Certificates = certificates
		if !certificates {
			for i := range s.Clients {
				s.Clients[i].Permits = both[:1]
			}
		}
		for id, clientID := range map[string]string{"/reports": "reports", "/payments": ""} {
			about := subject{reason: oauth.ReasonMethodNotAllowed, rule: "CA-7", method: oauth.MethodX509, spiffeID: exampleOrg + id, clientID: clientID, covering: s.covering(exampleOrg + id)}
			step := next(s, about, nil)
			if (step.Edit != nil) != certificates || strings.Contains(step.Advice, "listen.mtls") == certificates {
				t.Errorf("certificates %t: %+v", certificates, step)
			}
		}
	}
}

// An acceptance whose client is open names one that may use the method, or says that
// there is none.
func TestOpenClient(t *testing.T) {
	for _, c := range []struct {
		method     oauth.AuthMethod
		next, note string
		edit       bool
	}{
		{oauth.MethodX509, "--client-id fleet", "the one client that this SPIFFE ID belongs to", false},
		{oauth.MethodJWT, "svidgate reload", "which may not authenticate by spiffe_jwt", true},
	} {
		v := Verdict{ClientIDOpen: true}
		v.Method, v.Subject = c.method, exampleOrg+"/ns/ci/1"
		r := New(credential.Credential{}, v, estate(), noon)
		if !r.Accepted || !strings.Contains(r.Next, c.next) || (r.Edit != nil) != c.edit || !strings.Contains(strings.Join(r.Notes, "\n"), c.note) {
			t.Errorf("%s: %+v, %q", c.method, r.Step, r.Notes)
		}
	}
}

// Nothing is said to differ where a wildcard stands for the SPIFFE ID, and a name is
// near only where somebody could have meant it.
func TestNearestIsNear(t *testing.T) {
	s := estate()
	v := refusedBy(oauth.Refuse(oauth.InvalidClient, oauth.ReasonClientNotFound, "CJ-10", "", ""), exampleOrg+"/ns/ci/1")
	v.Method = oauth.MethodX509
	r := New(credential.Credential{}, v, s, noon)
	if n := r.Nearest.Client; n == nil || n.ClientID != "fleet" || n.Difference != nil || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "names no client") }) {
		t.Errorf("%+v, %q", n, r.Notes)
	}
	var text strings.Builder
	if r.Write(&text); !strings.Contains(text.String(), "it stands for the SPIFFE ID presented") {
		t.Error(text.String())
	}
	clients := []Client{{ID: "ci"}, {ID: "payments"}}
	for named, want := range map[string]string{"paymants": "payments", "CI": "ci", "nobody": "", "cinema": "", "pay": ""} {
		got := ""
		if n := nearClientID(clients, nil, named); n != nil {
			got = n.ClientID
		}
		if got != want {
			t.Errorf("%s: %q, want %q", named, got, want)
		}
	}
}

// A decision and a credential come to the same step.
func TestDecisionStep(t *testing.T) {
	s := estate()
	for _, c := range []struct{ name, line, next, edit string }{
		{"the client of the SPIFFE ID", `{"reason":"client_id_mismatch","rule":"CA-9","client_id":"reports","spiffe_id":"spiffe://example.org/ns/ci/1","auth_method":"spiffe_x509"}`, "--client-id fleet", ""},
		{"another workload", `{"reason":"client_id_mismatch","rule":"CA-9","client_id":"reports","spiffe_id":"spiffe://example.org/payments","auth_method":"spiffe_jwt"}`, "svidgate reload", `- {client_id: "spiffe://example.org/payments"`},
		{"nobody", `{"reason":"client_not_found","rule":"CA-2","client_id":"nobody"}`, "svidgate token --issuer https://as.example.com", ""},
		{"a policy", `{"reason":"scope_denied","rule":"TK-5","client_id":"reports","spiffe_id":"spiffe://example.org/reports"}`, "", ""},
		{"a code", `{"event":"token","reason":"code_expired","rule":"AZ-6","client_id":"reports","spiffe_id":"spiffe://example.org/reports","proven":true,"auth_method":"spiffe_jwt"}`, "", ""},
		{"a redirect URI", `{"event":"authorize","reason":"redirect_uri_mismatch","rule":"RD-1","client_id":"reports"}`, "", ""},
		{"a client that a browser names", `{"event":"authorize","reason":"client_not_found","rule":"AZ-8","client_id":"nobody"}`, "", ""},
		{"a token of another client", `{"event":"revoke","reason":"token_not_yours","rule":"RV-1","client_id":"app","auth_method":"none"}`, "", ""},
		{"clocks", `{"time":"2026-12-01T12:00:00.5Z","reason":"not_yet_valid","rule":"JS-10","presented":"iat 2026-12-01T12:01:30Z, in 1m30s; nbf 2026-12-01T12:01:00Z, in 1m","spiffe_id":"spiffe://example.org/reports","auth_method":"spiffe_jwt"}`, "svidgate reload", "svid: {leeway: 120s}"},
		{"clocks too far apart", `{"time":"2026-12-01T12:00:00Z","reason":"not_yet_valid","rule":"JS-10","presented":"iat 2026-12-01T13:00:00Z, in 1h","spiffe_id":"spiffe://example.org/reports","auth_method":"spiffe_jwt"}`, "date -u", ""},
		{"the clock behind a certificate", `{"time":"2026-12-01T12:00:00Z","reason":"not_yet_valid","rule":"XS-22","presented":"from 2026-12-01T12:01:00Z (in 1m) to 2026-12-01T13:00:00Z (in 1h)","spiffe_id":"spiffe://example.org/reports","auth_method":"spiffe_x509"}`, "date -u", ""},
	} {
		d, err := NewDecision([]byte(c.line), nil, s)
		edit := ""
		if d.Edit != nil {
			edit = d.Edit.Write
		}
		if err != nil || !strings.HasSuffix(d.Next, c.next) && !strings.HasPrefix(d.Next, c.next) || c.next == "" && d.Next != "" || !strings.Contains(edit, c.edit) || c.edit == "" && edit != "" {
			t.Errorf("%s: %v, %+v, edit %q", c.name, err, d.Step, edit)
		}
		if strings.Contains(c.name, "clock") && !strings.Contains(d.Advice, " ahead of this one") {
			t.Errorf("%s: %s", c.name, d.Advice)
		}
	}
}
