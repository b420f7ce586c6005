package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/internal/jose"
)

func TestRoundTrip(t *testing.T) {
	for alg, name := range keyNameFor {
		t.Run("JS-2 "+string(alg), func(t *testing.T) {
			key, other := testKey(t, name), testKey(t, name+" other")
			c := parse(t, sign(t, alg, key))
			if got, present, ok := c.Text("alg"); got != string(alg) || !present || !ok {
				t.Errorf("alg is %q", got)
			}
			if err := c.Verify(alg, key.Public()); err != nil {
				t.Fatalf("its own key: %v", err)
			}
			if err := c.Verify(alg, other.Public()); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("another key of the kind: %v", err)
			}
			for i := range c.Signature {
				c.Signature[i] ^= 1
				if err := c.Verify(alg, key.Public()); !errors.Is(err, jose.ErrSignature) {
					t.Fatalf("byte %d of the signature flipped: %v", i, err)
				}
				c.Signature[i] ^= 1
			}
			c.SigningInput += "A"
			if err := c.Verify(alg, key.Public()); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("a longer signing input: %v", err)
			}
		})
	}
}

// go-jose is the second opinion on what each algorithm is, in both directions.
func TestInteroperability(t *testing.T) {
	for alg, name := range keyNameFor {
		t.Run("JS-2 "+string(alg), func(t *testing.T) {
			key := testKey(t, name)
			ours := sign(t, alg, key)
			theirs, err := gojose.ParseSignedCompact(ours, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			if payload, err := theirs.Verify(key.Public()); err != nil || string(payload) != testPayload {
				t.Errorf("go-jose reads %q in our token: %v", payload, err)
			}
			signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(alg), Key: key}, nil)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign([]byte(testPayload))
			if err != nil {
				t.Fatal(err)
			}
			token, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			if err := parse(t, token).Verify(alg, key.Public()); err != nil {
				t.Errorf("go-jose's token: %v", err)
			}
		})
	}
}

// Every algorithm with every kind of key: one fits, or for RSA only one length.
func TestFits(t *testing.T) {
	names := []string{"EC P-224", "EC P-256", "EC P-384", "EC P-521", "RSA 1024", "RSA 2048", "Ed25519"}
	for alg, fitting := range keyNameFor {
		good := sign(t, alg, testKey(t, fitting))
		for _, name := range names {
			t.Run("JS-3 "+string(alg)+" with "+name, func(t *testing.T) {
				public := testKey(t, name).Public()
				fitsErr, verifyErr := jose.Fits(alg, public), parse(t, good).Verify(alg, public)
				_, signErr := jose.Sign(alg, testKey(t, name), []byte(header(alg)), []byte(testPayload))
				if name == fitting {
					if fitsErr != nil || verifyErr != nil || signErr != nil {
						t.Errorf("fits %v, verify %v, sign %v", fitsErr, verifyErr, signErr)
					}
					return
				}
				weak := fitting == "RSA 2048" && name == "RSA 1024"
				for what, err := range map[string]error{"fits": fitsErr, "verify": verifyErr, "sign": signErr} {
					if err == nil || errors.Is(err, jose.ErrSignature) || errors.Is(err, jose.ErrKeyTooWeak) != weak {
						t.Errorf("%s: %v", what, err)
					}
				}
			})
		}
	}
}

func TestAlgorithmsThatAreNone(t *testing.T) {
	public := testKey(t, "EC P-256").Public()
	good := parse(t, sign(t, jose.ES256, testKey(t, "EC P-256")))
	for _, alg := range []jose.Algorithm{"", "none", "None", "NONE", "HS256", "HS384", "HS512", "es256", "ES256K", "Ed25519", "RSA-OAEP"} {
		if jose.Fits(alg, public) == nil || good.Verify(alg, public) == nil {
			t.Errorf("GL-9 the algorithm %q is taken", alg)
		}
		if slices.Contains(jose.SVIDAlgorithms, alg) {
			t.Errorf("JS-2 %q signs SVIDs", alg)
		}
	}
	for _, key := range []crypto.PublicKey{nil, []byte("secret"), "secret", testKey(t, "EC P-256"), new(big.Int)} {
		if jose.Fits(jose.ES256, key) == nil || good.Verify(jose.ES256, key) == nil {
			t.Errorf("GL-9 a %T is a public key", key)
		}
		if got := jose.KeyType(key); got != "unknown" {
			t.Errorf("a %T is %q", key, got)
		}
	}
	if len(jose.SVIDAlgorithms) != 9 || slices.Contains(jose.SVIDAlgorithms, jose.EdDSA) {
		t.Errorf("JS-2 the nine are %v", jose.SVIDAlgorithms)
	}
}

// An RSA key serves RS and PS; which of them and which hash, the algorithm says.
func TestAlgorithmsOfOneKeyAreNotExchangeable(t *testing.T) {
	key := testKey(t, "RSA 2048")
	rsaAlgorithms := []jose.Algorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	for _, signed := range rsaAlgorithms {
		c := parse(t, sign(t, signed, key))
		for _, claimed := range rsaAlgorithms {
			if err := c.Verify(claimed, key.Public()); (err == nil) != (signed == claimed) {
				t.Errorf("AK-7 signed with %s, verified as %s: %v", signed, claimed, err)
			}
		}
	}
}

