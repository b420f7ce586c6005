package vectors

// writeCertificateRequests is about clients that authenticate with a certificate.
func writeCertificateRequests(w *writer, byX509 form) {
	in := func(context string, r ...requestInput) requestsInput { return requestsInput{context, r} }
	bound := func(id string) expectation { return expectation{Status: 200, SPIFFEID: id, Binding: "x5t#S256"} }
	client := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_client", Reason: reason}
	}
	w.good("x509", "an X.509-SVID", in("default", post(byX509, showing("ledger"))), bound(ledger), "CX-1")
	w.bad("no-certificate", "no certificate", in("default", post(byX509)), client("cert_missing"), "CX-1")
	w.bad("certificate-without-client-id", "a certificate without client_id", in("default", post(byX509.with("client_id", ""), showing("ledger"))),
		expectation{Status: 400, Error: "invalid_request", Reason: "client_id_missing"}, "CX-2", "CJ-10")
	w.bad("certificate-of-another", "the certificate of another client", in("default", post(byX509, showing("orders"))), client("client_id_mismatch"), "CA-9")
	w.bad("certificate-of-a-jwt-client", "a client that uses JWT-SVIDs", in("default", post(byX509.with("client_id", billing), showing("billing"))), client("method_not_allowed"), "CA-7")
	w.bad("certificate-ends", "a certificate of which no second is left", in("default", post(byX509, showing("ends"))), client("expired"), "AT-6")
	w.good("wildcard", "a client of many workloads", in("default", post(byX509.with("client_id", "orders"), showing("orders"))), bound(orders), "MD-20")
	w.bad("wildcard-seed", "the profile seed has no wildcards", in("seed", post(byX509.with("client_id", "orders"), showing("orders"))), client("client_id_mismatch"), "CX-3", "MD-20")
	w.bad("wildcard-ietf-02", "the profile ietf-02 has none for certificates", in("ietf-02", post(byX509.with("client_id", "orders"), showing("orders"))), client("client_id_mismatch"), "CX-3", "MD-20")
	w.bad("client-id-no-spiffe-id", "the profile ietf-02 wants the SPIFFE ID as client_id", in("ietf-02", post(byX509, showing("ledger"))), client("client_id_mismatch"), "CX-3")
}

// writePolicyRequests is about what an authenticated client may have.
func writePolicyRequests(w *writer, good form, byJWT func(client, id string) form) {
	in := func(context string, r ...requestInput) requestsInput { return requestsInput{context, r} }
	ask := func(code, reason string) expectation {
		return expectation{Status: 400, Error: code, Reason: reason}
	}
	bearer := expectation{Status: 200, SPIFFEID: billing, Binding: "bearer"}
	limited := expectation{Status: 429, Reason: "rate_limited"}

	w.good("scope", "a scope", in("default", post(good.plus("scope", "read"))), bearer, "CC-4")
	w.bad("scope-not-allowed", "one that the client may not have", in("default", post(good.plus("scope", "read write"))), ask("invalid_scope", "scope_denied"), "CC-4")
	w.bad("scope-malformed", "two spaces", in("default", post(good.plus("scope", "read  read"))), ask("invalid_scope", "scope_malformed"), "TK-5", "CC-4")
	w.bad("scope-quote", "a quote", in("default", post(good.plus("scope", `"read"`))), ask("invalid_scope", "scope_malformed"), "TK-5", "CC-4")
	w.bad("resource-relative", "a resource that is no absolute URI", in("default", post(good.with("resource", "/"))), ask("invalid_target", "resource_unknown"), "TK-5", "CC-4")
	w.bad("resource-unknown", "a resource that is not configured", in("default", post(good.with("resource", "https://other.example.com/"))), ask("invalid_target", "resource_unknown"), "CC-4")
	w.bad("resource-fragment", "a resource with a fragment", in("default", post(good.with("resource", api+"#x"))), ask("invalid_target", "resource_unknown"), "TK-5", "CC-4")
	w.bad("resource-missing", "no resource where there are two", in("default", post(good.with("resource", ""))), ask("invalid_target", "resource_missing"), "CC-4")
	w.bad("grant-not-allowed", "a grant that the client may not use", in("default", post(byJWT("reports", "spiffe://example.org/reports"))), ask("unauthorized_client", "grant_denied"), "TK-5")
	w.good("resource-default", "the only resource is the default", in("one at most", post(good.with("resource", ""))), bearer, "CC-4")
	w.bad("resource-not-the-clients", "a resource of other clients", in("one at most", post(good.with("resource", books))), ask("invalid_target", "resource_denied"), "CC-4")
	w.bad("resources-two", "two resources", in("one at most", post(good.plus("resource", books))), ask("invalid_target", "resource_multiple"), "AT-4")

	w.good("bound-jwt", "a JWT-SVID beside the certificate of the same workload", in("default", post(good, showing("billing"))),
		expectation{Status: 200, SPIFFEID: billing, Binding: "x5t#S256"}, "MT-6")
	w.bad("certificate-beside", "one of another workload", in("default", post(good, showing("orders"))), ask("invalid_request", "mixed_credentials"), "TK-3")
	w.bad("certificate-beside-bad", "one that is no X.509-SVID", in("default", post(good, showing("for servers"))), ask("invalid_request", "cert_ext_key_usage"), "XS-7")
	w.bad("binding-required", "nothing to bind to, where binding is required", in("bound", post(good)), ask("invalid_request", "binding_required"), "CC-5", "AT-6")
	w.bad("binding-shed", "a client with a certificate's method does not get rid of it", in("default", post(byJWT("orders", orders))), ask("invalid_request", "binding_required"), "CC-5")
	w.good("unbound", "where nothing is bound", in("unbound", post(good, showing("billing"))), bearer, "CC-5")

	w.good("again", "an assertion shown again", in("default", post(good, times(2))), bearer, "CJ-13")
	w.good("single-use", "once, where it counts once", in("single use", post(good)), bearer, "CJ-13")
	w.bad("single-use-again", "and again", in("single use", post(good, times(2))), expectation{Status: 401, Error: "invalid_client", Reason: "assertion_replayed"}, "CJ-13")
	w.good("few-failures", "one failure before", in("few fail", post(good.with("client_id", "nobody")), post(good)), bearer, "GL-16")
	w.bad("many-failures", "too many from this address", in("few fail", post(good.with("client_id", "nobody"), times(2)), post(good)), limited, "GL-16")
	w.good("few-requests", "two requests of a client", in("few ask", post(good, times(2))), bearer, "GL-16")
	w.bad("many-requests", "one too many", in("few ask", post(good, times(3))), limited, "GL-16")
	w.bad("not-recorded", "a decision that cannot be recorded is not given", in("full", post(good)), expectation{Status: 503, Reason: "audit_unavailable"}, "AU-6")
}

func times(n int) func(*requestInput) { return func(r *requestInput) { r.Times = n } }
