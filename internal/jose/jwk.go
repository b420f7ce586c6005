package jose

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/internal/strictjson"
)

// A JWK is a public key as a bundle or a key set publishes it.
type JWK struct {
	KeyID     string
	Use       string
	Algorithm Algorithm // empty when the entry names none
	Key       crypto.PublicKey
	// Certificate is the first of x5c, parsed; nil without x5c.
	Certificate *x509.Certificate
	// MoreCertificates counts those after the first.
	MoreCertificates int
}

// ErrPrivateKey is the cause when an entry holds private or symmetric material.
var ErrPrivateKey = errors.New("the entry holds a private or a symmetric key")

// privateMembers are the members of RFC 7518 section 6 that only a private or
// symmetric key has.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseJWK reads one key. It refuses private and symmetric keys with
// ErrPrivateKey (BU-20), kinds that this module does not verify with, and a
// certificate that contradicts the key's own parameters (BU-8). Errors repeat
// nothing of a key.
func ParseJWK(raw []byte) (JWK, error) {
	members, err := strictjson.Object(raw)
	if err != nil {
		return JWK{}, err
	}
	text := func(name string) string {
		v, _ := members.Get(name)
		s, _ := v.Text()
		return s
	}
	out := JWK{KeyID: text("kid"), Use: text("use"), Algorithm: Algorithm(text("alg"))}
	kty := text("kty")
	if kty == "oct" {
		return out, ErrPrivateKey
	}
	for _, name := range privateMembers {
		if _, ok := members.Get(name); ok {
			return out, ErrPrivateKey
		}
	}
	switch kty {
	case "EC", "RSA", "OKP":
	case "":
		return out, errors.New("kty is missing")
	default:
		return out, errors.New("kty is not one this software knows")
	}
	if v, ok := members.Get("x5c"); ok {
		if err := out.certificate(v); err != nil {
			return out, err
		}
	}
	// Only what describes the key itself is given to the library: it would
	// refuse an entry for members that do not matter here.
	bare := make([]byte, 0, len(raw))
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if v, ok := members.Get(name); ok {
			bare = fmt.Appendf(bare, ",%q:%s", name, v)
		}
	}
	bare[0] = '{'
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(append(bare, '}')); err != nil || !key.Valid() {
		return out, errors.New("the key's parameters are missing or malformed")
	}
	out.Key = key.Key
	if KeyType(out.Key) == "unknown" {
		return out, errors.New("the key is of a kind this software does not verify with")
	}
	if out.Certificate != nil && !samePublicKey(out.Certificate.PublicKey, out.Key) {
		return out, errors.New("the certificate in x5c is of another key than the entry")
	}
	return out, nil
}

func (k *JWK) certificate(v strictjson.Value) error {
	values, ok := v.Texts()
	if !ok || len(values) == 0 {
		return errors.New("x5c is not an array of at least one string")
	}
	// x5c is standard base64 (RFC 7517 section 4.7), unlike all else in a JWK.
	der, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil {
		return errors.New("the first value of x5c is not base64")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("the certificate in x5c does not parse: %w", err)
	}
	k.Certificate, k.MoreCertificates = cert, len(values)-1
	return nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Thumbprint is the RFC 7638 SHA-256 thumbprint of a public key in base64url.
func Thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("jose: thumbprint: %w", err)
	}
	return strict.EncodeToString(sum), nil
}

// MarshalJWK writes a public key as a JWK with kid, use and alg. It fails on
// anything that is not a public key (KR-1).
func MarshalJWK(key crypto.PublicKey, kid, use string, alg Algorithm) ([]byte, error) {
	k := jose.JSONWebKey{Key: key, KeyID: kid, Use: use, Algorithm: string(alg)}
	if !k.IsPublic() {
		return nil, errors.New("jose: only a public key may be published")
	}
	return k.MarshalJSON()
}
