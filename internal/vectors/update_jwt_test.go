package vectors

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"sort"
	"strings"

	"github.com/svidgate/svidgate/internal/jose"
)

const (
	issuer   = "https://as.example.com"
	tokenURL = issuer + "/token"
	billing  = "spiffe://example.org/billing"
)

type jwtInput struct {
	Context   string `json:"context"`
	Assertion string `json:"assertion"`
}

// verifierContexts are what the vectors of both kinds of SVID are judged with.
func verifierContexts(w *writer) {
	jwt := jwk(w, testKey(w, "ec-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-1"})
	other := jwk(w, testKey(w, "ec-other-jwt"), member{"use", "jwt-svid"}, member{"kid", "other-1"})
	wit := jwk(w, testKey(w, "ec-wit"), member{"use", "wit-svid"}, member{"kid", "wit-1"})
	rsa := jwk(w, testKey(w, "rsa2048-jwt"), member{"use", "jwt-svid"}, member{"kid", "rsa-1"}, member{"alg", "RS256"})
	ed := jwk(w, testKey(w, "ed-jwt"), member{"use", "jwt-svid"}, member{"kid", "ed-1"})
	root, otherRoot := newCA(w, "example.org", "ec-ca"), newCA(w, "other.test", "ec-other-ca")

	w.text("example.org", document(jwt, wit, rsa, ed, anchor(w, root.cert, root.key)).String())
	w.text("other.test", document(other, anchor(w, otherRoot.cert, otherRoot.key)).String())
	w.text("without keys", document().String())
	w.text("two keys", document(jwt, jwk(w, testKey(w, "ec-second"), member{"use", "jwt-svid"}, member{"kid", "jwt-2"})).String())

	base := verifierContext{Issuer: issuer, EndpointURL: tokenURL, TrustDomains: map[string]trustDomainContext{
		"example.org":    {Bundle: "example.org"},
		"other.test":     {Bundle: "other.test"},
		"not-ready.test": {},
		"empty.test":     {Bundle: "without keys"},
		"lying.test":     {Bundle: "other.test", Of: "other.test"},
		"old.test":       {Bundle: "other.test", Age: 3600, Settings: settings{MaxBundleAge: 3599}},
	}}
	w.context("default", base)
	for name, change := range map[string]func(*verifierContext){
		"latest":       func(c *verifierContext) { c.Settings.Profile = "latest" },
		"seed":         func(c *verifierContext) { c.Settings.Profile = "seed" },
		"kid required": func(c *verifierContext) { c.Settings.RequireKeyID = true },
		"critical key usage required": func(c *verifierContext) {
			c.Settings.StrictKeyUsageCritical = true
		},
		"two keys": func(c *verifierContext) {
			c.TrustDomains = map[string]trustDomainContext{"example.org": {Bundle: "two keys"}}
		},
		"one key": func(c *verifierContext) {
			c.TrustDomains = map[string]trustDomainContext{"example.org": {Bundle: "other.test"}}
		},
		"no leeway": func(c *verifierContext) { c.Settings.Leeway = new(int) },
	} {
		c := base
		change(&c)
		w.context(name, c)
	}
}

