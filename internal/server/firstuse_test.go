package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// newFirstUseSite is a site on which workloads below /fleet register on first use.
func newFirstUseSite(t *testing.T, mode registration.Mode) *site {
	t.Helper()
	pattern, err := svidgate.ParsePattern("spiffe://example.org/fleet/*")
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, func(c *Config) {
		ledger, err := registration.OpenLedger(t.Context(), c.Store.(registration.Records), c.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		c.Authenticator.Clients, err = c.Authenticator.Clients.WithFirstUse([]registration.FirstUse{{
			TrustDomain: spiffeid.RequireTrustDomainFromString("example.org"), Mode: mode,
			Quota:     registration.Quota{MaxClients: 3, Idle: registration.DefaultIdle},
			Templates: []registration.Template{{Name: "fleet", Allow: []svidgate.Pattern{pattern}, Methods: []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT}, Digest: [32]byte{7}}},
		}}, ledger)
		if err != nil {
			t.Fatal(err)
		}
		c.Policy = policy.New(policy.Config{
			Resources: c.Resources, Lifetime: policy.BearerLifetime,
			Clients:   []policy.Client{{ClientID: billing, GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api}, Scope: []string{"read"}}},
			Templates: []policy.Template{{Name: "fleet", GrantTypes: []oauth.GrantType{oauth.GrantClientCredentials}, Resources: []string{api}, Scope: []string{"read"}, Lifetime: time.Minute}},
		})
	})
}

// Ledger is that of the server in force.
func (s *site) Ledger() *registration.Ledger { return s.config.Authenticator.Clients.Ledger() }

const pod = "spiffe://example.org/fleet/pod-1"

// text is a member of an audit line.
func text(line map[string]any, name string) string { v, _ := line[name].(string); return v }

// RU-1, RU-7: a registration has a line of its own, before that of the request, with
// where it came from.
func TestRegistrationIsRecorded(t *testing.T) {
	s := newFirstUseSite(t, registration.OnFirstUse)
	assertion := s.JWT(t, pod)
	for range 2 {
		if w := post(s.server.Public(), testidentity.Assertion("", assertion), nil); w.Code != http.StatusOK {
			t.Fatalf("status %d %s", w.Code, w.Body)
		}
	}
	lines := s.lines(t)
	if len(lines) != 3 {
		t.Fatalf("%d lines: %v", len(lines), lines)
	}
	register, first, second := lines[0], lines[1], lines[2]
	if text(register, "event") != "register" || text(register, "outcome") != "granted" || text(register, "request_id") != text(first, "request_id") || text(register, "jti") != "" {
		t.Errorf("RU-7 the first line is %v", register)
	}
	digest := hexed([32]byte{7})
	for _, l := range lines {
		if text(l, "client_id") != pod || text(l, "spiffe_id") != pod || text(l, "template") != "fleet" || text(l, "template_sha256") != digest || l["proven"] != true || text(l, "svid_sha256") == "" || l["bundle_sequence"] == nil {
			t.Errorf("RU-7 %v", l)
		}
	}
	if text(first, "event") != "token" || text(first, "first_use") != "registered" || text(second, "first_use") != "known" || text(first, "policy_rule") != "template fleet" {
		t.Errorf("RU-1 %v\n%v", first, second)
	}
	if n := counted(t, s, "svidgate_registrations_total", "outcome", "registered"); n != 1 {
		t.Errorf("%v registrations are counted", n)
	}
}

