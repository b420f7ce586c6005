package registration_test

import (
	"slices"
	"testing"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const billing = "spiffe://example.org/ns/billing"

// A want is the outcome of a row: the zero value is acceptance.
type want struct {
	code   oauth.ErrorCode
	reason oauth.Reason
	rule   string
}

var accepted = want{}

func check(t *testing.T, err error, w want) {
	t.Helper()
	testidentity.Want{Code: w.code, Reason: w.reason, Rule: w.rule}.Check(t, err)
}

func pattern(t testing.TB, s string) svidgate.Pattern {
	t.Helper()
	if s == "" {
		return svidgate.Pattern{}
	}
	p, err := svidgate.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// inProfile is a world in which every trust domain has a profile.
func inProfile(t testing.TB, p svidgate.Profile) *testidentity.World {
	t.Helper()
	return testidentity.New(t, func(c *svidgate.Config) { c.Settings.Profile = p })
}

// associate takes a request with this identity through claim and association.
func associate(t testing.TB, r *registration.Registry, w *testidentity.World, m oauth.AuthMethod, clientID, id string) (registration.Client, string, error) {
	t.Helper()
	var req *tokenrequest.Request
	var identity svidgate.Identity
	if m == oauth.MethodJWT {
		req, identity = testidentity.Request(t, testidentity.Assertion(clientID, w.JWT(t, id)), nil), proven(t, w, m, id)
	} else {
		chain := w.Chain(t, id)
		req, identity = testidentity.Request(t, testidentity.Certificate(clientID), chain), proven(t, w, m, id)
	}
	claim, err := r.Claim(req)
	if err != nil {
		return registration.Client{}, "", err
	}
	if claim.Method() != m {
		t.Errorf("claimed by %s, want %s", claim.Method(), m)
	}
	client, legacy, err := claim.Associate(identity)
	if (err != nil) == client.Registered() {
		t.Errorf("a client %q beside the error %v", client.ID(), err)
	}
	return client, legacy, err
}

// proven is an identity by a method. Its own profile has no part in the test, so
// the verifier that proves it accepts the issuer as audience.
func proven(t testing.TB, w *testidentity.World, m oauth.AuthMethod, id string) svidgate.Identity {
	t.Helper()
	if m == oauth.MethodX509 {
		return w.ProvenByX509(t, id)
	}
	identity, err := w.Verifier.VerifyJWTSVID(t.Context(), svidgate.JWTPresentation{
		Assertion: w.JWT(t, id), EndpointURL: testidentity.TokenURL,
		Profile: func(spiffeID) svidgate.Profile { return svidgate.Latest },
	})
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// TestProfiles is the table of client-authentication 15.2, as far as it is about
// clients: four profiles, both methods, and each way to name the client.
func TestProfiles(t *testing.T) {
	var (
		missing   = want{oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CJ-10"}
		noCX2     = want{oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CX-2"}
		notSPIFFE = want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CX-3"}
		noStar    = want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "MD-20"}
		notFound  = want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CJ-10"}
	)
	// The columns are transition, latest, ietf-02, seed.
	for _, row := range []struct {
		name     string
		method   oauth.AuthMethod
		client   string // client_id of the one registered client
		spiffeID string // its spiffe_id; empty is none
		sent     string // client_id in the request
		want     [4]want
	}{
		{"CA-9 JWT, client_id is the SPIFFE ID", oauth.MethodJWT, billing, "", billing, [4]want{}},
		{"CJ-9 JWT, another client_id", oauth.MethodJWT, "billing", billing, "billing", [4]want{}},
		{"CJ-10 JWT, no client_id", oauth.MethodJWT, billing, "", "", [4]want{1: missing}},
		{"CJ-10 JWT, no client_id, registered by spiffe_id", oauth.MethodJWT, "billing", billing, "", [4]want{1: missing}},
		{"MD-20 JWT, wildcard", oauth.MethodJWT, "fleet", "spiffe://example.org/ns/*", "fleet", [4]want{3: noStar}},
		{"CJ-10 JWT, wildcard, no client_id", oauth.MethodJWT, "fleet", "spiffe://example.org/ns/*", "", [4]want{notFound, missing, notFound, notFound}},
		{"CA-9 X.509, client_id is the SPIFFE ID", oauth.MethodX509, billing, "", billing, [4]want{}},
		{"CX-3 X.509, client_id is the SPIFFE ID and spiffe_id too", oauth.MethodX509, billing, billing, billing, [4]want{}},
		{"CX-3 X.509, another client_id", oauth.MethodX509, "billing", billing, "billing", [4]want{2: notSPIFFE, 3: notSPIFFE}},
		{"CX-2 X.509, no client_id", oauth.MethodX509, billing, "", "", [4]want{noCX2, noCX2, noCX2, noCX2}},
		{"MD-20 X.509, wildcard", oauth.MethodX509, "fleet", "spiffe://example.org/ns/*", "fleet", [4]want{2: notSPIFFE, 3: notSPIFFE}},
		{"MD-20 X.509, wildcard of a client that is called as the SPIFFE ID", oauth.MethodX509, billing, "spiffe://example.org/ns/*", billing, [4]want{2: noStar, 3: noStar}},
	} {
		for i, profile := range []svidgate.Profile{svidgate.Transition, svidgate.Latest, svidgate.IETF02, svidgate.Seed} {
			t.Run(row.name+" in "+string(profile), func(t *testing.T) {
				w := inProfile(t, profile)
				r := w.Registry(t, registration.Metadata{ClientID: row.client, SPIFFEID: pattern(t, row.spiffeID), AuthMethods: []oauth.AuthMethod{row.method}})
				client, legacy, err := associate(t, r, w, row.method, row.sent, billing)
				check(t, err, row.want[i])
				if err == nil && client.ID() != row.client {
					t.Errorf("associated with %q", client.ID())
				}
				wantLegacy := ""
				if err == nil && row.sent == "" && profile == svidgate.Transition {
					wantLegacy = "CJ-10"
				}
				if legacy != wantLegacy {
					t.Errorf("15.2 counted as legacy use of %q, want %q", legacy, wantLegacy)
				}
			})
		}
	}
}

// A client's own profile wins over its trust domain's, in both directions.
func TestClientsOwnProfile(t *testing.T) {
	for _, row := range []struct {
		name        string
		trustDomain svidgate.Profile
		client      svidgate.Profile
		method      oauth.AuthMethod
		id          string // client_id of the client
		sent        string
		want        want
	}{
		{"15.2 strict trust domain", svidgate.Latest, "", oauth.MethodJWT, "billing", "", want{oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CJ-10"}},
		{"15.2 lenient client in a strict trust domain", svidgate.Latest, svidgate.Transition, oauth.MethodJWT, "billing", "", accepted},
		{"15.2 lenient trust domain", svidgate.Transition, "", oauth.MethodJWT, "billing", "", accepted},
		{"15.2 strict client in a lenient trust domain", svidgate.Transition, svidgate.Latest, oauth.MethodJWT, "billing", "", want{oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CJ-10"}},
		{"15.2 strict client that is named", svidgate.Transition, svidgate.Latest, oauth.MethodJWT, "billing", "billing", accepted},
		{"15.2 equality in the trust domain", svidgate.IETF02, "", oauth.MethodX509, "billing", "billing", want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CX-3"}},
		{"15.2 association for the client", svidgate.IETF02, svidgate.Latest, oauth.MethodX509, "billing", "billing", accepted},
		{"15.2 equality for the client", svidgate.Latest, svidgate.Seed, oauth.MethodX509, "billing", "billing", want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CX-3"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := inProfile(t, row.trustDomain)
			r := w.Registry(t, registration.Metadata{ClientID: row.id, SPIFFEID: pattern(t, billing), AuthMethods: []oauth.AuthMethod{row.method}, Profile: row.client})
			_, _, err := associate(t, r, w, row.method, row.sent, billing)
			check(t, err, row.want)
		})
	}
}

// What the verifier is told about the profile, before anything is associated.
func TestProfileOfAClaim(t *testing.T) {
	w := inProfile(t, svidgate.IETF02)
	jwt := []oauth.AuthMethod{oauth.MethodJWT}
	r := w.Registry(t,
		registration.Metadata{ClientID: "own", SPIFFEID: pattern(t, "spiffe://example.org/own"), AuthMethods: jwt, Profile: svidgate.Latest},
		registration.Metadata{ClientID: "plain", SPIFFEID: pattern(t, "spiffe://example.org/plain"), AuthMethods: jwt},
		registration.Metadata{ClientID: "one", SPIFFEID: pattern(t, "spiffe://example.org/two"), AuthMethods: jwt, Profile: svidgate.Seed},
		registration.Metadata{ClientID: "two", SPIFFEID: pattern(t, "spiffe://example.org/two"), AuthMethods: jwt, Profile: svidgate.Latest},
		registration.Metadata{ClientID: "wild", SPIFFEID: pattern(t, "spiffe://example.org/wild/*"), AuthMethods: jwt, Profile: svidgate.Seed},
	)
	for _, row := range []struct {
		name, sent, id string
		want           svidgate.Profile
	}{
		{"15.2 named client with a profile", "own", "spiffe://example.org/own", svidgate.Latest},
		{"15.2 named client with a profile, identity of another", "own", "spiffe://example.org/plain", svidgate.Latest},
		{"15.2 named client without a profile", "plain", "spiffe://example.org/plain", ""},
		{"15.2 the only client of the identity", "", "spiffe://example.org/own", svidgate.Latest},
		{"15.2 no client of the identity", "", "spiffe://example.org/nobody", ""},
		{"CA-10 two clients of the identity", "", "spiffe://example.org/two", ""},
		{"CJ-10 a wildcard is no client without client_id", "", "spiffe://example.org/wild/a", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			claim, err := r.Claim(testidentity.Request(t, testidentity.Assertion(row.sent, w.JWT(t, row.id)), nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := claim.Profile(proven(t, w, oauth.MethodJWT, row.id).SPIFFEID()); got != row.want {
				t.Errorf("profile %q, want %q", got, row.want)
			}
		})
	}
}

func TestRegistryFaults(t *testing.T) {
	w := testidentity.New(t)
	jwt := []oauth.AuthMethod{oauth.MethodJWT}
	none := []oauth.AuthMethod{oauth.MethodNone}
	sound := registration.Metadata{ClientID: billing, AuthMethods: jwt}
	for _, row := range []struct {
		name    string
		clients []registration.Metadata
		faults  int
	}{
		{"CA-9 client_id is the SPIFFE ID", []registration.Metadata{sound}, 0},
		{"CA-9 client_id is no SPIFFE ID", []registration.Metadata{{ClientID: "billing", AuthMethods: jwt}}, 1},
		{"CA-9 client_id is no SPIFFE ID, with spiffe_id", []registration.Metadata{{ClientID: "billing", SPIFFEID: pattern(t, billing), AuthMethods: jwt}}, 0},
		{"CA-9 client_id is a wildcard", []registration.Metadata{{ClientID: "spiffe://example.org/*", AuthMethods: jwt}}, 1},
		{"SI-12 client_id is a trust domain", []registration.Metadata{{ClientID: "spiffe://example.org", AuthMethods: jwt}}, 1},
		{"CA-7 no method", []registration.Metadata{{ClientID: billing}}, 1},
		{"CA-9 an empty client_id", []registration.Metadata{{SPIFFEID: pattern(t, billing), AuthMethods: jwt}}, 1},
		{"CA-9 a client_id twice", []registration.Metadata{sound, sound}, 1},
		{"CA-10 a SPIFFE ID twice", []registration.Metadata{sound, {ClientID: "b", SPIFFEID: pattern(t, billing), AuthMethods: jwt}}, 0},
		{"CC-3 a public client", []registration.Metadata{{ClientID: "phone", AuthMethods: none}}, 0},
		{"CC-3 a public client with a workload's name", []registration.Metadata{{ClientID: billing, AuthMethods: none}}, 1},
		{"CC-3 a public client with a SPIFFE ID", []registration.Metadata{{ClientID: "phone", SPIFFEID: pattern(t, billing), AuthMethods: none}}, 1},
		{"CA-7 a public client with another method", []registration.Metadata{{ClientID: "phone", AuthMethods: append(none, oauth.MethodJWT)}}, 1},
		{"RD-4 a redirect URI", []registration.Metadata{{ClientID: "phone", AuthMethods: none, RedirectURIs: []string{"https://app.example.com/cb"}}}, 0},
		{"RD-4 redirect URIs that are none", []registration.Metadata{{ClientID: "phone", AuthMethods: none, RedirectURIs: []string{"http://app.example.com/cb", "javascript:alert(1)"}}}, 2},
		{"every fault at once", []registration.Metadata{{ClientID: "x", AuthMethods: jwt}, {ClientID: "spiffe://example.org/a"}, sound, sound}, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := registration.New(row.clients, w.Verifier.Profile)
			if (r == nil) != (row.faults > 0) || (err == nil) != (row.faults == 0) {
				t.Fatalf("registry %v beside %v", r, err)
			}
			if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) != row.faults {
				t.Errorf("%d faults, want %d: %v", len(joined.Unwrap()), row.faults, err)
			}
		})
	}
	if _, err := registration.New(nil, nil); err == nil {
		t.Error("a registry without profiles of trust domains was made")
	}
	methods := []oauth.AuthMethod{oauth.MethodJWT}
	r := w.Registry(t, registration.Metadata{ClientID: billing, AuthMethods: methods})
	methods[0] = oauth.MethodX509
	client, _, err := associate(t, r, w, oauth.MethodJWT, billing, billing)
	if err != nil || !slices.Equal(client.Methods(), []oauth.AuthMethod{oauth.MethodJWT}) {
		t.Errorf("a registry changes with what it was made of: %v, %v", client.Methods(), err)
	}
}
