package oauth

// A Reason is the stable code of why a request was refused. It is the same in
// logs, audit lines, metrics and `explain`, and is never sent to the peer.
type Reason string

// Reason is an error, so that errors.Is(err, oauth.ReasonExpired) works.
func (r Reason) Error() string { return string(r) }

const (
	ReasonRequestMalformed Reason = "request_malformed"
	ReasonRequestTooLarge  Reason = "request_too_large"
	ReasonRateLimited      Reason = "rate_limited"
	ReasonMixedCredentials Reason = "mixed_credentials"
	ReasonMethodNotAllowed Reason = "method_not_allowed"

	ReasonAssertionMissing   Reason = "assertion_missing"
	ReasonAssertionMalformed Reason = "assertion_malformed"
	ReasonAssertionTooLarge  Reason = "assertion_too_large"
	ReasonWrongTokenType     Reason = "wrong_token_type"
	ReasonAlgNotAllowed      Reason = "alg_not_allowed"
	ReasonHeaderNotAllowed   Reason = "header_not_allowed"
	ReasonClaimMalformed     Reason = "claim_malformed"
	ReasonSubNotSPIFFEID     Reason = "sub_not_spiffe_id"
	ReasonAudMissing         Reason = "aud_missing"
	ReasonAudMultiple        Reason = "aud_multiple"
	ReasonAudMismatch        Reason = "aud_mismatch"
	ReasonExpMissing         Reason = "exp_missing"
	ReasonExpired            Reason = "expired"
	ReasonNotYetValid        Reason = "not_yet_valid"
	ReasonLifetimeTooLong    Reason = "lifetime_too_long"
	ReasonAssertionReplayed  Reason = "assertion_replayed"

	ReasonAudForbidden     Reason = "aud_forbidden"
	ReasonCnfMissing       Reason = "cnf_missing"
	ReasonPoPMissing       Reason = "pop_missing"
	ReasonPoPBad           Reason = "pop_bad"
	ReasonChallengeMissing Reason = "challenge_missing"
	ReasonChallengeBad     Reason = "challenge_bad"
	ReasonPoPReplayed      Reason = "pop_replayed"
	ReasonPoPMemoryLost    Reason = "pop_memory_lost"

	ReasonTDUnknown              Reason = "td_unknown"
	ReasonTDNotReady             Reason = "td_not_ready"
	ReasonBundleTooOld           Reason = "bundle_too_old"
	ReasonBundleNoKeys           Reason = "bundle_no_keys"
	ReasonKIDMissing             Reason = "kid_missing"
	ReasonKIDUnknown             Reason = "kid_unknown"
	ReasonKIDUnknownAfterRefresh Reason = "kid_unknown_after_refresh"
	ReasonKeyWrongUse            Reason = "key_wrong_use"
	ReasonKeyTooWeak             Reason = "key_too_weak"
	ReasonSignatureBad           Reason = "signature_bad"

	ReasonCertMissing        Reason = "cert_missing"
	ReasonCertURISANCount    Reason = "cert_uri_san_count"
	ReasonCertIDMalformed    Reason = "cert_id_malformed"
	ReasonCertIDNotCanonical Reason = "cert_id_not_canonical"
	ReasonCertNotLeaf        Reason = "cert_not_leaf"
	ReasonCertKeyUsage       Reason = "cert_key_usage"
	ReasonCertKeyUsageSigns  Reason = "cert_key_usage_signs"
	ReasonCertExtKeyUsage    Reason = "cert_ext_key_usage"
	ReasonCertChainBad       Reason = "cert_chain_bad"

	ReasonClientIDMissing  Reason = "client_id_missing"
	ReasonClientNotFound   Reason = "client_not_found"
	ReasonClientIDMismatch Reason = "client_id_mismatch"
	ReasonClientAmbiguous  Reason = "client_ambiguous"

	ReasonGrantDenied      Reason = "grant_denied"
	ReasonGrantUnsupported Reason = "grant_unsupported"
	ReasonScopeDenied      Reason = "scope_denied"
	ReasonScopeMalformed   Reason = "scope_malformed"
	ReasonResourceUnknown  Reason = "resource_unknown"
	ReasonResourceDenied   Reason = "resource_denied"
	ReasonResourceMissing  Reason = "resource_missing"
	ReasonResourceMultiple Reason = "resource_multiple"
	ReasonBindingRequired  Reason = "binding_required"

	ReasonTokenMissing     Reason = "token_missing"
	ReasonTokenMalformed   Reason = "token_malformed"
	ReasonIssuerMismatch   Reason = "issuer_mismatch"
	ReasonCnfMismatch      Reason = "cnf_mismatch"
	ReasonDPoPBad          Reason = "dpop_bad"
	ReasonKeysUnavailable  Reason = "keys_unavailable"
	ReasonAuditUnavailable Reason = "audit_unavailable"
	ReasonStoreUnavailable Reason = "store_unavailable"
	ReasonInternal         Reason = "internal"
)
