package reasonexample

import "github.com/svidgate/svidgate/oauth"

// An Example is what an operator sees of one refusal for a reason. Some reasons have
// several rules; this is the one met most.
type Example struct {
	Rule      string
	Expected  string
	Presented string
}

// Of is the example for a reason; the zero value for a reason that is none.
func Of(r oauth.Reason) Example { return examples[r] }

// examples are what the rules really say: a test runs them. Their issuer is
// https://as.example.com, their trust domain example.org and their time noon of
// 1 July 2026.
var examples = map[oauth.Reason]Example{
	oauth.ReasonRequestMalformed: {"GL-4", "each parameter once", "client_id 2 times"},
	oauth.ReasonRequestTooLarge:  {"GL-8", "a body of at most 65536 bytes", "65537 bytes"},
	oauth.ReasonRateLimited:      {"GL-16", "no more than the configured requests per client", "spiffe://example.org/billing"},
	oauth.ReasonMixedCredentials: {"TK-3", "a certificate of spiffe://example.org/billing", "one of spiffe://example.org/orders/eu"},
	oauth.ReasonMethodNotAllowed: {"CA-7", "one of [spiffe_jwt]", "a client certificate only"},

	oauth.ReasonAssertionMissing:   {"TK-2", "client authentication", "none"},
	oauth.ReasonAssertionMalformed: {"JS-1", "header.payload.signature in base64url without padding", "2 parts"},
	oauth.ReasonAssertionTooLarge:  {"GL-8", "at most 16384 bytes", "16385 bytes"},
	oauth.ReasonWrongTokenType:     {"JS-4", "no typ, JWT or JOSE", "at+jwt"},
	oauth.ReasonAlgNotAllowed:      {"JS-2", "RS, ES or PS with 256, 384 or 512", "HS256"},
	oauth.ReasonHeaderNotAllowed:   {"JS-6", "alg, kid, typ", "alg, kid, typ, jku"},
	oauth.ReasonClaimMalformed:     {"JS-9", "a number of seconds", "tomorrow"},
	oauth.ReasonSubNotSPIFFEID:     {"SI-4", "a trust domain of a-z 0-9 . - _ only", "spiffe://Example.org/billing"},
	oauth.ReasonAudMissing:         {"JS-8", "a string or an array of strings, none empty", "none"},
	oauth.ReasonAudMultiple:        {"EC-4", "exactly one value", "['https://as.example.com','https://other.example.com']"},
	oauth.ReasonAudMismatch:        {"CJ-6", "https://as.example.com or https://as.example.com/token (profile transition)", "https://as.example.com/"},
	oauth.ReasonExpMissing:         {"JS-9", "a number of seconds", "none"},
	oauth.ReasonExpired:            {"CJ-5", "exp after 2026-07-01T12:00:00Z less 1m0s", "2026-07-01T11:59:00Z, 1m ago"},
	oauth.ReasonNotYetValid:        {"JS-10", "nbf and iat no later than 2026-07-01T12:00:00Z plus 1m0s", "iat 2026-07-01T12:01:01Z, in 1m1s"},
	oauth.ReasonLifetimeTooLong:    {"JS-19", "at most 1h0m0s left", "1h0m1s left"},
	oauth.ReasonAssertionReplayed:  {"CJ-13", "an assertion not used before", "one that was"},

	oauth.ReasonAudForbidden:     {"WS-11", "no aud: that is the proof's", "https://as.example.com"},
	oauth.ReasonCnfMissing:       {"WS-12", "cnf with a public key in jwk", "cnf with jkt"},
	oauth.ReasonPoPMissing:       {"PP-1", "one OAuth-Client-Attestation-PoP with one token68", "none"},
	oauth.ReasonPoPBad:           {"PP-7", "iat within 1m0s of 2026-07-01T12:00:00Z", "iat 2026-07-01T11:58:59Z, 1m1s ago"},
	oauth.ReasonChallengeMissing: {"PP-12", "a challenge that this server gave lately", "none"},
	oauth.ReasonChallengeBad:     {"PP-12", "a challenge that this server gave lately", "another"},
	oauth.ReasonPoPReplayed:      {"PP-8", "a proof not used before", "one that was"},
	oauth.ReasonPoPMemoryLost:    {"EC-10", "a proof made at 2026-07-01T12:01:01Z or later", "iat 2026-07-01T12:00:00Z"},

	oauth.ReasonTDUnknown:              {"JS-13", "a trust domain of the configuration", "unknown.test"},
	oauth.ReasonTDNotReady:             {"GL-15", "a bundle of not-ready.test", "none was obtained yet"},
	oauth.ReasonBundleTooOld:           {"BE-15", "confirmed by its source within 59m59s", "1h0m0s old"},
	oauth.ReasonBundleNoKeys:           {"BU-12", "an entry with use jwt-svid", "0 x509-svid, 0 jwt-svid, 0 wit-svid"},
	oauth.ReasonKIDMissing:             {"JS-14", "a kid, or exactly one key that fits the algorithm", "none"},
	oauth.ReasonKIDUnknown:             {"KR-7", "a key of https://as.example.com", "kid as-9"},
	oauth.ReasonKIDUnknownAfterRefresh: {"JS-15", "one of jwt-1, rsa-1", "jwt-9"},
	oauth.ReasonKeyWrongUse:            {"JS-15", "one of jwt-1, rsa-1", "wit-1"},
	oauth.ReasonKeyTooWeak:             {"XS-18", "RSA of 2048 bits or more, EC P-256, P-384, P-521, or Ed25519", "RSA 1024"},
	oauth.ReasonSignatureBad:           {"JS-12", "a signature by key jwt-1 of example.org", "64 bytes of signature"},

	oauth.ReasonCertMissing:        {"CX-1", "an X.509-SVID on the connection", "no client certificate"},
	oauth.ReasonCertURISANCount:    {"XS-1", "one URI", "2: spiffe://example.org/billing, https://example.org"},
	oauth.ReasonCertIDMalformed:    {"XS-2", "a path: a workload, not a trust domain", "spiffe://example.org"},
	oauth.ReasonCertIDNotCanonical: {"SI-10", "the scheme in lower case", "SPIFFE://example.org/billing"},
	oauth.ReasonCertNotLeaf:        {"XS-3", "cA false or absent", "cA true"},
	oauth.ReasonCertKeyUsage:       {"XS-4", "digitalSignature", "keyAgreement"},
	oauth.ReasonCertKeyUsageSigns:  {"XS-5", "neither keyCertSign nor cRLSign", "digitalSignature, cRLSign"},
	oauth.ReasonCertExtKeyUsage:    {"XS-7", "none, or clientAuth among them", "serverAuth"},
	oauth.ReasonCertChainBad:       {"XS-10", "a path to one of 1 anchors of example.org", "1 certificates, the leaf issued by CN=test CA ec-other-ca"},

	oauth.ReasonClientIDMissing:  {"CX-2", "client_id beside a certificate", "none"},
	oauth.ReasonClientNotFound:   {"CA-2", "a registered client_id", "nobody"},
	oauth.ReasonClientIDMismatch: {"CA-9", "an SVID of client orders, spiffe://example.org/orders/*", "spiffe://example.org/billing"},
	oauth.ReasonClientAmbiguous:  {"CJ-10", "client_id, since several clients have this SPIFFE ID", "2 clients with spiffe://example.org/shared"},

	oauth.ReasonFirstUseDenied:  {"RU-2", "a SPIFFE ID of spiffe://example.org/ns/ci/* and not of spiffe://example.org/ns/ci/legacy/*", "spiffe://example.org/ns/ci/legacy/tool"},
	oauth.ReasonFirstUsePending: {"RU-5", "a client that an operator has approved", "pending since 2026-07-01T12:00:00Z"},
	oauth.ReasonFirstUseQuota:   {"RU-5", "no more than 2 clients of example.org", "one more, spiffe://example.org/ns/ci/third"},
	oauth.ReasonClientBlocked:   {"RU-8", "a client and a SPIFFE ID that nobody blocked", "spiffe://example.org/ns/ci/bad, blocked 2026-07-01T12:00:00Z: it leaked"},

	oauth.ReasonGrantUnsupported: {"TK-1", "client_credentials", "password"},
	oauth.ReasonGrantDenied:      {"TK-5", "one of [authorization_code]", "client_credentials"},
	oauth.ReasonScopeMalformed:   {"TK-5", "scope tokens with one space between two", "read  read"},
	oauth.ReasonScopeDenied:      {"CC-4", "no more than read at https://api.example.com/", "read write"},
	oauth.ReasonResourceUnknown:  {"CC-4", "a configured resource", "https://other.example.com/"},
	oauth.ReasonResourceDenied:   {"CC-4", "one of https://api.example.com/", "https://books.example.com/"},
	oauth.ReasonResourceMissing:  {"CC-4", "one of https://api.example.com/ https://books.example.com/", "no resource"},
	oauth.ReasonResourceMultiple: {"AT-4", "one resource", "https://api.example.com/ https://books.example.com/"},
	oauth.ReasonBindingRequired:  {"CC-5", "a key or a certificate: binding is required", "none"},

	oauth.ReasonRedirectURIMismatch:     {"RD-1", "a registered redirect_uri, letter for letter", "https://app.example.com/cb/"},
	oauth.ReasonResponseTypeUnsupported: {"AZ-2", "code", "token"},
	oauth.ReasonCodeChallengeBad:        {"AZ-3", "code_challenge_method S256", "plain"},
	oauth.ReasonRequestURIUnknown:       {"PA-2", "a request_uri given out to this client within 1m0s and not completed", "another"},
	oauth.ReasonPARRequired:             {"PA-6", "a pushed authorization request", "a plain one"},
	oauth.ReasonCodeUnknown:             {"AZ-6", "a code that was given out", "another"},
	oauth.ReasonCodeExpired:             {"AZ-6", "a code of at most 30s", "one that expired 1s ago"},
	oauth.ReasonCodeReused:              {"AZ-7", "a code that was not redeemed", "one that was"},
	oauth.ReasonCodeVerifierBad:         {"AZ-5", "the code_verifier of the code_challenge", "another"},
	oauth.ReasonRefreshTokenUnknown:     {"RT-1", "a refresh token that was given out", "another"},
	oauth.ReasonRefreshTokenExpired:     {"RT-6", "a refresh token used within its time", "one that expired 1s ago"},
	oauth.ReasonRefreshTokenReused:      {"RT-3", "the latest refresh token of the grant", "one that was replaced"},
	oauth.ReasonGrantNotYours:           {"AZ-6", "client spiffe://example.org/app", "client other"},
	oauth.ReasonGrantRevoked:            {"RT-6", "a grant in force, and a client that is not blocked", "a revoked grant"},
	oauth.ReasonPasswordWrong:           {"AZ-12", "the password of alice", "another"},
	oauth.ReasonLoginExpired:            {"AZ-12", "a sign-in that this browser began within 10m0s", "none"},
	oauth.ReasonCrossOrigin:             {"AZ-12", "a form of this server", "one of another site"},
	oauth.ReasonProviderUnavailable:     {"AZ-12", "the metadata of https://login.example.com", "https://login.example.com"},
	oauth.ReasonProviderAnswerBad:       {"AZ-12", "metadata of https://login.example.com", "that of https://other.example.com"},
	oauth.ReasonProviderRefused:         {"AZ-12", "somebody who is signed in there", "error access_denied"},
	oauth.ReasonIDTokenBad:              {"AZ-12", "the nonce of this sign-in", "another, or none"},
	oauth.ReasonUserNotAllowed:          {"AZ-12", "a claim that login.oidc.allow names", "corp:bob@example.net"},
	oauth.ReasonConsentDenied:           {"AZ-8", "the consent of the person", "a refusal"},

	oauth.ReasonTokenMissing:   {"LR-2", "Authorization: Bearer or DPoP and one token, and no token elsewhere", "no Authorization header"},
	oauth.ReasonTokenMalformed: {"GL-11", "three base64url parts, the first two JSON objects", "something else"},
	oauth.ReasonTokenNotYours:  {"IN-2", "aud one of https://books.example.com/", "aud https://api.example.com/"},
	oauth.ReasonTokenRevoked:   {"RV-4", "nothing revoked that the token belongs to", "spiffe_id spiffe://example.org/billing revoked 2026-07-01T12:00:00Z"},
	oauth.ReasonIssuerMismatch: {"GL-14", "iss https://as.example.com or https://down.example.com or https://other.example.com", "iss https://as.example.com/"},
	oauth.ReasonCnfMismatch:    {"MT-2", "a certificate with x5t#S256 HLMlgzknwuf4qG4vV94g9t2r3R9YzDo3HXZucdUuggk", "no client certificate"},
	oauth.ReasonDPoPBad:        {"DP-2", "htm GET, htu https://api.example.com/", "htm GET, htu https://host.example.com/"},
	oauth.ReasonDPoPNonce:      {"DP-6", "a proof made at 2026-07-01T12:00:00Z or later, or one with the nonce of this API", "iat 2026-07-01T11:59:59Z, without the nonce"},

	oauth.ReasonKeysUnavailable:  {"LD-3", "keys of https://down.example.com", "none that may be used"},
	oauth.ReasonAuditUnavailable: {"AU-6", "a decision on record before its answer leaves", ""},
	oauth.ReasonStoreUnavailable: {"GL-15", "an answer of the store before that of the request", ""},
	oauth.ReasonInternal:         {"JS-13", "a trust domain of the configuration", "lying.test"},
}
