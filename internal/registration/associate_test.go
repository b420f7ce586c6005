package registration_test

import (
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

type spiffeID = spiffeid.ID

// The tie between identity and client, for both methods alike (CA-9, CJ-9, CX-5).
func TestAssociation(t *testing.T) {
	w := testidentity.New(t)
	both := []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}
	r := w.Registry(t,
		registration.Metadata{ClientID: billing, AuthMethods: both},
		registration.Metadata{ClientID: "orders", SPIFFEID: pattern(t, "spiffe://example.org/orders"), AuthMethods: both},
		registration.Metadata{ClientID: "spiffe://example.org/alias", SPIFFEID: pattern(t, "spiffe://example.org/real"), AuthMethods: both},
		registration.Metadata{ClientID: "fleet", SPIFFEID: pattern(t, "spiffe://example.org/client/*"), AuthMethods: both},
		registration.Metadata{ClientID: "flat", SPIFFEID: pattern(t, "spiffe://example.org/flat/*").WithDepth(1), AuthMethods: both},
		registration.Metadata{ClientID: "all", SPIFFEID: pattern(t, "spiffe://example.org/*"), AuthMethods: both},
	)
	other := want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CA-9"}
	for _, row := range []struct {
		name, clientID, id string
		want               want
	}{
		{"CA-9 (2) client_id is the presented SPIFFE ID", billing, billing, accepted},
		{"CA-8 client_id of A, SVID of B", billing, "spiffe://example.org/orders", other},
		{"CA-9 (1) registered spiffe_id", "orders", "spiffe://example.org/orders", accepted},
		{"CA-8 registered spiffe_id, SVID of another", "orders", billing, other},
		{"CA-9 (1) spiffe_id counts, not what client_id looks like", "spiffe://example.org/alias", "spiffe://example.org/real", accepted},
		{"CA-9 (1) client_id looks like the SPIFFE ID, but spiffe_id is another", "spiffe://example.org/alias", "spiffe://example.org/alias", other},
		{"MD-19 exact, one segment more", billing, billing + "/a", other},
		{"MD-19 exact, one segment less", billing, "spiffe://example.org/ns", other},
		{"MD-19 exact, another case", billing, "spiffe://example.org/ns/Billing", other},
		{"MD-19 exact, another trust domain", billing, "spiffe://other.test/ns/billing", other},
		{"MD-17 wildcard", "fleet", "spiffe://example.org/client/123", accepted},
		{"MD-18 wildcard, deeper", "fleet", "spiffe://example.org/client/a/b", accepted},
		{"MD-17 wildcard, half a segment", "fleet", "spiffe://example.org/client123", other},
		{"MD-17 wildcard, no further segment", "fleet", "spiffe://example.org/client", other},
		{"MD-17 wildcard, another case", "fleet", "spiffe://example.org/Client/1", other},
		{"MD-17 wildcard, another trust domain", "fleet", "spiffe://other.test/client/123", other},
		{"MD-18 depth 1, one segment", "flat", "spiffe://example.org/flat/a", accepted},
		{"MD-18 depth 1, two segments", "flat", "spiffe://example.org/flat/a/b", other},
		{"MD-21 whole trust domain", "all", "spiffe://example.org/anything/at/all", accepted},
		{"MD-21 whole trust domain, workload of another", "all", "spiffe://other.test/anything", other},
	} {
		for _, m := range both {
			t.Run(row.name+" by "+string(m), func(t *testing.T) {
				client, _, err := associate(t, r, w, m, row.clientID, row.id)
				check(t, err, row.want)
				if err == nil && client.ID() != row.clientID {
					t.Errorf("associated with %q", client.ID())
				}
			})
		}
	}
}

