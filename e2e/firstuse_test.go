package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

const firstUseConfig = `
store: sqlite:svidgate.db
resources:
  - {resource: https://api.example.com/, scopes: [read, write]}
  - {resource: https://ledger.example.com/, scopes: [audit]}
clients:
  - {client_id: fleet, spiffe_id: "spiffe://lab.test/pods/*", auth_methods: [spiffe_jwt], resources: ["https://api.example.com/"], scope: read}
  - {client_id: static, spiffe_id: "spiffe://lab.test/ns/ci/static", auth_methods: [spiffe_jwt], resources: ["https://ledger.example.com/"], scope: audit}
`

// registering is the contract's example: the trust domain and its server.
func registering(t *testing.T, registration string, config ...string) (*server, *domain) {
	t.Helper()
	td := newFileDomain(t, "lab.test", devca.Options{WIT: true})
	td.more = ", registration: {" + registration + "}"
	s := prepare(t, firstUseConfig+strings.Join(config, "")+adminAt(shortFolder(t)), td)
	s.run(t)
	return s, td
}

const contract = `mode: first_use, allow: ["/ns/ci/*"], deny: ["/ns/ci/legacy/*"], grants: [client_credentials], resources: ["https://api.example.com/"], scope: read, max_clients: 10000`

// registrations are the lines of registrations in the audit record.
func (s *server) registrations(t *testing.T, spiffeID string) (found []line) {
	t.Helper()
	for _, l := range s.record.find(t, "spiffe_id", spiffeID) {
		if l.text("event") == audit.EventRegister {
			found = append(found, l)
		}
	}
	return found
}

// unknown checks that the server knows nothing of an id.
func (s *server) unknown(t *testing.T, id string) {
	t.Helper()
	if sight, err := s.admin(t).ShowClient(t.Context(), id); err == nil {
		t.Errorf("RU-2 there is a record of %s: %+v", id, sight)
	}
}

