package resource

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// A ruleRow is one defect, and beside it the nearest thing that is accepted; the
// untouched presentation where twin is nil.
type ruleRow struct {
	name   string // begins with the id of the rule that must refuse
	reason oauth.Reason
	bad    func(*presentation)
	twin   func(*presentation)
}

// set and unset change one claim, head one member of the header.
func set(name string, value any) func(*presentation) {
	return func(p *presentation) { p.claims[name] = value }
}

func unset(name string) func(*presentation) { return func(p *presentation) { delete(p.claims, name) } }

func head(name string, value any) func(*presentation) {
	return func(p *presentation) { p.header[name] = value }
}

func at(d time.Duration) int64 { return noon.Add(d).Unix() }

// payload replaces the payload of the signed token, and header its header.
func payload(change func([]byte) []byte) func(*presentation) {
	return part(1, change)
}

func part(i int, change func([]byte) []byte) func(*presentation) {
	return func(p *presentation) {
		p.token = func(token string) string {
			parts := strings.Split(token, ".")
			raw := must(base64.RawURLEncoding.DecodeString(parts[i]))
			parts[i] = base64.RawURLEncoding.EncodeToString(change(raw))
			return strings.Join(parts, ".")
		}
	}
}

func resigned(header, payload string) func(*presentation) {
	return func(p *presentation) {
		p.token = func(string) string {
			return must(jose.Sign(p.key.alg, p.key.signer, []byte(header), []byte(payload)))
		}
	}
}

func raw(change func(string) string) func(*presentation) {
	return func(p *presentation) { p.token = change }
}

func values(f func(token string) []string) func(*presentation) {
	return func(p *presentation) { p.authorization = f }
}

func query(q string) func(*presentation) { return func(p *presentation) { p.query = q } }

func need(scopes ...string) func(*presentation) {
	return func(p *presentation) { p.scopes = scopes }
}

func with(k testKey) func(*presentation) { return func(p *presentation) { p.as(k) } }

func both(fs ...func(*presentation)) func(*presentation) {
	return func(p *presentation) {
		for _, f := range fs {
			f(p)
		}
	}
}

func boundTo(chain ...*x509.Certificate) func(*presentation) {
	return func(p *presentation) { p.bound(chain...) }
}

func source(f sourceFunc) func(*presentation) {
	return func(p *presentation) {
		p.config = append(p.config, func(c *Config) { c.Issuers = []KeySource{f} })
	}
}

