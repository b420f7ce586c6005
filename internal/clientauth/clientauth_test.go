package clientauth_test

import (
	"crypto/sha256"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

func TestAuthenticated(t *testing.T) {
	s := newSite(t, client(billing, oauth.MethodJWT), client(orders, oauth.MethodX509))
	chain := s.Chain(t, orders)

	caller, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, s.JWT(t, billing))))
	check(t, err, accepted)
	if caller.Client().ID() != billing || caller.Identity().SPIFFEID().String() != billing || caller.Identity().Method() != oauth.MethodJWT {
		t.Errorf("CJ-9 authenticated as %s, %s", caller.Client().ID(), caller.Identity().SPIFFEID())
	}
	if _, _, ok := caller.Certificate(); ok {
		t.Error("CC-5 there is something to bind to without a certificate")
	}

	caller, err = s.authenticate(t, testidentity.Request(t, testidentity.Certificate(orders), chain))
	check(t, err, accepted)
	thumbprint, notAfter, ok := caller.Certificate()
	if !ok || thumbprint != sha256.Sum256(chain[0].Raw) || !notAfter.Equal(chain[0].NotAfter) {
		t.Errorf("MT-1 bound to %x until %s, %t", thumbprint, notAfter, ok)
	}

	_, err = s.authenticate(t, &tokenrequest.Request{})
	check(t, err, want{oauth.ServerError, oauth.ReasonInternal, "CA-16"})
	if (clientauth.Caller{}).Authenticated() {
		t.Error("the zero Caller is somebody")
	}
}

// A certificate beside an assertion binds the token when it is a whole X.509-SVID
// of the same workload. Otherwise the request mixes two identities, and is no
// matter of authentication (TK-3, MT-6, AK-25).
func TestCertificateBesideAnAssertion(t *testing.T) {
	s := newSite(t, client(billing, oauth.MethodJWT))
	bad := func(reason oauth.Reason, rule string) want { return want{oauth.InvalidRequest, reason, rule} }
	stranger := testidentity.New(t) // the same trust domains, by other authorities
	for _, row := range []struct {
		name  string
		chain []*x509.Certificate
		want  want
	}{
		{"MT-6 none", nil, accepted},
		{"MT-6 of the same workload", s.Chain(t, billing), accepted},
		{"TK-3 of another workload", s.Chain(t, orders), bad(oauth.ReasonMixedCredentials, "TK-3")},
		{"TK-3 of a workload below", s.Chain(t, billing+"/a"), bad(oauth.ReasonMixedCredentials, "TK-3")},
		{"TK-3 of the same path in another trust domain", s.Chain(t, "spiffe://other.test/billing"), bad(oauth.ReasonMixedCredentials, "TK-3")},
		{"XS-22 expired", s.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(-time.Second) }), bad(oauth.ReasonExpired, "XS-22")},
		{"XS-22 not yet valid", s.Chain(t, billing, func(c *x509.Certificate) { c.NotBefore = testidentity.Noon.Add(time.Second) }), bad(oauth.ReasonNotYetValid, "XS-22")},
		{"XS-10 of another authority", stranger.Chain(t, billing), bad(oauth.ReasonCertChainBad, "XS-10")},
		{"XS-1 no SPIFFE ID", s.Chain(t, billing, func(c *x509.Certificate) { c.URIs = nil }), bad(oauth.ReasonCertURISANCount, "XS-1")},
		{"XS-1 two SPIFFE IDs", s.Chain(t, billing, func(c *x509.Certificate) { c.URIs = append(c.URIs, mustURL(t, orders)) }), bad(oauth.ReasonCertURISANCount, "XS-1")},
		{"XS-7 for servers only", s.Chain(t, billing, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), bad(oauth.ReasonCertExtKeyUsage, "XS-7")},
		{"XS-3 of a CA", s.Chain(t, billing, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), bad(oauth.ReasonCertNotLeaf, "XS-3")},
		{"JS-13 of a trust domain that is not configured", s.Chain(t, billing, func(c *x509.Certificate) { c.URIs = []*url.URL{mustURL(t, "spiffe://nowhere.test/billing")} }), bad(oauth.ReasonTDUnknown, "JS-13")},
		{"GL-15 of a trust domain that is not ready", s.Chain(t, "spiffe://not-ready.test/billing"), want{oauth.Unavailable, oauth.ReasonTDNotReady, "GL-15"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			caller, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, s.JWT(t, billing, func(_, claims map[string]any) { claims["jti"] = "id-1" })), row.chain...))
			check(t, err, row.want)
			thumbprint, notAfter, ok := caller.Certificate()
			switch {
			case err != nil:
				e, proven := oauth.AsError(err), s.ProvenByJWT(t, billing)
				if e.Subject != billing || !e.SubjectProven {
					t.Errorf("CA-14 the refusal is about %q, not about who authenticated", e.Subject)
				}
				if sequence, ok := proven.BundleSequence(); e.KeyID != proven.KeyID() || e.TokenID != "id-1" || e.BundleSequence != sequence || !ok || !e.HasBundleSequence {
					t.Errorf("CA-14 the refusal names %q, %q and bundle %d, not those of the assertion", e.KeyID, e.TokenID, e.BundleSequence)
				}
			case ok != (len(row.chain) > 0):
				t.Errorf("MT-6 there is something to bind to: %t", ok)
			case ok && (thumbprint != sha256.Sum256(row.chain[0].Raw) || !notAfter.Equal(row.chain[0].NotAfter)):
				t.Errorf("MT-1 bound to %x until %s", thumbprint, notAfter)
			}
		})
	}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Of several faults the first in CA-16's order is the one that is named. Each row
