package devca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/svidgate/svidgate/internal/jose"
)

// A KeyAlgorithm is a kind of key that the authority can make.
type KeyAlgorithm string

const (
	P256    KeyAlgorithm = "EC P-256"
	P384    KeyAlgorithm = "EC P-384"
	P521    KeyAlgorithm = "EC P-521"
	RSA2048 KeyAlgorithm = "RSA 2048"
	Ed25519 KeyAlgorithm = "Ed25519"
)

// GenerateKey makes a fresh private key; the empty algorithm means P256.
func GenerateKey(alg KeyAlgorithm) (crypto.Signer, error) {
	switch alg {
	case "", P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("devca: unknown key algorithm %q", string(alg))
}

// keyFor is the kind of key that signs with alg.
func keyFor(alg jose.Algorithm) (KeyAlgorithm, error) {
	switch alg {
	case jose.ES256:
		return P256, nil
	case jose.ES384:
		return P384, nil
	case jose.ES512:
		return P521, nil
	case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512:
		return RSA2048, nil
	}
	return "", fmt.Errorf("devca: %q is no algorithm for a JWT-SVID (JS-2)", string(alg))
}

// holderAlgorithm is the algorithm that a WIT-SVID names for its holder's key
// (WS-13).
func holderAlgorithm(key crypto.PublicKey) (jose.Algorithm, error) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256} {
		if jose.Fits(alg, key) == nil {
			return alg, nil
		}
	}
	return "", fmt.Errorf("devca: no algorithm of a WIT-SVID goes with a key of type %s", jose.KeyType(key))
}
