package tokenrequest

import (
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
	"code", "redirect_uri", "code_verifier", "refresh_token", "token", "token_type_hint", "device_code",
	"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
	"assertion", "username", "password", "request", "request_uri",
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
	get := form.Get // a parameter with an empty value counts as absent (GL-5)
	req.grantType = oauth.GrantType(get(oauth.ParamGrantType))
	req.clientID = get(oauth.ParamClientID)
	req.scope = get(oauth.ParamScope)
	for _, value := range form[oauth.ParamResource] {
		if value != "" {
			req.resources = append(req.resources, value)
		}
	}
	req.certificates = peerCertificates(r)

	if len(req.clientID) > maxClientID || strings.ContainsFunc(req.clientID, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		err := malformed("GL-14", "a client_id of at most 2048 printable ASCII characters", oauth.Shown(req.clientID))
		req.clientID = ""
		return req, err
	}
	if err := req.readCredential(r.Header, form); err != nil {
		return req, err
	}
	if req.grantType == "" {
		return req, malformed("TK-1", oauth.ParamGrantType, "none")
	}
	req.endpoint = endpoint
	return req, nil
}

func malformed(rule, expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, rule, expected, presented)
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	contentType := strings.Join(r.Header.Values("Content-Type"), ", ") // two are none (AK-24)
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, malformed("GL-2", "application/x-www-form-urlencoded", shown(contentType))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return nil, malformed("GL-2", "UTF-8", shown(charset))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, malformed("GL-3", "no query", "a malformed query")
	}
	for _, name := range protocolParameters {
		if query.Has(name) {
			return nil, malformed("GL-3", "parameters in the body only", name+" in the query")
		}
	}
	if r.ContentLength > MaxBody { // without reading a byte of it
		return nil, tooLarge(r.ContentLength)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLarge(-1)
		}
		return nil, malformed("GL-2", "a whole body", "a body that broke off").Because(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil { // the error would repeat input
		return nil, malformed("GL-2", "name=value pairs in percent-encoding", "a malformed body")
	}
	if name, found := first(form, notUTF8); found {
		return nil, malformed("GL-2", "UTF-8", "other bytes in "+shown(name))
	}
	if name, found := first(form, repeated); found {
		return nil, malformed("GL-4", "each parameter once", shown(name)+" "+strconv.Itoa(len(form[name]))+" times")
	}
	return form, nil
}

// first is the parameter first by name that is bad. A map has no order, and one
// request gets one answer however often it is made.
func first(form url.Values, bad func(name string, values []string) bool) (name string, found bool) {
	for n, values := range form {
		if (!found || n < name) && bad(n, values) {
			name, found = n, true
		}
	}
	return name, found
}

func notUTF8(name string, values []string) bool {
	return !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) })
}

func repeated(name string, values []string) bool {
	return len(values) > 1 && !slices.Contains(repeatable, name)
}

func shown(s string) string {
	if s == "" {
		return "none"
	}
	return oauth.Shown(s)
}

func tooLarge(n int64) *oauth.Error {
	presented := "more"
	if n > 0 {
		presented = strconv.FormatInt(n, 10) + " bytes"
	}
	return oauth.Refuse(oauth.TooLarge, oauth.ReasonRequestTooLarge, "GL-8", "a body of at most "+strconv.Itoa(MaxBody)+" bytes", presented)
}

// readCredential finds the one way of authentication (CA-5, TK-3).
func (req *Request) readCredential(h http.Header, form url.Values) error {
	assertion := form.Get(oauth.ParamClientAssertion)
	assertionType := form.Get(oauth.ParamClientAssertionType)

	var found []string
	if auth := h.Values("Authorization"); len(auth) > 0 {
		scheme, _, _ := strings.Cut(auth[0], " ")
		req.scheme = strings.ToLower(scheme)
		req.credential = SharedSecret
		found = append(found, "an Authorization header")
	}
	if form.Get(oauth.ParamClientSecret) != "" {
		req.credential = SharedSecret
		found = append(found, oauth.ParamClientSecret)
	}
	if len(h.Values(oauth.HeaderClientAttestation)) > 0 || len(h.Values(oauth.HeaderClientAttestationPoP)) > 0 {
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
	return nil
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
