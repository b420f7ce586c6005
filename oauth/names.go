package oauth

import "strings"

// Request parameters (RFC 6749, RFC 7521, RFC 8707).
const (
	ParamGrantType           = "grant_type"
	ParamClientID            = "client_id"
	ParamClientSecret        = "client_secret"
	ParamClientAssertion     = "client_assertion"
	ParamClientAssertionType = "client_assertion_type"
	ParamScope               = "scope"
	ParamResource            = "resource"
	ParamAudience            = "audience"
	ParamToken               = "token"           // RFC 7009, RFC 7662
	ParamTokenTypeHint       = "token_type_hint" // RFC 7009, RFC 7662
)

// Parameters of authorization requests and of what becomes of them (RFC 6749
// section 4.1, RFC 7636, RFC 9126).
const (
	ParamResponseType        = "response_type"
	ParamRedirectURI         = "redirect_uri"
	ParamState               = "state"
	ParamCodeChallenge       = "code_challenge"
	ParamCodeChallengeMethod = "code_challenge_method"
	ParamRequest             = "request"
	ParamRequestURI          = "request_uri"
	ParamCode                = "code"
	ParamCodeVerifier        = "code_verifier"
	ParamRefreshToken        = "refresh_token"
	ParamIssuer              = "iss" // RFC 9207
	ParamError               = "error"
)

// The one response type and the one code challenge method there are (AZ-2, AZ-3).
const (
	ResponseTypeCode    = "code"
	ChallengeMethodS256 = "S256"
)

// RequestURIPrefix begins every request_uri that this server gives out (RFC 9126
// section 2.2).
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// RefreshTokenPrefix begins every refresh token that this server gives out, so that
// one in the wrong place is known for what it is (OP-1): see [Redact].
const RefreshTokenPrefix = "svidgate_rt_"

// MaxJWT is the longest JWT accepted in any parameter or header, in bytes (GL-8,
// JS-20).
const MaxJWT = 16 << 10

// ClientAssertionTypeJWTSPIFFE is the one client_assertion_type under which a
// JWT-SVID is accepted (CJ-1).
const ClientAssertionTypeJWTSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

// Headers that carry a WIT-SVID and its proof (CW-1).
const (
	HeaderClientAttestation    = "OAuth-Client-Attestation"
	HeaderClientAttestationPoP = "OAuth-Client-Attestation-PoP"
	// HeaderClientAttestationChallenge carries a challenge that the next proof has
	// to repeat (PP-13).
	HeaderClientAttestationChallenge = "OAuth-Client-Attestation-Challenge"
)

// MaxAttestation is the longest WIT-SVID and the longest proof accepted in those
// headers, in bytes (PP-14).
const MaxAttestation = 8 << 10

// Values of typ in the headers of a WIT-SVID and of its proof (WS-2, PP-2).
const (
	TypeWIT            = "wit+jwt"
	TypeAttestationPoP = "oauth-client-attestation-pop+jwt"
)

// HeaderDPoP carries a proof of possession of the key that an access token is bound
// to, whose typ is TypeDPoP (RFC 9449 sections 4.1 and 4.2). HeaderDPoPNonce in an
// answer is what the nonce of the next proof shall be (section 8.1).
const (
	HeaderDPoP      = "DPoP"
	HeaderDPoPNonce = "DPoP-Nonce"
	TypeDPoP        = "dpop+jwt"
)

// A GrantType is a value of grant_type.
type GrantType string

// The grants of RFC 6749 sections 4.4, 4.1 and 6.
const (
	GrantClientCredentials GrantType = "client_credentials"
	GrantAuthorizationCode GrantType = "authorization_code"
	GrantRefreshToken      GrantType = "refresh_token"
)

// An AuthMethod is a value of token_endpoint_auth_method (MD-22).
type AuthMethod string

const (
	MethodJWT  AuthMethod = "spiffe_jwt"
	MethodX509 AuthMethod = "spiffe_x509"
	MethodWIT  AuthMethod = "spiffe_wit"
	// MethodNone is that of a public client, which proves nothing (RFC 7591 section
	// 2).
	MethodNone AuthMethod = "none"
)

// A Binding says what holds a token to its client.
type Binding string

const (
	BindingBearer      Binding = "bearer"
	BindingCertificate Binding = "x5t#S256" // RFC 8705 section 3.1
	BindingKey         Binding = "jkt"      // RFC 9449 section 6.1
)

// TokenTypeBearer is the token_type of bearer and of certificate-bound tokens
// (TK-6).
const TokenTypeBearer = "Bearer"

// TokenTypeDPoP is the token_type of tokens that are bound to a key (TK-6, DP-4), and
// the scheme under which they are presented (DP-5).
const TokenTypeDPoP = "DPoP"

// Paths below the issuer.
const (
	PathToken       = "/token"
	PathChallenge   = "/challenge"
	PathAuthorize   = "/authorize"
	PathPAR         = "/par"
	PathIntrospect  = "/introspect"
	PathRevoke      = "/revoke"
	PathJWKS        = "/jwks.json"
	PathASMetadata  = "/.well-known/oauth-authorization-server"
	PathOIDC        = "/.well-known/openid-configuration"
	HeaderRequestID = "Request-Id"
)

// MetadataURL is where the metadata of an issuer lives: the well-known path stands
// between its host and its path (AM-1), and a slash at the end goes first (RFC 8414
// section 3.1). It works on the text of an https issuer without query and fragment,
// which callers check, so that nothing is spelled anew on the way.
func MetadataURL(issuer string) string {
	host, path, _ := strings.Cut(strings.TrimPrefix(issuer, "https://"), "/")
	if path = strings.TrimSuffix(path, "/"); path != "" {
		path = "/" + path
	}
	return "https://" + host + PathASMetadata + path
}
