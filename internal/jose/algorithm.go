package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
)

// An Algorithm is a value of the `alg` header (RFC 7518, RFC 8037).
type Algorithm string

const (
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	EdDSA Algorithm = "EdDSA"
)

// SVIDAlgorithms are the nine that a JWT-SVID may be signed with (JS-2).
var SVIDAlgorithms = []Algorithm{RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512}

// MinRSABits is the shortest RSA key accepted or made (JS-3, KR-4).
const MinRSABits = 2048

// MaxRSABits is the longest RSA key that is read. Verifying with a longer one
// takes so long that whoever published it could slow down everybody else.
const MaxRSABits = 4096

type family int

const (
	familyPKCS1v15 family = iota + 1
	familyPSS
	familyECDSA
	familyEd25519
)

type spec struct {
	family family
	hash   crypto.Hash
	curve  elliptic.Curve
}

var specs = map[Algorithm]spec{
	RS256: {familyPKCS1v15, crypto.SHA256, nil},
	RS384: {familyPKCS1v15, crypto.SHA384, nil},
	RS512: {familyPKCS1v15, crypto.SHA512, nil},
	PS256: {familyPSS, crypto.SHA256, nil},
	PS384: {familyPSS, crypto.SHA384, nil},
	PS512: {familyPSS, crypto.SHA512, nil},
	ES256: {familyECDSA, crypto.SHA256, elliptic.P256()},
	ES384: {familyECDSA, crypto.SHA384, elliptic.P384()},
	ES512: {familyECDSA, crypto.SHA512, elliptic.P521()},
	EdDSA: {familyEd25519, 0, nil},
}

// ErrKeyTooWeak is the cause when a key is of the right kind but too short.
//
//svidgate:rule JS-3 KR-4
var ErrKeyTooWeak = errors.New("the key is too weak")

// ErrSignature is the cause when a signature is not the key's.
var ErrSignature = errors.New("the signature does not verify")

// Fits reports whether the public key may be used with alg: the curve that
// belongs to it, or RSA of at least MinRSABits (JS-3). The error wraps
// ErrKeyTooWeak in the latter case.
func Fits(alg Algorithm, key crypto.PublicKey) error {
	s, ok := specs[alg]
	if !ok {
		return fmt.Errorf("unknown algorithm")
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if s.family == familyECDSA && k.Curve == s.curve {
			return nil
		}
	case *rsa.PublicKey:
		if s.family == familyPKCS1v15 || s.family == familyPSS {
			if k.N.BitLen() < MinRSABits {
				return fmt.Errorf("%w: RSA of %d bits", ErrKeyTooWeak, k.N.BitLen())
			}
			return nil
		}
	case ed25519.PublicKey:
		if s.family == familyEd25519 {
			return nil
		}
	}
	return fmt.Errorf("%s does not go with a key of type %s", alg, KeyType(key))
}

// KeyType names a public key for an operator, such as "EC P-256" or "RSA 2048".
func KeyType(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// Verify checks the token's signature with alg and key, which must fit each
// other. It returns ErrSignature or the error of Fits.
func (c *Compact) Verify(alg Algorithm, key crypto.PublicKey) error {
	if err := Fits(alg, key); err != nil {
		return err
	}
	s := specs[alg]
	if s.family == familyEd25519 {
		if !ed25519.Verify(key.(ed25519.PublicKey), []byte(c.SigningInput), c.Signature) {
			return ErrSignature
		}
		return nil
	}
	var room [maxDigest]byte
	digest := appendSum(room[:0], s.hash, c.SigningInput)
	switch s.family {
	case familyECDSA:
		// r and s side by side, each as long as the curve's order, nothing
		// shorter or longer (RFC 7518 section 3.4).
		if len(c.Signature) != 2*orderSize(s.curve) {
			return ErrSignature
		}
		var room [maxDER]byte
		if !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), digest, appendDER(room[:0], c.Signature)) {
			return ErrSignature
		}
	case familyPKCS1v15:
		if rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), s.hash, digest, c.Signature) != nil {
			return ErrSignature
		}
	case familyPSS:
		if rsa.VerifyPSS(key.(*rsa.PublicKey), s.hash, digest, c.Signature, pssOptions(s.hash)) != nil {
			return ErrSignature
		}
	}
	return nil
}

// Sign returns header.payload.signature for two JSON objects already encoded.
// The header must name alg; Sign does not look into it.
func Sign(alg Algorithm, signer crypto.Signer, header, payload []byte) (string, error) {
	if err := Fits(alg, signer.Public()); err != nil {
		return "", fmt.Errorf("jose: sign: %w", err)
	}
	s := specs[alg]
	out := make([]byte, 0, strict.EncodedLen(len(header))+strict.EncodedLen(len(payload))+2+strict.EncodedLen(signatureSize(s, signer.Public())))
	out = strict.AppendEncode(out, header)
	out = append(out, '.')
	out = strict.AppendEncode(out, payload)

	var room [maxDigest]byte
	var signature []byte
	var err error
	switch s.family {
	case familyEd25519:
		signature, err = signer.Sign(rand.Reader, out, crypto.Hash(0))
	case familyPSS:
		signature, err = signer.Sign(rand.Reader, appendSum(room[:0], s.hash, out), pssOptions(s.hash))
	case familyPKCS1v15:
		signature, err = signer.Sign(rand.Reader, appendSum(room[:0], s.hash, out), s.hash)
	case familyECDSA:
		if signature, err = signer.Sign(rand.Reader, appendSum(room[:0], s.hash, out), s.hash); err == nil {
			signature, err = joinedRS(signature, orderSize(s.curve))
		}
	}
	if err != nil {
		return "", fmt.Errorf("jose: sign: %w", err)
	}
	out = append(out, '.')
	return string(strict.AppendEncode(out, signature)), nil
}

// signatureSize is how long a signature with this key is.
func signatureSize(s spec, key crypto.PublicKey) int {
	if s.family == familyECDSA {
		return 2 * orderSize(s.curve)
	}
	if k, ok := key.(*rsa.PublicKey); ok {
		return k.Size()
	}
	return ed25519.SignatureSize
}

func pssOptions(h crypto.Hash) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
}

// maxDigest is the longest of the hashes in use.
const maxDigest = sha512.Size

// appendSum appends the digest of a text. The hashes in use need no allocation
// this way, as hash.Hash does.
func appendSum[T string | []byte](b []byte, h crypto.Hash, text T) []byte {
	switch h {
	case crypto.SHA256:
		sum := sha256.Sum256([]byte(text))
		return append(b, sum[:]...)
	case crypto.SHA384:
		sum := sha512.Sum384([]byte(text))
		return append(b, sum[:]...)
	default:
		sum := sha512.Sum512([]byte(text))
		return append(b, sum[:]...)
	}
}
