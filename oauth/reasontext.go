package oauth

// A ReasonText says to an operator what a reason means and what to do about it.
// docs/reason-codes.md is made of these.
type ReasonText struct {
	Reason Reason
	Cause  string // what happened
	Next   string // the next thing to do
}

// Next is the next thing to do about a refusal for this reason.
func (r Reason) Next() string {
	for _, t := range reasonTexts {
		if t.Reason == r {
			return t.Next
		}
	}
	return ""
}

// Cause is what happened when something was refused for this reason.
func (r Reason) Cause() string {
	for _, t := range reasonTexts {
		if t.Reason == r {
			return t.Cause
		}
	}
	return ""
}

// ReasonTexts are all reasons, in the order in which a request meets them.
func ReasonTexts() []ReasonText { return append([]ReasonText(nil), reasonTexts...) }

var reasonTexts = []ReasonText{
	{ReasonRequestMalformed, "The request breaks a rule of its shape: method, content type, encoding, a parameter that is missing, repeated or in the query.", "Compare the request with the rule named; send each parameter once, in the form body, over TLS."},
	{ReasonRequestTooLarge, "The body is longer than 64 KiB.", "Send only the parameters of the grant; a JWT-SVID has at most 16 KiB."},
	{ReasonRateLimited, "The source failed too often, or the client asked too often, for the configured limits; or one workload has used more proofs or single-use JWT-SVIDs than are remembered for one.", "Look for a loop in the caller; if the load is meant, raise limits in the configuration, or Proofs of an API."},
	{ReasonMixedCredentials, "The request authenticates in two ways, or its certificate belongs to another workload than its assertion or WIT-SVID.", "Send one credential; over mutual TLS use a certificate of the same SPIFFE ID as the assertion."},
	{ReasonMethodNotAllowed, "The client authenticates by a method that it is not registered for or that this server does not offer.", "Compare token_endpoint_auth_method of the client with what the caller sends; a WIT-SVID also needs enable_wit and a profile that has it."},
	{ReasonAssertionMissing, "There is no client authentication in the request, or an assertion type without an assertion.", "Send client_assertion with client_assertion_type, or a WIT-SVID with its proof, or connect with an X.509-SVID."},
	{ReasonAssertionMalformed, "The assertion is not one compact JWS of strict base64url and strict JSON.", "Check that client_assertion holds the JWT-SVID, or OAuth-Client-Attestation the WIT-SVID, whole, once and nothing else."},
	{ReasonAssertionTooLarge, "The JWT is longer than 16 KiB, or in a header than 8 KiB.", "Ask the issuer for an SVID without large extra claims."},
	{ReasonWrongTokenType, "The JWT's typ says that it is another kind of token than the one wanted here.", "Send the token that belongs in this place: a JWT-SVID in client_assertion, a WIT-SVID in OAuth-Client-Attestation, an access token to an API."},
	{ReasonAlgNotAllowed, "The algorithm is not allowed for this use, or does not go with the key.", "Have the SVID or token signed with an algorithm from the list named in expected."},
	{ReasonHeaderNotAllowed, "The JWT's header has a member that is not allowed there.", "Find out who made the token: a JWT-SVID has alg, kid and typ only, and no extension that crit names is known here."},
	{ReasonClaimMalformed, "A claim is of the wrong JSON type.", "Find out who made the token; times are numbers, aud is a string or an array of strings."},
	{ReasonSubNotSPIFFEID, "sub is missing or is not the SPIFFE ID of a workload.", "Check that the token is a JWT-SVID and that its sub obeys the rule named."},
	{ReasonAudMissing, "The JWT has no audience.", "Fetch the SVID for the audience named in expected."},
	{ReasonAudMultiple, "The JWT-SVID is for more than one audience.", "Fetch the SVID for one audience only: this server's issuer."},
	{ReasonAudMismatch, "The audience is not this server, letter for letter.", "Fetch the SVID with exactly the audience named in expected; mind the trailing slash and the host's name inside and outside the cluster."},
	{ReasonExpMissing, "The JWT has no exp.", "Find out who made the token; every SVID and access token expires."},
	{ReasonExpired, "The credential has expired at this server's clock.", "Compare the clocks; then check that the caller fetches a fresh SVID instead of keeping an old one."},
	{ReasonNotYetValid, "The credential is not valid yet at this server's clock.", "Compare the clocks: presented says how far apart they are."},
	{ReasonLifetimeTooLong, "The JWT-SVID lives longer than this server allows.", "Shorten the SVID's life at its issuer, or raise svid.max_assertion_lifetime."},
	{ReasonAssertionReplayed, "The trust domain's JWT-SVIDs count once, and this one was used before.", "Fetch a new SVID for every request, or drop single_use for the trust domain."},
	{ReasonAudForbidden, "The WIT-SVID has an audience, which a WIT-SVID must not have.", "Find out who made it: its proof is for one audience, the WIT-SVID itself for none."},
	{ReasonCnfMissing, "The WIT-SVID names no public key of its holder (cnf.jwk).", "Find out who made it: cnf.jwk holds the workload's public key and its alg."},
	{ReasonPoPMissing, "The request has a WIT-SVID, or at an API a token that is bound to a key, without a proof that the sender holds that key.", "Send the proof in OAuth-Client-Attestation-PoP beside a WIT-SVID, where a DPoP proof does not take its place; send a bound token as Authorization: DPoP with a DPoP proof made for this request."},
	{ReasonPoPBad, "The proof beside the WIT-SVID breaks the rule named.", "Make a new proof for every request, with the key in cnf.jwk and its alg: typ oauth-client-attestation-pop+jwt, aud the issuer letter for letter, iat now, jti random; compare the clocks."},
	{ReasonChallengeMissing, "The proof has no challenge, and this server wants one (wit.challenge: required).", "Fetch one from challenge_endpoint, or take it from the answer's OAuth-Client-Attestation-Challenge, and put it into the proof's challenge."},
	{ReasonChallengeBad, "The proof's challenge is not one of this server's, or too old.", "Take the one from this answer's OAuth-Client-Attestation-Challenge; a challenge is good for 5 to 10 minutes, and only at the server that gave it."},
	{ReasonPoPReplayed, "The proof was used before.", "Make a new proof for every request, also when one is sent again; if nobody sent it twice, somebody copied it."},
	{ReasonPoPMemoryLost, "The server has just started and cannot read back which proofs were used before; this one may be one of them.", "Try again with a new proof; let audit.file be a file, the same at each start, so that the server can read back what was used."},
	{ReasonTDUnknown, "The trust domain is not configured here.", "Add it under trust_domains, or find out why the workload belongs to that trust domain."},
	{ReasonTDNotReady, "No bundle was ever obtained for the trust domain.", "Look at /readyz for the error of the bundle's source."},
	{ReasonBundleTooOld, "The bundle's source has not confirmed it for longer than max_stale.", "Look at /readyz for the error of the bundle's source; mend the source rather than raise max_stale."},
	{ReasonBundleNoKeys, "The bundle has no key for this kind of SVID.", "Check what the trust domain publishes; an empty bundle means that it withdrew all keys."},
	{ReasonKIDMissing, "The JWT has no kid, and one is required or the key would be a guess.", "Have the issuer set kid."},
	{ReasonKIDUnknown, "The kid names no key that is known here.", "Check that the token comes from the trust domain or issuer it names, and that its keys are published."},
	{ReasonKIDUnknownAfterRefresh, "The kid names no key in the bundle, though the bundle was just fetched again or may not be fetched more often.", "Check that the trust domain publishes the key before it signs with it."},
	{ReasonKeyWrongUse, "The key with that kid is published for another kind of SVID.", "Find out why the issuer signs with that key."},
	{ReasonKeyTooWeak, "The key is shorter than this server accepts.", "Use RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519."},
	{ReasonSignatureBad, "The signature is not by the key that it names.", "Check for a token changed on its way, or a trust domain whose keys were replaced under the same kid."},
	{ReasonCertMissing, "There is no client certificate on the connection.", "Connect to the listener that asks for certificates (mtls_endpoint_aliases) with the X.509-SVID."},
	{ReasonCertURISANCount, "The certificate has no URI name, or more than one.", "Have the leaf issued with exactly one URI: its SPIFFE ID."},
	{ReasonCertIDMalformed, "The certificate's URI is not the SPIFFE ID of a workload.", "Have the leaf issued with an identifier that obeys the rule named."},
	{ReasonCertIDNotCanonical, "The certificate's URI has its scheme in another case than spiffe://.", "Have the leaf issued with the identifier in its canonical spelling."},
	{ReasonCertNotLeaf, "The certificate is a CA's.", "Send the workload's own certificate first, then its intermediates."},
	{ReasonCertKeyUsage, "The certificate's key usage lacks digitalSignature, or is not marked critical where svid.strict_key_usage_critical asks for that.", "Have the leaf issued with key usage digitalSignature, critical; rule says which of the two it is."},
	{ReasonCertKeyUsageSigns, "The certificate's key usage lets it sign certificates or revocation lists.", "Have the leaf issued without keyCertSign and cRLSign."},
	{ReasonCertExtKeyUsage, "The certificate's extended key usage does not allow client authentication.", "Have the leaf issued with clientAuth among its extended key usages, or with none."},
	{ReasonCertChainBad, "No valid path leads from the certificate to an anchor of its own trust domain.", "Check that the intermediates are sent, that the bundle is current, and what the detail says."},
	{ReasonClientIDMissing, "client_id is missing where the method or the profile requires it.", "Send client_id, form-encoded."},
	{ReasonClientNotFound, "No client is registered under that client_id, or none with exactly that SPIFFE ID.", "Register the client, or send the client_id of the one that the SPIFFE ID belongs to."},
	{ReasonClientIDMismatch, "The proven SPIFFE ID does not belong to the client that the request names.", "Compare spiffe_id of the client with the SPIFFE ID presented: case, slash, segment."},
	{ReasonClientAmbiguous, "Several clients have that SPIFFE ID, and the request names none.", "Send client_id."},
	{ReasonFirstUseDenied, "The workload may not register on first use: no allow pattern fits, a deny pattern does, or an operator deleted it.", "Compare the SPIFFE ID with registration.allow and deny of its trust domain; svidgate client show ID tells of a deletion, and svidgate client approve ID lifts it."},
	{ReasonFirstUsePending, "The workload asks for the first time, and an operator has to agree.", "Look at it with svidgate client show ID, then svidgate client approve ID, or block it."},
	{ReasonFirstUseQuota, "The trust domain has as many clients registered on first use as it may, in all or for now.", "Look with svidgate client list for what need not be there; if all is meant, raise registration.max_clients or new_clients."},
	{ReasonClientBlocked, "An operator blocked the client or the workload.", "svidgate client show ID says who, when and why; svidgate client unblock ID ends it."},
	{ReasonGrantUnsupported, "The grant type is not one this server offers.", "Use a grant type of grant_types_supported in the metadata."},
	{ReasonGrantDenied, "The client may not use this grant.", "Add the grant to grant_types of the client."},
	{ReasonScopeMalformed, "scope is not a list of scope tokens with one space between two.", "Mend the caller."},
	{ReasonScopeDenied, "The scope asked for is more than the client may have at that resource.", "Ask for less, or add the scope to the client and to the resource."},
	{ReasonResourceUnknown, "The resource is not configured here.", "Compare resource with the resources of the configuration, letter for letter."},
	{ReasonResourceDenied, "The client may not have tokens for that resource.", "Add the resource to the client."},
	{ReasonResourceMissing, "The client has several resources, or none, and asked for none.", "Send resource."},
	{ReasonResourceMultiple, "The request names more than one resource.", "Ask for one token a resource."},
	{ReasonBindingRequired, "The token must be bound to a key, and the request shows none: no certificate on the connection, and no WIT-SVID.", "Connect to the listener that asks for certificates with an X.509-SVID of the same SPIFFE ID, or authenticate with a WIT-SVID."},
	{ReasonRedirectURIMismatch, "redirect_uri is not one that the client is registered with, letter for letter, or is missing where it must be sent.", "Compare it with redirect_uris of the client: slash, case, query; only the port of a loopback address may differ."},
	{ReasonResponseTypeUnsupported, "response_type is another than code.", "Have the application use the authorization code flow."},
	{ReasonCodeChallengeBad, "There is no code challenge by S256 in the authorization request.", "Have the application send code_challenge and code_challenge_method=S256 (PKCE)."},
	{ReasonRequestURIUnknown, "The request_uri was not given out to this client, has expired, or was completed before.", "Push the request again and send the browser there within a minute."},
	{ReasonPARRequired, "The client, or every client, must push its authorization requests.", "Post the request to /par first, or drop require_pushed_authorization_requests."},
	{ReasonCodeUnknown, "The code is none that this server remembers.", "Redeem the code whole and within 30 seconds, at the server that gave it out."},
	{ReasonCodeExpired, "The code is older than 30 seconds.", "Redeem the code at once; compare the clocks of the server's nodes."},
	{ReasonCodeReused, "The code was redeemed before, so whatever it gave is revoked.", "Find out who else has the code: either the application redeems it twice, or it was stolen."},
	{ReasonCodeVerifierBad, "code_verifier is missing, malformed, or not what the code challenge was made of.", "Check that the verifier of the very same authorization request is sent; if it is, the code was injected."},
	{ReasonRefreshTokenUnknown, "The refresh token is none that this server remembers.", "Sign in again: it may have expired long ago, or belong to another server."},
	{ReasonRefreshTokenExpired, "The refresh token was not used for too long, or has reached the end of its life.", "Sign in again, or raise refresh_token.idle or refresh_token.lifetime."},
	{ReasonRefreshTokenReused, "The refresh token was replaced before, so the whole grant is revoked.", "Find out who else has the token: either two instances share it, or it was stolen; where answers get lost, set refresh_token.grace."},
	{ReasonGrantNotYours, "The code or refresh token belongs to another client, another workload or another key.", "Redeem it with the client and the SPIFFE ID that it was given to."},
	{ReasonGrantRevoked, "What the person granted was revoked.", "Sign in again."},
	{ReasonPasswordWrong, "There is no user of that name, or the password is another, and the page does not say which.", "See expected; svidgate user list has the names, svidgate user password sets another."},
	{ReasonLoginExpired, "The sign-in, or the page that was sent, is older than 10 minutes, was ended before, or belongs to another browser or person.", "Nothing, when it is rare, since the page leads on; where it is everybody, look whether cookies reach the server."},
	{ReasonCrossOrigin, "A form came from a page of another site.", "Nothing, since it was not the person who sent it; where all are refused, look for a proxy that changes Origin or Sec-Fetch-Site."},
	{ReasonProviderUnavailable, "The provider that people sign in at does not answer, is too slow, or says that it is broken.", "Look at cause in the log line; ask whoever runs the provider."},
	{ReasonProviderAnswerBad, "The provider answered what none may answer, or did not take the code.", "Look at cause in the log line: issuer, client_id, client_secret_file and callback must be as the provider has them."},
	{ReasonProviderRefused, "The provider did not sign the person in, or they changed their mind there.", "Look at presented, and in the provider's own log."},
	{ReasonIDTokenBad, "The ID token is not by the provider, not for this server or this sign-in, has expired, is a token of another kind, or lacks the claim that names the user.", "Compare expected with presented; look at cause in the log line, and at the clocks of both."},
	{ReasonUserNotAllowed, "The provider knows the person, and no entry of allow does.", "Add what their ID token says to allow of the provider, if they are meant to come in."},
	{ReasonConsentDenied, "The person was asked and said no.", "Nothing."},
	{ReasonTokenMissing, "There is no access token in the request.", "Send Authorization: Bearer, or DPoP, with a token for this resource."},
	{ReasonTokenMalformed, "The access token is not one compact JWS with the claims of RFC 9068.", "Check that the header holds the token whole and nothing else."},
	{ReasonTokenNotYours, "The token is genuine, but not for a resource that this client introspects, or, at the revocation endpoint, not one that was issued to it.", "Compare introspects of the client with the token's aud; a client revokes no tokens but its own."},
	{ReasonTokenRevoked, "The token was revoked, or everything that was issued up to a moment to its client, its workload or by its key.", "Look into presented for what was revoked and when; svidgate revoke list says by whom, and a new token can be had unless the client is cut off, too."},
	{ReasonIssuerMismatch, "The access token is not by an issuer that this resource trusts.", "Compare iss with the configured issuers, letter for letter."},
	{ReasonCnfMismatch, "The token is bound to another certificate than the connection's, or to another key than the proof's, or it is not bound as its scheme says.", "Call with the certificate or the key that the token was obtained with; after a rotation fetch a new token."},
	{ReasonDPoPBad, "The DPoP proof is malformed, made for another request, too old, or not by the key in it.", "Compare presented with expected: for htu configure the origin under which callers reach this API, for iat compare the clocks."},
	{ReasonDPoPNonce, "The API has just started and does not know which DPoP proofs were used before; this one may be one of them, and does not hold the nonce that says it is not.", "Put the DPoP-Nonce of this answer into nonce of a new proof, as package client does by itself; ten seconds after the start of the API none is wanted."},
	{ReasonKeysUnavailable, "The issuer's keys could not be had, or are too old.", "Check that the resource server reaches the issuer's jwks_uri."},
	{ReasonAuditUnavailable, "The decision could not be recorded, so it was not given.", "Look at the audit file: the disk may be full, or the file not writable."},
	{ReasonStoreUnavailable, "The store did not answer, so nothing was decided.", "Look at cause in the log line: the disk may be full or broken, or the store too busy."},
	{ReasonInternal, "The server failed.", "Look at cause in the log line with this request_id, and report it."},
}
