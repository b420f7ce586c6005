package inspect

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// Every kind is known for what it is, shown with what matters, and a sound one
// draws no remark.
func TestKinds(t *testing.T) {
	a := authority(t)
	attestation, holder := witSVIDAndKey(t, a)
	s := svid(t, a)
	server := `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token","jwks_uri":"https://as.example.com/jwks.json",
		"grant_types_supported":["client_credentials"],"token_endpoint_auth_methods_supported":["spiffe_jwt","spiffe_x509"],
		"mtls_endpoint_aliases":{"token_endpoint":"https://mtls.as.example.com/token"}}`
	for _, row := range []struct {
		name string
		in   string
		kind Kind
		says []string
	}{
		{"JWT-SVID", jwtSVID(t, a), JWTSVID, []string{"SPIFFE ID = spiffe://example.org/billing", "trust domain = example.org", "audience = " + audience,
			"issued = 2026-07-01T12:00:00Z (0s ago)", "expires = 2026-07-01T12:05:00Z (in 5m)", "life = 5m", "signature = 64 bytes, not shown"}},
		{"JWT-SVID from a header", "Authorization: Bearer " + jwtSVID(t, a) + "\n", JWTSVID, nil},
		{"what SPIRE's command prints", "token(spiffe://example.org/billing):\n\t" + jwtSVID(t, a) + "\nbundle(spiffe://example.org):\n\t" + string(a.Bundle()) + "\n", JWTSVID, nil},
		{"WIT-SVID", witSVID(t, a), WITSVID, []string{"bound to = key EC P-256, thumbprint ", "trust domain = example.org"}},
		{"the proof of a WIT-SVID", proof(t, holder), WITProof, []string{"audience = " + audience, "issued = 2026-07-01T12:00:00Z (0s ago)", "signature = 64 bytes, not shown"}},
		{"WIT-SVID and proof", "OAuth-Client-Attestation: " + attestation + "\nOAuth-Client-Attestation-PoP: " + proof(t, holder) + "\n", WITSVID, []string{"bound to = key EC P-256, thumbprint ", "Proof claims", "Proof header", "typ = oauth-client-attestation-pop+jwt"}},
		{"access token", accessToken(t), AccessToken, []string{"client = billing", "scope = read", "issued = 2026-07-01T11:59:00Z (1m ago)", "expires = 2026-07-01T12:04:00Z (in 4m)", "bound to = certificate bwcK0esc"}},
		{"access token bound to a key", accessToken(t, func(_, c map[string]any) {
			c["cnf"] = map[string]any{"jkt": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}
		}), AccessToken, []string{"bound to = DPoP key bwcK0esc"}},
		{"token response", `{"access_token":"` + accessToken(t) + `","token_type":"Bearer"}`, AccessToken, []string{"token response"}},
		{"X.509-SVID", string(s.ChainPEM()), X509SVID, []string{"Certificate 1 of 2", "SPIFFE ID = spiffe://example.org/billing", "key usage = digitalSignature", "x5t#S256 = " + Thumbprint(s.Leaf().Raw), "not after = 2026-07-01T13:00:00Z (in 1h)"}},
		{"X.509-SVID in DER", string(s.ChainDER()), X509SVID, []string{"Certificate 2 of 2"}},
		{"CA", string(pemOf(a.Roots()[0].Raw)), CACertificate, []string{"CA = yes", "key usage = keyCertSign"}},
		{"bundle", string(a.Bundle()), Bundle, []string{"spiffe_sequence = 1", "jwt-svid, EC P-256", "wit-svid, EC P-256", "x509-svid, EC P-256"}},
		{"JWK Set", `{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"a","x":"i6Wmrk-Cs6LYh66L4nXEFkiLkYA-C4pdAf3V3dtTzm0","y":"qCw8mbVftytRqdbPRWhw68XiDZEPe_pRikur0GkM5zY"}]}`, KeySet, []string{"type = EC P-256", "kid = a", "alg = ES256"}},
		{"server metadata", server, ServerMetadata, []string{"token_endpoint = https://as.example.com/token", "token_endpoint_auth_methods_supported = spiffe_jwt, spiffe_x509"}},
		{"provider metadata", `{"issuer":"https://as.example.com","jwks_uri":"https://as.example.com/jwks.json","subject_types_supported":["public"]}`, ServerMetadata, []string{"OpenID Connect"}},
		{"resource metadata", `{"resource":"https://api.example.com/","authorization_servers":["https://as.example.com"]}`, ResourceMetadata, []string{"authorization_servers = https://as.example.com"}},
		{"another JWT", accessToken(t, func(h, c map[string]any) { delete(h, "typ"); c["sub"] = "system:serviceaccount:ns:a" }), JWT, []string{"sub is no SPIFFE ID"}},
		{"a DPoP proof", accessToken(t, func(h, _ map[string]any) { h["typ"] = "dpop+jwt" }), JWT, []string{"DPoP proof"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := Inspect([]byte(row.in), noon)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind != row.kind || r.Verified || r.Because == "" || len(r.Remarks) > 0 {
				t.Errorf("%s, want %s; remarks %+v", r.Kind, row.kind, r.Remarks)
			}
			for _, want := range row.says {
				if !strings.Contains(r.text(), want) {
					t.Errorf("does not say %q:\n%s", want, r.text())
				}
			}
			if out, err := json.Marshal(r); err != nil || !strings.Contains(string(out), `"verified":false`) {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

// AU-2: no signature, and so no token that could be used, comes out.
func TestSignaturesAreLeftOut(t *testing.T) {
	a := authority(t)
	for _, token := range []string{jwtSVID(t, a), witSVID(t, a), accessToken(t)} {
		r, err := Inspect([]byte(token), noon)
		if err != nil {
			t.Fatal(err)
		}
		signature := token[strings.LastIndexByte(token, '.')+1:]
		if strings.Contains(r.text(), signature) {
			t.Errorf("the signature is in %s", r.text())
		}
	}
	inside := accessToken(t, func(_, c map[string]any) { c["subject_token"] = jwtSVID(t, a) })
	r, err := Inspect([]byte(inside), noon)
	if err != nil || !strings.Contains(r.text(), "subject_token = [redacted]") {
		t.Errorf("a token in a token is shown: %v, %s", err, r.text())
	}
}

// What is odd names the rule by which it would be refused.
func TestRemarks(t *testing.T) {
	a := authority(t)
	attestation, holder := witSVIDAndKey(t, a)
	claim := func(name string, value any) func(h, c map[string]any) {
		return func(_, c map[string]any) { c[name] = value }
	}
	header := func(name string, value any) func(h, c map[string]any) {
		return func(h, _ map[string]any) { h[name] = value }
	}
	without := func(name string) func(h, c map[string]any) {
		return func(h, c map[string]any) { delete(h, name); delete(c, name) }
	}
	for _, row := range []struct {
		name, in, rules string
		reason          oauth.Reason
	}{
		{"expired", jwtSVID(t, a, claim("exp", noon.Unix()-120)), "CJ-5", oauth.ReasonExpired},
		{"two audiences", jwtSVID(t, a, claim("aud", []string{audience, "https://b.example.com"})), "EC-4", oauth.ReasonAudMultiple},
		{"no kid", jwtSVID(t, a, without("kid")), "JS-14", oauth.ReasonKIDMissing},
		{"an extra header", jwtSVID(t, a, header("jku", "https://evil.example/")), "JS-6", oauth.ReasonHeaderNotAllowed},
		{"an odd SPIFFE ID", jwtSVID(t, a, claim("sub", "spiffe://Example.org/a")), "SI-4", oauth.ReasonSubNotSPIFFEID},
		{"issued in the future", jwtSVID(t, a, claim("iat", noon.Unix()+90)), "JS-10", oauth.ReasonNotYetValid},
		{"an access token without client_id", accessToken(t, without("client_id")), "AT-2", oauth.ReasonClaimMalformed},
		{"an expired access token", accessToken(t, claim("exp", noon.Unix()-60)), "GL-12", oauth.ReasonExpired},
		{"a WIT-SVID with aud", witSVID(t, a, claim("aud", "x")), "WS-11", oauth.ReasonAudForbidden},
		{"a WIT-SVID without cnf", witSVID(t, a, without("cnf")), "WS-12", oauth.ReasonCnfMissing},
		{"a WIT-SVID that expired", witSVID(t, a, claim("exp", noon.Unix()-60)), "WS-7", oauth.ReasonExpired},
		{"a WIT-SVID by another algorithm", witSVID(t, a, header("alg", "HS256")), "WS-3", ""},
		{"a WIT-SVID without kid", witSVID(t, a, without("kid")), "WS-4", ""},
		{"a WIT-SVID with crit", witSVID(t, a, header("crit", []string{"x"})), "WS-5", ""},
		{"a WIT-SVID of a trust domain", witSVID(t, a, claim("sub", "spiffe://example.org")), "SI-12", oauth.ReasonSubNotSPIFFEID},
		{"a WIT-SVID without sub", witSVID(t, a, without("sub")), "WS-6", oauth.ReasonSubNotSPIFFEID},
		{"a WIT-SVID without exp", witSVID(t, a, without("exp")), "EC-9", oauth.ReasonExpMissing},
		{"a WIT-SVID that is not valid yet", witSVID(t, a, claim("nbf", noon.Unix()+61)), "WS-8", oauth.ReasonNotYetValid},
		{"a WIT-SVID bound otherwise", witSVID(t, a, claim("cnf", map[string]any{"jkt": "x"})), "WS-12", ""},
		{"a WIT-SVID bound to what is no key", witSVID(t, a, claim("cnf", map[string]any{"jwk": map[string]any{"kty": "EC"}})), "WS-12", ""},
		{"a WIT-SVID whose key names no algorithm", witSVID(t, a, claim("cnf", map[string]any{"jwk": publicJWK("")})), "WS-13", ""},
		{"a WIT-SVID whose key names the wrong one", witSVID(t, a, claim("cnf", map[string]any{"jwk": publicJWK("RS256")})), "WS-13", ""},
		{"a proof without jti", proof(t, holder, without("jti")), "PP-6", oauth.ReasonPoPBad},
		{"a proof made long ago", proof(t, holder, claim("iat", noon.Unix()-61)), "PP-7", oauth.ReasonPoPBad},
		{"a proof with exp", proof(t, holder, claim("exp", noon.Unix())), "PP-10", oauth.ReasonPoPBad},
		{"a proof that is not good yet", proof(t, holder, claim("nbf", noon.Unix()+61)), "PP-10", oauth.ReasonPoPBad},
		{"a WIT-SVID and a proof by another key", witSVID(t, a) + "\n" + proof(t, holder), "PP-4", oauth.ReasonPoPBad},
		{"a proof by another algorithm than the WIT-SVID says, and the WIT-SVID behind it", proof(t, holder, header("alg", "RS256")) + "\n" + attestation, "PP-3", oauth.ReasonPoPBad},
		{"a bundle without uses", `{"spiffe_sequence":1,"keys":[{"kty":"EC"}]}`, "BU-4", ""},
		{"two keys of one kid", strings.Replace(string(a.Bundle()), `"keys":[`, `"keys":[{"kty":"EC","use":"jwt-svid","kid":"`+kidOf(a)+`","crv":"P-256","x":"i6Wmrk-Cs6LYh66L4nXEFkiLkYA-C4pdAf3V3dtTzm0","y":"qCw8mbVftytRqdbPRWhw68XiDZEPe_pRikur0GkM5zY"},`, 1), "BU-11", ""},
		{"an issuer without TLS", `{"issuer":"http://a.example","token_endpoint":"http://a.example/token"}`, "AM-2 CL-10 AM-4 MD-3", ""},
		{"no SPIFFE method", `{"issuer":"https://a.example","jwks_uri":"https://a.example/j","token_endpoint":"https://a.example/token","token_endpoint_auth_methods_supported":["client_secret_basic"]}`, "MD-1", ""},
		{"a resource without servers", `{"resource":"https://a.example/"}`, "PR-2", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := Inspect([]byte(row.in), noon)
			if err != nil {
				t.Fatal(err)
			}
			if r.rules() != row.rules || row.reason != "" && r.Remarks[0].Reason != row.reason {
				t.Errorf("remarks %+v, want %s %s", r.Remarks, row.rules, row.reason)
			}
		})
	}
}

func TestCertificateRemarks(t *testing.T) {
	a := authority(t)
	s := svid(t, a)
	inOrder, err := Inspect(s.ChainPEM(), noon)
	if err != nil || len(inOrder.Remarks) > 0 {
		t.Fatalf("%v, %+v", err, inOrder)
	}
	late, err := Inspect(s.ChainPEM(), noon.Add(2*3600e9))
	if err != nil || late.rules() != "XS-22" || !strings.Contains(late.text(), "EXPIRED 1h ago") {
		t.Errorf("XS-22 %v, %s", err, late.text())
	}
	chain := append(pemOf(s.Leaf().Raw), pemOf(a.Roots()[0].Raw)...)
	gap, err := Inspect(chain, noon)
	if err != nil || gap.rules() != "XS-10" {
		t.Errorf("XS-10 %v, %+v", err, gap.Remarks)
	}
}

// A certificate that could be no anchor of a bundle says so by the bundle's rules.
func TestAnchorRemarks(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*x509.Certificate)
		later  time.Duration
		rules  string
	}{
		{"sound", nil, 0, ""},
		{"it may not sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, 0, "XS-14"},
		{"it has expired", nil, 366 * 24 * time.Hour, "XS-22"},
	} {
		a, err := devca.New("example.org", devca.Options{Now: clock, MutateRoot: row.change})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Inspect(pemOf(a.Roots()[0].Raw), noon.Add(row.later))
		if err != nil || r.Kind != CACertificate || r.rules() != row.rules {
			t.Errorf("%s: %v, %s, want %s", row.name, err, r.rules(), row.rules)
		}
	}
}

// A private key is refused in every form, and nothing of it is repeated.
func TestPrivateKeys(t *testing.T) {
	a := authority(t)
	s := svid(t, a)
	key, err := s.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
	jwk := `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"` + secret + `"}`
	for name, in := range map[string]string{
		"PEM":                      string(key),
		"PEM behind a certificate": string(s.ChainPEM()) + string(key),
		"JWK":                      jwk,
		"symmetric JWK":            `{"kty":"oct","k":"` + secret + `"}`,
		"JWK Set":                  `{"keys":[` + jwk + `]}`,
		"in an array":              `[` + jwk + `]`,
		"beside a token":           "token(a):\n\t" + jwtSVID(t, a) + "\n" + jwk + "\n",
		"confirmation of a token":  witSVID(t, a, func(_, c map[string]any) { c["cnf"] = map[string]any{"jwk": json.RawMessage(jwk)} }),
		"key file of a server":     `{"version":2,"keys":[{"kid":"a","private_key":"` + secret + `"}]}`,
		"what an agent prints":     `{"svids":[{"x509_svid":"AA","x509_svid_key":"` + secret + `"}]}`,
		"somewhere inside":         `{"issuer":"https://a.example","x":[{"y":` + jwk + `}]}`,
	} {
		r, err := Inspect([]byte(in), noon)
		if !errors.Is(err, credential.ErrPrivateKey) || r != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	// A claim named d is none, and a public key is shown.
	for name, in := range map[string]string{
		"a claim": accessToken(t, func(_, c map[string]any) { c["d"], c["k"] = "x", "y" }),
		"a key":   `{"kty":"OKP","crv":"Ed25519","x":"fqZcVQJDgbRwcNpWcYgkaOjG7oclE479MXKbrcJVDS0"}`,
	} {
		if _, err := Inspect([]byte(in), noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What cannot be read is said in words, without the input.
func TestUnreadable(t *testing.T) {
	token := jwtSVID(t, authority(t))
	parts := strings.Split(token, ".")
	for _, row := range []struct{ name, in, want string }{
		{"nothing", " \n", "is empty"},
		{"an opaque token", "s3cr3t-token", "no JWT"},
		{"too long", strings.Repeat("a", MaxInput+1), "longer than"},
		{"two tokens", token + "\n" + token, "more than one JWT"},
		{"a JWT too long", "ey" + strings.Repeat("a", oauth.MaxJWT), "GL-8"},
		{"an unsigned JWT", parts[0] + "." + parts[1] + ".", "without a signature"},
		{"half a JWT", parts[0] + "." + parts[1], "2 parts"},
		{"an encrypted JWT", parts[0] + ".a.b.c.d", "encrypted"},
		{"a wrapped JWT", parts[0] + ".\n" + parts[1] + "." + parts[2], "space inside"},
		{"padding", parts[0] + "." + parts[1] + "=." + parts[2], "not base64url"},
		{"a member twice", parts[0] + ".eyJhIjoxLCJhIjoyfQ." + parts[2], "twice"},
		{"JSON that is broken", `{"keys":[`, "cannot be read"},
		{"JSON of something else", `{"s3cr3t":"s3cr3t-value"}`, "the members"},
		{"a PEM of something else", "-----BEGIN S3CR3T-----\nAAAA\n-----END S3CR3T-----\n", "PEM block"},
		{"a PEM cut off", "-----BEGIN CERTIFICATE-----\ns3cr3t", "cut off"},
		{"binary", "\x30\x03s3cr3t-value", "DER"},
		{"keys that are none", `{"keys":"s3cr3t-value"}`, "BU-2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := Inspect([]byte(row.in), noon)
			if err == nil || r != nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "s3cr3t-") {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

// A bundle's sections are named as its remarks name its entries, by where they
// stand in the document.
func TestBundleEntriesByIndex(t *testing.T) {
	a := authority(t)
	var document struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(a.Bundle(), &document); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(document.Keys, func(a, b map[string]any) int { return strings.Compare(b["use"].(string), a["use"].(string)) })
	document.Keys = append([]map[string]any{{"kty": "EC", "use": "jwt-svid"}}, document.Keys...)
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Inspect(text, noon)
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	for _, s := range r.Sections[1:] {
		titles = append(titles, s.Title)
	}
	if got, want := strings.Join(titles, "; "), "keys[1]: x509-svid, EC P-256; keys[2]: wit-svid, EC P-256; keys[3]: jwt-svid, EC P-256"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(r.Remarks) != 1 || !strings.HasPrefix(r.Remarks[0].Text, "keys[0] ") {
		t.Errorf("%+v", r.Remarks)
	}
}
