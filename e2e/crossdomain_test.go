package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// Shows c: no key of one trust domain vouches for an identity of another, in
// either direction, by either method (AK-3, AK-4, AK-5, EC-5, JS-12, KR-7, MT-9,
// XS-11, XS-12).
func TestTrustDomainsApart(t *testing.T) {
	a := newDomain(t, "a.test", devca.Options{Intermediate: true})
	b := newDomain(t, "b.test", devca.Options{Intermediate: true})
	// Each publishes, beside its own keys, one more JWT key under the same kid.
	shared := map[*domain]*ecdsa.PrivateKey{}
	for _, d := range []*domain{a, b} {
		shared[d] = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		jwk := must(jose.MarshalJWK(shared[d].Public(), "the-same-kid", "jwt-svid", ""))
		d.serve(t, withEntries(t, d, jwk))
	}
	config := "resources: [{resource: \"" + apiURL + "\", scopes: [read]}]\nclients:\n"
	for _, d := range []*domain{a, b} {
		config += fmt.Sprintf("  - {client_id: %q, auth_methods: [spiffe_jwt], resources: [%q], scope: read}\n", d.id("/w"), apiURL)
		config += fmt.Sprintf("  - {client_id: %s-x509, spiffe_id: %q, auth_methods: [spiffe_x509], resources: [%q], scope: read}\n", d.name, d.id("/w"), apiURL)
	}
	s := start(t, config, a, b)

	for _, pair := range []struct{ victim, thief *domain }{{a, b}, {b, a}} {
		victim, thief := pair.victim, pair.thief
		t.Run("JWT of "+victim.name+" by "+thief.name, func(t *testing.T) {
			base := func() call { return withJWT(victim.id("/w"), victim.jwt(t, "/w", issuer)) }
			signed := func(kid string, key *ecdsa.PrivateKey, sub string) func(*call) {
				return func(c *call) {
					token, err := devca.SignJWT(map[string]any{"alg": "ES256", "kid": kid, "typ": "JWT"},
						map[string]any{"sub": sub, "aud": issuer, "exp": later(time.Minute)}, key, jose.ES256)
					if err != nil {
						t.Fatal(err)
					}
					c.set("client_assertion", secrets.jwt(token))
				}
			}
			kidOf := func(d *domain) string { kid, _, _ := d.JWTKey(); return kid }
			keyOf := func(d *domain) *ecdsa.PrivateKey { _, _, key := d.JWTKey(); return key.(*ecdsa.PrivateKey) }
			sub := victim.id("/w")
			s.each(t, base, []row{
				{"JS-12 its own kid", signed(kidOf(victim), keyOf(victim), sub), signed(kidOf(thief), keyOf(thief), sub), refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"}},
				{"JS-12 the victim's kid", nil, signed(kidOf(victim), keyOf(thief), sub), refusal{"invalid_client", oauth.ReasonSignatureBad, "JS-12"}},
				{"AK-4 a kid that both have", signed("the-same-kid", shared[victim], sub), signed("the-same-kid", shared[thief], sub), refusal{"invalid_client", oauth.ReasonSignatureBad, "JS-12"}},
				{"JS-12 an iss that names the thief", nil, func(c *call) {
					token, err := thief.JWTSVID("/w", []string{issuer}, inClaims("sub", sub), inClaims("iss", "spiffe://"+thief.name))
					if err != nil {
						t.Fatal(err)
					}
					c.set("client_assertion", secrets.jwt(token))
				}, refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"}},
				{"CA-8 the thief's own name at the victim's client", nil, signed(kidOf(thief), keyOf(thief), thief.id("/w")), refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"}},
			})
		})
		t.Run("X.509 of "+victim.name+" by "+thief.name, func(t *testing.T) {
			base := func() call {
				return call{cert: victim.svid(t, "/w"), form: form("client_id", victim.name+"-x509")}
			}
			chainBad := refusal{"invalid_client", oauth.ReasonCertChainBad, "XS-10"}
			asVictim := func(c *x509.Certificate) { c.URIs = []*url.URL{must(url.Parse(victim.id("/w")))} }
			forged := func(extra ...*x509.Certificate) func(*call) {
				return func(c *call) {
					c.cert = thief.svid(t, "/w", asVictim)
					for _, e := range extra {
						c.cert.Certificate = append(c.cert.Certificate, e.Raw)
					}
				}
			}
			s.each(t, base, []row{
				{"XS-11 a leaf under the thief's intermediate", nil, forged(), chainBad},
				{"XS-11 with the thief's root sent along", nil, forged(thief.Roots()[0]), chainBad},
				{"XS-11 with the victim's root sent along", nil, forged(victim.Roots()[0]), chainBad},
				{"XS-11 with the victim's intermediate sent along", nil, forged(victim.Issuer().Certificate()), chainBad},
				{"XS-11 an intermediate in the victim's name", func(c *call) {
					issuer := must(victim.Issuer().Intermediate())
					svid, err := issuer.X509SVID("/w")
					c.cert = shown(t, svid, err)
				}, func(c *call) {
					issuer := must(thief.Issuer().Intermediate(func(c *x509.Certificate) {
						c.URIs = []*url.URL{must(url.Parse("spiffe://" + victim.name))}
						c.Subject = victim.Issuer().Certificate().Subject
					}))
					svid, err := issuer.X509SVID("/w", asVictim)
					c.cert = shown(t, svid, err)
				}, chainBad},
				{"XS-11 the victim's leaf under another's chain", nil, func(c *call) {
					chain := thief.svid(t, "/w").Certificate
					c.cert.Certificate = append([][]byte{c.cert.Certificate[0]}, chain[1:]...)
				}, chainBad},
				{"CA-8 the thief's own name at the victim's client", nil, func(c *call) { c.cert = thief.svid(t, "/w") }, refusal{"invalid_client", oauth.ReasonClientIDMismatch, "CA-9"}},
			})
		})
		t.Run("AK-25 both at once, "+victim.name+" and "+thief.name, func(t *testing.T) {
			both := func(d *domain) call {
				c := withJWT(victim.id("/w"), victim.jwt(t, "/w", issuer))
				c.cert = d.svid(t, "/w")
				return c
			}
			s.granted(t, both(victim))
			s.refused(t, both(thief), refusal{"invalid_request", oauth.ReasonMixedCredentials, "TK-3"})
		})
	}
}

// AK-5, BU-4, BU-12, JS-12, XS-12: inside one bundle, too, a key is for its one
// use.
func TestKeysApart(t *testing.T) {
	d := newDomain(t, "one.test", devca.Options{})
	key := func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }
	keys := map[string]*ecdsa.PrivateKey{"jwt-svid": key(), "wit-svid": key(), "sig": key(), "": key(), "JWT-SVID": key()}
	var jwks [][]byte
	for use, k := range keys {
		jwks = append(jwks, must(jose.MarshalJWK(k.Public(), "kid of "+use, use, "")))
	}
	// The same key as a root of X.509-SVIDs, and a root of its own as a JWT key.
	root := key()
	template := *d.Roots()[0]
	template.SignatureAlgorithm, template.PublicKey = x509.UnknownSignatureAlgorithm, nil
	rootCert := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &template, &template, root.Public(), root))))
	anchor := map[string]any{}
	if err := json.Unmarshal(must(jose.MarshalJWK(root.Public(), "", "x509-svid", "")), &anchor); err != nil {
		t.Fatal(err)
	}
	anchor["x5c"], anchor["kid"] = [][]byte{rootCert.Raw}, "kid of x509-svid"
	d.serve(t, withEntries(t, d, append(jwks, must(json.Marshal(anchor)))...))
	keys["x509-svid"] = root
	s := start(t, fmt.Sprintf("resources: [{resource: %q, scopes: [read]}]\nclients: [{client_id: %q, auth_methods: [spiffe_jwt], resources: [%q], scope: read}, {client_id: x, spiffe_id: %q, auth_methods: [spiffe_x509], resources: [%q], scope: read}]\n",
		apiURL, d.id("/w"), apiURL, d.id("/x"), apiURL), d)
	unknown := refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"}
	for use, k := range keys {
		t.Run("JWT-SVID by a key for "+use, func(t *testing.T) {
			token, err := devca.SignJWT(map[string]any{"alg": "ES256", "kid": "kid of " + use}, map[string]any{"sub": d.id("/w"), "aud": issuer, "exp": later(time.Minute)}, k, jose.ES256)
			if err != nil {
				t.Fatal(err)
			}
			c := withJWT(d.id("/w"), secrets.jwt(token))
			switch use {
			case "jwt-svid":
				s.granted(t, c)
			case "wit-svid":
				s.refused(t, c, refusal{"invalid_client", oauth.ReasonKeyWrongUse, "JS-15"})
			default:
				s.refused(t, c, unknown)
			}
		})
	}
	leafBy := func(root x509.Certificate, k *ecdsa.PrivateKey) *tls.Certificate {
		holder := key()
		root.PublicKey = k.Public() // CreateCertificate wants to see the two together
		template := *must(d.X509SVID("/x")).Leaf()
		template.SignatureAlgorithm = x509.UnknownSignatureAlgorithm
		der := must(x509.CreateCertificate(rand.Reader, &template, &root, holder.Public(), k))
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: holder}
	}
	s.granted(t, call{cert: leafBy(*rootCert, root), form: form("client_id", "x")})
	s.granted(t, call{cert: d.svid(t, "/x"), form: form("client_id", "x")})
	// The JWT key signs certificates as if it were the root.
	s.refused(t, call{cert: leafBy(*rootCert, keys["jwt-svid"]), form: form("client_id", "x")}, refusal{"invalid_client", oauth.ReasonCertChainBad, "XS-10"})
}

// withEntries is a trust domain's bundle with more entries.
func withEntries(t *testing.T, d *domain, entries ...[]byte) string {
	t.Helper()
	var bundle map[string]any
	if err := json.Unmarshal(d.Bundle(), &bundle); err != nil {
		t.Fatal(err)
	}
	keys := bundle["keys"].([]any)
	for _, e := range entries {
		keys = append(keys, json.RawMessage(e))
	}
	bundle["keys"] = keys
	return string(must(json.Marshal(bundle)))
}
