package vectors

import (
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

type witInput struct {
	Context  string `json:"context"`
	WIT      string `json:"wit"`
	Proof    string `json:"proof,omitempty"`
	ClientID string `json:"client_id,omitempty"`
}

// goodChallenge is one that the servers of the vectors gave.
const goodChallenge = "a challenge that was given"

// witContexts are what WIT-SVIDs are judged with.
func witContexts(w *writer) {
	entry := func(name, kid, use string, more ...member) object {
		return jwk(w, testKey(w, name), append([]member{{"use", use}, {"kid", kid}}, more...)...)
	}
	jwt := entry("ec-jwt", "jwt-1", "jwt-svid")
	wit := entry("ec-wit", "wit-1", "wit-svid")
	w.text("example.org", document(jwt, wit, entry("rsa2048-wit", "rsa-1", "wit-svid", member{"alg", "RS256"})).String())
	w.text("other.test", document(entry("ec-other-wit", "other-1", "wit-svid")).String())
	w.text("jwt only", document(jwt).String())
	base := func() verifierContext {
		return verifierContext{Issuer: issuer, TrustDomains: map[string]trustDomainContext{
			"example.org":    {Bundle: "example.org"},
			"other.test":     {Bundle: "other.test"},
			"not-ready.test": {},
			"jwt.test":       {Bundle: "jwt only"},
			"lying.test":     {Bundle: "other.test", Of: "other.test"},
			"old.test":       {Bundle: "other.test", Age: 3600, Settings: settings{MaxBundleAge: 3599}},
			"off.test":       {Bundle: "other.test", Settings: settings{NoWIT: true}},
		}}
	}
	leeway := 300
	for name, change := range map[string]func(*verifierContext){
		"default":     func(*verifierContext) {},
		"seed":        func(c *verifierContext) { c.Settings.Profile = "seed" },
		"ietf-02":     func(c *verifierContext) { c.Settings.Profile = "ietf-02" },
		"long leeway": func(c *verifierContext) { c.Settings.Leeway = &leeway },
		"offered":     func(c *verifierContext) { c.Challenge = "offered" },
		"required":    func(c *verifierContext) { c.Challenge = "required" },
	} {
		c := base()
		change(&c)
		w.context(name, c)
	}
}

func writeWITSVIDs(w *writer) {
	w.family("wit-svid", "Whether a WIT-SVID and the proof beside it authenticate their holder. Nothing is fetched: every bundle is at hand or is not.")
	witContexts(w)
	authority, holder := testKey(w, "ec-wit"), testKey(w, "ec-holder")
	public := jwk(w, holder, member{"alg", "ES256"})
	header := object{{"alg", "ES256"}, {"kid", "wit-1"}, {"typ", oauth.TypeWIT}}
	claims := object{{"sub", billing}, {"cnf", object{{"jwk", public}}}, {"iat", noon.Unix() - 600}, {"exp", noon.Unix() + 3000}}
	popHeader := object{{"alg", "ES256"}, {"typ", oauth.TypeAttestationPoP}}
	popClaims := object{{"aud", issuer}, {"jti", "proof-1"}, {"iat", noon.Unix()}}

	proof := token(w, jose.ES256, holder, popHeader, popClaims)
	wit := token(w, jose.ES256, authority, header, claims)
	in := func(header, claims object) witInput {
		return witInput{"default", token(w, jose.ES256, authority, header, claims), proof, billing}
	}
	pop := func(header, claims object) witInput {
		return witInput{"default", wit, token(w, jose.ES256, holder, header, claims), billing}
	}
	at := func(context string, i witInput) witInput {
		i.Context = context
		return i
	}
	bound := func(key object) object { return claims.with("cnf", object{{"jwk", key}}) }
	ok := expectation{SPIFFEID: billing}
	why := func(reason string) expectation { return expectation{Reason: reason} }
	bad := why("pop_bad")

	w.good("ordinary", "a WIT-SVID as SPIRE makes it, and its proof", in(header, claims), ok, "WS-1", "PP-1")
	w.good("other-claims", "claims that nobody knows, and jti", in(header, claims.with("jti", "1").with("x", object{{"y", 1}})), ok, "WS-15", "WS-18")
	w.good("iss", "iss changes nothing", in(header, claims.with("iss", "https://example.org")), ok, "WS-16")
	w.good("other-header", "a header member that nobody knows", in(header.with("x", 1).with("jku", "https://attacker.test/keys"), claims), ok, "WS-5", "GL-9")
	w.good("iat-ahead", "iat does not say when it begins", in(header, claims.with("iat", noon.Unix()+600)), ok, "WS-9")
	w.good("long-life", "a life of ten years: it is no bearer credential", in(header, claims.with("exp", noon.Unix()+10*365*86400)), ok, "WS-10")

	// Of what each header may hold, as much as fits.
	filler := strings.Repeat("x", fill(func(n int) int { return len(in(header, claims.with("x", strings.Repeat("x", n))).WIT) }, oauth.MaxAttestation))
	w.good("longest", "8 KiB", in(header, claims.with("x", filler)), ok, "PP-14")
	w.bad("too-long", "more than 8 KiB", in(header, claims.with("x", filler+"x")), why("assertion_too_large"), "PP-14", "WS-1")
	popFiller := strings.Repeat("x", fill(func(n int) int { return len(pop(popHeader, popClaims.with("x", strings.Repeat("x", n))).Proof) }, oauth.MaxAttestation))
	w.good("longest-proof", "8 KiB", pop(popHeader, popClaims.with("x", popFiller)), ok, "PP-14", "PP-11")
	w.bad("proof-too-long", "more than 8 KiB", pop(popHeader, popClaims.with("x", popFiller+"x")), why("assertion_too_large"), "PP-14", "WS-1", "PP-1")

	w.twin = "wit-svid/ordinary"
	parts := strings.Split(wit, ".")
	shape := func(text string) witInput { return witInput{"default", text, proof, billing} }
	w.bad("line-break", "a line break within, signed as it is", shape(signedAsItIs(w, "ec-wit", parts[0][:10]+"\n"+parts[0][10:]+"."+parts[1])), why("assertion_malformed"), "WS-1")
	w.bad("four-parts", "four parts", shape(wit+".AAAA"), why("assertion_malformed"), "WS-1")
	w.bad("two-parts", "no signature part", shape(parts[0]+"."+parts[1]), why("assertion_malformed"), "WS-1")
	w.bad("json-serialization", "the other serialization", shape(`{"payload":"`+parts[1]+`"}`), why("assertion_malformed"), "WS-1")
	w.bad("claim-twice", "a claim twice", shape(tokenText(w, jose.ES256, authority, header.String(), `{"sub":"`+billing+`",`+claims.String()[1:])), why("assertion_malformed"), "GL-11")
	w.bad("claims-no-object", "claims that are no object", shape(tokenText(w, jose.ES256, authority, header.String(), "[]")), why("assertion_malformed"), "GL-11")
	w.bad("alg-none", "no signature", shape(encoded(header.with("alg", "none"))+"."+parts[1]+".AA"), why("alg_not_allowed"), "WS-3", "GL-9", "CW-3")
	w.bad("alg-hmac", "a shared secret", in(header.with("alg", "HS256"), claims), why("alg_not_allowed"), "WS-3", "GL-9", "CW-3")
	w.bad("alg-lower-case", "one spelling only", in(header.with("alg", "es256"), claims), why("alg_not_allowed"), "WS-3", "GL-9", "CW-3")
	w.bad("typ-missing", "no typ", in(header.without("typ"), claims), why("wrong_token_type"), "WS-2")
	w.bad("typ-jwt", "the typ of a JWT-SVID", in(header.with("typ", "JWT"), claims), why("wrong_token_type"), "WS-2")
	w.bad("typ-attestation", "an attestation that is none of ours, by a key of the bundle", in(header.with("typ", "oauth-client-attestation+jwt"), claims), why("wrong_token_type"), "WS-2", "CW-4")
	w.bad("crit", "something critical", in(header.with("crit", []string{"x"}).with("x", 1), claims), why("header_not_allowed"), "WS-5")
	w.bad("kid-missing", "no kid", in(header.without("kid"), claims), why("kid_missing"), "WS-4", "WS-14")
	w.bad("kid-empty", "a kid without text", in(header.with("kid", ""), claims), why("kid_missing"), "WS-4", "WS-14")
	w.bad("kid-number", "a kid that is no text", in(header.with("kid", 1), claims), why("assertion_malformed"), "WS-4", "WS-14")
	w.bad("kid-upper-case", "a kid in another case", in(header.with("kid", "WIT-1"), claims), why("kid_unknown"), "WS-14")

	w.bad("sub-missing", "nobody", in(header, claims.without("sub")), why("sub_not_spiffe_id"), "WS-6", "SI-1", "SI-10", "SI-3")
	w.bad("sub-wimse", "an identifier of another kind", in(header, claims.with("sub", "wimse://example.org/billing")), why("sub_not_spiffe_id"), "SI-1", "WS-6", "SI-10", "SI-3")
	w.bad("sub-trust-domain", "a trust domain is nobody", in(header, claims.with("sub", "spiffe://example.org")), why("sub_not_spiffe_id"), "SI-12", "WS-6")
	w.bad("aud", "an audience", in(header, claims.with("aud", issuer)), why("aud_forbidden"), "WS-11")
	w.bad("exp-missing", "no end", in(header, claims.without("exp")), why("exp_missing"), "EC-9", "WS-7")
	w.bad("exp-text", "an end that is no number", in(header, claims.with("exp", "tomorrow")), why("claim_malformed"), "EC-9", "WS-7")
	w.bad("nbf-text", "a beginning that is no number", in(header, claims.with("nbf", "now")), why("claim_malformed"), "WS-9")
	w.bad("iat-text", "a time that is no number", in(header, claims.with("iat", "now")), why("claim_malformed"), "WS-9")

	w.bad("trust-domain-unknown", "a trust domain that is not configured", in(header, claims.with("sub", "spiffe://unknown.test/billing")), why("td_unknown"), "JS-13")
	w.bad("trust-domain-not-ready", "one without a bundle yet", in(header, claims.with("sub", "spiffe://not-ready.test/billing")), why("td_not_ready"), "GL-15")
	w.bad("bundle-without-keys", "a bundle without keys for WIT-SVIDs", in(header, claims.with("sub", "spiffe://jwt.test/billing")), why("bundle_no_keys"), "BU-12")
	otherHeader, otherKey := header.with("kid", "other-1"), testKey(w, "ec-other-wit")
	by := func(h, c object) witInput {
		return witInput{"default", token(w, jose.ES256, otherKey, h, c), proof, billing}
	}
	w.good("other-domain", "the other trust domain", by(otherHeader, claims.with("sub", "spiffe://other.test/a")), expectation{SPIFFEID: "spiffe://other.test/a"}, "WS-14")
	w.bad("trust-domain-lying", "the store hands out the bundle of another one", by(otherHeader, claims.with("sub", "spiffe://lying.test/billing")), why("internal"), "JS-13", "MT-9")
	w.bad("bundle-too-old", "a bundle not confirmed for too long", by(otherHeader, claims.with("sub", "spiffe://old.test/billing")), why("bundle_too_old"), "BE-15")
	w.bad("switched-off", "a trust domain whose WIT-SVIDs are not let in", by(otherHeader, claims.with("sub", "spiffe://off.test/billing")), why("method_not_allowed"), "CA-3")
	w.bad("cross-domain", "a key of another trust domain", by(otherHeader, claims), why("kid_unknown"), "WS-14", "MT-9")

	w.good("ietf-02", "the edition before the newest", at("ietf-02", in(header, claims)), ok, "CA-3")
	w.bad("seed", "the first edition knows no WIT-SVIDs", at("seed", in(header, claims)), why("method_not_allowed"), "CA-3")
	w.twin = "wit-svid/ordinary"
	w.bad("kid-of-jwt", "a key of another use", witInput{"default", token(w, jose.ES256, testKey(w, "ec-jwt"), header.with("kid", "jwt-1"), claims), proof, billing}, why("key_wrong_use"), "WS-14")
	w.bad("kid-unknown", "a key that the bundle has not", in(header.with("kid", "wit-9"), claims), why("kid_unknown"), "WS-14")
	w.bad("signature-other-key", "a signature by another key", by(header, claims), why("signature_bad"), "CW-3")
	w.bad("signature-of-holder", "a signature by the key that it names itself", witInput{"default", token(w, jose.ES256, holder, header, claims), proof, billing}, why("signature_bad"), "CW-3", "GL-9")
	rsaHeader := header.with("alg", "RS256").with("kid", "rsa-1")
	w.good("rsa", "RS256", witInput{"default", token(w, jose.RS256, testKey(w, "rsa2048-wit"), rsaHeader, claims), proof, billing}, ok, "WS-3")
	w.bad("alg-of-entry", "RS384 with a key that the bundle has for RS256", witInput{"default", token(w, jose.RS384, testKey(w, "rsa2048-wit"), rsaHeader.with("alg", "RS384"), claims), proof, billing}, why("alg_not_allowed"), "GL-9")

	w.twin = "wit-svid/ordinary"
	w.bad("cnf-missing", "no key", in(header, claims.without("cnf")), why("cnf_missing"), "WS-12", "WS-13", "PP-3", "PP-4", "EC-9")
	w.bad("cnf-text", "a key that is no object", in(header, claims.with("cnf", "key")), why("cnf_missing"), "WS-12", "WS-13", "PP-3", "PP-4")
	w.bad("cnf-jkt", "the thumbprint of a key", in(header, claims.with("cnf", object{{"jkt", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})), why("cnf_missing"), "WS-12", "WS-13", "PP-3", "PP-4")
	w.bad("cnf-private", "the private key", in(header, bound(public.with("d", "AAAA"))), why("cnf_missing"), "WS-12", "WS-13", "PP-3", "PP-4")
	w.bad("cnf-secret", "a shared secret", in(header, bound(object{{"kty", "oct"}, {"k", "AAAA"}, {"alg", "HS256"}})), why("cnf_missing"), "WS-12", "WS-13", "PP-3", "PP-4")
	w.bad("cnf-off-curve", "a point that is not on the curve", in(header, bound(public.with("y", public[len(public)-2].value))), why("cnf_missing"), "WS-12", "WS-13", "PP-3", "PP-4")
	w.bad("cnf-alg-missing", "a key without its algorithm", in(header, bound(public.without("alg"))), why("alg_not_allowed"), "WS-13")
	w.bad("cnf-alg-hmac", "an algorithm for secrets", in(header, bound(public.with("alg", "HS256"))), why("alg_not_allowed"), "WS-13")
	w.bad("cnf-alg-none", "no algorithm", in(header, bound(public.with("alg", "none"))), why("alg_not_allowed"), "WS-13")
	w.bad("cnf-alg-encryption", "an algorithm to encrypt with", in(header, bound(public.with("alg", "ECDH-ES"))), why("alg_not_allowed"), "WS-13")
	w.bad("cnf-alg-of-another-curve", "an algorithm for another curve", in(header, bound(public.with("alg", "ES384"))), why("alg_not_allowed"), "WS-13", "PP-3")
	ed := testKey(w, "ed-holder")
	w.bad("cnf-ed25519", "an algorithm that is none of the nine", witInput{"default", token(w, jose.ES256, authority, header, bound(jwk(w, ed, member{"alg", "EdDSA"}))),
		token(w, jose.EdDSA, ed, popHeader.with("alg", "EdDSA"), popClaims), billing}, why("alg_not_allowed"), "WS-13", "PP-2")
	weak := testKey(w, "rsa1024-holder")
	w.bad("cnf-weak", "RSA of 1024 bits", in(header, bound(jwk(w, weak, member{"alg", "RS256"}))), why("key_too_weak"), "WS-13", "JS-3")

	w.good("just-expired", "within the leeway of 60 s", in(header, claims.with("exp", noon.Unix()-59)), ok, "WS-7")
	w.bad("expired", "at its very end", in(header, claims.with("exp", noon.Unix()-60)), why("expired"), "WS-7")
	w.good("two-minutes", "a leeway of 300 s counts as 120 s", at("long leeway", in(header, claims.with("exp", noon.Unix()-119))), ok, "WS-7")
	w.bad("two-minutes-over", "at the end of those", at("long leeway", in(header, claims.with("exp", noon.Unix()-120))), why("expired"), "WS-7")
	w.good("just-begun", "within the leeway", in(header, claims.with("nbf", noon.Unix()+60)), ok, "WS-8")
	w.bad("nbf-ahead", "it begins later", in(header, claims.with("nbf", noon.Unix()+61)), why("not_yet_valid"), "WS-8")

	w.twin = "wit-svid/ordinary"
	stripped := in(header, claims)
	stripped.Proof = ""
	w.bad("no-proof", "a WIT-SVID alone", stripped, why("pop_missing"), "WS-17", "PP-1")
	popParts := strings.Split(proof, ".")
	popShape := func(text string) witInput { return witInput{"default", wit, text, billing} }
	w.bad("proof-two-parts", "no signature part", popShape(popParts[0]+"."+popParts[1]), bad, "PP-1")
	w.bad("proof-claim-twice", "a claim twice", popShape(tokenText(w, jose.ES256, holder, popHeader.String(), `{"jti":"1",`+popClaims.String()[1:])), bad, "PP-1", "GL-11")
	w.bad("proof-typ-jwt", "the typ of anything", pop(popHeader.with("typ", "JWT"), popClaims), bad, "PP-2")
	w.bad("proof-typ-wpt", "a workload proof token", pop(popHeader.with("typ", "wpt+jwt"), popClaims), bad, "PP-2", "PP-30", "CW-7")
	w.bad("proof-typ-dpop", "a DPoP proof", pop(popHeader.with("typ", "dpop+jwt"), popClaims), bad, "PP-2", "PP-21")
	w.bad("proof-typ-missing", "no typ", pop(popHeader.without("typ"), popClaims), bad, "PP-2")
	w.bad("proof-crit", "something critical", pop(popHeader.with("crit", []string{"x"}).with("x", 1), popClaims), bad, "PP-2", "GL-9")
	w.bad("proof-alg-none", "no signature", popShape(encoded(popHeader.with("alg", "none"))+"."+popParts[1]+".AA"), bad, "PP-2", "PP-3", "PP-4")
	w.bad("proof-alg-hmac", "a shared secret", pop(popHeader.with("alg", "HS256"), popClaims), bad, "PP-2", "PP-3")
	w.bad("proof-alg-lie", "another algorithm than the WIT-SVID says, and signed by the right one", pop(popHeader.with("alg", "ES384"), popClaims), bad, "PP-3")
	rsa := testKey(w, "rsa2048-holder")
	rsaWIT := token(w, jose.ES256, authority, header, bound(jwk(w, rsa, member{"alg", "RS256"})))
	w.good("proof-rsa", "an RSA key", witInput{"default", rsaWIT, token(w, jose.RS256, rsa, popHeader.with("alg", "RS256"), popClaims), billing}, ok, "PP-3")
	w.bad("proof-pss", "PS256 where the WIT-SVID says RS256", witInput{"default", rsaWIT, token(w, jose.RS256, rsa, popHeader.with("alg", "PS256"), popClaims), billing}, bad, "PP-3")
	w.twin = "wit-svid/ordinary"
	w.bad("proof-other-key", "a proof by another key", popShape(token(w, jose.ES256, otherKey, popHeader, popClaims)), bad, "PP-4")
	w.bad("proof-by-authority", "a proof by the key that signed the WIT-SVID", popShape(token(w, jose.ES256, authority, popHeader, popClaims)), bad, "PP-4")
	w.bad("proof-embedded-key", "a proof by the key in its own header", popShape(token(w, jose.ES256, otherKey, popHeader.with("jwk", jwk(w, otherKey)), popClaims)), bad, "PP-4", "GL-9")
	w.bad("proof-signature-zero", "r and s are zero", popShape(popParts[0]+"."+popParts[1]+"."+strings.Repeat("A", 86)), bad, "PP-4")

	w.good("proof-behind", "a minute old", pop(popHeader, popClaims.with("iat", noon.Unix()-60)), ok, "PP-7")
	w.bad("proof-old", "a second more", pop(popHeader, popClaims.with("iat", noon.Unix()-61)), bad, "PP-7")
	w.good("proof-ahead", "a minute ahead", pop(popHeader, popClaims.with("iat", noon.Unix()+60)), ok, "PP-7")
	w.bad("proof-far-ahead", "a second more", pop(popHeader, popClaims.with("iat", noon.Unix()+61)), bad, "PP-7")
	w.bad("proof-iat-missing", "no time", pop(popHeader, popClaims.without("iat")), bad, "PP-7")
	w.bad("proof-iat-text", "a time that is no number", pop(popHeader, popClaims.with("iat", "now")), bad, "PP-7")
	w.good("proof-exp", "an end", pop(popHeader, popClaims.with("exp", noon.Unix()+1)), ok, "PP-10")
	w.bad("proof-exp-past", "an end that has come", pop(popHeader, popClaims.with("exp", noon.Unix())), bad, "PP-10")
	w.bad("proof-exp-text", "an end that is no number", pop(popHeader, popClaims.with("exp", "tomorrow")), bad, "PP-10")
	w.good("proof-nbf", "a beginning a minute ahead", pop(popHeader, popClaims.with("nbf", noon.Unix()+60)), ok, "PP-10")
	w.bad("proof-nbf-ahead", "a second more", pop(popHeader, popClaims.with("nbf", noon.Unix()+61)), bad, "PP-10")
	w.bad("proof-nbf-text", "a beginning that is no number", pop(popHeader, popClaims.with("nbf", "tomorrow")), bad, "PP-10")
	w.bad("proof-exp-does-not-help", "an end far away, and made long ago", pop(popHeader, popClaims.with("iat", noon.Unix()-600).with("exp", noon.Unix()+600)), bad, "PP-7", "PP-10")

	w.good("proof-aud-list", "a list of one", pop(popHeader, popClaims.with("aud", []string{issuer})), ok, "PP-5")
	w.bad("proof-aud-endpoint", "the URL of the endpoint", pop(popHeader, popClaims.with("aud", tokenURL)), bad, "PP-5")
	w.bad("proof-aud-slash", "a slash more", pop(popHeader, popClaims.with("aud", issuer+"/")), bad, "PP-5")
	w.bad("proof-aud-two", "a second audience", pop(popHeader, popClaims.with("aud", []string{issuer, "https://other.example.com"})), bad, "PP-5")
	w.bad("proof-aud-other", "another server", pop(popHeader, popClaims.with("aud", "https://other.example.com")), bad, "PP-5")
	w.bad("proof-aud-missing", "no audience", pop(popHeader, popClaims.without("aud")), bad, "PP-5")
	w.bad("proof-aud-number", "an audience that is no text", pop(popHeader, popClaims.with("aud", 1)), bad, "PP-5")
	w.good("proof-iss-sub", "iss is the SPIFFE ID", pop(popHeader, popClaims.with("iss", billing)), ok, "PP-9")
	named := pop(popHeader, popClaims.with("iss", "billing-client"))
	named.ClientID = "billing-client"
	w.good("proof-iss-client", "iss is client_id", named, ok, "PP-9")
	w.bad("proof-iss-other", "iss is somebody else", pop(popHeader, popClaims.with("iss", orders)), bad, "PP-9")
	w.bad("proof-iss-empty", "iss without text", pop(popHeader, popClaims.with("iss", "")), bad, "PP-9")
	anonymous := pop(popHeader, popClaims.with("iss", ""))
	anonymous.ClientID = ""
	w.bad("proof-iss-empty-anonymous", "iss without text, and no client_id", anonymous, bad, "PP-9")
	w.bad("proof-jti-missing", "no name", pop(popHeader, popClaims.without("jti")), bad, "PP-6")
	w.bad("proof-jti-empty", "a name without text", pop(popHeader, popClaims.with("jti", "")), bad, "PP-6")
	w.bad("proof-jti-number", "a name that is no text", pop(popHeader, popClaims.with("jti", 1)), bad, "PP-6")

	challenged := func(value any) witInput { return pop(popHeader, popClaims.with("challenge", value)) }
	w.good("challenge-unasked", "a challenge where none is given is a claim like any other", challenged("x"), ok, "PP-11")
	w.good("challenge", "the challenge that was given", at("required", challenged(goodChallenge)), ok, "PP-12")
	w.bad("challenge-missing", "none, where one is required", at("required", in(header, claims)), why("challenge_missing"), "PP-12")
	w.bad("challenge-other", "another", at("required", challenged("another")), why("challenge_bad"), "PP-12")
	w.bad("challenge-number", "one that is no text", at("required", challenged(1)), why("challenge_bad"), "PP-12")
	w.good("challenge-offered", "the challenge that was offered", at("offered", challenged(goodChallenge)), ok, "PP-12")
	w.good("challenge-not-taken", "none, where one is offered", at("offered", in(header, claims)), ok, "PP-13")
	w.bad("challenge-offered-other", "another, where one is offered", at("offered", challenged("another")), why("challenge_bad"), "PP-12")
}

// attested gives a request a WIT-SVID and a proof.
func attested(wit, proof string) func(*requestInput) {
	return func(r *requestInput) {
		r.Headers = append(r.Headers, [2]string{oauth.HeaderClientAttestation, wit}, [2]string{oauth.HeaderClientAttestationPoP, proof})
	}
}
