package svidgate_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// raw signs a header and a payload as they are written, with the domain's key.
func (d domain) raw(t testing.TB, header, payload string) string {
	t.Helper()
	_, alg, key := d.JWTKey()
	token, err := jose.Sign(alg, key, []byte(d.fill(header)), []byte(d.fill(payload)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// fill puts values that are right in place of KID, AUD and EXP.
func (d domain) fill(text string) string {
	return strings.NewReplacer("KID", kidOf(d), "AUD", issuer, "EXP", fmt.Sprint(noon.Unix()+300)).Replace(text)
}

const (
	goodHeader  = `{"alg":"ES256","kid":"KID"}`
	goodPayload = `{"sub":"spiffe://example.org/a","aud":"AUD","exp":EXP}`
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hmacSigned is a token whose HS256 secret is the text of a public key.
func hmacSigned(t *testing.T, d domain, alg string) string {
	t.Helper()
	kid, _, key := d.JWTKey()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := d.svid(t, header("alg", alg), header("kid", kid))
	input := good[:strings.LastIndexByte(good, '.')]
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func edSigned(t *testing.T, d domain) string {
	t.Helper()
	kid, _, _ := d.JWTKey()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jose.Sign(jose.EdDSA, crypto.Signer(key),
		[]byte(`{"alg":"EdDSA","kid":"`+kid+`"}`),
		fmt.Appendf(nil, `{"sub":"spiffe://example.org/a","aud":%q,"exp":%d}`, issuer, noon.Unix()+300))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestJWTForm(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	good := d.svid(t)
	parts := strings.Split(good, ".")
	malformed := refused(oauth.ReasonAssertionMalformed, "JS-1")
	notStrict := refused(oauth.ReasonAssertionMalformed, "JS-20")
	run(t, v, []jwtRow{
		{"CJ-4 as it should be", good, accepted},
		{"CJ-4 the least there can be", d.raw(t, goodHeader, goodPayload), accepted},
		{"JS-1 nothing", "", malformed},
		{"JS-1 one part", parts[0], malformed},
		{"JS-1 two parts", parts[0] + "." + parts[1], malformed},
		{"JS-1 four parts", good + "." + parts[2], malformed},
		{"JS-1 five parts, a JWE", good + "." + parts[1] + "." + parts[2], malformed},
		{"JS-1 no signature", parts[0] + "." + parts[1] + ".", malformed},
		{"JS-1 JSON serialization", `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, malformed},
		{"CJ-3 two tokens", good + " " + good, malformed},
		{"JS-1 a line break at the end", good + "\n", malformed},
		{"JS-1 a space before it", " " + good, malformed},
		{"JS-1 padding", good + "==", malformed},
		{"JS-21 the scheme of a header before it", "Bearer " + good, malformed},
		{"JS-1 data after the signature", good + "AAAA", refused(oauth.ReasonSignatureBad, "JS-12")},
		{"JS-20 two sub", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","sub":"spiffe://example.org/b","aud":"AUD","exp":EXP}`), notStrict},
		{"JS-20 two sub, one of them escaped", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","\u0073ub":"spiffe://example.org/b","aud":"AUD","exp":EXP}`), notStrict},
		{"JS-20 two alg", d.raw(t, `{"alg":"ES256","kid":"KID","alg":"none"}`, goodPayload), notStrict},
		{"JS-20 a member twice below", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","aud":"AUD","exp":EXP,"x":{"y":1,"y":2}}`), notStrict},
		{"JS-20 a payload that is an array", d.raw(t, goodHeader, `["spiffe://example.org/a"]`), notStrict},
		{"JS-20 a payload that is a string", d.raw(t, goodHeader, `"spiffe://example.org/a"`), notStrict},
		{"JS-20 invalid UTF-8", d.raw(t, goodHeader, "{\"sub\":\"spiffe://example.org/a\",\"aud\":\"AUD\",\"exp\":EXP,\"x\":\"\xff\"}"), notStrict},
		{"JS-20 data after the payload", d.raw(t, goodHeader, goodPayload+`{}`), notStrict},
		{"JS-20 white space around it", d.raw(t, " "+goodHeader+"\n", "\t"+goodPayload), accepted},
		{"GL-11 sub and SUB", d.raw(t, goodHeader, `{"SUB":"spiffe://example.org/b","sub":"spiffe://example.org/a","aud":"AUD","exp":EXP}`), accepted},
		{"GL-11 SUB alone", d.raw(t, goodHeader, `{"SUB":"spiffe://example.org/a","aud":"AUD","exp":EXP}`), refused(oauth.ReasonSubNotSPIFFEID, "JS-7")},
		{"GL-11 seventeen deep", d.raw(t, goodHeader, `{"sub":"spiffe://example.org/a","aud":"AUD","exp":EXP,"x":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+`}`), notStrict},
	})
}

// The longest assertion there may be, and one byte more (F21).
func TestJWTSize(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	// White space after header and payload makes any size that there can be.
	padded := func(size int) string {
		h, p := len(d.fill(goodHeader)), len(d.fill(goodPayload))
		encoded := base64.RawURLEncoding.EncodedLen
		for i := range 3 {
			for n := range size {
				if encoded(h+i)+1+encoded(p+n)+1+encoded(64) == size {
					return d.raw(t, goodHeader+strings.Repeat(" ", i), goodPayload+strings.Repeat(" ", n))
				}
			}
		}
		t.Fatalf("no assertion of %d bytes", size)
		return ""
	}
	tooLarge := refused(oauth.ReasonAssertionTooLarge, "GL-8")
	run(t, v, []jwtRow{
		{"F21 16 KiB", padded(16 << 10), accepted},
		{"F21 16 KiB less one byte", padded(16<<10 - 1), accepted},
		{"F21 16 KiB and one byte", padded(16<<10 + 1), tooLarge},
		{"F21 1 MiB of nothing", strings.Repeat("A", 1<<20), tooLarge},
		{"F21 1 MiB of dots", strings.Repeat(".", 1<<20), tooLarge},
	})
}

func TestJWTAlgorithm(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	notAllowed := refused(oauth.ReasonAlgNotAllowed, "JS-2")
	rows := []jwtRow{
		{"JS-2 ES256", d.svid(t), accepted},
		{"JS-2 EdDSA, truly signed", edSigned(t, d), notAllowed},
		{"GL-9 HS256 with the public key as secret", hmacSigned(t, d, "HS256"), notAllowed},
		{"GL-9 ES256 with the HMAC of the public key", hmacSigned(t, d, "ES256"), refused(oauth.ReasonSignatureBad, "JS-12")},
		{"JS-2 alg missing", d.svid(t, withoutHeader("alg")), notAllowed},
		{"GL-11 ALG", d.svid(t, withoutHeader("alg"), header("ALG", "ES256")), notAllowed},
	}
	for _, alg := range []any{
		"none", "None", "NONE", "", "HS256", "HS384", "HS512", "EdDSA", "Ed25519", "ES256K", "es256", "ES256 ", "ES-256",
		"RS1", "RSA-OAEP", "dir", 256, nil, true, []string{"ES256"}, map[string]any{"ES256": 1},
	} {
		rows = append(rows, jwtRow{fmt.Sprintf("JS-2 alg %v", alg), d.svid(t, header("alg", alg)), notAllowed})
	}
	run(t, newVerifier(t, bundlesOf(t, d)), rows)
}

// All nine, each with a trust domain that signs with it (EC-15).
func TestJWTNineAlgorithms(t *testing.T) {
	for _, alg := range jose.SVIDAlgorithms {
		d := newDomain(t, "example.org", devca.Options{JWTAlgorithm: alg})
		run(t, newVerifier(t, bundlesOf(t, d)), []jwtRow{
			{"JS-2 " + string(alg), d.svid(t), accepted},
			{"JS-12 " + string(alg) + " of a stranger", newDomain(t, "example.org", devca.Options{JWTAlgorithm: alg}).svid(t, header("kid", kidOf(d))),
				refused(oauth.ReasonSignatureBad, "JS-12")},
		})
	}
}

func kidOf(d domain) string {
	kid, _, _ := d.JWTKey()
	return kid
}

func TestJWTHeader(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	notAllowed := refused(oauth.ReasonHeaderNotAllowed, "JS-6")
	rows := []jwtRow{
		{"JS-5 alg, kid, typ", d.svid(t), accepted},
		{"JS-5 alg, kid", d.svid(t, withoutHeader("typ")), accepted},
		{"JS-5 alg alone", d.svid(t, withoutHeader("typ"), withoutHeader("kid")), accepted},
		{"JS-6 crit", d.svid(t, header("crit", []string{"x"})), notAllowed},
		{"JS-6 crit and what it names", d.svid(t, header("crit", []string{"exp"}), header("exp", 1)), notAllowed},
		{"JS-6 jwk", d.svid(t, header("jwk", map[string]any{"kty": "EC"})), notAllowed},
		{"JS-6 b64 false", d.svid(t, header("b64", false)), notAllowed},
	}
	for _, name := range []string{"jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc", "cty", "iss", "foo", "", "KID", "Typ", "kid "} {
		rows = append(rows, jwtRow{"JS-6 a member " + name, d.svid(t, header(name, "x")), notAllowed})
	}
	run(t, newVerifier(t, bundlesOf(t, d)), rows)
}

// The kinds of JWT of GL-10 (CJ-12), each signed by the trust domain's own key with
// everything else right: the type alone tells them apart (AK-8).
func TestJWTKinds(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	rows := []jwtRow{
		{"JS-4 typ absent", d.svid(t, withoutHeader("typ")), accepted},
		{"JS-4 typ JWT", d.svid(t, header("typ", "JWT")), accepted},
		{"JS-4 typ JOSE", d.svid(t, header("typ", "JOSE")), accepted},
	}
	kinds := []string{
		"at+jwt", "txntoken+jwt", "dpop+jwt", "oauth-id-jag+jwt", "client-authentication+jwt", "wit+jwt", "wpt+jwt",
		"oauth-client-attestation+jwt", "oauth-client-attestation-pop+jwt", "token-introspection+jwt", "statuslist+jwt",
		"secevent+jwt", "oauth-authz-req+jwt", "logout+jwt", "JWT-SVID", "jwt", "Jwt", "jose", "JWE", "JWT ", " JWT", "",
	}
	for _, kind := range kinds {
		rows = append(rows, jwtRow{"GL-10 typ " + kind, d.svid(t, header("typ", kind)), refused(oauth.ReasonWrongTokenType, "JS-4")})
		if kind != "" && !strings.HasPrefix(kind, " ") {
			rows = append(rows, jwtRow{"GL-10 typ application/" + kind, d.svid(t, header("typ", "application/"+kind)), refused(oauth.ReasonWrongTokenType, "JS-4")})
		}
	}
	holder, err := devca.GenerateKey(devca.P256)
	if err != nil {
		t.Fatal(err)
	}
	wit, err := d.WITSVID("/a", holder.Public())
	if err != nil {
		t.Fatal(err)
	}
	witDressed, err := d.WITSVID("/a", holder.Public(), header("typ", "JWT"), claim("aud", issuer))
	if err != nil {
		t.Fatal(err)
	}
	rows = append(rows,
		jwtRow{"CW-1 a WIT-SVID", wit, refused(oauth.ReasonWrongTokenType, "JS-4")},
		jwtRow{"JS-12 a WIT-SVID dressed up", witDressed, refused(oauth.ReasonKeyWrongUse, "JS-15")},
		jwtRow{"AV-7 an ID token", d.svid(t, claim("iss", issuer), claim("aud", "spiffe://example.org/a"), claim("nonce", "n")), refused(oauth.ReasonAudMismatch, "CJ-6")},
		jwtRow{"AV-7 our own access token, dressed up", d.svid(t, claim("iss", issuer), claim("aud", "https://api.example.com/"), claim("client_id", "a"), claim("scope", "read")), refused(oauth.ReasonAudMismatch, "CJ-6")},
		jwtRow{"CJ-2 a private_key_jwt assertion", d.svid(t, claim("iss", "billing"), claim("sub", "billing")), refused(oauth.ReasonSubNotSPIFFEID, "SI-1")},
		jwtRow{"F19 a Kubernetes service account's token", d.svid(t, claim("iss", "https://kubernetes.default.svc"), claim("sub", "system:serviceaccount:ns:a")), refused(oauth.ReasonSubNotSPIFFEID, "SI-1")},
		jwtRow{"F19 a DPoP proof", d.raw(t, `{"alg":"ES256","typ":"dpop+jwt","jwk":{"kty":"EC"}}`, `{"jti":"1","htm":"POST","htu":"`+endpoint+`","iat":EXP}`), refused(oauth.ReasonWrongTokenType, "JS-4")},
	)
	run(t, newVerifier(t, bundlesOf(t, d)), rows)
}

func TestJWTSubject(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	none := refused(oauth.ReasonSubNotSPIFFEID, "JS-7")
	sub := func(value any) string { return d.svid(t, claim("sub", value)) }
	bad := func(rule string) want { return refused(oauth.ReasonSubNotSPIFFEID, rule) }
	run(t, newVerifier(t, bundlesOf(t, d)), []jwtRow{
		{"JS-7 a workload", sub("spiffe://example.org/b/c"), accepted},
		{"JS-7 missing", d.svid(t, withoutClaim("sub")), none},
		{"JS-7 empty", sub(""), none},
		{"JS-7 null", sub(nil), none},
		{"JS-7 a number", sub(5), none},
		{"JS-7 an array", sub([]string{"spiffe://example.org/a"}), none},
		{"JS-7 an object", sub(map[string]any{}), none},
		{"SI-1 another scheme", sub("https://example.org/a"), bad("SI-1")},
		{"SI-1 no scheme", sub("example.org/a"), bad("SI-1")},
		{"SI-2 a query", sub("spiffe://example.org/a?"), bad("SI-2")},
		{"SI-2 an empty fragment", sub("spiffe://example.org/a#"), bad("SI-2")},
		{"SI-3 a port", sub("spiffe://example.org:443/a"), bad("SI-3")},
		{"SI-3 user information", sub("spiffe://u@example.org/a"), bad("SI-3")},
		{"SI-3 no trust domain", sub("spiffe:///a"), bad("SI-3")},
		{"SI-4 upper case", sub("spiffe://Example.org/a"), bad("SI-4")},
		{"SI-4 a look-alike letter", sub("spiffe://ex\u0430mple.org/a"), bad("SI-4")},
		{"SI-6 a long trust domain", sub("spiffe://" + strings.Repeat("a", 256) + "/a"), bad("SI-6")},
		{"SI-7 a trailing slash", sub("spiffe://example.org/a/"), bad("SI-7")},
		{"SI-7 an encoded slash", sub("spiffe://example.org/a%2Fb"), bad("SI-7")},
		{"AK-6 dot segments", sub("spiffe://example.org/client/../x"), bad("SI-7")},
		{"SI-8 2048 bytes", sub("spiffe://example.org/" + strings.Repeat("a", 2048-21)), accepted},
		{"SI-9 2049 bytes", sub("spiffe://example.org/" + strings.Repeat("a", 2049-21)), bad("SI-9")},
		{"SI-10 the scheme in upper case", sub("SPIFFE://example.org/a"), bad("SI-10")},
		{"SI-12 no path", sub("spiffe://example.org"), bad("SI-12")},
		{"JS-13 a trailing dot", sub("spiffe://example.org./a"), refused(oauth.ReasonTDUnknown, "JS-13")},
		{"JS-13 a longer name", sub("spiffe://example.org.evil/a"), refused(oauth.ReasonTDUnknown, "JS-13")},
		{"JS-13 a shorter name", sub("spiffe://example/a"), refused(oauth.ReasonTDUnknown, "JS-13")},
	})
}

// Whatever a claim holds that nobody asked for, it neither helps nor harms.
func TestJWTOtherClaims(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	run(t, v, []jwtRow{
		{"JS-16 foo", d.svid(t, claim("foo", map[string]any{"a": []int{1}})), accepted},
		{"JS-16 iss, jti and iat", d.svid(t, claim("iss", "x"), claim("jti", "1"), claim("iat", noon.Unix())), accepted},
		{"JS-17 no iss", d.svid(t, withoutClaim("iss")), accepted},
		{"JS-17 iss of anybody", d.svid(t, claim("iss", "https://anything")), accepted},
		{"JS-17 iss of another trust domain", d.svid(t, claim("iss", "spiffe://other.example")), accepted},
		{"JS-17 iss of the server", d.svid(t, claim("iss", issuer)), accepted},
		{"JS-16 cnf", d.svid(t, claim("cnf", map[string]any{"jkt": "x"})), accepted},
	})
	token := d.svid(t)
	for range 2 { // JS-18: no replay is refused here
		run(t, v, []jwtRow{{"CJ-13 the same JWT-SVID again", token, accepted}})
	}
}

// The list of what a client is told is allowed must be what is allowed (CJ-14).
func TestSVIDAlgorithmsAreNine(t *testing.T) {
	text, err := json.Marshal(jose.SVIDAlgorithms)
	if err != nil {
		t.Fatal(err)
	}
	want := []jose.Algorithm{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}
	if !slices.Equal(jose.SVIDAlgorithms, want) {
		t.Errorf("JS-2 %s", text)
	}
}