// TK-9: what cannot be recorded did not happen, so the next request registers.
func TestUnrecordedRegistrationIsTakenBack(t *testing.T) {
	s := newFirstUseSite(t, registration.OnFirstUse)
	whole := s.config
	breakAudit(t, s)
	if w := post(s.server.Public(), testidentity.Assertion("", s.JWT(t, pod)), nil); w.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d", w.Code)
	}
	if seen, err := s.Ledger().Show(t.Context(), pod, 1); err != nil || seen.Known() {
		t.Errorf("a record nobody recorded is there: %+v, %v", seen, err)
	}
	var err error
	if s.server, err = New(whole, nil); err != nil {
		t.Fatal(err)
	}
	if w := post(s.server.Public(), testidentity.Assertion("", s.JWT(t, pod)), nil); w.Code != http.StatusOK {
		t.Fatalf("status %d %s", w.Code, w.Body)
	}
	lines := s.lines(t)
	if l := lines[len(lines)-2]; text(l, "event") != "register" {
		t.Errorf("the registration has no line: %v", lines)
	}
}

// TK-9: one that waited and could not be recorded as a client waits again.
func TestUnrecordedRiseIsTakenBack(t *testing.T) {
	s := newFirstUseSite(t, registration.OnFirstUse)
	records := s.config.Store.(registration.Records)
	waits := registration.Record{
		Kind: registration.FirstUseKind, State: registration.Pending, ClientID: pod, SPIFFEID: spiffeid.RequireFromString(pod), Methods: registration.MethodsOf(oauth.MethodJWT),
		Created: s.Clock.Now(), Used: s.Clock.Now(), Recorded: true, Provenance: registration.Provenance{Credential: oauth.MethodJWT, Template: "fleet"},
	}
	if _, _, err := records.RegisterClient(t.Context(), waits, registration.Quota{MaxClients: 3, Idle: registration.DefaultIdle}); err != nil {
		t.Fatal(err)
	}
	whole := s.config
	breakAudit(t, s)
	is := func(state registration.State, status int) {
		t.Helper()
		if w := post(s.server.Public(), testidentity.Assertion("", s.JWT(t, pod)), nil); w.Code != status {
			t.Fatalf("status %d %s", w.Code, w.Body)
		}
		if r, err := records.ClientRecord(t.Context(), registration.FirstUseKind, pod, pod); err != nil || r.State != state || state == registration.Pending && !r.Recorded {
			t.Errorf("it is %+v, %v; want %s", r, err, state)
		}
	}
	is(registration.Pending, http.StatusServiceUnavailable)
	var err error
	if s.server, err = New(whole, nil); err != nil {
		t.Fatal(err)
	}
	is(registration.Active, http.StatusOK)
}