// Without client_id nobody is guessed (CA-10, CJ-10).
func TestWithoutClientID(t *testing.T) {
	w := testidentity.New(t)
	jwt, x509 := []oauth.AuthMethod{oauth.MethodJWT}, []oauth.AuthMethod{oauth.MethodX509}
	r := w.Registry(t,
		registration.Metadata{ClientID: "one", SPIFFEID: pattern(t, "spiffe://example.org/one"), AuthMethods: jwt},
		registration.Metadata{ClientID: "first", SPIFFEID: pattern(t, "spiffe://example.org/twice"), AuthMethods: jwt},
		registration.Metadata{ClientID: "spiffe://example.org/twice", AuthMethods: jwt},
		registration.Metadata{ClientID: "of certificates", SPIFFEID: pattern(t, "spiffe://example.org/twice/x"), AuthMethods: x509},
		registration.Metadata{ClientID: "wild", SPIFFEID: pattern(t, "spiffe://example.org/wild/*"), AuthMethods: jwt},
		registration.Metadata{ClientID: "in the wild", SPIFFEID: pattern(t, "spiffe://example.org/wild/one"), AuthMethods: jwt},
	)
	for _, row := range []struct {
		name, id, client string
		want             want
	}{
		{"CJ-10 one exact match", "spiffe://example.org/one", "one", accepted},
		{"CJ-10 no match", "spiffe://example.org/none", "", want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CJ-10"}},
		{"CJ-10 two exact matches", "spiffe://example.org/twice", "", want{oauth.InvalidClient, oauth.ReasonClientAmbiguous, "CJ-10"}},
		{"CJ-10 a wildcard only", "spiffe://example.org/wild/two", "", want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CJ-10"}},
		{"CJ-10 a wildcard beside an exact match takes no part", "spiffe://example.org/wild/one", "in the wild", accepted},
		{"CA-7 the one match has another method", "spiffe://example.org/twice/x", "", want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CA-7"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			client, _, err := associate(t, r, w, oauth.MethodJWT, "", row.id)
			check(t, err, row.want)
			if client.ID() != row.client {
				t.Errorf("associated with %q", client.ID())
			}
		})
	}
	for _, sent := range []string{"first", "spiffe://example.org/twice"} { // with client_id it is no guess
		client, _, err := associate(t, r, w, oauth.MethodJWT, sent, "spiffe://example.org/twice")
		if err != nil || client.ID() != sent {
			t.Errorf("CA-10 %s: %q, %v", sent, client.ID(), err)
		}
	}
}

// Which client a request claims to be, and by which method, before any
// credential is looked at.
func TestClaim(t *testing.T) {
	w := testidentity.New(t)
	chain := w.Chain(t, billing)
	r := w.Registry(t,
		registration.Metadata{ClientID: "jwt", SPIFFEID: pattern(t, billing), AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}},
		registration.Metadata{ClientID: "x509", SPIFFEID: pattern(t, billing), AuthMethods: []oauth.AuthMethod{oauth.MethodX509}},
		registration.Metadata{ClientID: "wit", SPIFFEID: pattern(t, billing), AuthMethods: []oauth.AuthMethod{oauth.MethodWIT}},
		registration.Metadata{ClientID: "public", AuthMethods: []oauth.AuthMethod{oauth.MethodNone}},
		registration.Metadata{ClientID: "both", SPIFFEID: pattern(t, billing), AuthMethods: []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509}},
	)
	token := w.JWT(t, billing)
	assertion := func(id string) *tokenrequest.Request {
		return testidentity.Request(t, testidentity.Assertion(id, token), nil)
	}
	mutual := func(id string) *tokenrequest.Request {
		return testidentity.Request(t, testidentity.Certificate(id), chain)
	}
	plain := func(id string, headers ...string) *tokenrequest.Request {
		return testidentity.Request(t, testidentity.Certificate(id), nil, headers...)
	}
	attested := func(id string) *tokenrequest.Request { return plain(id, testidentity.Attested("a.b.c", "d.e.f")...) }
	notAllowed := want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CA-7"}
	unknown := want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CA-2"}
	nothing := want{oauth.InvalidClient, oauth.ReasonAssertionMissing, "TK-2"}
	noCert := want{oauth.InvalidClient, oauth.ReasonCertMissing, "CX-1"}
	for _, row := range []struct {
		name   string
		req    *tokenrequest.Request
		method oauth.AuthMethod
		want   want
	}{
		{"CA-7 assertion, registered for it", assertion("jwt"), oauth.MethodJWT, accepted},
		{"CA-7 assertion, registered for certificates", assertion("x509"), oauth.MethodJWT, notAllowed},
		{"CA-7 assertion, registered for both", assertion("both"), oauth.MethodJWT, accepted},
		{"CA-7 certificate, registered for it", mutual("x509"), oauth.MethodX509, accepted},
		{"CA-7 certificate, registered for assertions", mutual("jwt"), "", notAllowed},
		{"CA-7 certificate, registered for both", mutual("both"), oauth.MethodX509, accepted},
		{"CX-1 no certificate", plain("x509"), oauth.MethodX509, noCert},
		{"CX-1 nothing, registered for both", plain("both"), oauth.MethodX509, noCert},
		{"TK-2 nothing, registered for assertions", plain("jwt"), "", nothing},
		{"TK-2 nothing at all", plain(""), "", nothing},
		{"CX-2 certificate without client_id", mutual(""), "", want{oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CX-2"}},
		{"CJ-10 assertion without client_id", assertion(""), oauth.MethodJWT, accepted},
		{"CA-6 assertion over mutual TLS", testidentity.Request(t, testidentity.Assertion("jwt", token), chain), oauth.MethodJWT, accepted},
		{"CA-6 assertion over mutual TLS, registered for certificates", testidentity.Request(t, testidentity.Assertion("x509", token), chain), oauth.MethodJWT, notAllowed},
		{"CA-2 assertion, unknown client_id", assertion("nobody"), "", unknown},
		{"CA-2 certificate, unknown client_id", mutual("nobody"), "", unknown},
		{"CA-2 secret, unknown client_id", plain("nobody", "Authorization", "Basic YTpi"), "", unknown},
		{"CA-13 client_id in another case", assertion("JWT"), "", unknown},
		{"CA-13 client_id with a space after it", assertion("jwt "), "", unknown},
		{"EC-14 Authorization header", plain("jwt", "Authorization", "Basic YTpi"), "", notAllowed},
		{"EC-14 Authorization header without client_id", plain("", "Authorization", "Basic YTpi"), "", notAllowed},
		{"EC-14 Authorization header beside a certificate", testidentity.Request(t, testidentity.Certificate("x509"), chain, "Authorization", "Bearer x"), "", notAllowed},
		{"EC-14 client_secret", testidentity.Request(t, testidentity.With(testidentity.Certificate("jwt"), "client_secret", "x"), nil), "", notAllowed},
		{"CW-1 WIT-SVID, registered for it", attested("wit"), oauth.MethodWIT, accepted},
		{"CA-7 WIT-SVID, registered for assertions", attested("jwt"), oauth.MethodWIT, notAllowed},
		{"CA-7 assertion, registered for WIT-SVIDs", assertion("wit"), oauth.MethodJWT, notAllowed},
		{"CW-6 WIT-SVID without client_id", attested(""), oauth.MethodWIT, want{oauth.InvalidRequest, oauth.ReasonClientIDMissing, "CW-6"}},
		{"TK-2 nothing, of a public client", plain("public"), oauth.MethodNone, accepted},
		{"TK-2 assertion, of a public client", assertion("public"), oauth.MethodJWT, notAllowed},
		{"TK-2 certificate, of a public client", mutual("public"), "", notAllowed},
		{"TK-2 WIT-SVID, of a public client", attested("public"), oauth.MethodWIT, notAllowed},
		{"TK-2 secret, of a public client", testidentity.Request(t, testidentity.With(testidentity.Certificate("public"), "client_secret", "x"), nil), "", notAllowed},
		{"CA-13 a public client in another case", plain("PUBLIC"), "", unknown},
		{"CA-2 WIT-SVID with an unknown client_id", attested("nobody"), "", unknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			claim, err := r.Claim(row.req)
			check(t, err, row.want)
			if claim.Method() != row.method {
				t.Errorf("the method is %q, want %q", claim.Method(), row.method)
			}
			if client, public := claim.Public(); public != (err == nil && row.method == oauth.MethodNone) || public != client.Public() {
				t.Errorf("TK-2 the claim is of the public client %q", client.ID())
			}
		})
	}
}