func ruleRows(tb testing.TB) []ruleRow {
	header := `{"typ":"at+jwt","alg":"ES256","kid":"es256"}`
	claims := string(must(json.Marshal(newPresentation().claims)))
	mine, other := leaf(tb), leaf(tb)
	extra := func(n int) []*x509.Certificate {
		return append([]*x509.Certificate{mine}, slices.Repeat([]*x509.Certificate{other}, n)...)
	}
	ended := leaf(tb, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	ending := leaf(tb, func(c *x509.Certificate) { c.NotAfter = noon })
	coming := leaf(tb, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) })
	begun := leaf(tb, func(c *x509.Certificate) { c.NotBefore = noon })
	long, fitting := leaf(tb, longCertificate(34<<10)), leaf(tb, longCertificate(24<<10))
	cnf := func(v any) func(*presentation) { return both(boundTo(mine), set("cnf", v)) }
	x5t := func(v any) func(*presentation) { return cnf(map[string]any{"x5t#S256": v}) }
	bound := boundTo(mine)
	thumbprint := thumbprintOf(mine)
	key := keyed("p256b", jose.ES256)
	ath := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	embedded := keyOf("x", jose.ES256, "p384") // not in the set under any such kid

	return []ruleRow{
		{"GL-8 16 KiB and a bit", oauth.ReasonAssertionTooLarge, func(p *presentation) { padded(p, MaxToken, true) }, func(p *presentation) { padded(p, MaxToken, false) }},

		{"LR-2 no Authorization header", oauth.ReasonTokenMissing, values(func(string) []string { return nil }), nil},
		{"LR-2 empty header", oauth.ReasonTokenMissing, values(func(string) []string { return []string{""} }), nil},
		{"LR-2 another scheme", oauth.ReasonTokenMissing, values(func(t string) []string { return []string{"MAC " + t} }),
			values(func(t string) []string { return []string{"bEARER " + t} })},
		{"LR-2 no scheme", oauth.ReasonTokenMissing, values(func(t string) []string { return []string{t} }), nil},
		{"LR-2 scheme without token", oauth.ReasonRequestMalformed, values(func(string) []string { return []string{"Bearer "} }),
			values(func(t string) []string { return []string{"Bearer   " + t} })},
		{"LR-2 two headers", oauth.ReasonRequestMalformed, values(func(t string) []string { return []string{"Bearer " + t, "Bearer " + t} }), nil},
		{"LR-2 two headers, the second of another scheme", oauth.ReasonRequestMalformed, values(func(t string) []string { return []string{"Bearer " + t, "Basic eA=="} }), nil},
		{"LR-2 two headers joined by a proxy", oauth.ReasonRequestMalformed, values(func(t string) []string { return []string{"Bearer " + t + ", Bearer " + t} }), nil},
		{"LR-2 words after the token", oauth.ReasonRequestMalformed, values(func(t string) []string { return []string{"Bearer " + t + " x"} }), nil},
		{"LR-2 quotes around the token", oauth.ReasonRequestMalformed, values(func(t string) []string { return []string{`Bearer "` + t + `"`} }), nil},
		{"LR-2 a token in the query too", oauth.ReasonRequestMalformed, query("a=b&access_token=x"), query("a=b&token=x%20y")},
		{"LR-2 the same with an encoded name", oauth.ReasonRequestMalformed, query("access%5Ftoken=x"), query("access%5Ftokens=x")},

		{"GL-11 an opaque token", oauth.ReasonTokenMalformed, raw(func(string) string { return "2YotnFZFEjr1zCsicMWpAA" }), nil},
		{"GL-11 two parts", oauth.ReasonTokenMalformed, raw(func(t string) string { return t[:strings.LastIndex(t, ".")] }), nil},
		{"GL-11 four parts", oauth.ReasonTokenMalformed, raw(func(t string) string { return t + ".AAAA" }), nil},
		{"GL-11 padding", oauth.ReasonTokenMalformed, raw(func(t string) string { return t + "==" }), nil},
		{"GL-11 stray bits in the last character", oauth.ReasonTokenMalformed, raw(func(t string) string { return t[:len(t)-1] + stray(t[len(t)-1]) }), nil},
		{"GL-11 two sub", oauth.ReasonTokenMalformed, resigned(header, `{"sub":"spiffe://example.org/admin",`+claims[1:]), resigned(header, claims)},
		{"GL-11 two alg", oauth.ReasonTokenMalformed, resigned(`{"alg":"none",`+header[1:], claims), nil},
		{"GL-11 data after the payload", oauth.ReasonTokenMalformed, resigned(header, claims+"{}"), resigned(header, claims+" ")},
		{"GL-11 an array for a payload", oauth.ReasonTokenMalformed, resigned(header, "["+claims+"]"), nil},
		{"GL-11 nested 17 deep", oauth.ReasonTokenMalformed, resigned(header, `{"x":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+","+claims[1:]),
			resigned(header, `{"x":`+strings.Repeat("[", 15)+strings.Repeat("]", 15)+","+claims[1:])},

		{"GL-10 no typ", oauth.ReasonWrongTokenType, func(p *presentation) { delete(p.header, "typ") }, head("typ", "application/at+jwt")},
		{"GL-10 typ is no string", oauth.ReasonWrongTokenType, head("typ", []string{"at+jwt"}), head("typ", "AT+JWT")},
		{"GL-10 Typ in another case", oauth.ReasonWrongTokenType, func(p *presentation) { delete(p.header, "typ"); p.header["Typ"] = "at+jwt" }, head("Typ", "JWT")},

		{"GL-9 no alg", oauth.ReasonAlgNotAllowed, func(p *presentation) { delete(p.header, "alg") }, nil},
		{"GL-9 alg is no string", oauth.ReasonAlgNotAllowed, head("alg", 256), nil},
		{"GL-9 unknown crit", oauth.ReasonHeaderNotAllowed, both(head("crit", []string{"exp"}), head("exp", 1)), head("exp", 1)},
		{"GL-9 crit of b64", oauth.ReasonHeaderNotAllowed, both(head("crit", []string{"b64"}), head("b64", true)), head("b64", true)},
		{"GL-9 empty crit", oauth.ReasonHeaderNotAllowed, head("crit", []string{}), nil},

		{"AT-1 empty kid", oauth.ReasonKIDMissing, head("kid", ""), nil},
		{"AT-1 kid is no string", oauth.ReasonKIDMissing, head("kid", 1), nil},

		{"GL-14 an issuer we do not know", oauth.ReasonIssuerMismatch, set("iss", "https://rogue.example.com"), nil},
		{"GL-14 slash at the end", oauth.ReasonIssuerMismatch, set("iss", issuerA+"/"), nil},
		{"GL-14 default port", oauth.ReasonIssuerMismatch, set("iss", issuerA+":443"), nil},
		{"GL-14 another case", oauth.ReasonIssuerMismatch, set("iss", strings.ToUpper(issuerA)), nil},
		{"GL-14 no iss", oauth.ReasonIssuerMismatch, unset("iss"), nil},
		{"GL-14 iss is no string", oauth.ReasonIssuerMismatch, set("iss", []string{issuerA}), nil},

		{"LD-3 no keys at hand", oauth.ReasonKeysUnavailable, source(func() (*KeySet, error) { return nil, ErrKeysUnavailable }),
			source(func() (*KeySet, error) { return staticA(tb).set, nil })},
		{"LD-3 a source that returns nothing", oauth.ReasonKeysUnavailable, source(func() (*KeySet, error) { return nil, nil }), nil},

		{"KR-7 unknown kid", oauth.ReasonKIDUnknown, head("kid", "es257"), nil},
		{"KR-7 unknown kid after a fetch for it", oauth.ReasonKIDUnknownAfterRefresh,
			both(head("kid", "es257"), source(func() (*KeySet, error) { return &KeySet{fetchedAt: noon}, nil })), nil},
		{"KR-7 kid of another issuer", oauth.ReasonKIDUnknown, both(head("kid", "only-b"), func(p *presentation) { p.key = keyOf("", jose.ES256, "p256b") }),
			func(p *presentation) { p.as(keyOf("only-b", jose.ES256, "p256b")); p.claims["iss"] = issuerB }},
		{"KR-7 no kid and two keys (KR-6)", oauth.ReasonKIDMissing, func(p *presentation) { delete(p.header, "kid") },
			func(p *presentation) { p.as(keyOf("eddsa", jose.EdDSA, "ed25519")); delete(p.header, "kid") }},
		{"KR-7 an empty set", oauth.ReasonKIDUnknown, source(func() (*KeySet, error) { return must(ParseKeySet(jwks())), nil }), nil},

		{"AT-8 signed by another key", oauth.ReasonSignatureBad, func(p *presentation) { p.key = keyOf("", jose.ES256, "p256b") }, nil},
		{"AT-8 signed by the key that has this kid at another issuer (KR-7)", oauth.ReasonSignatureBad, set("iss", issuerB),
			func(p *presentation) { p.claims["iss"] = issuerB; p.key = keyOf("", jose.ES256, "p256b") }},
		{"AT-8 changed claim", oauth.ReasonSignatureBad, payload(func(b []byte) []byte { return []byte(strings.Replace(string(b), "read write", "read admin", 1)) }),
			payload(func(b []byte) []byte { return b })},
		{"AT-8 changed header", oauth.ReasonSignatureBad, part(0, func(b []byte) []byte { return append([]byte(`{"x":1,`), b[1:]...) }), nil},
		{"AT-8 signature cut short", oauth.ReasonSignatureBad, part(2, func(b []byte) []byte { return b[:len(b)-1] }), part(2, func(b []byte) []byte { return b })},
		{"AT-8 signature of zeros", oauth.ReasonSignatureBad, part(2, func(b []byte) []byte { return make([]byte, len(b)) }), nil},
		{"AT-8 the key's own alg is another", oauth.ReasonAlgNotAllowed, with(testKey{"ps256", jose.RS256, signers()["rsa"]}), with(keyOf("ps256", jose.PS256, "rsa"))},
		{"AT-8 alg does not go with the key", oauth.ReasonAlgNotAllowed, head("kid", "rsa"), with(keyOf("rsa", jose.RS256, "rsa"))},
		{"AT-8 ES256 with a P-384 key", oauth.ReasonAlgNotAllowed, head("kid", "es384"), with(keyOf("es384", jose.ES384, "p384"))},
		{"AT-8 RS256 said, PS256 signed", oauth.ReasonSignatureBad, both(with(keyOf("rsa", jose.PS256, "rsa")), head("alg", "RS256")), with(keyOf("rsa", jose.PS256, "rsa"))},
		{"AT-8 a key in the header", oauth.ReasonSignatureBad, func(p *presentation) {
			p.header["jwk"] = must(jose.MarshalJWK(embedded.signer.Public(), "es256", "sig", jose.ES384))
			p.key = testKey{"es256", jose.ES256, signers()["p256b"]}
		}, func(p *presentation) {
			p.header["jwk"] = must(jose.MarshalJWK(embedded.signer.Public(), "es256", "sig", jose.ES384))
		}},

		{"AT-4 no aud", oauth.ReasonAudMissing, unset("aud"), nil},
		{"AT-4 empty aud", oauth.ReasonAudMissing, set("aud", []string{}), set("aud", []string{api})},
		{"AT-4 another aud", oauth.ReasonAudMismatch, set("aud", "https://data.example.com/"), nil},
		{"AT-4 no slash at the end", oauth.ReasonAudMismatch, set("aud", strings.TrimSuffix(api, "/")), nil},
		{"AT-4 a path below", oauth.ReasonAudMismatch, set("aud", api+"v1"), nil},
		{"AT-4 several, none ours", oauth.ReasonAudMismatch, set("aud", []string{"https://a.example", issuerA}), set("aud", []string{"https://a.example", api})},
		{"AT-4 a number among them", oauth.ReasonClaimMalformed, set("aud", []any{api, 1}), nil},
		{"AT-4 null", oauth.ReasonClaimMalformed, set("aud", nil), nil},
		{"AT-4 AUD", oauth.ReasonAudMissing, both(unset("aud"), set("AUD", api)), set("AUD", "x")},

		{"GL-12 expired", oauth.ReasonExpired, set("exp", at(-5*time.Second)), set("exp", at(-4*time.Second))},
		{"GL-12 no exp", oauth.ReasonExpMissing, unset("exp"), nil},
		{"GL-12 exp is a string", oauth.ReasonClaimMalformed, set("exp", fmt.Sprint(at(time.Minute))), set("exp", float64(at(time.Minute))+0.5)},
		{"GL-12 exp after the year 9999", oauth.ReasonClaimMalformed, set("exp", int64(1)<<40), nil},
		{"GL-12 exp is huge", oauth.ReasonClaimMalformed, set("exp", 1e300), nil},
		{"GL-12 nbf ahead", oauth.ReasonNotYetValid, set("nbf", at(11*time.Second)), set("nbf", at(10*time.Second))},
		{"GL-12 nbf is no number", oauth.ReasonClaimMalformed, set("nbf", "soon"), set("nbf", at(-time.Hour))},
		{"GL-12 iat ahead", oauth.ReasonNotYetValid, set("iat", at(11*time.Second)), set("iat", at(8*time.Second))},
		{"GL-12 iat is no number", oauth.ReasonClaimMalformed, set("iat", true), nil},

		{"AT-2 no sub", oauth.ReasonClaimMalformed, unset("sub"), nil},
		{"AT-2 empty sub", oauth.ReasonClaimMalformed, set("sub", ""), nil},
		{"AT-2 sub is no string", oauth.ReasonClaimMalformed, set("sub", 7), nil},
		{"AT-2 no client_id", oauth.ReasonClaimMalformed, unset("client_id"), nil},
		{"AT-2 empty client_id", oauth.ReasonClaimMalformed, set("client_id", ""), nil},
		{"AT-2 client_id is no string", oauth.ReasonClaimMalformed, set("client_id", []string{"x"}), nil},
		{"AT-2 no jti", oauth.ReasonClaimMalformed, unset("jti"), nil},
		{"AT-2 jti is no string", oauth.ReasonClaimMalformed, set("jti", 7), nil},
		{"AT-2 no iat", oauth.ReasonClaimMalformed, unset("iat"), nil},

		{"RS-3 trust domain in upper case", oauth.ReasonSubNotSPIFFEID, set("sub", "spiffe://Example.org/billing"), nil},
		{"RS-3 scheme in upper case", oauth.ReasonSubNotSPIFFEID, set("sub", "SPIFFE://example.org/billing"), nil},
		{"RS-3 dot segment", oauth.ReasonSubNotSPIFFEID, set("sub", "spiffe://example.org/a/../billing"), nil},
		{"RS-3 no path", oauth.ReasonSubNotSPIFFEID, set("sub", "spiffe://example.org"), nil},
		{"RS-3 a pattern", oauth.ReasonSubNotSPIFFEID, set("sub", "spiffe://example.org/*"), set("sub", "alice")},

		{"AT-3 scope is an array", oauth.ReasonScopeMalformed, set("scope", []string{"read"}), nil},
		{"AT-3 two spaces", oauth.ReasonScopeMalformed, set("scope", "read  write"), set("scope", "read write")},
		{"AT-3 a quote", oauth.ReasonScopeMalformed, set("scope", `read "`), nil},
		{"AT-3 a line break", oauth.ReasonScopeMalformed, set("scope", "read\nwrite"), nil},

		{"AT-5 cnf is null", oauth.ReasonClaimMalformed, cnf(nil), bound},
		{"AT-5 cnf is a string", oauth.ReasonClaimMalformed, cnf(thumbprint), bound},
		{"AT-5 cnf is empty", oauth.ReasonCnfMismatch, cnf(map[string]any{}), bound},
		{"AT-5 jkt is no string", oauth.ReasonClaimMalformed, both(key, set("cnf", map[string]any{"jkt": 1})), key},
		{"AT-5 jkt is empty", oauth.ReasonClaimMalformed, both(key, set("cnf", map[string]any{"jkt": ""})), key},
		{"AT-5 a member beside jkt that nobody knows", oauth.ReasonCnfMismatch, both(key, set("cnf", map[string]any{"jkt": "x", "osc": "x"})), key},
		{"AT-5 jwk, which we cannot check", oauth.ReasonCnfMismatch, cnf(map[string]any{"jwk": map[string]any{"kty": "EC"}}), bound},
		{"AT-5 a member that nobody knows", oauth.ReasonCnfMismatch, cnf(map[string]any{"x5t#s256": thumbprint}), bound},
		{"AT-5 jkt beside", oauth.ReasonCnfMismatch, cnf(map[string]any{"x5t#S256": thumbprint, "jkt": "x"}), bound},
		{"AT-5 x5t#S256 is no string", oauth.ReasonClaimMalformed, x5t(1), x5t(thumbprint)},
		{"AT-5 x5t#S256 is empty", oauth.ReasonClaimMalformed, x5t(""), x5t(thumbprint)},

		{"MT-8 six certificates", oauth.ReasonCertChainBad, boundTo(extra(5)...), boundTo(extra(4)...)},
		{"MT-8 more than 32 KiB", oauth.ReasonCertChainBad, boundTo(long), boundTo(fitting)},

		{"MT-2 another certificate (RS-4)", oauth.ReasonCnfMismatch, both(bound, func(p *presentation) { p.peers = []*x509.Certificate{other} }), bound},
		{"MT-2 ours second in the chain", oauth.ReasonCnfMismatch, both(bound, func(p *presentation) { p.peers = []*x509.Certificate{other, mine} }),
			both(bound, func(p *presentation) { p.peers = []*x509.Certificate{mine, other} })},
		{"MT-2 no certificate", oauth.ReasonCnfMismatch, both(bound, func(p *presentation) { p.peers = nil }), bound},
		{"MT-2 thumbprint in hex (F24)", oauth.ReasonCnfMismatch, x5t(hexOf(thumbprint)), x5t(thumbprint)},
		{"MT-2 thumbprint with padding", oauth.ReasonCnfMismatch, x5t(thumbprint + "="), x5t(thumbprint)},
		{"MT-2 thumbprint cut short", oauth.ReasonCnfMismatch, x5t(thumbprint[:42]), x5t(thumbprint)},

		{"MT-7 certificate that has ended", oauth.ReasonCertChainBad, boundTo(ended), boundTo(ending)},
		{"MT-7 certificate that has not begun", oauth.ReasonCertChainBad, boundTo(coming), boundTo(begun)},

		{"DP-5 a token bound to a key as Bearer (AK-27)", oauth.ReasonPoPMissing, both(key, values(func(t string) []string { return []string{"Bearer " + t} })),
			both(key, values(func(t string) []string { return []string{"dpop " + t} }))},
		{"DP-5 the same with no proof either", oauth.ReasonPoPMissing, both(key, values(func(t string) []string { return []string{"Bearer " + t} }), proofs(func(string) []string { return nil })), key},
		{"DP-5 a bearer token as DPoP", oauth.ReasonCnfMismatch, both(key, unset("cnf")), nil},
		{"DP-5 a token bound to a certificate as DPoP", oauth.ReasonCnfMismatch, both(key, bound), bound},
		{"DP-5 an API without an origin", oauth.ReasonCnfMismatch, both(key, set("aud", "urn:api"), func(p *presentation) {
			p.config = append(p.config, func(c *Config) { c.Resource = "urn:api" })
		}), both(key, set("aud", "urn:api"), func(p *presentation) {
			p.config = append(p.config, func(c *Config) { c.Resource, c.Origins = "urn:api", []string{"https://API.example.com:443/"} })
		})},

		{"DP-1 no proof", oauth.ReasonPoPMissing, both(key, proofs(func(string) []string { return nil })), key},
		{"DP-1 two proofs", oauth.ReasonDPoPBad, both(key, proofs(func(p string) []string { return []string{p, p} })), key},
		{"DP-1 two proofs joined by a proxy", oauth.ReasonDPoPBad, both(key, proofs(func(p string) []string { return []string{p + ", " + p} })), key},
		{"DP-1 empty", oauth.ReasonDPoPBad, both(key, proofs(func(string) []string { return []string{""} })), key},
		{"DP-1 no JWT", oauth.ReasonDPoPBad, both(key, proofs(func(string) []string { return []string{"x"} })), key},
		{"DP-1 too long", oauth.ReasonDPoPBad, both(key, said("x", strings.Repeat("x", 6200))), both(key, said("x", strings.Repeat("x", 5000)))},
		{"DP-1 typ JWT", oauth.ReasonDPoPBad, both(key, proofHead("typ", "JWT")), key},
		{"DP-1 GL-10 application/ twice", oauth.ReasonDPoPBad, both(key, proofHead("typ", "application/application/dpop+jwt")), both(key, proofHead("typ", "application/dpop+jwt"))},
		{"DP-1 GL-10 a parameter in typ", oauth.ReasonDPoPBad, both(key, proofHead("typ", "dpop+jwt;a=b")), both(key, proofHead("typ", "DPoP+JWT"))},
		{"DP-1 no typ", oauth.ReasonDPoPBad, both(key, proofHead("typ", nil)), key},
		{"DP-1 the typ of an attestation's proof", oauth.ReasonDPoPBad, both(key, proofHead("typ", "oauth-client-attestation-pop+jwt")), key},
		{"DP-1 alg none", oauth.ReasonDPoPBad, both(key, proofHead("alg", "none")), key},
		{"DP-1 alg HS256", oauth.ReasonDPoPBad, both(key, proofHead("alg", "HS256")), key},
		{"DP-1 alg of another kind of key", oauth.ReasonDPoPBad, both(key, proofHead("alg", "RS256")), keyed("rsa", jose.PS256)},
		{"DP-1 something critical", oauth.ReasonDPoPBad, both(key, proofHead("crit", []string{"x"})), both(key, proofHead("x", 1))},
		{"DP-1 no jwk", oauth.ReasonDPoPBad, both(key, proofHead("jwk", nil)), keyed("ed25519", jose.EdDSA)},
		{"DP-1 a private key", oauth.ReasonDPoPBad, both(key, jwkWith("d", "AAAA")), both(key, jwkWith("kid", "k"))},
		{"DP-1 a secret", oauth.ReasonDPoPBad, both(key, proofHead("jwk", map[string]any{"kty": "oct", "k": "AAAA"})), key},
		{"DP-1 a jwk for another alg", oauth.ReasonDPoPBad, both(key, jwkWith("alg", "ES384")), both(key, jwkWith("alg", "ES256"))},
		{"DP-1 no jti", oauth.ReasonDPoPBad, both(key, said("jti", nil)), key},
		{"DP-1 an empty jti", oauth.ReasonDPoPBad, both(key, said("jti", "")), key},
		{"DP-1 a jti that is no text", oauth.ReasonDPoPBad, both(key, said("jti", 1)), key},
		{"DP-1 no htm", oauth.ReasonDPoPBad, both(key, said("htm", nil)), key},
		{"DP-1 no htu", oauth.ReasonDPoPBad, both(key, said("htu", nil)), key},
		{"DP-1 no iat", oauth.ReasonDPoPBad, both(key, said("iat", nil)), key},
		{"DP-1 iat is text", oauth.ReasonDPoPBad, both(key, said("iat", "now")), key},
		{"DP-1 exp is past", oauth.ReasonDPoPBad, both(key, said("exp", at(0))), both(key, said("exp", at(time.Second)))},
		{"DP-1 nbf is to come", oauth.ReasonDPoPBad, both(key, said("nbf", at(61*time.Second))), both(key, said("nbf", at(60*time.Second)))},
		{"DP-1 the hash of another token", oauth.ReasonDPoPBad, both(key, said("ath", ath)), key},
		{"DP-1 no ath", oauth.ReasonDPoPBad, both(key, said("ath", nil)), key},

		{"DP-4 a proof by another key", oauth.ReasonCnfMismatch, both(key, by("p256", jose.ES256)), key},
		{"DP-4 the right key in the proof, signed by another", oauth.ReasonDPoPBad, both(key, func(p *presentation) { p.proof.key = signers()["p256"] }), key},

		{"DP-2 another method", oauth.ReasonDPoPBad, both(key, said("htm", "POST")), both(key, said("htm", "POST"), func(p *presentation) { p.method = "POST" })},
		{"DP-2 the method in lower case", oauth.ReasonDPoPBad, both(key, said("htm", "get")), key},
		{"DP-2 another path", oauth.ReasonDPoPBad, both(key, said("htu", "https://api.example.com/a")), both(key, said("htu", "https://api.example.com/a"), target("/a"))},
		{"DP-2 a slash more", oauth.ReasonDPoPBad, both(key, said("htu", "https://api.example.com/a/"), target("/a")), both(key, said("htu", "https://api.example.com/a/"), target("/a/"))},
		{"DP-2 another host", oauth.ReasonDPoPBad, both(key, said("htu", "https://evil.example.com/")), both(key, said("htu", "https://API.example.com:443/"))},
		{"DP-2 the host of the Host header (AK-20)", oauth.ReasonDPoPBad, both(key, said("htu", "https://evil.example.com/"), target("https://evil.example.com/")),
			both(key, target("https://evil.example.com/"))},
		{"DP-2 another port", oauth.ReasonDPoPBad, both(key, said("htu", "https://api.example.com:9443/"), ports), both(key, said("htu", "https://api.example.com:8443/"), ports)},
		{"DP-2 no TLS", oauth.ReasonDPoPBad, both(key, said("htu", "http://api.example.com/")), both(key, said("htu", "HTTPS://api.example.com"))},
		{"DP-2 no URI", oauth.ReasonDPoPBad, both(key, said("htu", "://")), key},
		{"DP-2 a user in it", oauth.ReasonDPoPBad, both(key, said("htu", "https://api.example.com@api.example.com/")), key},
		{"DP-2 an escaped slash is no slash", oauth.ReasonDPoPBad, both(key, said("htu", "https://api.example.com/a%2Fb"), target("/a/b")), both(key, said("htu", "https://api.example.com/a%2fb?x#y"), target("/a%2Fb?z=1"))},
		{"DP-2 a dot segment", oauth.ReasonDPoPBad, both(key, said("htu", "https://api.example.com/a/../b"), target("/a")), both(key, said("htu", "https://api.example.com/a/%2e%2E/%62"), target("/b"))},

		{"DP-3 a minute and a second old", oauth.ReasonDPoPBad, both(key, said("iat", at(-61*time.Second)), verifierSince(-2*time.Minute)), both(key, said("iat", at(-60*time.Second)), verifierSince(-2*time.Minute))},
		{"DP-3 more than ten seconds ahead", oauth.ReasonDPoPBad, both(key, said("iat", at(11*time.Second))), both(key, said("iat", at(10*time.Second)))},
		{"DP-6 perhaps used before the verifier began", oauth.ReasonDPoPNonce, both(key, verifierSince(-9*time.Second)), both(key, verifierSince(-10*time.Second))},
		{"DP-6 with the nonce of somebody else", oauth.ReasonDPoPNonce, both(key, said("nonce", "another"), verifierSince(-9*time.Second)), both(key, said("nonce", "another"))},
		{"DP-6 with a nonce that is no text", oauth.ReasonDPoPNonce, both(key, said("nonce", 1), verifierSince(-9*time.Second)), both(key, said("nonce", 1))},
		{"DP-3 too old, which a nonce does not mend", oauth.ReasonDPoPBad, both(key, said("iat", at(-61*time.Second)), verifierSince(0)), key},

		{"LR-3 scope missing", oauth.ReasonScopeDenied, need("admin"), need("write")},
		{"LR-3 one of two missing", oauth.ReasonScopeDenied, need("read", "admin"), need("read", "write")},
		{"LR-3 part of a scope", oauth.ReasonScopeDenied, need("rea"), nil},
		{"LR-3 another case", oauth.ReasonScopeDenied, need("READ"), nil},
		{"LR-3 two in one", oauth.ReasonScopeDenied, need("read write"), nil},
		{"LR-3 empty scope", oauth.ReasonScopeDenied, need(""), nil},
		{"LR-3 token without scope", oauth.ReasonScopeDenied, unset("scope"), both(unset("scope"), need())},
	}
}

func keyed(signer string, alg jose.Algorithm) func(*presentation) {
	return func(p *presentation) { p.keyed(signer, alg) }
}

// proofs makes the values of the DPoP header.
func proofs(f func(proof string) []string) func(*presentation) {
	return func(p *presentation) { p.headers = f }
}

// said changes a claim of the proof, and proofHead a member of its header; nil takes
// it away.
func said(name string, value any) func(*presentation) {
	return func(p *presentation) { change(p.proof.claims, name, value) }
}

func proofHead(name string, value any) func(*presentation) {
	return func(p *presentation) { change(p.proof.header, name, value) }
}

// change leaves a nil there where the fixture would fill in what is missing.
func change(m map[string]any, name string, value any) {
	if m[name] = value; value == nil && name != "ath" && name != "jti" {
		delete(m, name)
	}
}

func jwkWith(name string, value any) func(*presentation) {
	return func(p *presentation) {
		var jwk map[string]any
		if err := json.Unmarshal(p.proof.header["jwk"].(json.RawMessage), &jwk); err != nil {
			panic(err)
		}
		jwk[name] = value
		p.proof.header["jwk"] = jwk
	}
}

// by makes the proof with another key than the token is bound to.
func by(signer string, alg jose.Algorithm) func(*presentation) {
	return func(p *presentation) {
		cnf := p.claims["cnf"]
		p.keyed(signer, alg)
		p.claims["cnf"] = cnf
	}
}

func target(uri string) func(*presentation) { return func(p *presentation) { p.target = uri } }

// ports has the API reached at two origins.
func ports(p *presentation) {
	p.config = append(p.config, func(c *Config) { c.Origins = []string{"https://api.example.com", "https://api.example.com:8443"} })
}

// verifierSince has the verifier begin at another time.
func verifierSince(d time.Duration) func(*presentation) {
	return func(p *presentation) {
		p.config = append(p.config, func(c *Config) {
			asked := false
			c.Now = func() time.Time {
				if !asked {
					asked = true
					return noon.Add(d)
				}
				return noon
			}
		})
	}
}

func hexOf(thumbprint string) string {
	return hex.EncodeToString(must(base64.RawURLEncoding.DecodeString(thumbprint)))
}

// stray is the next character of the base64url alphabet: the last of 86 carries
// four unused bits.
func stray(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[(strings.IndexByte(alphabet, c)+1)%64])
}

func TestRules(t *testing.T) {
	for _, row := range ruleRows(t) {
		t.Run(row.name, func(t *testing.T) {
			p := newPresentation()
			row.bad(p)
			v, r := newVerifier(t, p.config...), p.request()
			caller, err := v.Verify(t.Context(), r, p.scopes...)
			refusal, ok := errors.AsType[*oauth.Error](err)
			if !ok {
				t.Fatalf("want a refusal, got %v, %v", caller, err)
			}
			id, _, _ := strings.Cut(row.name, " ")
			if refusal.Rule != id || refusal.Reason != row.reason {
				t.Errorf("refused by %s for %s, want %s for %s: %v", refusal.Rule, refusal.Reason, id, row.reason, err)
			}
			if caller.Proven() {
				t.Error("a refused caller is proven")
			}
			if refusal.Expected == "" || refusal.Presented == "" {
				t.Errorf("the refusal does not say what was expected or presented: %v", err)
			}
			for part := range strings.SplitSeq(p.sign(), ".") {
				if len(part) > 20 && strings.Contains(err.Error(), part) {
					t.Errorf("the error repeats a part of the token: %v", err)
				}
			}
			explained := v.Explain(t.Context(), r, p.scopes...)
			if explained.Refusal == nil || explained.Refusal.Error() != refusal.Error() {
				t.Errorf("explain says %v, verify %v", explained.Refusal, refusal)
			}

			p = newPresentation()
			if row.twin != nil {
				row.twin(p)
			}
			if _, err := newVerifier(t, p.config...).Verify(t.Context(), p.request(), p.scopes...); err != nil {
				t.Errorf("the twin is refused: %v", err)
			}
		})
	}
}

func TestEveryRuleHasARow(t *testing.T) {
	rows, seen := ruleRows(t), map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] {
			t.Errorf("two rules have the id %s", r.ID)
		}
		seen[r.ID] = true
		if !slices.ContainsFunc(rows, func(row ruleRow) bool { return strings.HasPrefix(row.name, r.ID+" ") }) {
			t.Errorf("no row for %s", r.ID)
		}
		if r.Source == "" || r.What == "" {
			t.Errorf("%s has no source or no description", r.ID)
		}
	}
}

