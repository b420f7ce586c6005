package bundle

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// An entryCase is one entry and what becomes of it.
type entryCase struct {
	name  string
	entry any
	rule  string // of LeftOut; empty: the entry is kept
	note  string // rule of the Note beside a kept one
}

// runEntryCases puts each entry first, in the middle and last among good ones,
// so that no position costs a neighbour (F5).
func runEntryCases(t *testing.T, cases []entryCase) {
	t.Helper()
	td := trustDomain(t, "example.org")
	good := []any{
		keyEntry(t, UseJWT, "good-jwt", ecKey(t, elliptic.P256()).Public()),
		keyEntry(t, UseWIT, "good-wit", ecKey(t, elliptic.P384()).Public()),
		anchorEntry(t, newAuthority(t, nil).cert),
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			for index := range len(good) + 1 {
				s, err := Parse(td, documentOf(t, nil, slices.Insert(slices.Clone(good), index, tt.entry)...), epoch)
				if err != nil {
					t.Fatal(err)
				}
				_, jwt := s.Key(UseJWT, "good-jwt")
				_, wit := s.Key(UseWIT, "good-wit")
				if !jwt || !wit || len(s.Anchors()) == 0 {
					t.Fatalf("F5 entry %d: a neighbour was lost", index)
				}
				all := len(s.Keys(UseJWT)) + len(s.Keys(UseWIT)) + len(s.Anchors())
				if tt.rule == "" {
					if all != len(good)+1 || len(s.LeftOut()) != 0 {
						t.Fatalf("entry %d: not kept: %v", index, s.LeftOut())
					}
				} else if all != len(good) || len(s.LeftOut()) != 1 || s.LeftOut()[0].Index != index || s.LeftOut()[0].Rule != tt.rule || s.LeftOut()[0].Why == "" {
					t.Fatalf("entry %d: want left out by %s, got %v and %d entries", index, tt.rule, s.LeftOut(), all)
				}
				switch {
				case tt.note == "" && len(s.Notes()) != 0:
					t.Fatalf("entry %d: notes %v", index, s.Notes())
				case tt.note != "" && (len(s.Notes()) != 1 || s.Notes()[0].Index != index || s.Notes()[0].Rule != tt.note):
					t.Fatalf("entry %d: want a note %s, got %v", index, tt.note, s.Notes())
				}
			}
		})
	}
}

func rsaKey(t testing.TB, bits int) *rsa.PublicKey {
	t.Helper()
	// A modulus of this length that nobody can sign with; only its length counts.
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	if err != nil {
		t.Fatal(err)
	}
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
	return &rsa.PublicKey{N: n, E: 65537}
}