// RU-7: a registration whose server did not live to record it gets its line at the
// next use, once; one that was recorded gets no second one, in whatever process.
func TestRegistrationIsRecordedLate(t *testing.T) {
	s := newFirstUseSite(t, registration.OnFirstUse)
	records := s.config.Store.(registration.Records)
	id := spiffeid.RequireFromString(pod)
	made := registration.Record{
		Kind: registration.FirstUseKind, State: registration.Active, ClientID: pod, SPIFFEID: id, Methods: registration.MethodsOf(oauth.MethodJWT), Created: s.Clock.Now(), Used: s.Clock.Now(),
		Provenance: registration.Provenance{Credential: oauth.MethodJWT, CredentialDigest: [32]byte{9}, Template: "before", TemplateDigest: [32]byte{8}},
	}
	if _, _, err := records.RegisterClient(t.Context(), made, registration.Quota{MaxClients: 3, Idle: registration.DefaultIdle}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ask := func(id string, events ...string) {
		t.Helper()
		before := len(s.lines(t))
		if w := post(s.server.Public(), testidentity.Assertion("", s.JWT(t, id)), nil); w.Code != http.StatusOK {
			t.Fatalf("status %d %s", w.Code, w.Body)
		}
		var got []string
		for _, l := range s.lines(t)[before:] {
			got = append(got, text(l, "event"))
		}
		if !slices.Equal(got, events) {
			t.Errorf("%s has the lines %v, want %v", id, got, events)
		}
	}
	ask(pod, "token") // who made it may be writing its line
	ask(pod+"-recorded", "register", "token")
	s.Clock.Advance(2 * time.Minute)
	ask(pod, "register", "token")
	lines := s.lines(t)
	if l := lines[len(lines)-2]; text(l, "outcome") != "granted" || text(l, "spiffe_id") != pod || text(l, "svid_sha256") != hexed([32]byte{9}) || text(l, "template") != "before" || text(l, "note") == "" {
		t.Errorf("RU-7 %v", l)
	}
	ask(pod, "token")
	ask(pod+"-recorded", "token")
	s.Ledger().Run(ended) // writes what waits
	for _, one := range []string{pod, pod + "-recorded"} {
		if r, err := records.ClientRecord(t.Context(), registration.FirstUseKind, one, one); err != nil || !r.Recorded {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// A first request that asks is recorded as one that was refused; where first use is
// only observed there is no second line, and the one there is says what would be.
func TestRefusedFirstUseIsRecorded(t *testing.T) {
	s := newFirstUseSite(t, registration.OnApproval)
	for range 2 {
		post(s.server.Public(), testidentity.Assertion(pod, s.JWT(t, pod)), nil)
	}
	lines := s.lines(t)
	if len(lines) != 3 || text(lines[0], "event") != "register" || text(lines[0], "outcome") != "refused" || text(lines[0], "reason") != "first_use_pending" || text(lines[0], "first_use") != "pending" {
		t.Fatalf("%v", lines)
	}
	for _, l := range lines[1:] {
		if text(l, "event") != "token" || text(l, "outcome") != "refused" || text(l, "reason") != "first_use_pending" || text(l, "first_use") != "pending" || text(l, "template") != "fleet" {
			t.Errorf("%v", l)
		}
	}

	s = newFirstUseSite(t, registration.OnPaper)
	post(s.server.Public(), testidentity.Assertion("", s.JWT(t, pod)), nil)
	post(s.server.Public(), testidentity.Assertion("", s.JWT(t, "spiffe://example.org/elsewhere")), nil)
	lines = s.lines(t)
	if len(lines) != 2 || text(lines[0], "reason") != "client_not_found" || text(lines[0], "first_use") != "would_register" || text(lines[0], "template") != "fleet" {
		t.Fatalf("%v", lines)
	}
	if text(lines[1], "reason") != "client_not_found" || text(lines[1], "first_use") != "would_refuse" || text(lines[1], "first_use_reason") != "first_use_denied" {
		t.Errorf("%v", lines[1])
	}
	if counted(t, s, "svidgate_registrations_total", "outcome", "would_register") != 1 || counted(t, s, "svidgate_registrations_total", "outcome", "would_refuse") != 1 {
		t.Error("they are not counted")
	}
}

// AK-10: a proof is used up by a request that waits for an operator, too, so the record
// says so; one that was refused before it was looked at is not.
func TestProofOfOneWhoWaits(t *testing.T) {
	s := newFirstUseSite(t, registration.OnApproval)
	attestation, holder := s.WIT(t, pod)
	proof := s.Proof(t, holder)
	send := func(clientID string) (int, map[string]any) {
		w := post(s.server.Public(), testidentity.Certificate(clientID), nil, attested(attestation, proof))
		return w.Code, s.last(t)
	}
	if status, line := send(billing); status != http.StatusUnauthorized || text(line, "proof") != "" {
		t.Errorf("another client's name: %d %v", status, line)
	}
	if status, line := send(pod); status != http.StatusUnauthorized || text(line, "reason") != "first_use_pending" || len(text(line, "proof")) != 64 {
		t.Errorf("PP-8 first: %d %v", status, line)
	}
	if status, line := send(pod); status != http.StatusUnauthorized || text(line, "reason") != "pop_replayed" {
		t.Errorf("PP-8 again: %d %v", status, line)
	}
	for _, line := range s.lines(t) {
		if text(line, "event") == "register" && text(line, "proof") != "" {
			t.Errorf("the proof is told twice: %v", line)
		}
	}
}
