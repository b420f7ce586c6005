package tokenrequest

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// MaxBody is the longest form body read, in bytes (GL-8).
const MaxBody = 64 << 10

// maxClientID bounds client_id; a SPIFFE ID has at most 2048 bytes (SI-8).
const maxClientID = 2048

// protocolParameters must not stand in the query of a form endpoint (GL-3),
// whether a grant of ours reads them or not: a secret in a URL is in every log.
var protocolParameters = []string{
	oauth.ParamGrantType, oauth.ParamClientID, oauth.ParamClientSecret,
	oauth.ParamClientAssertion, oauth.ParamClientAssertionType,
	oauth.ParamScope, oauth.ParamResource, oauth.ParamAudience, "authorization_details",
	oauth.ParamCode, oauth.ParamRedirectURI, oauth.ParamCodeVerifier, oauth.ParamRefreshToken, oauth.ParamToken, oauth.ParamTokenTypeHint, "device_code",
	"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
	"assertion", "username", "password", oauth.ParamRequest, oauth.ParamRequestURI,
	oauth.ParamResponseType, oauth.ParamState, oauth.ParamCodeChallenge, oauth.ParamCodeChallengeMethod,
}

// repeatable parameters may appear more than once (GL-4).
var repeatable = []string{oauth.ParamResource, oauth.ParamAudience}

// Parse reads a POST request to a form endpoint. The error is an *oauth.Error;
// then the Request holds what could be read so far, for the audit record only.
func Parse(w http.ResponseWriter, r *http.Request, endpoint Endpoint) (Request, error) {
	req := Request{source: source(r)}
	if r.TLS == nil {
		return req, malformed("CA-15", "TLS", "plain HTTP")
	}
	form, err := readForm(w, r)
	if err != nil {
		return req, err
	}
	get := form.get
	req.grantType = oauth.GrantType(get(oauth.ParamGrantType))
	req.clientID = get(oauth.ParamClientID)
	req.scope = get(oauth.ParamScope)
	req.resources = form.all(oauth.ParamResource)
	req.certificates = peerCertificates(r)
	req.parameters = form.only(endpoint.Parameters)

	if len(req.clientID) > maxClientID || strings.ContainsFunc(req.clientID, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		err := malformed("GL-14", "a client_id of at most 2048 printable ASCII characters", oauth.Shown(req.clientID))
		req.clientID = ""
		return req, err
	}
	if err := req.readCredential(r.Header, form); err != nil {
		return req, err
	}
	req.endpoint = endpoint
	return req, nil
}

func malformed(rule, expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, rule, expected, presented)
}

func shown(s string) string {
	if s == "" {
		return "none"
	}
	return oauth.Shown(s)
}

// Names as the HTTP library keeps them.
var (
	attestation    = http.CanonicalHeaderKey(oauth.HeaderClientAttestation)
	attestationPoP = http.CanonicalHeaderKey(oauth.HeaderClientAttestationPoP)
)