func edKey(t testing.TB) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestEntryKeys(t *testing.T) {
	p256, p384, p521 := ecKey(t, elliptic.P256()).Public(), ecKey(t, elliptic.P384()).Public(), ecKey(t, elliptic.P521()).Public()
	jwt, wit := keyEntry(t, UseJWT, "k", p256), keyEntry(t, UseWIT, "k", p256)
	runEntryCases(t, []entryCase{
		{"BU-4 jwt-svid", jwt, "", ""},
		{"BU-4 wit-svid", wit, "", ""},
		{"BU-4 use missing", jwt.with(entry{"use": nil}), "BU-4", ""},
		{"BU-4 use sig", jwt.with(entry{"use": "sig"}), "BU-4", ""},
		{"BU-4 use in another case", jwt.with(entry{"use": "JWT-SVID"}), "BU-4", ""},
		{"BU-4 use no string", jwt.with(entry{"use": []string{"jwt-svid"}}), "BU-4", ""},
		{"BU-1 the entry a number", 5, "BU-1", ""},
		{"BU-1 the entry null", nil, "BU-1", ""},
		{"BU-5 kty missing", jwt.with(entry{"kty": nil}), "BU-5", ""},
		{"BU-5 kty AKP", entry{"use": "jwt-svid", "kty": "AKP", "kid": "k", "pub": "AA"}, "BU-5", ""},
		{"BU-5 kty in another case", jwt.with(entry{"kty": "ec"}), "BU-5", ""},
		{"BU-5 a parameter missing", jwt.with(entry{"y": nil}), "BU-5", ""},
		{"BU-5 a point off the curve", jwt.with(entry{"x": jwt["y"], "y": jwt["x"]}), "BU-5", ""},
		{"BU-5 curve unknown", jwt.with(entry{"crv": "secp256k1"}), "BU-5", ""},
		{"BU-5 parameters only in a certificate", jwt.with(entry{"crv": nil, "x": nil, "y": nil, "x5c": x5c(newAuthority(t, nil).cert)}), "BU-5", ""},
		{"BU-9 kid missing", jwt.with(entry{"kid": nil}), "", "BU-9"},
		{"BU-9 kid empty", jwt.with(entry{"kid": ""}), "", "BU-9"},
		{"BU-9 kid a number", jwt.with(entry{"kid": 5}), "BU-9", ""},
		{"BU-10 kid missing", wit.with(entry{"kid": nil}), "BU-10", ""},
		{"BU-10 kid empty", wit.with(entry{"kid": ""}), "BU-10", ""},
		{"BU-10 kid a number", wit.with(entry{"kid": 5}), "BU-10", ""},
		{"BU-17 other members", jwt.with(entry{"x": jwt["x"], "foo": entry{"bar": 1}, "key_ops": []string{"verify"}}), "", ""},
		{"BU-20 a private key", jwt.with(entry{"d": "AA"}), "BU-20", ""},
		{"BU-20 a symmetric key", entry{"use": "jwt-svid", "kty": "oct", "kid": "k", "k": "AA"}, "BU-20", ""},
		{"JS-3 P-384", keyEntry(t, UseJWT, "k", p384), "", ""},
		{"JS-3 P-521", keyEntry(t, UseJWT, "k", p521), "", ""},
		{"JS-3 RSA 2048", keyEntry(t, UseJWT, "k", rsaKey(t, 2048)), "", ""},
		{"JS-3 RSA 2047", keyEntry(t, UseJWT, "k", rsaKey(t, 2047)), "JS-3", ""},
		{"JS-3 RSA 1024 for WIT-SVIDs", keyEntry(t, UseWIT, "k", rsaKey(t, 1024)), "JS-3", ""},
		{"BU-5 RSA 4096", keyEntry(t, UseJWT, "k", rsaKey(t, 4096)), "", ""},
		{"BU-5 RSA 4097", keyEntry(t, UseJWT, "k", rsaKey(t, 4097)), "BU-5", ""},
		{"JS-3 alg that fits", jwt.with(entry{"alg": "ES256"}), "", ""},
		{"JS-3 alg of another curve", jwt.with(entry{"alg": "ES384"}), "JS-3", ""},
		{"JS-3 alg no string", jwt.with(entry{"alg": 256}), "JS-3", ""},
		{"JS-2 alg none of the nine", jwt.with(entry{"alg": "ECDH-ES"}), "JS-2", ""},
		{"JS-2 Ed25519 signs no JWT-SVID", keyEntry(t, UseJWT, "k", edKey(t)), "JS-2", ""},
	})
}

