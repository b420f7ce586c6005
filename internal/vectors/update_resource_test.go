package vectors

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// A tokenInput is a request to the API with what its caller shows.
type tokenInput struct {
	Context       string   `json:"context"`
	Authorization []string `json:"authorization"`
	Path          string   `json:"path,omitempty"` // as it was sent; none: /
	Query         string   `json:"query,omitempty"`
	DPoP          []string `json:"dpop,omitempty"`
	Before        int      `json:"before,omitempty"` // how often the very same request came before
	Chain         string   `json:"chain,omitempty"`
	Scopes        []string `json:"scopes,omitempty"`
}

func resourceContexts(w *writer) {
	key := func(name string, members ...member) object { return jwk(w, testKey(w, name), members...) }
	sig := func(kid string, more ...member) []member {
		return append([]member{{"use", "sig"}, {"kid", kid}}, more...)
	}
	ordinary := []any{key("ec-as", sig("as-1", member{"alg", "ES256"})...), key("rsa2048-as", sig("rsa-1")...)}
	w.text("keys", object{{"keys", ordinary}}.String())
	w.text("one key", object{{"keys", ordinary[:1]}}.String())
	w.text("two keys", object{{"keys", append(append([]any{}, ordinary...), key("ec-second", sig("as-2")...))}}.String())
	w.text("other keys", object{{"keys", []any{key("ec-other-as", sig("as-1")...), key("ec-second", sig("other-1")...)}}}.String())
	// Keys that must not verify access tokens, each by its kid.
	w.text("bad keys", object{{"keys", []any{
		key("ec-1", sig("good")...),
		key("ec-2", member{"use", "enc"}, member{"kid", "enc"}),
		key("ec-3", append(sig("ops"), member{"key_ops", []string{"sign"}})...),
		key("ec-4", append(sig("private"), member{"d", "AAAA"})...),
		key("rsa1024-as", sig("short")...),
		key("ec-5", sig("alg", member{"alg", "ES384"})...),
		key("ec-6", sig("twice")...), key("ec-7", sig("twice")...),
	}}}.String())
	w.text("kid that is none", object{{"keys", []any{key("ec-as", member{"use", "sig"}, member{"kid", 1})}}}.String())
	w.text("alg that is none", object{{"keys", []any{key("ec-as", sig("as-1", member{"alg", 256})...)}}}.String())
	base := resourceServerContext{Resource: api, Issuers: []issuerContext{{issuer, "keys"}, {"https://other.example.com", "other keys"}, {"https://down.example.com", ""}}}
	w.context("default", base)
	w.context("no origin", resourceServerContext{Resource: "urn:example:api", Issuers: []issuerContext{{issuer, "keys"}}})
	w.context("two origins", resourceServerContext{Resource: "urn:example:api", Origins: []string{"https://api.example.com", "https://api.example.com:8443"}, Issuers: []issuerContext{{issuer, "keys"}}})
	for name, keys := range map[string]string{"one key": "one key", "two keys": "two keys", "bad keys": "bad keys", "kid that is none": "kid that is none", "alg that is none": "alg that is none"} {
		w.context(name, resourceServerContext{Resource: api, Issuers: []issuerContext{{issuer, keys}}})
	}
	root, now := newCA(w, "example.org", "ec-ca"), func(*x509.Certificate) {}
	leaf := root.leaf(w, "ec-billing", now)
	w.file.Chains = map[string][][]byte{
		"billing": raw(leaf),
		"other":   raw(root.leaf(w, "ec-leaf", now)),
		"six":     raw(leaf, root.cert, root.cert, root.cert, root.cert, root.cert),
		"ended":   raw(root.leaf(w, "ec-billing", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })),
		"later":   raw(root.leaf(w, "ec-billing", func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) })),
	}
}