// No stage takes what the stage before did not make.
func TestZeroValuesAreRefused(t *testing.T) {
	w := testidentity.New(t)
	r := w.Registry(t, registration.Metadata{ClientID: billing, AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}})
	internal := want{oauth.ServerError, oauth.ReasonInternal, "CA-16"}

	_, err := r.Claim(&tokenrequest.Request{})
	check(t, err, internal)

	claim, err := r.Claim(testidentity.Request(t, testidentity.Assertion(billing, w.JWT(t, billing)), nil))
	check(t, err, accepted)
	client, _, err := claim.Associate(svidgate.Identity{})
	check(t, err, internal)
	if client.Registered() || client.ID() != "" {
		t.Errorf("the zero Identity is client %q", client.ID())
	}
	_, _, err = registration.Claim{}.Associate(w.ProvenByJWT(t, billing))
	check(t, err, internal)
	if _, _, err = claim.Associate(w.ProvenByJWT(t, billing)); err != nil {
		t.Errorf("refused: %v", err)
	}
	_, _, err = claim.Associate(w.ProvenByX509(t, billing)) // not what the request showed
	check(t, err, internal)
	refused, err := r.Claim(testidentity.Request(t, testidentity.Assertion("nobody", w.JWT(t, billing)), nil))
	check(t, err, want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CA-2"})
	_, _, err = refused.Associate(w.ProvenByJWT(t, billing)) // must not pass for one without client_id
	check(t, err, internal)
	if (registration.Client{}).Registered() || (registration.Client{}).MayUse(oauth.MethodJWT) {
		t.Error("the zero Client is somebody")
	}
}