func TestEntryAnchors(t *testing.T) {
	plain := newAuthority(t, nil)
	good := anchorEntry(t, plain.cert)
	bare := good.with(entry{"crv": nil, "x": nil, "y": nil})
	other := newAuthority(t, nil)
	changed := func(change func(*x509.Certificate)) entry { return anchorEntry(t, newAuthority(t, change).cert) }
	named := func(uris ...string) entry {
		return changed(func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{uriNames(t, uris...)} })
	}
	// A key nobody holds is certified by another CA.
	ofKey := func(key crypto.PublicKey) *x509.Certificate { return certificate(t, key, plain, nil) }
	p224 := ecKey(t, elliptic.P224())

	runEntryCases(t, []entryCase{
		{"BU-8 a CA", good, "", ""},
		{"BU-8 no JWK parameters", bare, "", ""},
		{"BU-8 no JWK parameters, kty of another kind", bare.with(entry{"kty": "RSA"}), "BU-8", ""},
		{"BU-8 JWK parameters of another key", anchorEntry(t, other.cert).with(entry{"x5c": x5c(plain.cert)}), "BU-8", ""},
		{"BU-8 not base64", good.with(entry{"x5c": []string{"*"}}), "BU-8", ""},
		{"BU-8 no certificate", good.with(entry{"x5c": []string{"AAAA"}}), "BU-8", ""},
		{"BU-8 the certificate cut off", good.with(entry{"x5c": []string{x5c(plain.cert)[0][:400]}}), "BU-8", ""},
		{"BU-8 cA false", changed(func(c *x509.Certificate) { c.IsCA = false }), "BU-8", ""},
		{"BU-8 no basic constraints", changed(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }), "BU-8", ""},
		{"BU-5 kty missing", good.with(entry{"kty": nil}), "BU-5", ""},
		{"BU-5 kty AKP", good.with(entry{"kty": "AKP"}), "BU-5", ""},
		{"BU-6 x5c missing", good.with(entry{"x5c": nil}), "BU-6", ""},
		{"BU-6 x5c empty", good.with(entry{"x5c": []string{}}), "BU-6", ""},
		{"BU-6 x5c a string", good.with(entry{"x5c": x5c(plain.cert)[0]}), "BU-6", ""},
		{"BU-6 two values", good.with(entry{"x5c": x5c(plain.cert, other.cert)}), "", "BU-6"},
		{"BU-6 two values, the first bad", good.with(entry{"x5c": []string{"AAAA", x5c(plain.cert)[0]}}), "BU-8", ""},
		{"BU-7 with a kid", good.with(entry{"kid": "good-jwt"}), "", ""},
		{"BU-7 with a kid that is no string", good.with(entry{"kid": 5}), "", ""},
		{"BU-20 a private key", good.with(entry{"d": "AA"}), "BU-20", ""},
		{"XS-14 keyCertSign alone", changed(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), "", ""},
		{"XS-14 no keyCertSign", changed(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign }), "XS-14", ""},
		{"XS-14 no key usage", changed(func(c *x509.Certificate) { c.KeyUsage = 0 }), "XS-14", ""},
		{"XS-14 SPIFFE ID without a path", named("spiffe://example.org"), "", ""},
		{"XS-14 SPIFFE ID with a path", named("spiffe://example.org/ca"), "XS-14", ""},
		{"XS-14 SPIFFE ID with a path, of another trust domain", named("spiffe://local/ca"), "XS-14", ""},
		{"XS-14 second SPIFFE ID with a path", named("spiffe://example.org", "spiffe://example.org/ca"), "XS-14", ""},
		{"XS-14 SPIFFE ID in upper case with a path", named("SPIFFE://example.org/ca"), "XS-14", ""},
		{"XS-14 SPIFFE ID with an empty path", named("spiffe://example.org/"), "XS-14", ""},
		{"XS-14 SPIFFE ID with an empty fragment", named("spiffe://example.org#"), "XS-14", ""},
		{"XS-14 URI of another scheme", named("https://ca.example.org/ca"), "", ""},
		{"XS-15 SPIFFE ID of another trust domain", named("spiffe://local"), "", "XS-15"},
		{"XS-17 signed by another CA", anchorEntry(t, ofKey(ecKey(t, elliptic.P256()).Public())), "", ""},
		{"XS-18 P-384", anchorEntry(t, ofKey(ecKey(t, elliptic.P384()).Public())), "", ""},
		{"XS-18 P-521", anchorEntry(t, ofKey(ecKey(t, elliptic.P521()).Public())), "", ""},
		{"XS-18 P-224", entry{"use": "x509-svid", "kty": "EC", "x5c": x5c(ofKey(p224.Public()))}, "XS-18", ""},
		{"XS-18 Ed25519", anchorEntry(t, ofKey(edKey(t))), "", ""},
		{"XS-18 RSA 2048", anchorEntry(t, ofKey(rsaKey(t, 2048))), "", ""},
		{"XS-18 RSA 2047", anchorEntry(t, ofKey(rsaKey(t, 2047))), "XS-18", ""},
		{"XS-18 RSA 1024 without JWK parameters", entry{"use": "x509-svid", "kty": "RSA", "x5c": x5c(ofKey(rsaKey(t, 1024)))}, "XS-18", ""},
		{"XS-18 RSA 4096", entry{"use": "x509-svid", "kty": "RSA", "x5c": x5c(ofKey(rsaKey(t, 4096)))}, "", ""},
		{"XS-18 RSA 4097", entry{"use": "x509-svid", "kty": "RSA", "x5c": x5c(ofKey(rsaKey(t, 4097)))}, "XS-18", ""},
	})
}

// What an anchor is good for in the end: its pool verifies what it signed.
func TestAnchorPoolVerifies(t *testing.T) {
	trusted, other := newAuthority(t, nil), newAuthority(t, nil)
	s, err := Parse(trustDomain(t, "example.org"), documentOf(t, nil, anchorEntry(t, trusted.cert)), epoch)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		signer authority
		ok     bool
	}{"in the bundle": {trusted, true}, "not in the bundle": {other, false}} {
		chain := tt.signer.serverCertificate(t, nil, "x.test")
		leaf, err := x509.ParseCertificate(chain.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: s.AnchorPool(), CurrentTime: epoch})
		if (err == nil) != tt.ok {
			t.Errorf("signer %s: %v", name, err)
		}
	}
}

