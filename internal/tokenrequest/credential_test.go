package tokenrequest_test

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

const jwtSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

func TestAssertionType(t *testing.T) {
	of := func(assertionType, assertion string) string {
		return encode("grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", assertion)
	}
	other := want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CJ-1"}
	run(t, []row{
		{"CJ-1 jwt-spiffe", of(jwtSPIFFE, "a.b.c"), nil, accepted},
		{"CJ-2 jwt-bearer", of("urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "a.b.c"), nil, other},
		{"CJ-1 spiffe-jwt", of("urn:ietf:params:oauth:client-assertion-type:spiffe-jwt", "a.b.c"), nil, other},
		{"CJ-1 saml2-bearer", of("urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "a.b.c"), nil, other},
		{"CJ-1 upper case", of(strings.ToUpper(jwtSPIFFE), "a.b.c"), nil, other},
		{"CJ-1 a space after it", of(jwtSPIFFE+" ", "a.b.c"), nil, other},
		{"CJ-1 the last part alone", of("jwt-spiffe", "a.b.c"), nil, other},
		{"CJ-1 an assertion without type", of("", "a.b.c"), nil, malformed("CJ-1")},
		{"CJ-3 a type without assertion", of(jwtSPIFFE, ""), nil, want{oauth.InvalidRequest, oauth.ReasonAssertionMissing, "CJ-3"}},
		{"CJ-3 another type without assertion", of("x", ""), nil, want{oauth.InvalidRequest, oauth.ReasonAssertionMissing, "CJ-3"}},
		{"GL-8 an assertion of 16 KiB less 1", of(jwtSPIFFE, strings.Repeat("a", 16<<10-1)), nil, accepted},
		{"GL-8 an assertion of 16 KiB", of(jwtSPIFFE, strings.Repeat("a", 16<<10)), nil, accepted},
		{"GL-8 an assertion of 16 KiB and 1", of(jwtSPIFFE, strings.Repeat("a", 16<<10+1)), nil, want{oauth.InvalidClient, oauth.ReasonAssertionTooLarge, "GL-8"}},
	})
}

// A mechanism is one way to authenticate in headers and body.
type mechanism struct {
	name string
	kind string // two of one kind are one mechanism
	form string
	head [4]string // names and values in turn
	want tokenrequest.Credential

	alone want // what becomes of it without a second one
}

var mechanisms = []mechanism{
	{name: "a JWT-SVID", kind: "assertion", form: assertion, want: tokenrequest.JWTSVID},
	{name: "Basic", kind: "header", head: [4]string{"Authorization", "Basic YTpi"}, want: tokenrequest.SharedSecret},
	{name: "Bearer", kind: "header", head: [4]string{"Authorization", "Bearer x"}, want: tokenrequest.SharedSecret},
	{name: "an empty Authorization header", kind: "header", head: [4]string{"Authorization", ""}, want: tokenrequest.SharedSecret},
	{name: "client_secret", kind: "secret", form: "client_secret=x", want: tokenrequest.SharedSecret},
	{name: "a WIT-SVID", kind: "attestation", head: [4]string{"OAuth-Client-Attestation", "a.b.c", "oauth-client-attestation-pop", "d.e.f"}, want: tokenrequest.Attestation},
	{name: "a WIT-SVID without proof", kind: "attestation", head: [4]string{"OAuth-Client-Attestation", "a.b.c"}, want: tokenrequest.Attestation, alone: want{oauth.InvalidClient, oauth.ReasonPoPMissing, "PP-1"}},
	{name: "a proof without WIT-SVID", kind: "attestation", head: [4]string{"oauth-client-attestation-pop", "a.b.c"}, want: tokenrequest.Attestation, alone: want{oauth.InvalidClient, oauth.ReasonAssertionMissing, "PP-1"}},
	{name: "an assertion of another type", kind: "assertion", form: "client_assertion_type=x&client_assertion=a", want: tokenrequest.OtherAssertion, alone: want{oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CJ-1"}},
}

func (m mechanism) add(body *string, h http.Header) {
	if m.form != "" {
		*body += "&" + m.form
	}
	for i := 0; i < len(m.head) && m.head[i] != ""; i += 2 {
		h.Add(m.head[i], m.head[i+1])
	}
}

// Each way alone is one way, also beside a certificate (CA-6); any two are one
// too many (CA-5, TK-3, F20), and what they are does not matter.
func TestOneMechanism(t *testing.T) {
	for i, one := range mechanisms {
		for _, certificate := range []bool{false, true} {
			body, h := "grant_type=client_credentials", http.Header{}
			one.add(&body, h)
			req, err := parseWith(body, h, certificate)
			name := "CA-6 " + one.name + " alone"
			if certificate {
				name += " with a certificate"
			}
			t.Run(name, func(t *testing.T) {
				check(t, req, err, one.alone)
				if req.Credential() != one.want {
					t.Errorf("read as mechanism %d, want %d", req.Credential(), one.want)
				}
			})
		}
		for _, other := range mechanisms[i+1:] {
			if one.kind == other.kind {
				continue
			}
			t.Run("F20 "+one.name+" and "+other.name, func(t *testing.T) {
				body, h := "grant_type=client_credentials", http.Header{}
				one.add(&body, h)
				other.add(&body, h)
				req, err := parseWith(body, h, false)
				check(t, req, err, want{oauth.InvalidRequest, oauth.ReasonMixedCredentials, "CA-5"})
				if req.Assertion() != "" || req.Attestation() != "" || req.Proof() != "" {
					t.Error("CA-5 the assertion of a mixed request is handed on")
				}
			})
		}
	}
}

func parseWith(body string, h http.Header, certificate bool) (*tokenrequest.Request, error) {
	r := request(body)
	for name, values := range h {
		r.Header[name] = values
	}
	if certificate {
		r.TLS.PeerCertificates = []*x509.Certificate{{}}
	}
	req, err := tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
	return &req, err
}

func TestNoMechanism(t *testing.T) {
	for _, certificate := range []bool{false, true} {
		req, err := parseWith("grant_type=client_credentials&client_id=a", http.Header{}, certificate)
		check(t, req, err, accepted)
		if req.Credential() != tokenrequest.NoCredential || (len(req.Certificates()) > 0) != certificate {
			t.Errorf("CX-7 read as mechanism %d with %d certificates", req.Credential(), len(req.Certificates()))
		}
	}
	for _, name := range []string{"Workload-Identity-Token", "Workload-Identity-Proof", "Workload-Proof-Token", "Workload-Identity-Token-PoP", "DPoP", "Signature", "Client-Cert", "X-Forwarded-Client-Cert"} {
		req, err := parseWith("grant_type=client_credentials", http.Header{name: {"a.b.c"}}, false)
		check(t, req, err, accepted)
		if req.Credential() != tokenrequest.NoCredential || len(req.Certificates()) != 0 {
			t.Errorf("CW-7 the header %s counts as mechanism %d", name, req.Credential())
		}
	}
}

// ER-2: the scheme decides which challenge a refusal carries.
func TestAuthorizationScheme(t *testing.T) {
	for value, want := range map[string]string{
		"Basic YTpi": "basic", "BEARER x": "bearer", "basic": "basic", "": "", " Basic x": "", "DPoP x": "dpop",
	} {
		req, err := parseWith("grant_type=client_credentials", http.Header{"Authorization": {value}}, false)
		if err != nil || req.AuthorizationScheme() != want {
			t.Errorf("ER-2 %q is the scheme %q, want %q (%v)", value, req.AuthorizationScheme(), want, err)
		}
		if strings.Contains(req.AuthorizationScheme(), "YTpi") {
			t.Error("AU-2 the scheme holds the secret")
		}
	}
}
