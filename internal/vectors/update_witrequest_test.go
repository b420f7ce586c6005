package vectors

import (
	"strings"

	"github.com/svidgate/svidgate/internal/challenge"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

const gateway = "spiffe://example.org/edge/gateway"

// witServers are servers with clients that authenticate with WIT-SVIDs.
func witServers(w *writer) {
	root := newCA(w, "example.org", "ec-ca")
	jwt := jwk(w, testKey(w, "ec-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-1"})
	wit := jwk(w, testKey(w, "ec-wit"), member{"use", "wit-svid"}, member{"kid", "wit-1"})
	w.text("example.org with wit-svid", document(jwt, wit, anchor(w, root.cert, root.key)).String())
	client := func(id, spiffeID string, methods ...string) clientContext {
		return clientContext{ClientID: id, SPIFFEID: spiffeID, Methods: methods, GrantTypes: []string{string(oauth.GrantClientCredentials)}, Resources: []string{api}, Scope: []string{"read"}}
	}
	base := func() serverContext {
		return serverContext{
			verifierContext: verifierContext{Issuer: issuer, EndpointURL: tokenURL, TrustDomains: map[string]trustDomainContext{"example.org": {Bundle: "example.org with wit-svid"}}},
			MTLSURL:         "https://mtls.as.example.com",
			Clients: []clientContext{
				client("gateway", gateway, "spiffe_wit"),
				client("edge", "spiffe://example.org/edge/*", "spiffe_wit", "spiffe_jwt"),
				client(billing, "", "spiffe_jwt"),
			},
			Resources: []resourceContext{{Resource: api, Scopes: []string{"read", "write"}}},
		}
	}
	for name, change := range map[string]func(*serverContext){
		"wit":            func(*serverContext) {},
		"wit bound":      func(c *serverContext) { c.Binding = "required" },
		"wit unbound":    func(c *serverContext) { c.Binding = "none" },
		"wit off":        func(c *serverContext) { c.Settings.NoWIT = true },
		"wit seed":       func(c *serverContext) { c.Settings.Profile = "seed" },
		"wit ietf-02":    func(c *serverContext) { c.Settings.Profile = "ietf-02" },
		"wit challenge":  func(c *serverContext) { c.Challenge = "required" },
		"wit restarted":  func(c *serverContext) { c.ProofsSince = 61 },
		"wit remembered": func(c *serverContext) { c.ProofsSince = -1 },
	} {
		c := base()
		change(&c)
		w.context(name, c)
	}
	w.file.Chains["gateway"] = raw(root.leaf(w, "ec-gateway", named(gateway)))
}

func writeWITRequests(w *writer) {
	witServers(w)
	holder, other := testKey(w, "ec-holder"), testKey(w, "ec-other-holder")
	wit := func(id string) string {
		return token(w, jose.ES256, testKey(w, "ec-wit"), object{{"alg", "ES256"}, {"kid", "wit-1"}, {"typ", oauth.TypeWIT}},
			object{{"sub", id}, {"cnf", object{{"jwk", jwk(w, holder, member{"alg", "ES256"})}}}, {"exp", noon.Unix() + 3000}})
	}
	popClaims := object{{"aud", issuer}, {"jti", "proof-1"}, {"iat", noon.Unix()}}
	pop := func(claims object) string {
		return token(w, jose.ES256, holder, object{{"alg", "ES256"}, {"typ", oauth.TypeAttestationPoP}}, claims)
	}
	first, second := pop(popClaims), pop(popClaims.with("jti", "proof-2"))
	good := wit(gateway)
	body := func(client string) form {
		f := form{{"grant_type", "client_credentials"}}
		if client != "" {
			f = f.plus("client_id", client)
		}
		return f
	}
	shown := func(client, wit, proof string, change ...func(*requestInput)) requestInput {
		return post(body(client), append([]func(*requestInput){attested(wit, proof)}, change...)...)
	}
	under := func(context string, r ...requestInput) requestsInput { return requestsInput{context, r} }
	in := func(r ...requestInput) requestsInput { return under("wit", r...) }
	key := func(id string) expectation { return expectation{Status: 200, SPIFFEID: id, Binding: "jkt"} }
	why := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_client", Reason: reason}
	}
	headers := func(h ...[2]string) func(*requestInput) {
		return func(r *requestInput) { r.Headers = append(r.Headers, h...) }
	}
	const attestation, proof = oauth.HeaderClientAttestation, oauth.HeaderClientAttestationPoP

	w.good("wit", "a WIT-SVID and its proof", in(shown("gateway", good, first)), key(gateway), "CW-1", "DP-4", "TK-6")
	w.good("wit-names", "header names in another case", in(post(body("gateway"), headers([2]string{strings.ToUpper(attestation), good}, [2]string{strings.ToLower(proof), first}))), key(gateway), "PP-1")
	w.good("wit-dpop", "a DPoP proof beside them", in(shown("gateway", good, first, headers([2]string{"DPoP", first}))), key(gateway), "PP-22")
	w.good("wit-mtls", "a certificate of the same workload", in(shown("gateway", good, first, showing("gateway"))), key(gateway), "CA-6", "TK-3")
	w.good("wit-bound", "where binding is required", under("wit bound", shown("gateway", good, first)), key(gateway), "CC-5")
	w.good("wit-unbound", "where nothing is bound", under("wit unbound", shown("gateway", good, first)), expectation{Status: 200, SPIFFEID: gateway, Binding: "bearer"}, "CC-5")
	w.good("wit-twice", "one WIT-SVID with two proofs", in(shown("gateway", good, first), shown("gateway", good, second)), key(gateway), "WS-15")

	w.twin = "token-request/wit"
	w.bad("wit-replayed", "the same proof again", in(shown("gateway", good, first), shown("gateway", good, first)), why("pop_replayed"), "PP-8")
	w.bad("wit-replayed-client", "the same proof for another client", in(shown("gateway", good, first), shown("edge", good, first)), why("pop_replayed"), "PP-8")
	w.bad("wit-mtls-other", "a certificate of another workload", in(shown("gateway", good, first, showing("ledger"))), expectation{Status: 400, Error: "invalid_request", Reason: "mixed_credentials"}, "TK-3")
	w.bad("wit-alone", "no proof", in(post(body("gateway"), headers([2]string{attestation, good}))), why("pop_missing"), "PP-1", "WS-17", "PP-14")
	w.bad("wit-dpop-alone", "a DPoP proof in its place", in(post(body("gateway"), headers([2]string{attestation, good}, [2]string{"DPoP", first}))), why("pop_missing"), "PP-1", "PP-21", "WS-17", "PP-14")
	w.bad("proof-alone", "no WIT-SVID", in(post(body("gateway"), headers([2]string{proof, first}))), why("assertion_missing"), "PP-1", "WS-1", "PP-14")
	w.bad("wit-two-headers", "two WIT-SVIDs", in(post(body("gateway"), headers([2]string{attestation, good}, [2]string{attestation, good}, [2]string{proof, first}))), why("assertion_malformed"), "PP-1")
	w.bad("wit-two-proofs", "two proofs", in(post(body("gateway"), headers([2]string{attestation, good}, [2]string{proof, first}, [2]string{proof, second}))), why("pop_bad"), "PP-1")
	w.bad("wit-joined", "two in one header", in(shown("gateway", good+", "+good, first)), why("assertion_malformed"), "PP-1", "WS-1")
	w.bad("wit-proofs-joined", "two proofs in one header", in(shown("gateway", good, first+", "+second)), why("pop_bad"), "PP-1")
	w.bad("wit-too-long", "more than 8 KiB", in(shown("gateway", good+strings.Repeat("A", 8<<10), first)), why("assertion_too_large"), "PP-14", "WS-1")
	w.bad("wit-bearer", "in the Authorization header", in(post(body("gateway"), headers([2]string{"Authorization", "Bearer " + good}))), why("method_not_allowed"), "CA-7", "WS-17", "EC-14", "AV-10")
	w.bad("wit-as-assertion", "in the place of a JWT-SVID", in(post(body(billing).plus("client_assertion_type", oauth.ClientAssertionTypeJWTSPIFFE).plus("client_assertion", wit(billing)))), why("wrong_token_type"), "JS-4", "CW-1", "JS-8", "EC-4", "CJ-6")
	w.bad("wit-and-assertion", "an assertion beside them", in(shown("gateway", good, first, func(r *requestInput) {
		r.Body += "&client_assertion_type=x&client_assertion=y"
	})), expectation{Status: 400, Error: "invalid_request", Reason: "mixed_credentials"}, "CA-5", "TK-3")
	w.bad("wit-other-names", "the names of headers between workloads", in(post(body("gateway"), headers([2]string{"Workload-Identity-Token", good}, [2]string{"Workload-Proof-Token", first}))), why("assertion_missing"), "TK-2", "CW-7", "CA-7")
	w.bad("wit-no-client-id", "no client_id", in(shown("", good, first)), expectation{Status: 400, Error: "invalid_request", Reason: "client_id_missing"}, "CW-6", "CJ-10")
	w.bad("wit-client-other", "the client_id of another client", in(shown("gateway", wit("spiffe://example.org/edge/other"), first)), why("client_id_mismatch"), "CA-9", "CA-8")
	w.bad("wit-client-unknown", "a client that is not registered", in(shown("nobody", good, first)), why("client_not_found"), "CA-2", "CA-7", "CA-16")
	w.bad("wit-method", "a client that does not use them", in(shown(billing, wit(billing), first)), why("method_not_allowed"), "CA-7")
	w.bad("wit-other-holder", "a proof by another key", in(shown("gateway", good, token(w, jose.ES256, other, object{{"alg", "ES256"}, {"typ", oauth.TypeAttestationPoP}}, popClaims))), why("pop_bad"), "PP-4")
	w.bad("wit-off", "WIT-SVIDs are not let in", under("wit off", shown("gateway", good, first)), why("method_not_allowed"), "CA-3")
	w.bad("wit-seed", "the first edition has none", under("wit seed", shown("gateway", good, first)), why("method_not_allowed"), "CA-3")
	w.good("wit-wildcard", "a client of many workloads", in(shown("edge", good, first)), key(gateway), "CA-9", "MD-20")
	w.bad("wit-wildcard-ietf-02", "the profile ietf-02 has none with WIT-SVIDs", under("wit ietf-02", shown("edge", good, first)), why("client_id_mismatch"), "MD-20")

	w.twin = "token-request/wit"
	w.bad("wit-restarted", "a proof from before the server knew what was used", under("wit restarted", shown("gateway", good, first)), expectation{Status: 503, Reason: "pop_memory_lost"}, "EC-10")
	w.good("wit-remembered", "a proof made since", under("wit remembered", shown("gateway", good, first)), key(gateway), "EC-10")
	fresh := challenge.New([challenge.KeySize]byte{}, vectorClock).Fresh()
	unchallenged := func(reason string) expectation {
		return expectation{Status: 400, Error: "use_attestation_challenge", Reason: reason}
	}
	w.good("wit-challenge", "with the challenge of the server", under("wit challenge", shown("gateway", good, pop(popClaims.with("challenge", fresh)))), key(gateway), "PP-12")
	w.bad("wit-challenge-missing", "without", under("wit challenge", shown("gateway", good, first)), unchallenged("challenge_missing"), "PP-12")
	w.bad("wit-challenge-other", "with another", under("wit challenge", shown("gateway", good, pop(popClaims.with("challenge", fresh[1:])))), unchallenged("challenge_bad"), "PP-12")
}
