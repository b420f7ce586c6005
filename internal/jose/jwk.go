package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

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
//
//svidgate:rule BU-20 KR-1
var ErrPrivateKey = errors.New("the entry holds a private or a symmetric key")

// ErrKeyType is the cause when kty is missing or none of EC, RSA and OKP.
//
//svidgate:rule BU-5
var ErrKeyType = errors.New("kty is missing or not one this software knows")

// ErrNoCertificate is the cause when an entry that needs x5c has none.
//
//svidgate:rule BU-6
var ErrNoCertificate = errors.New("x5c is missing, empty or not an array")

// PrivateMember reports whether a member of a JWK is one that only a private or
// symmetric key has (RFC 7518 section 6).
func PrivateMember(name string) bool {
	switch name {
	case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
		return true
	}
	return false
}

// parameterMembers are those that make up a public key.
var parameterMembers = []string{"crv", "x", "y", "n", "e"}

// ParseJWK reads one key. It refuses private and symmetric keys with
// ErrPrivateKey (BU-20), kinds that this module does not verify with, and a
// certificate that contradicts the key's own parameters (BU-8). Errors repeat
// nothing of a key.
func ParseJWK(raw []byte) (JWK, error) {
	members, out, err := readJWK(raw)
	if err != nil {
		return out, err
	}
	if out.Key, err = publicKey(members); err != nil {
		return out, err
	}
	return out, out.agree()
}

// ParseCertificateJWK reads an entry that publishes a certificate, as one with
// the use x509-svid does. It refuses what ParseJWK refuses, except that the
// key's own parameters may be missing altogether: then Key is that of the
// certificate, which has to be of the kind that kty names. Without x5c the
// error is ErrNoCertificate (BU-6).
//
// Nothing of the certificate is judged but its key: not who signed it, not its
// time, not whether it is a CA. An error may repeat text of the certificate.
func ParseCertificateJWK(raw []byte) (JWK, error) {
	members, out, err := readJWK(raw)
	if err != nil {
		return out, err
	}
	if out.Certificate == nil {
		return out, ErrNoCertificate
	}
	for _, name := range parameterMembers {
		if _, ok := members.Get(name); !ok {
			continue
		}
		if out.Key, err = publicKey(members); err != nil {
			return out, err
		}
		return out, out.agree()
	}
	kty, _ := members.Get("kty")
	if text, _ := kty.Text(); text != keyFamily(out.Certificate.PublicKey) {
		return out, errors.New("the certificate in x5c has a key of another kind than kty says")
	}
	out.Key = out.Certificate.PublicKey
	return out, nil
}

// readJWK reads everything of an entry but its key.
func readJWK(raw []byte) (strictjson.Members, JWK, error) {
	members, err := strictjson.Object(raw)
	if err != nil {
		return nil, JWK{}, err
	}
	text := func(name string) string {
		v, _ := members.Get(name)
		s, _ := v.Text()
		return s
	}
	out := JWK{KeyID: text("kid"), Use: text("use"), Algorithm: Algorithm(text("alg"))}
	kty := text("kty")
	if kty == "oct" {
		return nil, out, ErrPrivateKey
	}
	if slices.ContainsFunc(members, func(m strictjson.Member) bool { return PrivateMember(m.Name) }) {
		return nil, out, ErrPrivateKey
	}
	switch kty {
	case "EC", "RSA", "OKP":
	default:
		return nil, out, ErrKeyType
	}
	if v, ok := members.Get("x5c"); ok {
		if err := out.certificate(v); err != nil {
			return nil, out, err
		}
	}
	return members, out, nil
}

// publicKey reads the key's own parameters. It is the library that refuses RSA
// above MaxRSABits.
func publicKey(members strictjson.Members) (crypto.PublicKey, error) {
	// Only what describes the key itself is given to the library: it would
	// refuse an entry for members that do not matter here.
	var bare []byte
	for _, name := range append([]string{"kty"}, parameterMembers...) {
		if v, ok := members.Get(name); ok {
			bare = fmt.Appendf(bare, ",%q:%s", name, v)
		}
	}
	bare[0] = '{' // readJWK saw to it that there is a kty
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(append(bare, '}')); err != nil || !key.Valid() {
		return nil, fmt.Errorf("the key's parameters are missing, malformed or RSA of more than %d bits", MaxRSABits)
	}
	if KeyType(key.Key) == "unknown" {
		return nil, errors.New("the key is of a kind this software does not verify with")
	}
	return key.Key, nil
}

// agree is BU-8: a certificate and the parameters beside it are of one key.
func (k *JWK) agree() error {
	if k.Certificate != nil && !samePublicKey(k.Certificate.PublicKey, k.Key) {
		return errors.New("the certificate in x5c is of another key than the entry")
	}
	return nil
}

// keyFamily is the kty of a public key; empty for a kind without one here.
func keyFamily(key crypto.PublicKey) string {
	switch key.(type) {
	case *ecdsa.PublicKey:
		return "EC"
	case *rsa.PublicKey:
		return "RSA"
	case ed25519.PublicKey:
		return "OKP"
	}
	return ""
}

func (k *JWK) certificate(v strictjson.Value) error {
	items, ok := v.Items()
	if !ok || len(items) == 0 {
		return ErrNoCertificate
	}
	values, ok := v.Texts()
	if !ok {
		return errors.New("x5c holds something other than strings")
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
	sum, err := ThumbprintSum(key)
	if err != nil {
		return "", err
	}
	return strict.EncodeToString(sum[:]), nil
}

// ThumbprintSum is that thumbprint before it is encoded.
func ThumbprintSum(key crypto.PublicKey) (sum [sha256.Size]byte, err error) {
	out, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return sum, fmt.Errorf("jose: thumbprint: %w", err)
	}
	copy(sum[:], out)
	return sum, nil
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

// ParsePrivateJWK reads a private key as a workload holds it beside its WIT-SVID.
// Errors repeat nothing of the key.
func ParsePrivateJWK(raw []byte) (crypto.Signer, error) {
	if _, err := strictjson.Object(raw); err != nil {
		return nil, errors.New("not a JWK")
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil || !k.Valid() || k.IsPublic() {
		return nil, errors.New("not a private JWK")
	}
	signer, ok := k.Key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that does not sign")
	}
	return signer, nil
}
