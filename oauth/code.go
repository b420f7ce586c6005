package oauth

import "net/http"

// An ErrorCode is what the peer learns of a refusal: the `error` member of an
// OAuth error response (RFC 6749 section 5.2). The two codes in parentheses
// have no place in an OAuth body; they answer with a status and nothing else.
type ErrorCode string

const (
	InvalidRequest       ErrorCode = "invalid_request"
	InvalidClient        ErrorCode = "invalid_client"
	InvalidGrant         ErrorCode = "invalid_grant"
	UnauthorizedClient   ErrorCode = "unauthorized_client"
	UnsupportedGrantType ErrorCode = "unsupported_grant_type"
	InvalidScope         ErrorCode = "invalid_scope"
	InvalidTarget        ErrorCode = "invalid_target" // RFC 8707 section 2

	AccessDenied            ErrorCode = "access_denied"             // RFC 6749 section 4.1.2.1
	UnsupportedResponseType ErrorCode = "unsupported_response_type" // RFC 6749 section 4.1.2.1
	RequestNotSupported     ErrorCode = "request_not_supported"     // RFC 9101 section 6
	RequestURINotSupported  ErrorCode = "request_uri_not_supported" // RFC 9101 section 6
	TemporarilyUnavailable  ErrorCode = "temporarily_unavailable"   // in a redirect only: there is no status there

	ServerError ErrorCode = "server_error"

	// UseAttestationChallenge asks for a proof with the challenge that comes with
	// the answer, UseFreshAttestation for a younger WIT-SVID: see
	// draft-ietf-oauth-attestation-based-client-auth.
	UseAttestationChallenge ErrorCode = "use_attestation_challenge"
	UseFreshAttestation     ErrorCode = "use_fresh_attestation"

	InvalidToken      ErrorCode = "invalid_token"      // RFC 6750 section 3.1
	InsufficientScope ErrorCode = "insufficient_scope" // RFC 6750 section 3.1
	// InvalidDPoPProof is 400 at the server; an API answers 401 (RFC 9449 sections 5
	// and 7.1).
	InvalidDPoPProof ErrorCode = "invalid_dpop_proof"
	// UseDPoPNonce asks for a proof with the nonce that comes with the answer; the
	// statuses are those of InvalidDPoPProof (RFC 9449 sections 8 and 9).
	UseDPoPNonce ErrorCode = "use_dpop_nonce"

	// Unavailable is a 503 without a body: the server cannot decide now.
	Unavailable ErrorCode = "(unavailable)"
	// TooLarge is a 413 without a body: the request was not read to its end.
	TooLarge ErrorCode = "(too_large)"
	// TooMany is a 429 without a body: the caller is over its rate.
	TooMany ErrorCode = "(too_many)"
)

// codes is the one table of statuses and of what a stranger is told. One
// sentence per code, whatever went wrong, so that the answer teaches an
// attacker nothing (ER-3, client-authentication section 14). Each sentence
// keeps to the characters that RFC 6749 section 5.2 allows (GL-7).
var codes = map[ErrorCode]struct {
	status      int
	description string
}{
	InvalidRequest:          {http.StatusBadRequest, "The request is malformed or breaks a rule of this endpoint."},
	InvalidClient:           {http.StatusUnauthorized, "Client authentication failed."},
	InvalidGrant:            {http.StatusBadRequest, "The grant is not valid for this client."},
	UnauthorizedClient:      {http.StatusBadRequest, "This client may not use this grant or token."},
	UnsupportedGrantType:    {http.StatusBadRequest, "This grant type is not supported."},
	InvalidScope:            {http.StatusBadRequest, "The scope is malformed or wider than this client may have."},
	InvalidTarget:           {http.StatusBadRequest, "The resource is missing, unknown or not open to this client."},
	AccessDenied:            {http.StatusForbidden, "The request was denied."},
	UnsupportedResponseType: {http.StatusBadRequest, "This response type is not supported."},
	RequestNotSupported:     {http.StatusBadRequest, "Request objects are not supported."},
	RequestURINotSupported:  {http.StatusBadRequest, "Only a request_uri that this server gave out is supported."},
	TemporarilyUnavailable:  {http.StatusServiceUnavailable, "The server cannot handle the request now."},
	ServerError:             {http.StatusInternalServerError, "The server could not handle the request."},
	UseAttestationChallenge: {http.StatusBadRequest, "The proof must hold the challenge that this answer carries."},
	UseFreshAttestation:     {http.StatusBadRequest, "The attestation is too old; a younger one is needed."},
	InvalidToken:            {http.StatusUnauthorized, "The access token is not valid here."},
	InsufficientScope:       {http.StatusForbidden, "The access token does not carry the scope this needs."},
	InvalidDPoPProof:        {http.StatusBadRequest, "The DPoP proof is not valid for this request."},
	UseDPoPNonce:            {http.StatusBadRequest, "The DPoP proof must hold the nonce that this answer carries."},
	Unavailable:             {http.StatusServiceUnavailable, ""},
	TooLarge:                {http.StatusRequestEntityTooLarge, ""},
	TooMany:                 {http.StatusTooManyRequests, ""},
}

// Status is the HTTP status of the code. An unknown code is a server fault.
func (c ErrorCode) Status() int {
	if e, ok := codes[c]; ok {
		return e.status
	}
	return http.StatusInternalServerError
}

// Description is the one sentence the peer is told for this code, and empty for
// the codes that have no body.
func (c ErrorCode) Description() string { return codes[c].description }

// HasBody reports whether a response with this code carries an OAuth error
// object.
func (c ErrorCode) HasBody() bool { return c.Description() != "" }

// ErrorCode is itself an error, so that errors.Is(err, oauth.InvalidClient)
// asks for the kind of a refusal.
func (c ErrorCode) Error() string { return string(c) }
