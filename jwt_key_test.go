package svidgate_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

var (
	unknownKey   = refused(oauth.ReasonKIDUnknown, "JS-15")
	missingKID   = refused(oauth.ReasonKIDMissing, "JS-14")
	badSignature = refused(oauth.ReasonSignatureBad, "JS-12")
)

// CJ-8, JS-12: a signature is that of the key in the bundle, or none.
func TestJWTSignature(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	other := newDomain(t, "example.org", devca.Options{})
	good := d.svid(t)
	cut := strings.LastIndexByte(good, '.')
	// other's signature over its own token, put to ours.
	foreign := other.svid(t)
	run(t, newVerifier(t, bundlesOf(t, d)), []jwtRow{
		{"JS-12 the domain's own key", good, accepted},
		{"JS-12 a letter of the signature changed", flipped(good), badSignature},
		{"JS-12 another token's signature", good[:cut] + foreign[strings.LastIndexByte(foreign, '.'):], badSignature},
		{"JS-12 a stranger's key under our kid", other.svid(t, header("kid", kidOf(d))), badSignature},
		{"JS-12 a stranger's key under no kid", other.svid(t, withoutHeader("kid")), badSignature},
		{"JS-15 a stranger's key under its own kid", foreign, unknownKey},
		{"JS-12 another payload under the signature", good[:strings.IndexByte(good, '.')] + "." + b64(d.fill(goodPayload)) + good[cut:], badSignature},
	})
}

func TestJWTKeyID(t *testing.T) {
	one := newDomain(t, "example.org", devca.Options{})
	two := newDomain(t, "example.org", devca.Options{})
	oldKID, oldToken := kidOf(two), two.svid(t)
	if _, err := two.RotateJWTKey(); err != nil {
		t.Fatal(err)
	}
	strict := func(c *svidgate.Config) { c.Settings.RequireKeyID = true }
	kid := kidOf(one)
	run(t, newVerifier(t, bundlesOf(t, one)), []jwtRow{
		{"JS-14 kid", one.svid(t), accepted},
		{"JS-14 no kid, one key", one.svid(t, withoutHeader("kid")), accepted},
		{"JS-14 kid in another case", one.svid(t, header("kid", swapCase(kid))), unknownKey},
		{"JS-14 kid and a space", one.svid(t, header("kid", kid+" ")), unknownKey},
		{"JS-14 the beginning of the kid", one.svid(t, header("kid", kid[:len(kid)-1])), unknownKey},
		{"JS-15 kid of no key", one.svid(t, header("kid", "x")), unknownKey},
		{"JS-15 an empty kid is not a missing one", one.svid(t, header("kid", "")), unknownKey},
		{"JS-14 no kid, and no key fits the algorithm", one.svid(t, withoutHeader("kid"), header("alg", "RS256")), missingKID},
	})
	run(t, newVerifier(t, bundlesOf(t, two)), []jwtRow{
		{"JS-14 kid of the newer of two keys", two.svid(t), accepted},
		{"JS-14 kid of the older of two keys", oldToken, accepted},
		{"JS-15 kid of the other of two keys", two.svid(t, header("kid", oldKID)), badSignature},
		{"JS-14 no kid, two keys", two.svid(t, withoutHeader("kid")), missingKID},
	})
	run(t, newVerifier(t, bundlesOf(t, one), strict), []jwtRow{
		{"JS-14 require_kid and kid", one.svid(t), accepted},
		{"JS-14 require_kid and no kid", one.svid(t, withoutHeader("kid")), missingKID},
	})
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ToUpper(string(r)) != string(r) {
			return []rune(strings.ToUpper(string(r)))[0]
		}
		return []rune(strings.ToLower(string(r)))[0]
	}, s)
}

// Two keys of different kinds: the algorithm picks the one, without a kid.
func TestJWTKeysOfTwoKinds(t *testing.T) {
	ec := newDomain(t, "example.org", devca.Options{})
	rs := newDomain(t, "example.org", devca.Options{JWTAlgorithm: jose.RS256})
	both := slices.Concat(ofUse(entriesOf(t, ec.Bundle()), bundle.UseJWT), ofUse(entriesOf(t, rs.Bundle()), bundle.UseJWT))
	v := newVerifier(t, bundles{ec.TrustDomain(): bundleOf(t, ec.TrustDomain(), both...)})
	notAllowed := refused(oauth.ReasonAlgNotAllowed, "JS-3")
	run(t, v, []jwtRow{
		{"JS-14 no kid, ES256", ec.svid(t, withoutHeader("kid")), accepted},
		{"JS-14 no kid, RS256", rs.svid(t, withoutHeader("kid")), accepted},
		{"JS-14 no kid, ES384 fits neither", ec.svid(t, withoutHeader("kid"), header("alg", "ES384")), missingKID},
		{"JS-3 ES256", ec.svid(t), accepted},
		{"JS-3 ES384 with a P-256 key", ec.svid(t, header("alg", "ES384")), notAllowed},
		{"JS-3 RS256 with an EC key", ec.svid(t, header("alg", "RS256")), notAllowed},
		{"JS-3 ES256 with an RSA key", rs.svid(t, header("alg", "ES256")), notAllowed},
		{"AK-7 PS256 with a signature by RS256", rs.svid(t, header("alg", "PS256")), badSignature},
		{"AK-7 RS512 with a signature by RS256", rs.svid(t, header("alg", "RS512")), badSignature},
	})
}