func writeAccessTokens(w *writer) {
	w.family("access-token", "What an API makes of an access token. Keys are at hand or are not; nothing is fetched.")
	resourceContexts(w)
	key := testKey(w, "ec-as")
	header := object{{"typ", "at+jwt"}, {"alg", "ES256"}, {"kid", "as-1"}}
	claims := object{{"iss", issuer}, {"sub", billing}, {"aud", api}, {"client_id", billing}, {"iat", noon.Unix() - 60},
		{"exp", noon.Unix() + 240}, {"jti", "1"}, {"scope", "read"}}
	by := func(alg jose.Algorithm, k crypto.Signer, context string, h, c object) tokenInput {
		return tokenInput{Context: context, Authorization: []string{"Bearer " + token(w, alg, k, h, c)}}
	}
	in := func(h, c object) tokenInput { return by(jose.ES256, key, "default", h, c) }
	ok := expectation{SPIFFEID: billing, Binding: "bearer"}
	why := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_token", Reason: reason}
	}
	malformed := expectation{Status: 400, Error: "invalid_request", Reason: "request_malformed"}

	w.good("ordinary", "an access token", in(header, claims), ok, "AT-8")
	good := in(header, claims).Authorization[0]
	show := func(values ...string) tokenInput { return tokenInput{Context: "default", Authorization: values} }
	w.good("scheme-lower-case", "schemes have no case", show("bearer"+strings.TrimPrefix(good, "Bearer")), ok, "LR-2")
	w.bad("none", "no token", show(), expectation{Status: 401, Reason: "token_missing"}, "LR-2", "GL-11")
	w.bad("other-scheme", "another scheme", show("MAC"+strings.TrimPrefix(good, "Bearer")), expectation{Status: 401, Reason: "token_missing"}, "LR-2")
	w.bad("two-headers", "two headers", show(good, good), malformed, "LR-2")
	w.bad("query", "a token in the query, too", tokenInput{Context: "default", Authorization: []string{good}, Query: "access_token=x"}, malformed, "LR-2")
	w.bad("too-long", "more than 16 KiB", in(header, claims.with("x", strings.Repeat("x", 13000))), why("assertion_too_large"), "GL-8")
	w.bad("claim-twice", "a claim twice", show("Bearer "+tokenText(w, jose.ES256, key, header.String(), `{"iss":"`+issuer+`",`+claims.String()[1:])), why("token_malformed"), "GL-11", "JS-20")
	w.bad("not-compact", "two parts", show(good[:strings.LastIndexByte(good, '.')]), why("token_malformed"), "GL-11", "JS-1", "AT-8")

	w.bad("typ", "a JWT of another kind", in(header.with("typ", "JWT"), claims), why("wrong_token_type"), "GL-10")
	w.bad("typ-missing", "a JWT of no kind", in(header.without("typ"), claims), why("wrong_token_type"), "GL-10")
	w.bad("alg-none", "no signature", in(header.with("alg", "none"), claims), why("alg_not_allowed"), "GL-9", "AT-8")
	w.bad("crit", "something critical", in(header.with("crit", []string{"x"}).with("x", 1), claims), why("header_not_allowed"), "GL-9")
	w.bad("issuer", "an issuer that is not trusted", in(header, claims.with("iss", "https://attacker.test")), why("issuer_mismatch"), "GL-14")
	w.bad("issuer-slash", "a slash more is another issuer", in(header, claims.with("iss", issuer+"/")), why("issuer_mismatch"), "GL-14")
	w.bad("keys-unavailable", "an issuer whose keys are not at hand", in(header, claims.with("iss", "https://down.example.com")), expectation{Status: 503, Reason: "keys_unavailable"}, "LD-3")
	w.bad("kid-unknown", "a key that the issuer has not", in(header.with("kid", "as-9"), claims), why("kid_unknown"), "KR-7")
	w.bad("kid-of-another-issuer", "a key of another issuer", by(jose.ES256, testKey(w, "ec-second"), "default", header.with("kid", "other-1"), claims), why("kid_unknown"), "KR-7")
	w.bad("signature", "a signature by another key", by(jose.ES256, testKey(w, "ec-other-as"), "default", header, claims), why("signature_bad"), "AT-8")
	w.bad("alg-of-another-key", "an algorithm of another kind of key", in(header.with("alg", "RS256"), claims), why("alg_not_allowed"), "AT-8")

	w.good("kid-missing", "one key leaves no choice", by(jose.ES256, key, "one key", header.without("kid"), claims), ok, "KR-6")
	w.bad("kid-empty", "a kid without text is none", by(jose.ES256, key, "one key", header.with("kid", ""), claims), why("kid_missing"), "AT-1")
	w.bad("kid-missing-two", "two keys that fit", by(jose.ES256, testKey(w, "ec-second"), "two keys", header.without("kid"), claims), why("kid_missing"), "KR-7", "KR-6")

	w.good("other-key", "a key of a set with bad ones in it", by(jose.ES256, testKey(w, "ec-1"), "bad keys", header.with("kid", "good"), claims), ok, "KR-5")
	ofKey := func(kid, name string, alg jose.Algorithm) tokenInput {
		return by(alg, testKey(w, name), "bad keys", header.with("kid", kid).with("alg", string(alg)), claims)
	}
	left := why("kid_unknown")
	w.bad("key-for-encryption", "a key for encryption", ofKey("enc", "ec-2", jose.ES256), left, "KR-7", "KR-5")
	w.bad("key-for-signing", "a key whose operations do not include verifying", ofKey("ops", "ec-3", jose.ES256), left, "KR-7", "KR-5")
	w.bad("key-private", "a key whose private part was published", ofKey("private", "ec-4", jose.ES256), left, "KR-7", "KR-1", "BU-20")
	w.bad("key-twice", "the second key of one kid", ofKey("twice", "ec-7", jose.ES256), why("signature_bad"), "AT-8", "KR-1")
	w.bad("key-short", "a short RSA key", tokenInput{Context: "bad keys", Authorization: []string{"Bearer " + shortRS256(w, header.with("kid", "short"), claims)}}, left, "KR-7", "KR-4", "JS-3")
	w.bad("key-alg", "a key with an alg of another curve", ofKey("alg", "ec-5", jose.ES256), left, "KR-7", "GL-9")

	w.bad("key-kid-number", "a key whose kid is no text", by(jose.ES256, key, "kid that is none", header.without("kid"), claims), why("kid_missing"), "KR-7", "KR-1")
	w.bad("key-alg-number", "a key whose alg is no text", by(jose.ES256, key, "alg that is none", header, claims), left, "KR-7", "GL-9")
	writeClaims(w, in, header, claims)
	writeBindings(w, in, header, claims)
	writePossessions(w, in, header, claims)
}

