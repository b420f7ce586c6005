package clientauth_test

import (
	"slices"
	"testing"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// The profile transition lets older forms pass and says so, rule by rule.
func TestLegacyUse(t *testing.T) {
	aud := func(v any) func(h, c map[string]any) { return func(_, c map[string]any) { c["aud"] = v } }
	s := newSite(t, client(billing, oauth.MethodJWT),
		registration.Metadata{ClientID: "strict", SPIFFEID: parse(t, orders), AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}, Profile: svidgate.Latest},
		registration.Metadata{ClientID: "seed", SPIFFEID: parse(t, "spiffe://example.org/seed"), AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}, Profile: svidgate.Seed},
	)
	mismatch := want{oauth.InvalidClient, oauth.ReasonAudMismatch, "CJ-6"}
	for _, row := range []struct {
		name, sent, id string
		audience       any
		legacy         []string
		want           want
	}{
		{"15.2 both new", billing, billing, testidentity.Issuer, nil, accepted},
		{"CJ-7 audience of the endpoint", billing, billing, testidentity.TokenURL, []string{"CJ-7"}, accepted},
		{"CJ-10 no client_id", "", billing, testidentity.Issuer, []string{"CJ-10"}, accepted},
		{"15.2 both old", "", billing, testidentity.TokenURL, []string{"CJ-10", "CJ-7"}, accepted},
		{"CJ-6 another endpoint", billing, billing, testidentity.Issuer + "/introspect", nil, mismatch},
		{"15.2 a client's own profile: issuer", "strict", orders, testidentity.Issuer, nil, accepted},
		{"15.2 a client's own profile: endpoint", "strict", orders, testidentity.TokenURL, nil, mismatch},
		{"15.2 a client's own profile holds without client_id", "", orders, testidentity.TokenURL, nil, mismatch},
		{"CJ-7 seed: endpoint is no older form there", "seed", "spiffe://example.org/seed", testidentity.TokenURL, nil, accepted},
		{"CJ-7 seed: without client_id neither", "", "spiffe://example.org/seed", testidentity.TokenURL, nil, accepted},
		{"CJ-7 seed: issuer", "seed", "spiffe://example.org/seed", testidentity.Issuer, nil, mismatch},
	} {
		t.Run(row.name, func(t *testing.T) {
			caller, err := s.authenticate(t, jwt(t, testidentity.Assertion(row.sent, s.JWT(t, row.id, aud(row.audience)))))
			check(t, err, row.want)
			if !slices.Equal(caller.LegacyUse(), row.legacy) {
				t.Errorf("counted as legacy: %v, want %v", caller.LegacyUse(), row.legacy)
			}
		})
	}
}

// The first row of 15.2: which audience each profile accepts, always as the only
// one.
func TestAudienceByProfile(t *testing.T) {
	other := testidentity.Issuer + "/introspect"
	rows := []struct {
		name     string
		audience []string
		accepted [4]bool // transition, latest, ietf-02, seed
	}{
		{"CJ-6 the issuer", []string{testidentity.Issuer}, [4]bool{true, true, true, false}},
		{"CJ-7 the endpoint called", []string{testidentity.TokenURL}, [4]bool{true, false, false, true}},
		{"CJ-6 both", []string{testidentity.Issuer, testidentity.TokenURL}, [4]bool{}},
		{"EC-4 another endpoint", []string{other}, [4]bool{}},
		{"CJ-6 the issuer with a slash", []string{testidentity.Issuer + "/"}, [4]bool{}},
		{"CJ-7 the endpoint with a query", []string{testidentity.TokenURL + "?a=b"}, [4]bool{}},
	}
	for i, profile := range []svidgate.Profile{svidgate.Transition, svidgate.Latest, svidgate.IETF02, svidgate.Seed} {
		w := testidentity.New(t, func(c *svidgate.Config) { c.Settings.Profile = profile })
		s := &site{w, &clientauth.Authenticator{Verifier: w.Verifier, Clients: w.Registry(t, client(billing, oauth.MethodJWT))}}
		for _, row := range rows {
			t.Run(row.name+" in "+string(profile), func(t *testing.T) {
				wanted := accepted
				switch {
				case len(row.audience) > 1:
					wanted = want{oauth.InvalidClient, oauth.ReasonAudMultiple, "EC-4"}
				case !row.accepted[i]:
					wanted = want{oauth.InvalidClient, oauth.ReasonAudMismatch, "CJ-6"}
				}
				assertion := s.JWT(t, billing, func(_, c map[string]any) { c["aud"] = row.audience })
				_, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, assertion)))
				check(t, err, wanted)
			})
		}
	}
}

func parse(t testing.TB, s string) svidgate.Pattern {
	t.Helper()
	p, err := svidgate.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
