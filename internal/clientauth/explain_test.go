package clientauth_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

func wildcard(t testing.TB, id, pattern string, methods ...oauth.AuthMethod) registration.Metadata {
	t.Helper()
	p, err := svidgate.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return registration.Metadata{ClientID: id, SPIFFEID: p, AuthMethods: methods}
}

const (
	worker  = "spiffe://example.org/ns/ci/worker"
	twin    = "spiffe://example.org/twin"
	nobody  = "spiffe://example.org/nobody"
	unready = "spiffe://not-ready.test/a"
)

func explainSite(t testing.TB) *site {
	t.Helper()
	return newSite(t, client(billing, oauth.MethodJWT), client(orders, oauth.MethodX509), client(unready, oauth.MethodJWT),
		wildcard(t, "fleet", "spiffe://example.org/ns/ci/*", oauth.MethodJWT, oauth.MethodX509),
		wildcard(t, "twin-a", twin, oauth.MethodJWT), wildcard(t, "twin-b", twin, oauth.MethodJWT))
}

// What Explain says of a credential and a client_id is what Authenticate says of
// the request with them.
func TestExplainIsWhatAuthenticateSays(t *testing.T) {
	s := explainSite(t)
	for _, id := range []string{billing, orders, worker, twin, nobody, unready} {
		for _, clientID := range []string{"", id, billing, orders, "fleet", "twin-a", "unknown"} {
			for _, defect := range []struct {
				name   string
				claims func(h, c map[string]any)
				cert   func(*x509.Certificate)
			}{
				{"none", func(_, _ map[string]any) {}, func(*x509.Certificate) {}},
				{"expired", func(_, c map[string]any) { c["exp"] = 1 }, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(-1e9) }},
				{"another audience", func(_, c map[string]any) { c["aud"] = "x" }, func(c *x509.Certificate) { c.KeyUsage = 0 }},
				{"an unknown kid", func(h, _ map[string]any) { h["kid"] = "x" }, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }},
				{"too large", func(_, c map[string]any) { c["x"] = strings.Repeat("x", oauth.MaxJWT) }, func(*x509.Certificate) {}},
			} {
				t.Run(fmt.Sprintf("%s by %q, %s", id, clientID, defect.name), func(t *testing.T) {
					token := s.JWT(t, id, defect.claims)
					if defect.name != "too large" { // which is refused before a client is looked for, by tokenrequest
						_, err := s.authenticate(t, testidentity.Request(t, testidentity.Assertion(clientID, token), nil))
						same(t, s.auth.Explain(t.Context(), clientauth.Question{Assertion: token, EndpointURL: testidentity.TokenURL, ClientID: clientID, ClientIDSaid: true}), err)
					} else if a := s.auth.Explain(t.Context(), clientauth.Question{Assertion: token, ClientID: clientID, ClientIDSaid: true}); a.Refusal == nil || a.Refusal.Rule != "GL-8" {
						t.Errorf("%v", a.Refusal)
					}
					chain := s.Chain(t, id, defect.cert)
					_, err := s.authenticate(t, testidentity.Request(t, testidentity.Certificate(clientID), chain))
					same(t, s.auth.Explain(t.Context(), clientauth.Question{Certificates: chain, ClientID: clientID, ClientIDSaid: true}), err)
				})
			}
		}
	}
}

func same(t *testing.T, a clientauth.Answer, err error) {
	t.Helper()
	if (a.Refusal == nil) != (err == nil) {
		t.Fatalf("explained %v, judged %v", a.Refusal, err)
	}
	if err == nil {
		if !a.Client.Registered() || a.ClientIDOpen {
			t.Errorf("accepted for the client %q, open %t", a.Client.ID(), a.ClientIDOpen)
		}
		return
	}
	e := oauth.AsError(err)
	if a.Refusal.Code != e.Code || a.Refusal.Reason != e.Reason || a.Refusal.Rule != e.Rule || a.Refusal.Expected != e.Expected || a.Refusal.Presented != e.Presented ||
		a.Refusal.Subject != e.Subject || a.Refusal.SubjectProven != e.SubjectProven {
		t.Errorf("explained %+v\njudged    %+v", a.Refusal, e)
	}
}