// TestFirstUse: one request on an empty store gets a token (RU-1), a refused one
// leaves nothing (RU-2), nothing in a request widens what the template gives (RU-3),
// and a restart keeps what there is (RU-9).
func TestFirstUse(t *testing.T) {
	t.Parallel()
	s, td := registering(t, contract)
	job := td.id("/ns/ci/job")

	g := s.granted(t, withJWT("", td.jwt(t, "/ns/ci/job", issuer)))
	if g.claim("client_id") != job || g.claim("sub") != job || g.claim("scope") != "read" || g.claim("aud") != "https://api.example.com/" {
		t.Errorf("RU-1, RF-3 the token says %v", g.claims)
	}
	if r := s.registrations(t, job); len(r) != 1 || r[0].text("request_id") != g.id || r[0].text("auth_method") != "spiffe_jwt" || r[0].text("svid_sha256") == "" || r[0].text("template") != "lab.test" || r[0]["bundle_sequence"] == nil || g.audit.text("first_use") != "registered" {
		t.Errorf("RU-7 registered by %v, and the token's line is %v", r, g.audit)
	}
	g = s.granted(t, withJWT(job, td.jwt(t, "/ns/ci/job", issuer)))
	if g.audit.text("first_use") != "known" || len(s.registrations(t, job)) != 1 {
		t.Errorf("RF-3 the second request has %v", g.audit)
	}
	g = s.granted(t, call{cert: td.svid(t, "/ns/ci/x509"), form: form("client_id", td.id("/ns/ci/x509"))})
	if g.thumbprint() == "" || g.audit.text("first_use") != "registered" {
		t.Errorf("RF-2 by certificate: %v", g.claims)
	}
	s.granted(t, withJWT("", td.jwt(t, "/ns/ci/static", issuer))) // a client of the configuration
	if g := s.granted(t, withJWT("fleet", td.jwt(t, "/pods/1", issuer))); g.audit.text("first_use") != "" || g.claim("client_id") != "fleet" {
		t.Errorf("a client of the configuration: %v", g.audit)
	}

	for _, row := range []struct {
		name, path, clientID string
		edit                 func(*call)
		want                 refusal
	}{
		{"RU-2 outside of the pattern", "/ns/cd/job", "", nil, refusal{"invalid_client", oauth.ReasonFirstUseDenied, "RU-2"}},
		{"AK-6 a prefix that is no segment", "/ns/ci2/job", "", nil, refusal{"invalid_client", oauth.ReasonFirstUseDenied, "RU-2"}},
		{"AK-6 the prefix itself", "/ns/ci", "", nil, refusal{"invalid_client", oauth.ReasonFirstUseDenied, "RU-2"}},
		{"RU-2 denied", "/ns/ci/legacy/tool", "", nil, refusal{"invalid_client", oauth.ReasonFirstUseDenied, "RU-2"}},
		{"RF-12 another client_id", "/ns/ci/new", td.id("/ns/ci/other"), nil, refusal{"invalid_client", oauth.ReasonClientIDMismatch, "RF-12"}},
		{"RF-12 a wildcard as client_id", "/ns/ci/new", td.id("/ns/ci/*"), nil, refusal{"invalid_client", oauth.ReasonClientNotFound, "CA-2"}},
		{"RU-2 a signature that is not", "/ns/ci/new", "", func(c *call) {
			a := c.form.Get("client_assertion")
			c.set("client_assertion", a[:len(a)-8]+"AAAAAAAA")
		}, refusal{"invalid_client", oauth.ReasonSignatureBad, "JS-12"}},
		{"RU-2 an audience that is not", "/ns/ci/new", "", func(c *call) { c.set("client_assertion", td.jwt(t, "/ns/ci/new", issuer+"/")) }, refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"}},
		{"TK-3 a certificate of another", "/ns/ci/new", "", func(c *call) { c.cert = td.svid(t, "/ns/ci/other") }, refusal{"invalid_request", oauth.ReasonMixedCredentials, "TK-3"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := withJWT(row.clientID, td.jwt(t, row.path, issuer))
			if row.edit != nil {
				row.edit(&c)
			}
			s.refused(t, c, row.want)
			s.unknown(t, td.id(row.path))
			s.unknown(t, td.id("/ns/ci/other"))
		})
	}
	s.each(t, func() call { return withJWT("", td.jwt(t, "/ns/ci/wide", issuer)) }, []row{
		{"RU-3 scope beyond the template", nil, func(c *call) { c.set("scope", "read write") }, refusal{"invalid_scope", oauth.ReasonScopeDenied, "CC-4"}},
		{"RU-3 another resource", nil, func(c *call) { c.set("resource", "https://ledger.example.com/") }, refusal{"invalid_target", oauth.ReasonResourceDenied, "CC-4"}},
		{"RU-3 another grant", nil, func(c *call) { c.set("grant_type", "authorization_code") }, refusal{"unsupported_grant_type", oauth.ReasonGrantUnsupported, "TK-1"}},
	})

	s.stop(t)
	s.run(t)
	if g := s.granted(t, withJWT("", td.jwt(t, "/ns/ci/job", issuer))); g.audit.text("first_use") != "known" {
		t.Errorf("RU-9 after a restart %v", g.audit)
	}
	shown := asJSON[admin.ClientSight](t, s, "client", "show", job)
	if shown.Client == nil || shown.Client.State != "active" || shown.Client.Provenance.Credential != "spiffe_jwt" || shown.Client.Provenance.CredentialDigest == "" || len(shown.Client.Provenance.TemplateDigest) != 64 || *shown.Client.Provenance.BundleSequence != 1 {
		t.Errorf("RU-7 shown is %+v", shown.Client)
	}
	until(t, "the metric of clients", func() bool { return s.metric(t, `svidgate_clients{state="active",trust_domain="lab.test"}`) == 3 })
}

// TestFirstUseAtOnce: RU-4, AK-26: of 1,000 first calls of one workload one registers
// it, and all get a token; and many workloads at once are as many clients.
func TestFirstUseAtOnce(t *testing.T) {
	t.Parallel()
	s, td := registering(t, contract)
	const connections, each, many = 50, 20, 300
	same := make([]call, each)
	for i := range same {
		same[i] = withJWT("", td.jwt(t, "/ns/ci/one", issuer))
	}
	send := func(batches [][]call) {
		t.Helper()
		var group sync.WaitGroup
		start := make(chan struct{})
		for _, calls := range batches {
			p := s.pipeFrom(t, "127.0.0.1")
			if _, err := p.send(call{method: http.MethodGet, target: oauth.PathJWKS}); err != nil { // a connection may not rest before its first request
				t.Error(err)
			}
			group.Go(func() {
				<-start
				statuses, err := p.send(calls...)
				if err != nil || slices.ContainsFunc(statuses, func(status int) bool { return status != 200 }) {
					t.Errorf("statuses %v, %v", statuses, err)
				}
				s.decisions(len(statuses))
			})
		}
		close(start)
		group.Wait()
	}
	send(slices.Repeat([][]call{same}, connections))
	one := td.id("/ns/ci/one")
	if r := s.registrations(t, one); len(r) != 1 {
		t.Errorf("RU-4 %d registrations", len(r))
	}
	if page, err := s.admin(t).Clients(t.Context(), admin.ClientFilter{}); err != nil || len(page.Clients) != 1 || page.Clients[0].SPIFFEID != one {
		t.Errorf("RU-4 %+v, %v", page, err)
	}
	if n := s.metric(t, `svidgate_registrations_total{outcome="registered",trust_domain="lab.test"}`); n != 1 {
		t.Errorf("%v are counted", n)
	}

	var batches [][]call
	for i := 0; i < many; i += each {
		var calls []call
		for j := range each {
			calls = append(calls, withJWT("", td.jwt(t, fmt.Sprintf("/ns/ci/job-%03d", i+j), issuer)))
		}
		batches = append(batches, calls)
	}
	send(batches)
	registered := map[string]bool{}
	for _, l := range s.record.find(t, "event", audit.EventRegister) {
		registered[l.text("spiffe_id")] = true
	}
	if len(registered) != many+1 {
		t.Errorf("RU-9 %d workloads registered", len(registered))
	}
	// The list comes in parts, and whole.
	out := s.done(t, "client", "list", "--trust-domain", "lab.test")
	if n := strings.Count(out, "\n"); n != many+2 {
		t.Errorf("the list has %d lines", n)
	}
	if page := asJSON[admin.ClientPage](t, s, "client", "list", "--limit", "7"); len(page.Clients) != 7 || page.Next == "" {
		t.Errorf("a part of the list: %d, %q", len(page.Clients), page.Next)
	}
}

// TestClientCommands: RU-6, RU-8, RF-11: what an operator does to clients, at once
// and over a restart, and one audit line for each.
func TestClientCommands(t *testing.T) {
	t.Parallel()
	s, td := registering(t, contract)
	job, pod := td.id("/ns/ci/job"), func(i int) string { return fmt.Sprintf("/pods/%d", i) }
	ask := func(clientID, path string) call { return withJWT(clientID, td.jwt(t, path, issuer)) }
	blocked := refusal{"invalid_client", oauth.ReasonClientBlocked, "RU-8"}
	deleted := refusal{"invalid_client", oauth.ReasonFirstUseDenied, "RU-6"}
	s.granted(t, ask("", "/ns/ci/job"))

	t.Run("F35 one pod of a hundred", func(t *testing.T) {
		for i := range 100 {
			s.granted(t, ask("fleet", pod(i)))
		}
		ids := map[string]bool{}
		for _, l := range s.record.find(t, "client_id", "fleet") {
			ids[l.text("spiffe_id")] = true
		}
		if len(ids) != 100 {
			t.Errorf("F35 the audit record has %d workloads", len(ids))
		}
		until(t, "a record of each pod", func() bool {
			page, err := s.admin(t).Clients(t.Context(), admin.ClientFilter{ClientID: "fleet"})
			return err == nil && len(page.Clients) == 100
		})
		if out := s.done(t, "client", "block", td.id(pod(7)), "--reason", "its key leaked"); !strings.Contains(out, "is blocked") || strings.Contains(out, "in memory") {
			t.Errorf("it says %s", out)
		}
		s.refused(t, ask("fleet", pod(7)), blocked)
		for _, i := range []int{0, 6, 8, 70, 77} {
			s.granted(t, ask("fleet", pod(i)))
		}
		if out := s.done(t, "client", "list", "--state", "blocked"); !strings.Contains(out, td.id(pod(7))) || !strings.Contains(out, "its key leaked") {
			t.Errorf("blocked are %s", out)
		}
		if out := s.done(t, "client", "show", td.id(pod(7))); !strings.Contains(out, "its key leaked") || !strings.Contains(out, "fleet") {
			t.Errorf("shown is %s", out)
		}
	})
	t.Run("a whole client", func(t *testing.T) {
		s.done(t, "client", "block", "fleet")
		s.refused(t, ask("fleet", pod(1)), blocked)
		s.done(t, "client", "unblock", "fleet")
		s.granted(t, ask("fleet", pod(1)))
		s.refused(t, ask("fleet", pod(7)), blocked) // by its own name
		s.refuses(t, "it is not blocked", "client", "unblock", "fleet")
		s.refuses(t, "a reason is one line", "client", "block", "fleet", "--reason", "a\nb")
		s.refuses(t, "nothing is known of it: name a client_id of the configuration, or a workload's SPIFFE ID", "client", "block", "fleeet")
	})
	t.Run("RU-6 deleted", func(t *testing.T) {
		s.refuses(t, "client of the configuration", "client", "delete", "static")
		s.done(t, "client", "delete", job, "--reason", "gone")
		s.refused(t, ask("", "/ns/ci/job"), deleted)
		s.refused(t, ask(job, "/ns/ci/job"), deleted)
		s.refuses(t, "`svidgate client approve` makes it a client again", "client", "unblock", job)
		s.done(t, "client", "block", job) // and blocked before anybody asks
		s.refused(t, ask("", "/ns/ci/job"), blocked)
	})
	s.stop(t)
	s.run(t)
	t.Run("RF-11 after a restart", func(t *testing.T) {
		s.refused(t, ask("fleet", pod(7)), blocked)
		s.refused(t, ask("", "/ns/ci/job"), blocked)
		s.refuses(t, "`svidgate client unblock` ends that", "client", "approve", job)
		s.done(t, "client", "unblock", job)
		s.refused(t, ask("", "/ns/ci/job"), deleted)
		if out := s.done(t, "client", "approve", job); !strings.Contains(out, "by template lab.test") {
			t.Errorf("it says %s", out)
		}
		if g := s.granted(t, ask("", "/ns/ci/job")); g.audit.text("first_use") != "known" {
			t.Errorf("%v", g.audit)
		}
		s.refuses(t, "does not let it register on first use", "client", "approve", td.id("/elsewhere"))
		s.refuses(t, "has not asked yet", "client", "approve", td.id("/ns/ci/nobody"))
		s.refuses(t, "a client of the configuration has this SPIFFE ID", "client", "approve", td.id("/ns/ci/static"))
	})
	for event, want := range map[string]int{audit.EventClientBlock: 3, audit.EventClientUnblock: 2, audit.EventClientDelete: 1, audit.EventClientApprove: 1} {
		lines := s.record.find(t, "event", event)
		if len(lines) != want {
			t.Errorf("%s has %d lines", event, len(lines))
		}
		for _, l := range lines {
			if !strings.Contains(l.text("source"), "admin socket, uid ") || l.text("client_id") == "" {
				t.Errorf("%s does not say who or whom: %v", event, l)
			}
		}
	}
}

// TestFirstUseModes: an operator agrees, or only looks.
func TestFirstUseModes(t *testing.T) {
	t.Parallel()
	s, td := registering(t, strings.Replace(contract, "first_use", "approve", 1))
	job := td.id("/ns/ci/job")
	ask := func() call { return withJWT("", td.jwt(t, "/ns/ci/job", issuer)) }
	pending := refusal{"invalid_client", oauth.ReasonFirstUsePending, "RU-5"}
	s.refused(t, ask(), pending)
	s.refused(t, ask(), pending)
	if r := s.registrations(t, job); len(r) != 1 || r[0].text("outcome") != "refused" || r[0].text("first_use") != "pending" {
		t.Errorf("%v", r)
	}
	if out := s.done(t, "client", "list", "--state", "pending"); !strings.Contains(out, job) {
		t.Errorf("pending are %s", out)
	}
	s.done(t, "client", "approve", job)
	s.granted(t, ask())

	s, td = registering(t, strings.Replace(contract, "first_use", "observe", 1))
	a := s.refused(t, asJob(t, td, "/ns/ci/job"), refusal{"invalid_client", oauth.ReasonClientNotFound, "CJ-10"})
	if a.audit.text("first_use") != "would_register" || a.audit.text("template") != "lab.test" || len(s.registrations(t, job)) != 0 {
		t.Errorf("%v", a.audit)
	}
	a = s.refused(t, asJob(t, td, "/ns/cd/job"), refusal{"invalid_client", oauth.ReasonClientNotFound, "CJ-10"})
	if a.audit.text("first_use") != "would_refuse" || a.audit.text("first_use_reason") != "first_use_denied" {
		t.Errorf("%v", a.audit)
	}
	if out := s.done(t, "client", "list"); !strings.Contains(out, job) || !strings.Contains(out, "observed") || strings.Contains(out, "/ns/cd/job") {
		t.Errorf("observed are %s", out)
	}
	if s.metric(t, `svidgate_registrations_total{outcome="would_register",trust_domain="lab.test"}`) != 1 {
		t.Error("it is not counted")
	}
}

// asJob is a request with a JWT-SVID and without client_id.
func asJob(t *testing.T, td *domain, path string) call {
	return withJWT("", td.jwt(t, path, issuer))
}

// TestFirstUseQuota: RU-5, and a reload that takes registration away takes what it
// gave.
func TestFirstUseQuota(t *testing.T) {
	t.Parallel()
	s, td := registering(t, strings.Replace(contract, "max_clients: 10000", "max_clients: 3", 1))
	for i := range 3 {
		s.granted(t, asJob(t, td, fmt.Sprintf("/ns/ci/%d", i)))
	}
	quota := refusal{"invalid_client", oauth.ReasonFirstUseQuota, "RU-5"}
	s.refused(t, asJob(t, td, "/ns/ci/3"), quota)
	s.refused(t, asJob(t, td, "/ns/ci/4"), quota)
	s.unknown(t, td.id("/ns/ci/3"))
	s.granted(t, asJob(t, td, "/ns/ci/0"))
	s.granted(t, withJWT("", td.jwt(t, "/ns/ci/static", issuer)))
	s.done(t, "client", "delete", td.id("/ns/ci/0"))
	s.granted(t, asJob(t, td, "/ns/ci/3"))

	// A change is looked at before it is in force.
	file := filepath.Join(s.dir, "svidgate.yaml")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plan := func(from, to string, want int) (p admin.Plan) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, "next.yaml"), []byte(strings.Replace(string(before), from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := s.operator(t, "plan", "--config", filepath.Join(s.dir, "next.yaml"), "--json")
		if code != want || code < 2 && json.Unmarshal([]byte(out), &p) != nil {
			t.Fatalf("plan: code %d, want %d: %s%s", code, want, out, errs)
		}
		return p
	}
	if p := plan("", "", 0); p.CutOff+p.Loses+p.Gains+p.Changes != 0 || p.Same != 5 {
		t.Errorf("nothing changes: %+v", p)
	}
	if p := plan("scope: read, max_clients", "scope: write, max_clients", 0); p.Changes != 3 || p.Clients[0].Kind != "first_use" || !slices.Contains(p.Clients[0].Why, "loses scope read") {
		t.Errorf("another scope: %+v", p)
	}
	if p := plan("scope: read, max_clients", "scope: read write, max_clients", 0); p.Gains != 3 {
		t.Errorf("more scope: %+v", p)
	}
	if p := plan("scope: read, max_clients", "max_clients", 0); p.Loses != 3 {
		t.Errorf("less scope: %+v", p)
	}
	if p := plan(`deny: ["/ns/ci/legacy/*"]`, `deny: ["/ns/ci/3"]`, 1); p.CutOff != 1 || p.Clients[0].SPIFFEID != td.id("/ns/ci/3") {
		t.Errorf("one is denied: %+v", p)
	}
	if p := plan("  - {client_id: static", "  - {client_id: other", 1); p.CutOff != 1 || p.Clients[0].ClientID != "static" {
		t.Errorf("a client of the configuration: %+v", p)
	}
	if out, errs, code := s.operator(t, "plan", "--config", filepath.Join(s.dir, "next.yaml")); code != 1 || errs != "" ||
		!strings.HasPrefix(out, "cut off  static (spiffe://lab.test/ns/ci/static)") || !strings.Contains(out, "\n1 cut off, 0 lose, ") {
		t.Errorf("in words: code %d, %s%s", code, out, errs)
	}
	plan("mode: first_use", "mode: always", 2)
	gone := ", registration: {" + strings.Replace(contract, "max_clients: 10000", "max_clients: 3", 1) + "}"
	if p := plan(gone, "", 1); p.CutOff != 3 {
		t.Errorf("nobody registers any more: %+v", p)
	}
	s.replace(t, "svidgate.yaml", []byte(strings.Replace(string(before), gone, "", 1)))
	s.done(t, "reload")
	s.refused(t, asJob(t, td, "/ns/ci/1"), refusal{"invalid_client", oauth.ReasonClientNotFound, "CJ-10"})
	s.granted(t, withJWT("", td.jwt(t, "/ns/ci/static", issuer)))
}

// TestExplainOfFirstUse: explain says what first use would, and registers nobody.
func TestExplainOfFirstUse(t *testing.T) {
	t.Parallel()
	s, td := registering(t, contract)
	dir := t.TempDir()
	for path, want := range map[string]int{"/ns/ci/job": 0, "/ns/ci/legacy/x": 1} {
		file := filepath.Join(dir, "svid")
		if err := os.WriteFile(file, []byte(td.jwt(t, path, issuer)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := s.operator(t, "explain", file)
		if code != want || want == 1 && !strings.Contains(out, "first_use_denied") {
			t.Errorf("%s: code %d, %s%s", path, code, out, errs)
		}
		s.unknown(t, td.id(path))
	}
}