func writeJWTSVIDs(w *writer) {
	w.family("jwt-svid", "Whether a JWT-SVID is accepted as a client assertion. Nothing is fetched: every bundle is at hand or is not.")
	verifierContexts(w)
	key := testKey(w, "ec-jwt")
	header := object{{"alg", "ES256"}, {"kid", "jwt-1"}, {"typ", "JWT"}}
	claims := object{{"sub", billing}, {"aud", []string{issuer}}, {"iat", noon.Unix() - 60}, {"exp", noon.Unix() + 240}}
	in := func(header, claims object) jwtInput {
		return jwtInput{"default", token(w, jose.ES256, key, header, claims)}
	}
	in2 := func(context string, header, claims object) jwtInput {
		i := in(header, claims)
		i.Context = context
		return i
	}
	ok := expectation{SPIFFEID: billing}
	why := func(reason string) expectation { return expectation{Reason: reason} }

	w.good("ordinary", "a JWT-SVID as SPIRE makes it", in(header, claims), ok)
	w.good("other-claims", "claims that nobody knows, iss and jti change nothing", in(header, claims.with("iss", "https://example.org").with("jti", "1").with("x", object{{"y", 1}})), ok, "JS-16", "JS-17", "JS-18")
	w.good("typ-jose", "the other typ", in(header.with("typ", "JOSE"), claims), ok, "JS-4")
	filler := strings.Repeat("x", fill(func(n int) int { return len(in(header, claims.with("x", strings.Repeat("x", n))).Assertion) }, 16<<10))
	w.good("longest", "16 KiB", in(header, claims.with("x", filler)), ok, "GL-8")
	w.bad("too-long", "more than 16 KiB", in(header, claims.with("x", filler+"x")), why("assertion_too_large"), "GL-8", "JS-1")

	good := in(header, claims).Assertion
	parts := strings.Split(good, ".")
	shape := func(text string) jwtInput { return jwtInput{"default", text} }
	w.bad("line-break", "a line break within, signed as it is", shape(signedAsItIs(w, "ec-jwt", parts[0][:10]+"\n"+parts[0][10:]+"."+parts[1])), why("assertion_malformed"), "JS-1")
	w.bad("four-parts", "four parts", shape(good+".AAAA"), why("assertion_malformed"), "JS-1")
	w.bad("two-parts", "no signature part", shape(parts[0]+"."+parts[1]), why("assertion_malformed"), "JS-1")
	w.bad("signature-empty", "an empty signature part", shape(parts[0]+"."+parts[1]+"."), why("assertion_malformed"), "JS-1", "JS-12")
	w.bad("padding", "base64 with padding", shape(signedAsItIs(w, "ec-jwt", parts[0]+"="+"."+parts[1])), why("assertion_malformed"), "JS-1")
	w.bad("json-serialization", "the other serialization", shape(`{"payload":"`+parts[1]+`"}`), why("assertion_malformed"), "JS-1")
	w.bad("claim-twice", "a claim twice", shape(tokenText(w, jose.ES256, key, header.String(), `{"sub":"`+billing+`",`+claims.String()[1:])), why("assertion_malformed"), "JS-20", "GL-11")
	w.bad("header-twice", "a header member twice", shape(tokenText(w, jose.ES256, key, `{"alg":"ES256",`+header.String()[1:], claims.String())), why("assertion_malformed"), "JS-20", "GL-11")
	w.bad("claims-no-object", "claims that are no object", shape(tokenText(w, jose.ES256, key, header.String(), "[]")), why("assertion_malformed"), "JS-20", "GL-11")
	w.bad("alg-none", "no signature", shape(encoded(object{{"alg", "none"}})+"."+parts[1]+".AA"), why("alg_not_allowed"), "JS-2", "JS-3", "JS-12")
	w.bad("alg-hmac", "a shared secret", in(header.with("alg", "HS256"), claims), why("alg_not_allowed"), "JS-2", "JS-3", "JS-12")
	w.bad("alg-eddsa", "an algorithm that is none of the nine", jwtInput{"default", token(w, jose.EdDSA, testKey(w, "ed-jwt"), header.with("alg", "EdDSA").with("kid", "ed-1"), claims)}, why("alg_not_allowed"), "JS-2")
	w.bad("typ-access-token", "an access token", in(header.with("typ", "at+jwt"), claims), why("wrong_token_type"), "JS-4")
	w.bad("typ-lower-case", "typ is compared byte for byte", in(header.with("typ", "jwt"), claims), why("wrong_token_type"), "JS-4")
	w.bad("header-jku", "a URL of keys", in(header.with("jku", "https://attacker.test/keys"), claims), why("header_not_allowed"), "JS-6")
	w.bad("header-crit", "something critical", in(header.with("crit", []string{"x"}).with("x", 1), claims), why("header_not_allowed"), "JS-6")

	w.bad("sub-missing", "nobody", in(header, claims.without("sub")), why("sub_not_spiffe_id"), "JS-7", "SI-1", "SI-10", "SI-3")
	w.bad("sub-trust-domain", "a trust domain is nobody", in(header, claims.with("sub", "spiffe://example.org")), why("sub_not_spiffe_id"), "SI-12", "JS-7")
	w.bad("sub-upper-case", "one spelling only", in(header, claims.with("sub", "spiffe://Example.org/billing")), why("sub_not_spiffe_id"), "SI-4", "JS-7", "SI-15")
	w.bad("sub-too-long", "2049 bytes", in(header, claims.with("sub", billing+"/"+strings.Repeat("a", 2048-len(billing)))), why("sub_not_spiffe_id"), "SI-9", "JS-7")

	w.bad("aud-empty", "an audience without text", in(header, claims.with("aud", []string{""})), why("aud_missing"), "JS-8", "CJ-6")
	w.bad("aud-missing", "no audience", in(header, claims.without("aud")), why("aud_missing"), "JS-8", "EC-4", "CJ-6")
	w.bad("aud-number", "an audience that is no text", in(header, claims.with("aud", 1)), why("claim_malformed"), "JS-8", "EC-4", "CJ-6")
	w.bad("exp-missing", "no end", in(header, claims.without("exp")), why("exp_missing"), "JS-9", "CJ-5")
	w.bad("exp-text", "an end that is no number", in(header, claims.with("exp", "tomorrow")), why("claim_malformed"), "JS-9", "CJ-5")
	w.bad("nbf-text", "a beginning that is no number", in(header, claims.with("nbf", "now")), why("claim_malformed"), "JS-11")
	w.bad("iat-negative", "a time before 1970", in(header, claims.with("iat", -1)), why("claim_malformed"), "JS-11")

	w.bad("trust-domain-unknown", "a trust domain that is not configured", in(header, claims.with("sub", "spiffe://unknown.test/billing")), why("td_unknown"), "JS-13")
	w.bad("trust-domain-not-ready", "one without a bundle yet", in(header, claims.with("sub", "spiffe://not-ready.test/billing")), why("td_not_ready"), "GL-15")
	otherHeader := header.with("kid", "other-1")
	otherKey := testKey(w, "ec-other-jwt")
	by := func(context string, h, c object) jwtInput {
		return jwtInput{context, token(w, jose.ES256, otherKey, h, c)}
	}
	w.bad("trust-domain-lying", "the store hands out the bundle of another one", by("default", otherHeader, claims.with("sub", "spiffe://lying.test/billing")), why("internal"), "JS-13", "MT-9")
	w.bad("bundle-too-old", "a bundle not confirmed for too long", by("default", otherHeader, claims.with("sub", "spiffe://old.test/billing")), why("bundle_too_old"), "BE-15")
	w.bad("bundle-without-keys", "a bundle with nothing in it", in(header, claims.with("sub", "spiffe://empty.test/billing")), why("bundle_no_keys"), "BU-12")
	w.bad("cross-domain", "a key of another trust domain", by("default", otherHeader, claims), why("kid_unknown"), "JS-15", "MT-9")

	w.bad("kid-unknown", "a key that the bundle has not", in(header.with("kid", "jwt-9"), claims), why("kid_unknown"), "JS-15")
	w.bad("kid-of-wit", "a key of another use", jwtInput{"default", token(w, jose.ES256, testKey(w, "ec-wit"), header.with("kid", "wit-1"), claims)}, why("key_wrong_use"), "JS-15")
	w.bad("kid-number", "a kid that is no text", in(header.with("kid", 1), claims), why("assertion_malformed"), "JS-14", "JS-15")
	w.bad("signature-other-key", "a signature by another key", by("default", header, claims), why("signature_bad"), "JS-12")
	w.bad("signature-zero", "r and s are zero", shape(parts[0]+"."+parts[1]+"."+strings.Repeat("A", 86)), why("signature_bad"), "JS-12")
	w.good("rsa", "RS256", jwtInput{"default", token(w, jose.RS256, testKey(w, "rsa2048-jwt"), header.with("alg", "RS256").with("kid", "rsa-1"), claims)}, ok)
	w.bad("alg-of-entry", "RS384 with a key that the bundle has for RS256", jwtInput{"default", token(w, jose.RS384, testKey(w, "rsa2048-jwt"), header.with("alg", "RS384").with("kid", "rsa-1"), claims)}, why("alg_not_allowed"), "JS-3")
	w.bad("alg-of-another-key", "RS256 with an EC key", in(header.with("alg", "RS256"), claims), why("alg_not_allowed"), "JS-3", "JS-12")

	w.good("kid-missing", "one key that fits leaves no choice", by("one key", otherHeader.without("kid"), claims), ok, "JS-14")
	w.bad("kid-missing-two-keys", "two keys that fit", in2("two keys", header.without("kid"), claims), why("kid_missing"), "JS-14")
	w.good("kid-required", "a kid where it is asked for", in2("kid required", header, claims), ok, "JS-14")
	w.bad("kid-required-missing", "none where it is asked for", jwtInput{"kid required", token(w, jose.RS256, testKey(w, "rsa2048-jwt"), header.with("alg", "RS256").without("kid"), claims)}, why("kid_missing"), "JS-14")

	w.good("just-expired", "within the leeway of 60 s", in(header, claims.with("exp", noon.Unix()-59)), ok, "JS-10")
	w.bad("expired", "at its very end", in(header, claims.with("exp", noon.Unix()-60)), why("expired"), "CJ-5", "JS-10")
	w.good("just-begun", "within the leeway", in(header, claims.with("nbf", noon.Unix()+60).with("iat", noon.Unix()+60)), ok, "JS-10")
	w.bad("nbf-ahead", "it begins later", in(header, claims.with("nbf", noon.Unix()+61)), why("not_yet_valid"), "JS-10")
	w.bad("iat-ahead", "it was made later", in(header, claims.with("iat", noon.Unix()+61)), why("not_yet_valid"), "JS-10")
	w.good("no-leeway", "a second before its end", in2("no leeway", header, claims.with("exp", noon.Unix()+1)), ok, "JS-10")
	w.bad("no-leeway-expired", "at its very end", in2("no leeway", header, claims.with("exp", noon.Unix())), why("expired"), "CJ-5", "JS-10")
	w.good("hour", "an hour is left", in(header, claims.with("exp", noon.Unix()+3600)), ok, "JS-19")
	w.bad("more-than-an-hour", "a second more", in(header, claims.with("exp", noon.Unix()+3601)), why("lifetime_too_long"), "JS-19")

	w.good("aud-text", "an audience that is no list", in(header, claims.with("aud", issuer)), ok, "JS-8")
	w.good("aud-endpoint", "the profile transition takes the endpoint's URL", in(header, claims.with("aud", []string{tokenURL})), ok, "CJ-7")
	w.bad("aud-two", "a second audience", in(header, claims.with("aud", []string{issuer, "https://other.example.com"})), why("aud_multiple"), "EC-4")
	w.bad("aud-other", "another server", in(header, claims.with("aud", []string{"https://other.example.com"})), why("aud_mismatch"), "CJ-6")
	w.bad("aud-slash", "a slash more is another audience", in(header, claims.with("aud", []string{issuer + "/"})), why("aud_mismatch"), "CJ-6")
	w.bad("aud-endpoint-latest", "the profile latest does not take the endpoint's URL", in2("latest", header, claims.with("aud", []string{tokenURL})), why("aud_mismatch"), "CJ-6", "CJ-7")
	w.bad("aud-issuer-seed", "the profile seed takes nothing else", in2("seed", header, claims), why("aud_mismatch"), "CJ-6", "CJ-7")
}

// fill is how much fits: the greatest n for which size(n) is at most limit.
func fill(size func(n int) int, limit int) int {
	return sort.Search(limit, func(n int) bool { return size(n) > limit }) - 1
}

func encoded(o object) string { return base64.RawURLEncoding.EncodeToString([]byte(o.String())) }

// signedAsItIs signs text, whatever it is.
func signedAsItIs(w *writer, keyName, text string) string {
	header, payload, _ := strings.Cut(text, ".")
	signed := token(w, jose.ES256, asIs{testKey(w, keyName), text}, object{}, object{})
	return header + "." + payload + "." + signed[strings.LastIndexByte(signed, '.')+1:]
}

// asIs signs its own text in the place of what it is given.
type asIs struct {
	crypto.Signer
	text string
}

func (k asIs) Sign(r io.Reader, _ []byte, opts crypto.SignerOpts) ([]byte, error) {
	sum := sha256.Sum256([]byte(k.text))
	return k.Signer.Sign(r, sum[:], opts)
}