// has one more sound part than the row before.
func TestOrderOfWork(t *testing.T) {
	s := newSite(t, client(billing, oauth.MethodJWT), client(orders, oauth.MethodX509),
		registration.Metadata{ClientID: "other", SPIFFEID: parse(t, "spiffe://example.org/other"), AuthMethods: []oauth.AuthMethod{oauth.MethodJWT}})
	s.auth.SingleUse = map[spiffeid.TrustDomain]bool{spiffeid.RequireTrustDomainFromString("example.org"): true}

	type edit = func(header, claims map[string]any)
	claim := func(name string, value any) edit { return func(_, c map[string]any) { c[name] = value } }
	typ := func(h, _ map[string]any) { h["typ"] = "at+jwt" }
	elsewhere := claim("sub", "spiffe://nowhere.test/a")
	expired := claim("exp", testidentity.Noon.Add(-time.Hour).Unix())
	audience := claim("aud", "https://other.example.com")

	used := s.JWT(t, billing)
	if _, err := s.authenticate(t, jwt(t, testidentity.Assertion(billing, used))); err != nil {
		t.Fatal(err)
	}
	badChain := s.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(-time.Second) })

	for _, row := range []struct {
		name      string
		clientID  string
		assertion string
		chain     []*x509.Certificate
		want      want
	}{
		{"CA-16 client before all of the SVID", "nobody", "x", badChain, want{oauth.InvalidClient, oauth.ReasonClientNotFound, "CA-2"}},
		{"CA-16 method before all of the SVID", orders, "x", badChain, want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CA-7"}},
		{"CA-16 shape before its header", billing, "x", badChain, want{oauth.InvalidClient, oauth.ReasonAssertionMalformed, "JS-1"}},
		{"CJ-3 two assertions with a space between them", billing, used + " " + used, nil, want{oauth.InvalidClient, oauth.ReasonAssertionMalformed, "JS-1"}},
		{"CA-16 header before the trust domain", billing, forged(s.JWT(t, billing, typ, elsewhere, expired, audience)), badChain, want{oauth.InvalidClient, oauth.ReasonWrongTokenType, "JS-4"}},
		{"CA-16 trust domain before the signature", billing, forged(s.JWT(t, billing, elsewhere, expired, audience)), badChain, want{oauth.InvalidClient, oauth.ReasonTDUnknown, "JS-13"}},
		{"CA-16 signature before the time", billing, forged(s.JWT(t, billing, expired, audience)), badChain, want{oauth.InvalidClient, oauth.ReasonSignatureBad, "JS-12"}},
		{"CA-16 time before the audience", "other", s.JWT(t, billing, expired, audience), badChain, want{oauth.InvalidClient, oauth.ReasonExpired, "CJ-5"}},
		{"CA-16 audience before the client", "other", s.JWT(t, billing, audience), badChain, want{oauth.InvalidClient, oauth.ReasonAudMismatch, "CJ-6"}},
		{"CA-16 client before the certificate", "other", used, badChain, want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CA-9"}},
		{"CA-16 certificate before single use", billing, used, badChain, want{oauth.InvalidRequest, oauth.ReasonExpired, "XS-22"}},
		{"CA-16 single use last", billing, used, nil, want{oauth.InvalidClient, oauth.ReasonAssertionReplayed, "CJ-13"}},
		{"CA-16 nothing wrong", billing, s.JWT(t, billing, claim("jti", "fresh")), nil, accepted},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := s.authenticate(t, jwt(t, testidentity.Assertion(row.clientID, row.assertion), row.chain...))
			check(t, err, row.want)
		})
	}
	_, err := s.authenticate(t, testidentity.Request(t, testidentity.Certificate(orders), s.Chain(t, billing, func(c *x509.Certificate) { c.NotAfter = testidentity.Noon.Add(-time.Second) })))
	check(t, err, want{oauth.InvalidClient, oauth.ReasonExpired, "XS-22"}) // the SVID before the client, for certificates too
	_, err = s.authenticate(t, testidentity.Request(t, testidentity.Certificate(orders), s.Chain(t, billing)))
	check(t, err, want{oauth.InvalidClient, oauth.ReasonClientIDMismatch, "CA-9"})
}

// forged gives a JWT a signature of zeros.
func forged(token string) string {
	return token[:strings.LastIndexByte(token, '.')+1] + strings.Repeat("A", 86)
}