// What a bundle's entry says of itself counts (JS-3, BU-4, BU-9).
func TestJWTBundleEntries(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{JWTAlgorithm: jose.RS256, WIT: true})
	td := d.TrustDomain()
	token, noKID := d.svid(t), d.svid(t, withoutHeader("kid"))
	weak, weakEntry := weakRSA(t, d)
	entries := func(members map[string]any) []map[string]any {
		return with(ofUse(entriesOf(t, d.Bundle()), bundle.UseJWT), members)
	}
	noKeys := refused(oauth.ReasonBundleNoKeys, "BU-12")
	for _, c := range []struct {
		name    string
		entries []map[string]any
		token   string
		want    want
	}{
		{"JS-3 an entry without alg", entries(nil), token, accepted},
		{"JS-3 an entry with the same alg", entries(map[string]any{"alg": "RS256"}), token, accepted},
		{"JS-3 an entry with another alg", entries(map[string]any{"alg": "PS256"}), token, refused(oauth.ReasonAlgNotAllowed, "JS-3")},
		{"JS-14 an entry with another alg does not fit", entries(map[string]any{"alg": "PS256"}), noKID, missingKID},
		{"JS-3 RSA of 1024 bits is left out of the bundle", []map[string]any{weakEntry}, weak, noKeys},
		{"JS-3 RSA of 1024 bits beside a good key", append(entries(nil), weakEntry), weak, unknownKey},
		{"BU-9 an entry without kid, a token without", entries(map[string]any{"kid": nil}), noKID, accepted},
		{"BU-9 an entry without kid, a token with", entries(map[string]any{"kid": nil}), token, unknownKey},
		{"JS-15 an entry without kid, a token with an empty one", entries(map[string]any{"kid": nil}), d.svid(t, header("kid", "")), unknownKey},
		{"JS-12 the entry's use is wit-svid", entries(map[string]any{"use": "wit-svid"}), token, noKeys},
		{"AK-5 the entry's use is missing", entries(map[string]any{"use": nil}), token, noKeys},
		{"AK-5 the entry's use is sig", entries(map[string]any{"use": "sig"}), token, noKeys},
		{"BU-4 the entry's use is in upper case", entries(map[string]any{"use": "JWT-SVID"}), token, noKeys},
		{"BU-3 no entry at all", nil, token, noKeys},
		{"BU-12 X.509 only", ofUse(entriesOf(t, d.Bundle()), bundle.UseX509), token, noKeys},
		{"JS-12 JWT, X.509 and WIT", entriesOf(t, d.Bundle()), token, accepted},
	} {
		run(t, newVerifier(t, bundles{td: bundleOf(t, td, c.entries...)}), []jwtRow{{c.name, c.token, c.want}})
	}
}

// weakRSA is a token signed with RSA of 1024 bits, and the entry of that key.
func weakRSA(t *testing.T, d domain) (token string, entry map[string]any) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jose.MarshalJWK(key.Public(), "weak", string(bundle.UseJWT), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &entry); err != nil {
		t.Fatal(err)
	}
	return signRS256(t, key, b64(`{"alg":"RS256","kid":"weak"}`)+"."+b64(d.fill(goodPayload))), entry
}

