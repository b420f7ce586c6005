package oauth

import (
	"fmt"
	"io"
	"log/slog"
)

// An AccessToken is a token's wire form. It prints and logs as "redacted" (AU-2).
// string(t) shows it, and so does JSON encoding, since that is how it is sent:
// whoever hands slog's JSON handler a struct or a map that holds one logs the
// token, unless that type has a LogValue. A type that keeps one in an unexported
// field needs a Format: fmt calls no methods there.
type AccessToken string

func (AccessToken) String() string             { return "redacted" }
func (AccessToken) Format(f fmt.State, _ rune) { io.WriteString(f, "redacted") } // for every verb
func (AccessToken) LogValue() slog.Value       { return slog.StringValue("redacted") }

// A RefreshToken is a refresh token's wire form. It prints and logs as an
// AccessToken does.
type RefreshToken string

func (RefreshToken) String() string             { return "redacted" }
func (RefreshToken) Format(f fmt.State, _ rune) { io.WriteString(f, "redacted") } // for every verb
func (RefreshToken) LogValue() slog.Value       { return slog.StringValue("redacted") }

// A TokenResponse is the successful answer of the token endpoint (RFC 6749
// section 5.1, TK-6). Scope is always sent, unless it is empty.
type TokenResponse struct {
	AccessToken  AccessToken  `json:"access_token"`
	TokenType    string       `json:"token_type"`
	ExpiresIn    int64        `json:"expires_in"` // seconds
	RefreshToken RefreshToken `json:"refresh_token,omitempty"`
	Scope        string       `json:"scope,omitempty"`
}

// Format prints the response without its token (AU-2).
func (r TokenResponse) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "redacted %s token for %q, %d s", r.TokenType, r.Scope, r.ExpiresIn)
}

// LogValue does the same for slog.
func (r TokenResponse) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// A PushedResponse is the answer to a pushed authorization request (RFC 9126
// section 2.2).
type PushedResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}

// Format prints the response without its request_uri.
func (r PushedResponse) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "redacted request_uri, %d s", r.ExpiresIn)
}

// LogValue does the same for slog.
func (r PushedResponse) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// An ErrorResponse is the body of a refusal (RFC 6749 section 5.2).
type ErrorResponse struct {
	Error       ErrorCode `json:"error"`
	Description string    `json:"error_description,omitempty"`
}

// Metadata describes an authorization server (RFC 8414 section 2, AM-4). A
// member whose feature is off is empty and so left out (AM-3).
type Metadata struct {
	Issuer                                    string            `json:"issuer"`
	TokenEndpoint                             string            `json:"token_endpoint"`
	AuthorizationEndpoint                     string            `json:"authorization_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint        string            `json:"pushed_authorization_request_endpoint,omitempty"`
	RequirePushedAuthorizationRequests        bool              `json:"require_pushed_authorization_requests,omitempty"`
	JWKSURI                                   string            `json:"jwks_uri"`
	GrantTypesSupported                       []GrantType       `json:"grant_types_supported,omitempty"`
	ResponseTypesSupported                    []string          `json:"response_types_supported,omitempty"`
	CodeChallengeMethodsSupported             []string          `json:"code_challenge_methods_supported,omitempty"`
	AuthorizationResponseIssParameter         bool              `json:"authorization_response_iss_parameter_supported,omitempty"`
	RequestURIParameterSupported              *bool             `json:"request_uri_parameter_supported,omitempty"` // absent means true, so false is said
	ScopesSupported                           []string          `json:"scopes_supported,omitempty"`
	TokenEndpointAuthMethodsSupported         []AuthMethod      `json:"token_endpoint_auth_methods_supported,omitempty"`
	ChallengeEndpoint                         string            `json:"challenge_endpoint,omitempty"`
	ClientAttestationSigningAlgs              []string          `json:"client_attestation_signing_alg_values_supported,omitempty"`
	ClientAttestationPoPSigningAlgs           []string          `json:"client_attestation_pop_signing_alg_values_supported,omitempty"`
	TokenEndpointAuthSigningAlgs              []string          `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpoint                     string            `json:"introspection_endpoint,omitempty"`
	IntrospectionEndpointAuthMethodsSupported []AuthMethod      `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionEndpointAuthSigningAlgs      []string          `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationEndpoint                        string            `json:"revocation_endpoint,omitempty"`
	RevocationEndpointAuthMethodsSupported    []AuthMethod      `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationEndpointAuthSigningAlgs         []string          `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	TLSClientCertificateBoundAccessTokens     bool              `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	MTLSEndpointAliases                       map[string]string `json:"mtls_endpoint_aliases,omitempty"`
	ProtectedResources                        []string          `json:"protected_resources,omitempty"`
}

// ProviderMetadata is the little of OpenID Connect Discovery that verifiers need
// which look nowhere else for an issuer's keys (AM-8). It promises no ID tokens:
// the one response type is none.
type ProviderMetadata struct {
	Issuer             string   `json:"issuer"`
	JWKSURI            string   `json:"jwks_uri"`
	ResponseTypes      []string `json:"response_types_supported"`
	SubjectTypes       []string `json:"subject_types_supported"`
	IDTokenSigningAlgs []string `json:"id_token_signing_alg_values_supported"`
}