func outcomes(a clientauth.Answer) map[string][]oauth.Outcome {
	all := map[string][]oauth.Outcome{}
	for _, f := range a.Findings {
		all[f.Rule] = append(all[f.Rule], f.Outcome)
	}
	return all
}

// Without being told of client_id, what it could change is not judged, and what it
// cannot is.
func TestExplainWithoutClientID(t *testing.T) {
	s := explainSite(t)
	seed := registration.Metadata{ClientID: "spiffe://example.org/latest", AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}, Profile: svidgate.Latest}
	strict := newSite(t, seed)
	for _, c := range []struct {
		name   string
		site   *site
		q      clientauth.Question
		reason oauth.Reason
		client string
		open   bool
	}{
		{"one client has exactly this SPIFFE ID", s, clientauth.Question{Assertion: s.JWT(t, billing)}, "", billing, false},
		{"it has another method", s, clientauth.Question{Assertion: s.JWT(t, orders)}, oauth.ReasonMethodNotAllowed, orders, false},
		{"only a wildcard covers it", s, clientauth.Question{Assertion: s.JWT(t, worker)}, "", "", true},
		{"two have it", s, clientauth.Question{Assertion: s.JWT(t, twin)}, "", "", true},
		{"nobody has it", s, clientauth.Question{Assertion: s.JWT(t, nobody)}, oauth.ReasonClientNotFound, "", false},
		{"a certificate needs client_id", s, clientauth.Question{Certificates: s.Chain(t, orders)}, "", "", true},
		{"a certificate of nobody", s, clientauth.Question{Certificates: s.Chain(t, nobody)}, oauth.ReasonClientNotFound, "", false},
		{"the profile needs client_id", strict, clientauth.Question{Assertion: strict.JWT(t, seed.ClientID)}, "", "", true},
		{"the SVID is no good, and the client is found all the same", s, clientauth.Question{Assertion: s.JWT(t, billing, func(_, c map[string]any) { c["aud"] = "x" })}, oauth.ReasonAudMismatch, billing, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.EndpointURL = testidentity.TokenURL
			a := c.site.auth.Explain(t.Context(), c.q)
			reason := oauth.Reason("")
			if a.Refusal != nil {
				reason = a.Refusal.Reason
			}
			if reason != c.reason || a.Client.ID() != c.client || a.ClientIDOpen != c.open {
				t.Errorf("%q, client %q, open %t", reason, a.Client.ID(), a.ClientIDOpen)
			}
			for _, rule := range []string{"CA-2", "CJ-10", "CA-9"} {
				if judged := outcomes(a)[rule][0] != oauth.NotJudged; c.open && judged {
					t.Errorf("%s was judged", rule)
				}
			}
		})
	}
}

// CJ-13: explaining tells of an earlier use and is none itself.
func TestExplainUsesNothingUp(t *testing.T) {
	s := singleUse(t, 1000, oauth.MethodJWT)
	token := s.JWT(t, billing)
	q := clientauth.Question{Assertion: token, ClientID: billing, ClientIDSaid: true}
	for range 3 {
		check(t, refusalOf(s.auth.Explain(t.Context(), q)), accepted)
	}
	_, err := s.authenticate(t, testidentity.Request(t, testidentity.Assertion(billing, token), nil))
	check(t, err, accepted)
	a := s.auth.Explain(t.Context(), q)
	check(t, refusalOf(a), replayed)
	if got := outcomes(a)["CJ-13"]; !slices.Equal(got, []oauth.Outcome{oauth.Refused}) {
		t.Errorf("CJ-13 is %v", got)
	}
	s.auth.Used = nil // as for a configuration alone
	a = s.auth.Explain(t.Context(), q)
	check(t, refusalOf(a), accepted)
	if got := outcomes(a)["CJ-13"]; !slices.Equal(got, []oauth.Outcome{oauth.NotJudged}) {
		t.Errorf("CJ-13 is %v", got)
	}
	s.auth.SingleUse = map[spiffeid.TrustDomain]bool{}
	if got := outcomes(s.auth.Explain(t.Context(), q))["CJ-13"]; !slices.Equal(got, []oauth.Outcome{oauth.Passed}) {
		t.Errorf("CJ-13 is %v where nothing counts once", got)
	}
}