// The order is that of LR-1: of several faults the first in the list is named.
func TestFirstFaultIsNamed(t *testing.T) {
	rows := ruleRows(t)
	firsts := map[string]func(*presentation){}
	for _, id := range []string{"GL-10", "GL-9", "GL-14", "AT-4", "GL-12", "AT-2", "AT-5", "LR-3"} {
		i := slices.IndexFunc(rows, func(r ruleRow) bool { return strings.HasPrefix(r.name, id+" ") })
		firsts[id] = rows[i].bad
	}
	order := Rules()
	for _, a := range order {
		for _, b := range order {
			if firsts[a.ID] == nil || firsts[b.ID] == nil {
				continue
			}
			p := newPresentation()
			firsts[a.ID](p)
			firsts[b.ID](p)
			_, err := newVerifier(t).Verify(t.Context(), p.request(), p.scopes...)
			want := order[min(slices.Index(order, a), slices.Index(order, b))].ID
			if got := oauth.AsError(err).Rule; got != want {
				t.Errorf("%s and %s broken: %s is named, want %s", a.ID, b.ID, got, want)
			}
		}
	}
}

// Every kind of JWT that GL-10 lists, signed by the issuer's key and right in all
// else, is refused; RS-2 for the SVIDs among them.
func TestOtherKindsOfToken(t *testing.T) {
	v := newVerifier(t)
	kinds := map[string]any{
		"JWT-SVID": "JWT", "JWT-SVID as JOSE": "JOSE", "JWT-SVID without typ": nil, "WIT-SVID": "wit+jwt", "WPT": "wpt+jwt",
		"ID token": "JWT", "ID token by its name": "id_token+jwt", "transaction token": "txntoken+jwt", "DPoP proof": "dpop+jwt",
		"ID-JAG": "oauth-id-jag+jwt", "client authentication": "client-authentication+jwt", "attestation": "oauth-client-attestation+jwt",
		"attestation proof": "oauth-client-attestation-pop+jwt", "introspection answer": "token-introspection+jwt", "status list": "statuslist+jwt",
		"security event": "secevent+jwt", "logout token": "logout+jwt", "authorization request": "oauth-authz-req+jwt",
		"empty": "", "prefix alone": "application/", "two prefixes": "application/application/at+jwt", "parameter": "at+jwt; a=b", "space": " at+jwt", "null byte": "at+jwt\x00",
	}
	for name, typ := range kinds {
		t.Run(name, func(t *testing.T) {
			p := newPresentation()
			if p.header["typ"] = typ; typ == nil {
				delete(p.header, "typ")
			}
			_, err := v.VerifyToken(t.Context(), p.sign(), nil)
			if !errors.Is(err, oauth.ReasonWrongTokenType) || !errors.Is(err, oauth.InvalidToken) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"} {
		p := newPresentation()
		p.header["typ"] = typ
		if _, err := v.VerifyToken(t.Context(), p.sign(), nil); err != nil {
			t.Errorf("%s is refused: %v", typ, err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	v := newVerifier(t)
	for _, k := range []testKey{
		keyOf("es256", jose.ES256, "p256"), keyOf("es384", jose.ES384, "p384"), keyOf("es512", jose.ES512, "p521"), keyOf("eddsa", jose.EdDSA, "ed25519"),
		keyOf("rsa", jose.RS256, "rsa"), keyOf("rsa", jose.RS384, "rsa"), keyOf("rsa", jose.RS512, "rsa"),
		keyOf("rsa", jose.PS256, "rsa"), keyOf("rsa", jose.PS384, "rsa"), keyOf("rsa", jose.PS512, "rsa"), keyOf("ps256", jose.PS256, "rsa"),
	} {
		p := newPresentation()
		p.as(k)
		if _, err := v.VerifyToken(t.Context(), p.sign(), nil); err != nil {
			t.Errorf("%s by %s is refused: %v", k.alg, k.id, err)
		}
	}
	for _, alg := range []string{"none", "None", "NONE", "", "HS256", "HS384", "HS512", "hs256", "es256", "eddsa", "ES256K", "RS1", "RSA-OAEP", "dir", "ES256\x00", " ES256"} {
		p := newPresentation()
		p.header["alg"] = alg
		if _, err := v.VerifyToken(t.Context(), p.sign(), nil); !errors.Is(err, oauth.ReasonAlgNotAllowed) {
			t.Errorf("alg %q: got %v", alg, err)
		}
	}
}

// A MAC keyed with the published key is the classic confusion (AK-7).
func TestPublicKeyAsSecret(t *testing.T) {
	v := newVerifier(t)
	header, claims := must(json.Marshal(map[string]any{"typ": "at+jwt", "alg": "HS256", "kid": "rsa"})), must(json.Marshal(newPresentation().claims))
	for _, secret := range [][]byte{
		keyOf("rsa", jose.RS256, "rsa").jwk(t, false), must(x509.MarshalPKIXPublicKey(signers()["rsa"].Public())),
	} {
		token := hmacToken(header, claims, secret)
		if _, err := v.VerifyToken(t.Context(), token, nil); !errors.Is(err, oauth.ReasonAlgNotAllowed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestLeeway(t *testing.T) {
	for _, row := range []struct {
		name   string
		leeway time.Duration
		claim  string
		at     time.Duration
		ok     bool
	}{
		{"GL-12 default, exp 4 s ago", 0, "exp", -4 * time.Second, true},
		{"GL-12 default, exp 5 s ago", 0, "exp", -5 * time.Second, false},
		{"GL-12 1 s, exp now", time.Second, "exp", 0, true},
		{"GL-12 1 s, exp 1 s ago", time.Second, "exp", -time.Second, false},
		{"GL-12 1 s, iat in 10 s", time.Second, "iat", 10 * time.Second, true},
		{"GL-12 60 s, exp 59 s ago", MaxLeeway, "exp", -59 * time.Second, true},
		{"GL-12 60 s, exp 60 s ago", MaxLeeway, "exp", -60 * time.Second, false},
		{"GL-12 60 s, iat in 60 s", MaxLeeway, "iat", 60 * time.Second, true},
		{"GL-12 60 s, iat in 61 s", MaxLeeway, "iat", 61 * time.Second, false},
		{"GL-12 60 s, nbf in 61 s", MaxLeeway, "nbf", 61 * time.Second, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPresentation()
			p.claims[row.claim] = at(row.at)
			v := newVerifier(t, func(c *Config) { c.Leeway = row.leeway })
			if _, err := v.VerifyToken(t.Context(), p.sign(), nil); (err == nil) != row.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