// readCredential finds the one way of authentication (CA-5, TK-3).
func (req *Request) readCredential(h http.Header, form form) error {
	assertion := form.get(oauth.ParamClientAssertion)
	assertionType := form.get(oauth.ParamClientAssertionType)

	found := make([]string, 0, 4) // all there are; it stays on the stack
	if auth := h["Authorization"]; len(auth) > 0 {
		scheme, _, _ := strings.Cut(auth[0], " ")
		req.scheme = strings.ToLower(scheme)
		req.credential = SharedSecret
		found = append(found, "an Authorization header")
	}
	if form.get(oauth.ParamClientSecret) != "" {
		req.credential = SharedSecret
		found = append(found, oauth.ParamClientSecret)
	}
	if len(h[attestation]) > 0 || len(h[attestationPoP]) > 0 {
		req.credential = Attestation
		found = append(found, oauth.HeaderClientAttestation)
	}
	if assertion != "" || assertionType != "" {
		req.credential = JWTSVID
		if assertionType != oauth.ClientAssertionTypeJWTSPIFFE {
			req.credential = OtherAssertion
		}
		found = append(found, oauth.ParamClientAssertion)
	}
	switch {
	case len(found) > 1:
		return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonMixedCredentials, "CA-5", "one way of client authentication", strings.Join(found, " and "))
	case assertion != "" && assertionType == "":
		return malformed("CJ-1", oauth.ParamClientAssertionType, "none")
	case assertion == "" && assertionType != "":
		return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonAssertionMissing, "CJ-3", oauth.ParamClientAssertion, "none")
	case req.credential == OtherAssertion:
		return oauth.Refuse(oauth.InvalidClient, oauth.ReasonMethodNotAllowed, "CJ-1", oauth.ClientAssertionTypeJWTSPIFFE, oauth.Shown(assertionType))
	case len(assertion) > oauth.MaxJWT:
		return oauth.Refuse(oauth.InvalidClient, oauth.ReasonAssertionTooLarge, "GL-8", "at most "+strconv.Itoa(oauth.MaxJWT)+" bytes", strconv.Itoa(len(assertion))+" bytes")
	}
	req.assertion = assertion
	if req.credential == Attestation {
		return req.readAttestation(h)
	}
	return nil
}

// readAttestation takes the WIT-SVID and its proof out of their headers (PP-1).
// Whatever is wrong counts as failed authentication (client-authentication
// section 14).
func (req *Request) readAttestation(h http.Header) error {
	refuse := func(reason oauth.Reason, rule, expected, presented string) error {
		return oauth.Refuse(oauth.InvalidClient, reason, rule, expected, presented)
	}
	one := func(name string) string { return "one " + name + " with one token68" }
	switch attestations, proofs := h[attestation], h[attestationPoP]; {
	case len(attestations) == 0:
		return refuse(oauth.ReasonAssertionMissing, "PP-1", one(oauth.HeaderClientAttestation), "none beside a proof")
	case len(proofs) == 0: // no other proof takes its place (PP-21)
		return refuse(oauth.ReasonPoPMissing, "PP-1", one(oauth.HeaderClientAttestationPoP), "none")
	case len(attestations) > 1:
		return refuse(oauth.ReasonAssertionMalformed, "PP-1", one(oauth.HeaderClientAttestation), strconv.Itoa(len(attestations))+" headers")
	case len(proofs) > 1:
		return refuse(oauth.ReasonPoPBad, "PP-1", one(oauth.HeaderClientAttestationPoP), strconv.Itoa(len(proofs))+" headers")
	case len(attestations[0]) > oauth.MaxAttestation || len(proofs[0]) > oauth.MaxAttestation:
		return refuse(oauth.ReasonAssertionTooLarge, "PP-14", "at most "+strconv.Itoa(oauth.MaxAttestation)+" bytes in each header",
			strconv.Itoa(len(attestations[0]))+" and "+strconv.Itoa(len(proofs[0]))+" bytes")
	case !isToken68(attestations[0]):
		return refuse(oauth.ReasonAssertionMalformed, "PP-1", one(oauth.HeaderClientAttestation), "something else") // a comma joins two
	case !isToken68(proofs[0]):
		return refuse(oauth.ReasonPoPBad, "PP-1", one(oauth.HeaderClientAttestationPoP), "something else")
	default:
		req.attestation, req.proof = attestations[0], proofs[0]
		return nil
	}
}

// isToken68 reports whether a header's value is one token68 of RFC 9110 section
// 11.2.
func isToken68(s string) bool {
	bare := strings.TrimRight(s, "=")
	return bare != "" && !strings.ContainsFunc(bare, func(c rune) bool {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("-._~+/", c):
			return false
		}
		return true
	})
}

// peerCertificates are what the TLS peer sent, leaf first.
func peerCertificates(r *http.Request) []*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}

func source(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