// The two other uses of a bundle never verify a JWT-SVID, even where the key
// itself is there and its owner signs (section 18 item 3).
func TestJWTKeySeparation(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{WIT: true})
	witKID, alg, wit := d.WITKey()
	signed := func(kid any) string {
		h := map[string]any{"alg": string(alg)}
		if kid != nil {
			h["kid"] = kid
		}
		token, err := devca.SignJWT(h, map[string]any{"sub": "spiffe://example.org/a", "aud": issuer, "exp": noon.Unix() + 300}, wit, alg)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ca := newCA(t, "example.org")
	caKID, err := jose.Thumbprint(ca.cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	withCA := bundleOf(t, d.TrustDomain(), append(ofUse(entriesOf(t, d.Bundle()), bundle.UseJWT), with([]map[string]any{ca.entry()}, map[string]any{"kid": caKID})...)...)
	byCA, err := devca.SignJWT(map[string]any{"alg": "ES256", "kid": caKID}, map[string]any{"sub": "spiffe://example.org/a", "aud": issuer, "exp": noon.Unix() + 300}, ca.key, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	run(t, newVerifier(t, bundlesOf(t, d)), []jwtRow{
		{"JS-12 the jwt-svid key", d.svid(t), accepted},
		{"JS-12 the wit-svid key under its kid", signed(witKID), refused(oauth.ReasonKeyWrongUse, "JS-15")},
		{"JS-12 the wit-svid key under the other's kid", signed(kidOf(d)), badSignature},
		{"JS-12 the wit-svid key without kid", signed(nil), badSignature},
	})
	run(t, newVerifier(t, bundles{d.TrustDomain(): withCA}), []jwtRow{
		{"JS-12 the jwt-svid key beside a CA", d.svid(t), accepted},
		{"JS-12 the x509-svid key under a kid", byCA, unknownKey},
	})
}

// GL-15, JS-13, MD-12: the bundle is the one configured for the trust domain.
func TestJWTTrustDomainAndBundle(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	other := newDomain(t, "other.example", devca.Options{})
	b := bundlesOf(t, d)
	b[other.TrustDomain()] = nil
	stranger := newDomain(t, "stranger.example", devca.Options{})
	run(t, newVerifier(t, b), []jwtRow{
		{"JS-13 a configured trust domain", d.svid(t), accepted},
		{"JS-13 an unknown trust domain", stranger.svid(t), refused(oauth.ReasonTDUnknown, "JS-13")},
		{"GL-15 a trust domain without a bundle yet", other.svid(t), refused(oauth.ReasonTDNotReady, "GL-15")},
	})
	for _, c := range []struct {
		name string
		age  time.Duration
		max  time.Duration
		want want
	}{
		{"BE-15 a day old", 24 * time.Hour, 24 * time.Hour, accepted},
		{"F2 a day and a second old", 24*time.Hour + time.Second, 24 * time.Hour, refused(oauth.ReasonBundleTooOld, "BE-15")},
		{"BE-15 a year old, without a bound", 365 * 24 * time.Hour, svidgate.Unbounded, accepted},
		{"F2 a year old, with nothing said", 365 * 24 * time.Hour, 0, refused(oauth.ReasonBundleTooOld, "BE-15")},
		{"BE-15 a clock that was set back", -time.Hour, time.Hour, accepted},
	} {
		later := newVerifier(t, b, clockAt(noon.Add(c.age)), func(cfg *svidgate.Config) { cfg.Settings.MaxBundleAge = c.max })
		exp := claim("exp", noon.Add(c.age+time.Minute).Unix())
		run(t, later, []jwtRow{{c.name, d.svid(t, exp, claim("iat", 1)), c.want}})
	}
}

// MT-9: what keeps the bundles is not believed. A bundle of another trust domain
// verifies nothing, and none without an error is a fault of ours.
func TestBundlesThatLie(t *testing.T) {
	a, b := newDomain(t, "a.example", devca.Options{}), newDomain(t, "b.example", devca.Options{})
	aTD, bTD := a.TrustDomain(), b.TrustDomain()
	internal := refused(oauth.ReasonInternal, "JS-13")
	for _, c := range []struct {
		name   string
		has    svidgate.Bundles
		signer domain // of an SVID for a.example
		want   want
	}{
		{"MT-9 its own bundle", bundles{aTD: a.snapshot(t)}, a, accepted},
		{"MT-9 the bundle of another trust domain", bundles{aTD: b.snapshot(t)}, b, internal},
		{"MT-9 its own bundle under another's name", bundles{aTD: parseBundle(t, bTD, a.Bundle())}, a, internal},
		{"GL-15 no bundle and no error", nothing{}, a, internal},
	} {
		v := newVerifier(t, c.has)
		run(t, v, []jwtRow{{c.name + ", JWT", c.signer.svid(t, claim("sub", a.idOf("/a"))), c.want}})
		runX509(t, v, []x509Row{{c.name + ", X.509", c.signer.chain(t, uris(a.idOf("/a"))), c.want}})
	}
}

// nothing has neither bundles nor errors.
type nothing struct{}

func (nothing) Bundle(spiffeid.TrustDomain) (*bundle.Snapshot, error) { return nil, nil }