func TestEntryDuplicates(t *testing.T) {
	td := trustDomain(t, "example.org")
	rsa2048 := rsaKey(t, 2048)
	jwt := keyEntry(t, UseJWT, "a", rsa2048)
	anchor := anchorEntry(t, newAuthority(t, nil).cert)
	nameless := jwt.with(entry{"kid": nil})
	tests := []struct {
		name                    string
		entries                 []any
		jwt, wit, x509, leftOut int
		noteRules               string
	}{
		{"BU-11 the same twice", []any{jwt, jwt}, 1, 0, 0, 0, ""},
		{"BU-11 the same anchor twice", []any{anchor, anchor}, 0, 0, 1, 0, ""},
		{"BU-11 the same with another alg", []any{jwt.with(entry{"alg": "RS256"}), jwt.with(entry{"alg": "PS256"})}, 1, 0, 0, 1, ""},
		{"BU-11 a weak key does not take the kid", []any{keyEntry(t, UseJWT, "a", rsaKey(t, 1024)), jwt}, 1, 0, 0, 1, ""},
		{"BU-10 one key for two uses", []any{jwt, jwt.with(entry{"use": "wit-svid"})}, 1, 1, 0, 0, "BU-10"},
		{"BU-10 one key for two uses, twice", []any{jwt, jwt.with(entry{"use": "wit-svid"}), jwt.with(entry{"use": "wit-svid"})}, 1, 1, 0, 0, "BU-10"},
		{"BU-9 two keys without kid", []any{nameless, keyEntry(t, UseJWT, "", rsaKey(t, 2048))}, 2, 0, 0, 0, "BU-9 BU-9"},
		{"BU-9 one key without kid twice", []any{nameless, nameless}, 1, 0, 0, 0, "BU-9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(td, documentOf(t, nil, tt.entries...), epoch)
			if err != nil {
				t.Fatal(err)
			}
			if a, b, c, d := len(s.Keys(UseJWT)), len(s.Keys(UseWIT)), len(s.Anchors()), len(s.LeftOut()); a != tt.jwt || b != tt.wit || c != tt.x509 || d != tt.leftOut {
				t.Errorf("jwt %d, wit %d, x509 %d, left out %v", a, b, c, s.LeftOut())
			}
			var rules []string
			for _, n := range s.Notes() {
				rules = append(rules, n.Rule)
			}
			if got := strings.Join(rules, " "); got != tt.noteRules {
				t.Errorf("notes %q, want %q", got, tt.noteRules)
			}
		})
	}
}

// A key without kid serves tokens without one: no kid finds it.
func TestKeyWithoutKID(t *testing.T) {
	key := keyEntry(t, UseJWT, "", ecKey(t, elliptic.P256()).Public())
	s, err := Parse(trustDomain(t, "example.org"), documentOf(t, nil, key), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Key(UseJWT, ""); ok {
		t.Error("BU-9 an empty kid named a key")
	}
	if len(s.Keys(UseJWT)) != 1 {
		t.Error("BU-9 the key was not kept")
	}
}

// Nothing an endpoint writes reaches an operator unclean (AK-31).
func TestReportedTextIsClean(t *testing.T) {
	td := trustDomain(t, "example.org")
	evil := "x\"\n\x1b[31m" + strings.Repeat("y", 500)
	key := func() entry { return keyEntry(t, UseJWT, evil, ecKey(t, elliptic.P256()).Public()) }
	s, err := Parse(td, documentOf(t, nil, key().with(entry{"use": evil})), epoch)
	if err != nil {
		t.Fatal(err)
	}
	_, conflict := Parse(td, documentOf(t, nil, key(), key()), epoch)
	for _, text := range []string{fmt.Sprint(s.LeftOut()), fmt.Sprint(conflict)} {
		if !strings.Contains(text, "yyy") {
			t.Errorf("the text does not tell of which entry it speaks: %q", text)
		}
		if strings.ContainsAny(text, "\"\n\x1b") || len(text) > 500 {
			t.Errorf("unclean or long text: %q", text)
		}
	}
}
