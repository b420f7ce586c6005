package vectors

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// A stream is as good as random bytes, and the same for the same name: whoever
// reads this can make the key, so nobody may trust it.
type stream struct {
	seed  string
	block uint64
	rest  []byte
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) < len(p) {
		s.block++
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.seed), s.block))
		s.rest = append(s.rest, sum[:]...)
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// testKey makes the test key of a name, which begins with its kind and a dash.
func testKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	r := &stream{seed: "svidgate test key " + name}
	kind, _, _ := strings.Cut(name, "-")
	var key crypto.Signer
	var err error
	switch kind {
	case "ec":
		key, err = ecKey(r, elliptic.P256())
	case "ec224":
		key, err = ecKey(r, elliptic.P224())
	case "ed":
		seed := make([]byte, ed25519.SeedSize)
		io.ReadFull(r, seed)
		key = ed25519.NewKeyFromSeed(seed)
	case "rsa1024":
		key, err = rsaKey(r, 1024)
	case "rsa2048":
		key, err = rsaKey(r, 2048)
	default:
		t.Fatalf("no such kind of key: %s", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return steady{key}
}

func ecKey(r io.Reader, c elliptic.Curve) (crypto.Signer, error) {
	b := make([]byte, (c.Params().BitSize+7)/8)
	io.ReadFull(r, b)
	b[0] = 0 // below the order of every curve
	return ecdsa.ParseRawPrivateKey(c, b)
}

func rsaKey(r io.Reader, bits int) (crypto.Signer, error) {
	one, e := big.NewInt(1), big.NewInt(65537)
	prime := func() *big.Int {
		b := make([]byte, bits/16)
		io.ReadFull(r, b)
		b[0] |= 0xc0
		p := new(big.Int).SetBytes(b)
		p.SetBit(p, 0, 1)
		for !p.ProbablyPrime(20) || new(big.Int).GCD(nil, nil, new(big.Int).Sub(p, one), e).Cmp(one) != 0 {
			p.Add(p, big.NewInt(2))
		}
		return p
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())},
		D:         new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	return key, key.Validate()
}

// A steady key signs the same with the same signature (RFC 6979 for ECDSA).
type steady struct{ crypto.Signer }

func (k steady) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(nil, digest, opts)
}

// An object is a JSON object in an order of its own, so that what is signed stays
// the same.
type object []member

type member struct {
	name  string
	value any // json.RawMessage is taken as it is
}

func (o object) with(name string, value any) object {
	o = slices.Clone(o)
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

func (o object) MarshalJSON() ([]byte, error) {
	out := []byte("{")
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

func (o object) String() string {
	text, err := o.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return string(text)
}

// jwk is the public key as an entry of a bundle or a key set.
func jwk(t testing.TB, key crypto.Signer, members ...member) object {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString
	var o object
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		n := (len(point) - 1) / 2
		o = object{{"kty", "EC"}, {"crv", k.Curve.Params().Name}, {"x", text(point[1 : 1+n])}, {"y", text(point[1+n:])}}
	case *rsa.PublicKey:
		o = object{{"kty", "RSA"}, {"n", text(k.N.Bytes())}, {"e", text(big.NewInt(int64(k.E)).Bytes())}}
	case ed25519.PublicKey:
		o = object{{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", text(k)}}
	}
	return append(members, o...)
}

// anchor is an entry with the use x509-svid.
func anchor(t testing.TB, cert *x509.Certificate, key crypto.Signer) object {
	return jwk(t, key, member{"use", "x509-svid"}).with("x5c", x5c(cert))
}

func x5c(cert *x509.Certificate) []string {
	return []string{base64.StdEncoding.EncodeToString(cert.Raw)}
}

// token signs a JWT.
func token(t testing.TB, alg jose.Algorithm, key crypto.Signer, header, claims object) string {
	t.Helper()
	return tokenText(t, alg, key, header.String(), claims.String())
}

func tokenText(t testing.TB, alg jose.Algorithm, key crypto.Signer, header, claims string) string {
	t.Helper()
	s, err := jose.Sign(alg, key, []byte(header), []byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
