package e2e

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A mutation changes a JWT-SVID before it is signed.
type mutation = func(header, claims map[string]any)

func inHeader(name string, value any) mutation {
	return func(header, _ map[string]any) { header[name] = value }
}

func inClaims(name string, value any) mutation {
	return func(_, claims map[string]any) { claims[name] = value }
}

// inClaimsAt sets a time from when the JWT is signed.
func inClaimsAt(name string, d time.Duration) mutation {
	return func(_, claims map[string]any) { claims[name] = later(d) }
}

func without(name string) mutation {
	return func(header, claims map[string]any) { delete(header, name); delete(claims, name) }
}

// later is a time from now, in seconds, as a claim has it.
func later(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// TestJWTSVID has each way in which a JWT-SVID is refused (sections 2 and 9.1),
// beside one that differs from it in nothing else.
func TestJWTSVID(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{WIT: true})
	weak := newDomain(t, "weak.test", devca.Options{})
	nojwt := newFileDomain(t, "nojwt.test", devca.Options{})
	nojwt.serve(t, `{"keys":[]}`)
	s := start(t, worldConfig+`
  - {client_id: "spiffe://weak.test/w", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://nojwt.test/w", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
`, td, weak, nojwt)
	jwt := func(mutate ...mutation) func(*call) {
		return func(c *call) { c.set("client_assertion", td.jwt(t, "/billing", issuer, mutate...)) }
	}
	text := func(token string) func(*call) {
		return func(c *call) { c.set("client_assertion", secrets.jwt(token)) }
	}
	bad := func(reason oauth.Reason, rule string) refusal { return refusal{"invalid_client", reason, rule} }
	good := td.jwt(t, "/billing", issuer)
	parts := strings.Split(good, ".")
	ours := s.granted(t, withJWT(td.id("/billing"), good)).token

	s.each(t, func() call { return withJWT(td.id("/billing"), good) }, []row{
		{"JS-1 two parts", nil, text(parts[0] + "." + parts[1]), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-1 five parts", nil, text(good + ".x.y"), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-1 JSON serialization", nil, text(`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-1 padding", nil, text(good + "="), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-1 a space in front", nil, text(" " + good), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-1 a line end behind", nil, text(good + "\n"), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-1 no signature", nil, text(parts[0] + "." + parts[1] + "."), bad(oauth.ReasonAssertionMalformed, "JS-1")},
		{"JS-20 two sub", nil, text(rawJWT(t, td, `{"alg":"ES256","kid":%q,"typ":"JWT"}`, fmt.Sprintf(`{"sub":"spiffe://example.org/x","sub":"spiffe://example.org/billing","aud":%q,"exp":%d}`, issuer, later(time.Minute)))), bad(oauth.ReasonAssertionMalformed, "JS-20")},
		{"JS-20 payload an array", nil, text(rawJWT(t, td, `{"alg":"ES256","kid":%q}`, `[1]`)), bad(oauth.ReasonAssertionMalformed, "JS-20")},
		{"GL-11 AUD beside aud", jwt(inClaims("AUDIENCE", "x")), jwt(without("aud"), inClaims("AUD", issuer)), bad(oauth.ReasonAudMissing, "JS-8")},

		{"JS-2 alg none", nil, jwt(inHeader("alg", "none")), bad(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"JS-2 alg None", nil, jwt(inHeader("alg", "None")), bad(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"AK-7 HS256 with the public key", nil, text(hmacJWT(t, td)), bad(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"JS-2 EdDSA", nil, jwt(inHeader("alg", "EdDSA")), bad(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"JS-2 no alg", nil, jwt(func(h, _ map[string]any) { delete(h, "alg") }), bad(oauth.ReasonAlgNotAllowed, "JS-2")},
		{"JS-3 ES384 with a P-256 key", nil, jwt(inHeader("alg", "ES384")), bad(oauth.ReasonAlgNotAllowed, "JS-3")},
		{"JS-4 typ wit+jwt", jwt(inHeader("typ", "JOSE")), jwt(inHeader("typ", "wit+jwt")), bad(oauth.ReasonWrongTokenType, "JS-4")},
		{"JS-4 typ jwt", jwt(func(h, _ map[string]any) { delete(h, "typ") }), jwt(inHeader("typ", "jwt")), bad(oauth.ReasonWrongTokenType, "JS-4")},
		{"AV-7, AK-8 our own access token", nil, text(string(ours.AccessToken)), bad(oauth.ReasonWrongTokenType, "JS-4")},
		{"JS-6 header jku", nil, jwt(inHeader("jku", td.url)), bad(oauth.ReasonHeaderNotAllowed, "JS-6")},
		{"JS-6 header crit", nil, jwt(inHeader("crit", []string{"exp"})), bad(oauth.ReasonHeaderNotAllowed, "JS-6")},
		{"JS-6 header foo", nil, jwt(inHeader("foo", "bar")), bad(oauth.ReasonHeaderNotAllowed, "JS-6")},

		{"JS-7 no sub", nil, jwt(without("sub")), bad(oauth.ReasonSubNotSPIFFEID, "JS-7")},
		{"JS-7 sub an https URL", nil, jwt(inClaims("sub", "https://example.org/billing")), bad(oauth.ReasonSubNotSPIFFEID, "SI-1")},
		{"SI-10 scheme in capitals", nil, jwt(inClaims("sub", "SPIFFE://example.org/billing")), bad(oauth.ReasonSubNotSPIFFEID, "SI-10")},
		{"SI-7 a dot segment", nil, jwt(inClaims("sub", "spiffe://example.org/x/../billing")), bad(oauth.ReasonSubNotSPIFFEID, "SI-7")},
		{"SI-12 a trust domain", nil, jwt(inClaims("sub", "spiffe://example.org")), bad(oauth.ReasonSubNotSPIFFEID, "SI-12")},
		{"JS-13 trust domain of nobody", nil, jwt(inClaims("sub", "spiffe://elsewhere.test/billing")), bad(oauth.ReasonTDUnknown, "JS-13")},
		{"AK-6 trust domain with a dot behind", nil, jwt(inClaims("sub", "spiffe://example.org./billing")), bad(oauth.ReasonTDUnknown, "JS-13")},
		{"BU-3 a bundle without keys", nil, func(c *call) {
			*c = withJWT(nojwt.id("/w"), nojwt.jwt(t, "/w", issuer))
		}, bad(oauth.ReasonBundleNoKeys, "BU-12")},

		{"JS-15 kid of nobody", jwt(func(h, _ map[string]any) { delete(h, "kid") }), jwt(inHeader("kid", "nobody")), bad(oauth.ReasonKIDUnknownAfterRefresh, "JS-15")},
		{"JS-15 kid a number", nil, jwt(inHeader("kid", 7)), bad(oauth.ReasonAssertionMalformed, "JS-14")},
		{"JS-12 key of a WIT-SVID", nil, text(witJWT(t, td)), bad(oauth.ReasonKeyWrongUse, "JS-15")},
		{"JS-12 another payload under the signature", nil, func(c *call) {
			other := strings.Split(td.jwt(t, "/billing", issuer, inClaims("foo", 1)), ".")
			c.set("client_assertion", parts[0]+"."+other[1]+"."+parts[2])
		}, bad(oauth.ReasonSignatureBad, "JS-12")},
		{"JS-12 signature all zeros", nil, func(c *call) {
			c.set("client_assertion", parts[0]+"."+parts[1]+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 64))) // no secret
		}, bad(oauth.ReasonSignatureBad, "JS-12")},
		{"JS-12 signature in ASN.1", nil, text(parts[0] + "." + parts[1] + "." + asn1Signature(t, parts[2])), bad(oauth.ReasonSignatureBad, "JS-12")},

		{"JS-9 no exp", nil, jwt(without("exp")), bad(oauth.ReasonExpMissing, "JS-9")},
		{"JS-9 exp a text", nil, jwt(inClaims("exp", fmt.Sprint(later(time.Minute)))), bad(oauth.ReasonClaimMalformed, "JS-9")},
		{"CJ-5 expired for longer than the leeway", jwt(inClaimsAt("exp", -30*time.Second)), jwt(inClaimsAt("exp", -61*time.Second)), bad(oauth.ReasonExpired, "CJ-5")},
		{"JS-11 nbf in the future", jwt(inClaimsAt("nbf", 30*time.Second)), jwt(inClaimsAt("nbf", 10*time.Minute)), bad(oauth.ReasonNotYetValid, "JS-10")},
		{"JS-11 iat in the future", jwt(without("iat")), jwt(inClaimsAt("iat", 10*time.Minute)), bad(oauth.ReasonNotYetValid, "JS-10")},
		{"JS-11 iat a text", nil, jwt(inClaims("iat", "now")), bad(oauth.ReasonClaimMalformed, "JS-11")},
		{"JS-19 a life of ten years", jwt(inClaimsAt("exp", 55*time.Minute)), jwt(inClaimsAt("exp", 10*365*24*time.Hour)), bad(oauth.ReasonLifetimeTooLong, "JS-19")},

		{"JS-8 no aud", nil, jwt(without("aud")), bad(oauth.ReasonAudMissing, "JS-8")},
		{"JS-8 aud empty", nil, jwt(inClaims("aud", "")), bad(oauth.ReasonAudMissing, "JS-8")},
		{"JS-8 aud an empty list", nil, jwt(inClaims("aud", []string{})), bad(oauth.ReasonAudMissing, "JS-8")},
		{"JS-8 aud a number", nil, jwt(inClaims("aud", 1)), bad(oauth.ReasonClaimMalformed, "JS-8")},
		{"CJ-6 a second audience", jwt(inClaims("aud", issuer)), jwt(inClaims("aud", []string{issuer, "https://other.example.com"})), bad(oauth.ReasonAudMultiple, "EC-4")},
		{"CJ-6 the issuer twice", jwt(inClaims("aud", []string{issuer})), jwt(inClaims("aud", []string{issuer, issuer})), bad(oauth.ReasonAudMultiple, "EC-4")},
		{"CJ-6 a slash behind the issuer", nil, jwt(inClaims("aud", issuer+"/")), bad(oauth.ReasonAudMismatch, "CJ-6")},
		{"CJ-6 the issuer in capitals", nil, jwt(inClaims("aud", "https://AS.example.com")), bad(oauth.ReasonAudMismatch, "CJ-6")},
		{"CJ-6 the issuer with its port", nil, jwt(inClaims("aud", issuer+":443")), bad(oauth.ReasonAudMismatch, "CJ-6")},
		{"AK-2 another server", nil, jwt(inClaims("aud", "https://other.example.com")), bad(oauth.ReasonAudMismatch, "CJ-6")},
	})

	// JS-16, JS-17: what must not matter.
	for name, mutate := range map[string]mutation{
		"JS-17 an iss of somebody else": inClaims("iss", "https://anything.example.com"),
		"JS-16 a claim of nobody":       inClaims("foo", map[string]any{"bar": 1}),
		"JS-16 a jti":                   inClaims("jti", "abc"),
	} {
		t.Run(name, func(t *testing.T) {
			s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer, mutate)))
		})
	}

	// JS-14: without kid the key must be the only one that fits.
	plain := func() call { return withJWT(weak.id("/w"), weak.jwt(t, "/w", issuer, without("kid"))) }
	s.granted(t, plain())
	if _, err := weak.PrepareJWTKey(); err != nil {
		t.Fatal(err)
	}
	s.sequence(t, weak, weak.Sequence())
	s.refused(t, plain(), bad(oauth.ReasonKIDMissing, "JS-14"))
	s.granted(t, withJWT(weak.id("/w"), weak.jwt(t, "/w", issuer)))
}

// rawJWT signs texts as they are. %q in the header is the kid.
func rawJWT(t *testing.T, d *domain, header, payload string) string {
	t.Helper()
	kid, _, _ := d.JWTKey()
	return signText(t, d, base64url(fmt.Appendf(nil, header, kid))+"."+base64url([]byte(payload)))
}

// hmacJWT is the oldest trick: the public key as a shared secret.
func hmacJWT(t *testing.T, d *domain) string {
	t.Helper()
	kid, _, key := d.JWTKey()
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }
	signed := encode(map[string]any{"alg": "HS256", "kid": kid}) + "." + encode(map[string]any{"sub": d.id("/billing"), "aud": issuer, "exp": later(time.Minute)})
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// witJWT is a JWT-SVID in all but its key, which is for WIT-SVIDs.
func witJWT(t *testing.T, d *domain) string {
	t.Helper()
	kid, alg, key := d.WITKey()
	token, err := devca.SignJWT(map[string]any{"alg": string(alg), "kid": kid, "typ": "JWT"},
		map[string]any{"sub": d.id("/billing"), "aud": issuer, "exp": later(time.Minute)}, key, alg)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// asn1Signature is a signature in the form that other protocols have.
func asn1Signature(t *testing.T, segment string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:])})
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(der)
}

// otherSignature is the valid twin of an ECDSA signature: (r, n-s) for (r, s).
func otherSignature(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(b[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(b[32:])
	return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(b)
}