func TestRSASignatureForms(t *testing.T) {
	key := testKey(t, "RSA 2048").(*rsa.PrivateKey)
	rs, ps := sign(t, jose.RS256, key), sign(t, jose.PS256, key)
	signature := parse(t, rs).Signature
	longSalt, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest(ps), &rsa.PSSOptions{SaltLength: 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		alg       jose.Algorithm
		token     string
		signature []byte
		good      bool
	}{
		{"RFC 7518 3.3 as it should be", jose.RS256, rs, signature, true},
		{"RFC 7518 3.3 a byte too short", jose.RS256, rs, signature[1:], false},
		{"RFC 7518 3.3 a zero byte before it", jose.RS256, rs, append([]byte{0}, signature...), false},
		{"RFC 7518 3.3 a zero byte after it", jose.RS256, rs, append(slices.Clone(signature), 0), false},
		{"RFC 7518 3.3 the modulus added", jose.RS256, rs, new(big.Int).Add(new(big.Int).SetBytes(signature), key.N).Bytes(), false},
		{"RFC 7518 3.5 as it should be", jose.PS256, ps, parse(t, ps).Signature, true},
		{"RFC 7518 3.5 a salt of another length than the hash", jose.PS256, ps, longSalt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := parse(t, withSignature(c.token, c.signature)).Verify(c.alg, key.Public()); (err == nil) != c.good {
				t.Errorf("got %v", err)
			}
		})
	}
}

// With the exponent one, the padded digest would be its own signature.
func TestRSAExponentOne(t *testing.T) {
	key := rsa.PublicKey{N: testKey(t, "RSA 2048").(*rsa.PrivateKey).N, E: 1}
	token := sign(t, jose.RS256, testKey(t, "RSA 2048"))
	prefix := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	info := append(prefix, digest(token)...)
	padded := slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xff}, key.Size()-len(info)-3), []byte{0}, info)
	if err := parse(t, withSignature(token, padded)).Verify(jose.RS256, &key); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("RFC 8725 3.5 forged with no private key: %v", err)
	}
}

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	return sum[:]
}

func TestECDSASignatureForms(t *testing.T) {
	key := testKey(t, "EC P-256").(*ecdsa.PrivateKey)
	token := sign(t, jose.ES256, key)
	good := parse(t, token).Signature
	r, s := new(big.Int).SetBytes(good[:32]), new(big.Int).SetBytes(good[32:])
	order := elliptic.P256().Params().N
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	joined := func(r, s *big.Int) []byte {
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	}
	for _, c := range []struct {
		name      string
		signature []byte
		good      bool
	}{
		{"RFC 7518 3.4 as it should be", good, true},
		{"RFC 7518 3.4 a byte too short", good[:63], false},
		{"RFC 7518 3.4 a byte too short in front", good[1:], false},
		{"RFC 7518 3.4 a zero byte after it", append(slices.Clone(good), 0), false},
		{"RFC 7518 3.4 a zero byte before it", append([]byte{0}, good...), false},
		{"RFC 7518 3.4 a zero byte between the halves", slices.Concat(good[:32], []byte{0}, good[32:]), false},
		{"RFC 7518 3.4 each half a byte longer", slices.Concat([]byte{0}, good[:32], []byte{0}, good[32:]), false},
		{"RFC 7518 3.4 the DER form", der, false},
		{"RFC 7518 3.4 r and s exchanged", joined(s, r), false},
		{"RFC 7518 3.4 r zero", joined(new(big.Int), s), false},
		{"RFC 7518 3.4 s zero", joined(r, new(big.Int)), false},
		{"RFC 7518 3.4 both zero", make([]byte, 64), false},
		{"RFC 7518 3.4 s the order of the curve", joined(r, order), false},
		{"RFC 7518 3.4 r and s one", joined(big.NewInt(1), big.NewInt(1)), false},
		// Both (r, s) and (r, n-s) solve the equation: anybody can write the twin
		// of a signature, and no verifier may refuse it. It is harmless because it
		// signs the same header.payload, and because nothing that must happen once
		// is counted by the token's bytes: single use counts by Identity.UseDigest,
		// which leaves the signature out (CJ-13).
		{"CJ-13 the twin with n-s", joined(r, new(big.Int).Sub(order, s)), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := parse(t, withSignature(token, c.signature)).Verify(jose.ES256, key.Public())
			if (err == nil) != c.good || err != nil && !errors.Is(err, jose.ErrSignature) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A known answer: the ES256 example of RFC 7515.
func TestKnownSignature(t *testing.T) {
	key, err := jose.ParseJWK([]byte(`{"kty":"EC","crv":"P-256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if err != nil {
		t.Fatal(err)
	}
	token := b64(`{"alg":"ES256"}`) + "." +
		b64("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}") +
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	if err := parse(t, token).Verify(jose.ES256, key.Key); err != nil {
		t.Errorf("RFC 7515 A.3: %v", err)
	}
}

// badSigner answers with what a broken hardware key might.
type badSigner struct {
	crypto.Signer
	answer []byte
	err    error
}

func (b badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.answer, b.err }

func TestSignRefusesABrokenSigner(t *testing.T) {
	key := testKey(t, "EC P-256")
	broken := errors.New("the token was pulled out")
	for name, signer := range map[string]badSigner{
		"an error":                {key, nil, broken},
		"nothing":                 {key, nil, nil},
		"r and s joined, not DER": {key, make([]byte, 64), nil},
		"DER and a byte":          {key, []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}, nil},
	} {
		token, err := jose.Sign(jose.ES256, signer, []byte(header(jose.ES256)), []byte(testPayload))
		if err == nil || token != "" {
			t.Errorf("KR-4 a signer that returns %s: a token and %v", name, err)
		}
		if signer.err != nil && !errors.Is(err, broken) {
			t.Errorf("the signer's error is lost: %v", err)
		}
	}
}