func refusalOf(a clientauth.Answer) error {
	if a.Refusal == nil {
		return nil
	}
	return a.Refusal
}

// Without a registry, as with a bundle alone, no rule about clients is judged.
func TestExplainWithoutClients(t *testing.T) {
	s := explainSite(t)
	s.auth.Clients, s.auth.Used = nil, nil
	for _, q := range []clientauth.Question{
		{Assertion: s.JWT(t, nobody), EndpointURL: testidentity.TokenURL},
		{Assertion: s.JWT(t, nobody), EndpointURL: testidentity.TokenURL, ClientID: "x", ClientIDSaid: true},
		{Certificates: s.Chain(t, nobody)},
	} {
		a := s.auth.Explain(t.Context(), q)
		check(t, refusalOf(a), accepted)
		for _, rule := range append(registration.AssociationRules(), registration.ClaimRules()[0]) {
			if got := outcomes(a)[rule.ID]; slices.Contains(got, oauth.Passed) && rule.ID != "CA-7" || slices.Contains(got, oauth.Refused) {
				t.Errorf("%s is %v", rule.ID, got)
			}
		}
	}
}

// AU-2: neither a question nor the caller of a request prints an assertion, whole or
// in part, to whatever logs it.
func TestAssertionsDoNotPrint(t *testing.T) {
	s := newSite(t, client(billing, oauth.MethodJWT))
	token := s.JWT(t, billing)
	q := clientauth.Question{Assertion: token}
	caller, err := s.authenticate(t, testidentity.Request(t, testidentity.Assertion(billing, token), nil))
	check(t, err, accepted)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "q", q, "caller", caller, "identity", caller.Identity())
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "q", q, "caller", caller, "identity", caller.Identity())
	fmt.Fprintf(&log, "%v %+v %#v %v %+v %v %+v", q, q, q, caller, caller, caller.Identity(), &caller)
	if strings.Contains(log.String(), "eyJ") {
		t.Error(log.String())
	}
}

// F18: an explanation tells of no sighting, accepted or not: whoever explains an
// SVID from elsewhere must not move what is known of clocks.
func TestExplainIsNoSighting(t *testing.T) {
	seen := 0
	w := testidentity.New(t, func(c *svidgate.Config) { c.Sighted = func(svidgate.Sighting) { seen++ } })
	auth := &clientauth.Authenticator{Verifier: w.Verifier, Clients: w.Registry(t, client(billing, oauth.MethodJWT, oauth.MethodX509))}
	for _, q := range []clientauth.Question{
		{Assertion: w.JWT(t, billing), ClientID: billing, ClientIDSaid: true},
		{Certificates: w.Chain(t, billing), ClientID: billing, ClientIDSaid: true},
		{Assertion: w.JWT(t, orders), ClientID: billing, ClientIDSaid: true},
	} {
		auth.Explain(t.Context(), q)
	}
	if seen != 0 {
		t.Errorf("%d sightings", seen)
	}
	if _, _, err := auth.Authenticate(t.Context(), testidentity.Request(t, testidentity.Assertion(billing, w.JWT(t, billing)), nil), nil); err != nil || seen != 1 {
		t.Errorf("authenticating: %v, %d sightings", err, seen)
	}
}