// shortRS256 signs with a key that jose.Sign refuses.
func shortRS256(w *writer, header, claims object) string {
	text := encoded(header.with("alg", "RS256")) + "." + encoded(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := testKey(w, "rsa1024-as").Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		w.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func writeClaims(w *writer, in func(header, claims object) tokenInput, header, claims object) {
	ok := expectation{SPIFFEID: billing, Binding: "bearer"}
	why := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_token", Reason: reason}
	}
	w.good("just-expired", "within the leeway of 5 s", in(header, claims.with("exp", noon.Unix()-4)), ok, "GL-12")
	w.bad("expired", "at its very end", in(header, claims.with("exp", noon.Unix()-5)), why("expired"), "GL-12")
	w.bad("exp-missing", "no end", in(header, claims.without("exp")), why("exp_missing"), "GL-12")
	w.bad("iat-ahead", "made later than in 10 s", in(header, claims.with("iat", noon.Unix()+11)), why("not_yet_valid"), "GL-12")
	w.bad("nbf-text", "a beginning that is no number", in(header, claims.with("nbf", "now")), why("claim_malformed"), "GL-12")
	w.good("audiences", "one of two audiences", in(header, claims.with("aud", []string{books, api})), ok, "AT-4")
	w.bad("audience", "another API", in(header, claims.with("aud", books)), why("aud_mismatch"), "AT-4")
	w.bad("audience-missing", "no audience", in(header, claims.without("aud")), why("aud_missing"), "AT-4")
	w.bad("audiences-other", "two others", in(header, claims.with("aud", []string{books, "https://x.example.com/"})), why("aud_mismatch"), "AT-4")
	w.bad("sub-missing", "no sub", in(header, claims.without("sub")), why("claim_malformed"), "AT-2")
	w.bad("iat-missing", "no iat", in(header, claims.without("iat")), why("claim_malformed"), "AT-2")
	w.bad("jti-missing", "no jti", in(header, claims.without("jti")), why("claim_malformed"), "AT-2")
	w.bad("client-id-missing", "no client_id", in(header, claims.without("client_id")), why("claim_malformed"), "AT-2")
	w.good("sub-other", "a subject that is no SPIFFE ID", in(header, claims.with("sub", "alice")), expectation{Binding: "bearer"}, "RS-3")
	w.bad("sub-almost", "one that looks like one", in(header, claims.with("sub", "spiffe://Example.org/billing")), why("sub_not_spiffe_id"), "RS-3")
	w.bad("sub-trust-domain", "a trust domain", in(header, claims.with("sub", "spiffe://example.org")), why("sub_not_spiffe_id"), "RS-3")
	w.good("scope-missing", "no scope", in(header, claims.without("scope")), ok, "AT-3")
	w.bad("scope-malformed", "two spaces", in(header, claims.with("scope", "read  write")), why("scope_malformed"), "AT-3")
	w.bad("scope-list", "a list", in(header, claims.with("scope", []string{"read"})), why("scope_malformed"), "AT-3")
	demand := func(i tokenInput, scopes ...string) tokenInput { i.Scopes = scopes; return i }
	w.good("scope", "a scope that is needed", demand(in(header, claims), "read"), ok, "LR-3")
	w.bad("scope-not-there", "one that is not there", demand(in(header, claims), "write"), expectation{Status: 403, Error: "insufficient_scope", Reason: "scope_denied"}, "LR-3")
	w.bad("scope-part", "a part of one is none", demand(in(header, claims.with("scope", "reading")), "read"), expectation{Status: 403, Error: "insufficient_scope", Reason: "scope_denied"}, "LR-3")
}

func writeBindings(w *writer, in func(header, claims object) tokenInput, header, claims object) {
	why := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_token", Reason: reason}
	}
	to := func(chain string) object {
		sum := sha256.Sum256(w.file.Chains[chain][0])
		return object{{"x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:])}}
	}
	over := func(chain string, cnf any) tokenInput {
		i := in(header, claims.with("cnf", cnf))
		i.Chain = chain
		return i
	}
	bound := expectation{SPIFFEID: billing, Binding: "x5t#S256"}
	w.good("bound", "a token bound to the certificate of the connection", over("billing", to("billing")), bound, "MT-2")
	w.bad("bound-to-another", "to another one", over("other", to("billing")), why("cnf_mismatch"), "MT-2")
	w.bad("bound-no-certificate", "a connection without one", over("", to("billing")), why("cnf_mismatch"), "MT-2", "MT-7")
	w.bad("bound-to-something", "bound to something that nobody knows", over("billing", object{{"osc", "x"}}), why("cnf_mismatch"), "AT-5")
	w.bad("bound-to-both", "something beside the certificate", over("billing", to("billing").with("jkt", "x")), why("cnf_mismatch"), "AT-5")
	w.bad("cnf-empty", "bound to nothing", over("billing", object{{"x5t#S256", ""}}), why("claim_malformed"), "AT-5")
	w.bad("cnf-text", "a confirmation that is no object", over("billing", "x"), why("claim_malformed"), "AT-5")
	w.bad("certificate-ended", "a certificate that has ended since", over("ended", to("ended")), why("cert_chain_bad"), "MT-7")
	w.bad("certificate-later", "one that begins later", over("later", to("later")), why("cert_chain_bad"), "MT-7")
	w.bad("chain-too-long", "six certificates", over("six", to("six")), why("cert_chain_bad"), "MT-8")
}

// writePossessions has tokens that are bound to a key, each with a proof by it.
func writePossessions(w *writer, in func(header, claims object) tokenInput, header, claims object) {
	why := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_token", Reason: reason}
	}
	wrong := func(reason string) expectation {
		return expectation{Status: 401, Error: "invalid_dpop_proof", Reason: reason}
	}
	key, other := testKey(w, "ec-1"), testKey(w, "ec-2")
	jkt := func(k crypto.Signer) object {
		thumbprint, err := jose.Thumbprint(k.Public())
		if err != nil {
			w.Fatal(err)
		}
		return object{{"jkt", thumbprint}}
	}
	held := claims.with("cnf", jkt(key))
	sum := func(i tokenInput) string {
		_, token, _ := strings.Cut(i.Authorization[0], " ")
		digest := sha256.Sum256([]byte(token))
		return base64.RawURLEncoding.EncodeToString(digest[:])
	}
	proofHeader := object{{"typ", "dpop+jwt"}, {"alg", "ES256"}, {"jwk", jwk(w, key)}}
	said := func(i tokenInput) object {
		return object{{"jti", "1"}, {"htm", "GET"}, {"htu", "https://api.example.com/"}, {"iat", noon.Unix()}, {"ath", sum(i)}}
	}
	// show presents a token under the scheme DPoP with this proof.
	show := func(i tokenInput, k crypto.Signer, h, c object) tokenInput {
		_, token, _ := strings.Cut(i.Authorization[0], " ")
		i.Authorization = []string{"DPoP " + token}
		i.DPoP = []string{tokenText(w, jose.ES256, k, h.String(), c.String())}
		return i
	}
	ordinary := in(header, held)
	good := show(ordinary, key, proofHeader, said(ordinary))
	change := func(f func(*tokenInput)) tokenInput { i := good; f(&i); return i }
	claim := func(name string, value any) tokenInput {
		return show(ordinary, key, proofHeader, said(ordinary).with(name, value))
	}
	without := func(name string) tokenInput {
		return show(ordinary, key, proofHeader, said(ordinary).without(name))
	}
	head := func(name string, value any) tokenInput {
		return show(ordinary, key, proofHeader.with(name, value), said(ordinary))
	}
	ok := expectation{SPIFFEID: billing, Binding: "jkt"}

	w.good("keyed", "a token bound to a key, with a proof by it", good, ok, "DP-5", "DP-4")
	w.bad("keyed-as-bearer", "the same as Bearer", change(func(i *tokenInput) { i.Authorization = ordinary.Authorization }), why("pop_missing"), "DP-5")
	w.bad("keyed-as-bearer-alone", "as Bearer and without a proof", ordinary, why("pop_missing"), "DP-5")
	w.bad("keyed-no-proof", "no proof", change(func(i *tokenInput) { i.DPoP = nil }), why("pop_missing"), "DP-1")
	w.bad("keyed-two-proofs", "two proofs", change(func(i *tokenInput) { i.DPoP = []string{i.DPoP[0], i.DPoP[0]} }), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-not-compact", "a proof of two parts", change(func(i *tokenInput) { i.DPoP = []string{"e30.e30"} }), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-too-long", "a proof of more than 8 KiB", claim("x", strings.Repeat("x", 8000)), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-typ", "a proof for the server", head("typ", "oauth-client-attestation-pop+jwt"), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-alg-none", "no signature", head("alg", "none"), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-alg-other", "an algorithm of another kind of key", head("alg", "RS256"), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-crit", "something critical", head("crit", []string{"x"}), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-no-jwk", "no key", show(ordinary, key, proofHeader.without("jwk"), said(ordinary)), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-private", "a private key", head("jwk", jwk(w, key, member{"d", "AAAA"})), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-jwk-alg", "a key for another algorithm", head("jwk", jwk(w, key, member{"alg", "ES384"})), wrong("dpop_bad"), "DP-1")
	for _, name := range []string{"jti", "htm", "htu", "iat", "ath"} {
		w.bad("keyed-proof-no-"+name, "no "+name, without(name), wrong("dpop_bad"), "DP-1")
	}
	w.bad("keyed-proof-of-another-token", "the ath of another token", claim("ath", sum(in(header, claims))), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-ended", "a proof that says it has ended", claim("exp", noon.Unix()), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-proof-to-come", "a proof that says it is to come", claim("nbf", noon.Unix()+61), wrong("dpop_bad"), "DP-1")
	w.bad("keyed-other-key", "a proof by another key", show(ordinary, other, proofHeader.with("jwk", jwk(w, other)), said(ordinary)), why("cnf_mismatch"), "DP-4")
	w.bad("keyed-other-signature", "the right key named, and another signs", show(ordinary, other, proofHeader, said(ordinary)), wrong("dpop_bad"), "DP-4")
	w.bad("keyed-htm", "another method", claim("htm", "POST"), wrong("dpop_bad"), "DP-2")
	w.bad("keyed-htu-path", "another path", claim("htu", "https://api.example.com/books"), wrong("dpop_bad"), "DP-2")
	w.bad("keyed-htu-host", "the host of the Host header", claim("htu", "https://host.example.com/"), wrong("dpop_bad"), "DP-2")
	w.bad("keyed-htu-no-tls", "a target without TLS", claim("htu", "http://api.example.com/"), wrong("dpop_bad"), "DP-2")
	w.bad("keyed-htu-none", "a target that is no URI", claim("htu", "://"), wrong("dpop_bad"), "DP-2")
	w.bad("keyed-old", "a proof of a second before the verifier began", claim("iat", noon.Unix()-1), expectation{Status: 401, Error: "use_dpop_nonce", Reason: "dpop_nonce_required"}, "DP-6")
	w.bad("keyed-ahead", "a proof of later than in a minute", claim("iat", noon.Unix()+61), wrong("dpop_bad"), "DP-3")
	w.bad("keyed-replayed", "the second use of a proof", change(func(i *tokenInput) { i.Before = 1 }), wrong("pop_replayed"), "DP-3")

	w.good("keyed-target", "another spelling of the target", show(ordinary, key, proofHeader, said(ordinary).with("htu", "HTTPS://API.example.com:443?x=1#y")), ok, "DP-2")
	path := claim("htu", "https://api.example.com/a/%2e%2E/%7eb%2f")
	path.Path = "/~b%2F"
	w.good("keyed-path", "another spelling of the path", path, ok, "DP-2")
	bearer := show(in(header, claims), key, proofHeader, said(in(header, claims)))
	w.bad("bearer-as-keyed", "a bearer token under the scheme DPoP", bearer, why("cnf_mismatch"), "DP-5")

	urn := in(header, held.with("aud", "urn:example:api"))
	elsewhere := show(urn, key, proofHeader, said(urn).with("htu", "https://api.example.com:8443/"))
	elsewhere.Context = "two origins"
	w.good("keyed-origin", "an API that is no URL, at its second origin", elsewhere, ok, "DP-2")
	nowhere := elsewhere
	nowhere.Context = "no origin"
	w.bad("keyed-no-origin", "an API whose origin nobody has configured", nowhere, why("cnf_mismatch"), "DP-5")
}
