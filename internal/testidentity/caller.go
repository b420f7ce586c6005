package testidentity

import (
	"crypto/x509"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/clientauth"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/replay"
	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// With is a form with further parameters; an empty value removes one.
func With(form url.Values, pairs ...string) url.Values {
	with := url.Values{}
	for name, values := range form {
		with[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if with.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			with.Del(pairs[i])
		}
	}
	return with
}

// Assertion is the form of a request that authenticates with a JWT-SVID.
func Assertion(clientID, assertion string) url.Values {
	return With(url.Values{oauth.ParamGrantType: {string(oauth.GrantClientCredentials)}},
		oauth.ParamClientID, clientID,
		oauth.ParamClientAssertionType, oauth.ClientAssertionTypeJWTSPIFFE,
		oauth.ParamClientAssertion, assertion)
}

// Certificate is the form of a request that authenticates with an X.509-SVID.
func Certificate(clientID string) url.Values {
	return With(url.Values{oauth.ParamGrantType: {string(oauth.GrantClientCredentials)}}, oauth.ParamClientID, clientID)
}

// Attested are the headers of a request that authenticates with a WIT-SVID, for
// [Request]; its form is that of [Certificate].
func Attested(attestation, proof string) []string {
	return []string{oauth.HeaderClientAttestation, attestation, oauth.HeaderClientAttestationPoP, proof}
}

// Request is a parsed request to TokenURL, with what the TLS peer sent and with
// headers given as name and value in turn.
func Request(t testing.TB, form url.Values, chain []*x509.Certificate, headers ...string) *tokenrequest.Request {
	t.Helper()
	r := httptest.NewRequest("POST", TokenURL, strings.NewReader(form.Encode())) // over TLS, since the URL is https
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	r.TLS.PeerCertificates = chain
	req, err := tokenrequest.Parse(httptest.NewRecorder(), r, tokenrequest.Endpoint{Name: "token", URL: TokenURL})
	if err != nil {
		t.Fatal(err)
	}
	return &req
}

// Registry registers clients; trust domains have the verifier's profiles.
func (w *World) Registry(t testing.TB, clients ...registration.Metadata) *registration.Registry {
	t.Helper()
	r, err := registration.New(clients, w.Verifier.Profile)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Caller is the authenticated client of a request, when client is the only one
// registered.
func (w *World) Caller(t testing.TB, client registration.Metadata, req *tokenrequest.Request) clientauth.Caller {
	t.Helper()
	a := &clientauth.Authenticator{Verifier: w.Verifier, Clients: w.Registry(t, client), Proofs: replay.New(1000, w.Clock.Now)}
	caller, _, err := a.Authenticate(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}
