package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// testKeys are made once: RSA keys take a while.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{
		"EC P-224": elliptic.P224(), "EC P-256": elliptic.P256(), "EC P-384": elliptic.P384(), "EC P-521": elliptic.P521(),
	} {
		for _, which := range []string{"", " other"} {
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				panic(err)
			}
			keys[name+which] = key
		}
	}
	for name, bits := range map[string]int{"RSA 1024": 1024, "RSA 2048": 2048, "RSA 2048 other": 2048} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	for _, name := range []string{"Ed25519", "Ed25519 other"} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func testKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	key, ok := testKeys()[name]
	if !ok {
		t.Fatalf("there is no key %q", name)
	}
	return key
}

// keyNameFor is the one kind of key that goes with an algorithm.
var keyNameFor = map[jose.Algorithm]string{
	jose.RS256: "RSA 2048", jose.RS384: "RSA 2048", jose.RS512: "RSA 2048",
	jose.PS256: "RSA 2048", jose.PS384: "RSA 2048", jose.PS512: "RSA 2048",
	jose.ES256: "EC P-256", jose.ES384: "EC P-384", jose.ES512: "EC P-521",
	jose.EdDSA: "Ed25519",
}

const testPayload = `{"sub":"spiffe://example.org/a"}`

func header(alg jose.Algorithm) string { return fmt.Sprintf(`{"alg":%q}`, alg) }

func sign(t testing.TB, alg jose.Algorithm, key crypto.Signer) string {
	t.Helper()
	token, err := jose.Sign(alg, key, []byte(header(alg)), []byte(testPayload))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func parse(t testing.TB, token string) *jose.Compact {
	t.Helper()
	c, err := jose.ParseCompact(token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// withSignature puts another signature to a token.
func withSignature(token string, signature []byte) string {
	return token[:strings.LastIndexByte(token, '.')+1] + base64.RawURLEncoding.EncodeToString(signature)
}
