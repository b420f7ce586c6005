package svidgate_test

import (
	"context"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

func TestZeroIdentityProvesNothing(t *testing.T) {
	var id svidgate.Identity
	if id.Proven() || !id.SPIFFEID().IsZero() || id.Method() != "" {
		t.Error("the zero Identity is proven")
	}
	if _, ok := id.CertificateThumbprint(); ok {
		t.Error("the zero Identity has a certificate")
	}
}

func TestJWTIdentity(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	exp := noon.Add(90 * time.Second)
	token := d.svid(t, claim("jti", "id-1"), claim("exp", exp.Unix()))
	id := judgeJWT(t, newVerifier(t, bundlesOf(t, d)), svidgate.JWTPresentation{Assertion: token}, accepted)
	if !id.Proven() || id.SPIFFEID().String() != "spiffe://example.org/a" || id.Method() != oauth.MethodJWT {
		t.Errorf("%s by %s", id.SPIFFEID(), id.Method())
	}
	if !id.ExpiresAt().Equal(exp) || id.TokenID() != "id-1" || id.KeyID() != kidOf(d) {
		t.Errorf("expires %v, jti %q, kid %q", id.ExpiresAt(), id.TokenID(), id.KeyID())
	}
	if id.Digest() != sha256.Sum256([]byte(token)) {
		t.Error("CA-14 the digest is not that of the assertion")
	}
	if id.UseDigest() != sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')])) {
		t.Error("CJ-13 the use digest is not that of header.payload")
	}
	if _, ok := id.CertificateThumbprint(); ok {
		t.Error("MT-1 a JWT-SVID has a certificate")
	}
	bare := judgeJWT(t, newVerifier(t, bundlesOf(t, d)), svidgate.JWTPresentation{Assertion: d.svid(t, withoutHeader("kid"), claim("jti", 5))}, accepted)
	if bare.KeyID() != kidOf(d) || bare.TokenID() != "" {
		t.Errorf("CA-14 without kid and with a number as jti: %q, %q", bare.KeyID(), bare.TokenID())
	}
}

// Anybody can write the twin of an ECDSA signature. Both verify, so single use
// counts what both have in common (CJ-13).
func TestSignatureTwins(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	token := d.svid(t)
	cut := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[cut:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	twin := token[:cut] + base64.RawURLEncoding.EncodeToString(signature)

	one := judgeJWT(t, v, svidgate.JWTPresentation{Assertion: token}, accepted)
	two := judgeJWT(t, v, svidgate.JWTPresentation{Assertion: twin}, accepted)
	if one.Digest() == two.Digest() {
		t.Fatal("the twins are one token: the test shows nothing")
	}
	if one.UseDigest() != two.UseDigest() {
		t.Error("CJ-13 the twin counts as another token: a single-use token can be used twice")
	}
	other := judgeJWT(t, v, svidgate.JWTPresentation{Assertion: d.svid(t, claim("jti", "2"))}, accepted)
	if other.UseDigest() == one.UseDigest() {
		t.Error("CJ-13 another token counts as the same")
	}
}

func TestX509Identity(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{Intermediate: true})
	sent := d.chain(t)
	id := judgeX509(t, newVerifier(t, bundlesOf(t, d)), sent, accepted)
	if !id.Proven() || id.SPIFFEID().String() != "spiffe://example.org/a" || id.Method() != oauth.MethodX509 {
		t.Errorf("%s by %s", id.SPIFFEID(), id.Method())
	}
	thumbprint, ok := id.CertificateThumbprint()
	if !ok || thumbprint != sha256.Sum256(sent[0].Raw) || id.Digest() != thumbprint {
		t.Error("MT-1 the thumbprint is not that of the leaf")
	}
	if !id.ExpiresAt().Equal(sent[0].NotAfter) || !strings.Contains(id.KeyID(), sent[0].SerialNumber.Text(16)) {
		t.Errorf("expires %v, key %q", id.ExpiresAt(), id.KeyID())
	}
	if id.UseDigest() != [32]byte{} || id.TokenID() != "" || id.LegacyAudience() {
		t.Error("a certificate has a token's properties")
	}
}

// Every byte of an assertion counts (section 4 of the style guide: any flipped
// byte of a valid credential is refused).
func TestJWTEveryByteCounts(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	token := d.svid(t)
	for i := range len(token) {
		for _, bits := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 3, 0x7f} {
			changed := []byte(token)
			changed[i] ^= bits
			if id, err := v.VerifyJWTSVID(context.Background(), svidgate.JWTPresentation{Assertion: string(changed)}); err == nil {
				t.Fatalf("byte %d changed by %#x: accepted as %s", i, bits, id.SPIFFEID())
			}
		}
	}
}

func TestX509EveryByteCounts(t *testing.T) {
	d := newDomain(t, "example.org", devca.Options{})
	v := newVerifier(t, bundlesOf(t, d))
	leaf := d.chain(t)[0]
	read := 0
	for i := range leaf.Raw {
		for _, bits := range []byte{1, 4, 0x20, 0x80} {
			der := []byte(string(leaf.Raw))
			der[i] ^= bits
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				continue
			}
			read++
			if id, err := v.VerifyX509SVID(context.Background(), []*x509.Certificate{cert}); err == nil {
				t.Fatalf("byte %d changed by %#x: accepted as %s", i, bits, id.SPIFFEID())
			}
		}
	}
	if read < len(leaf.Raw) {
		t.Errorf("only %d changed certificates could be read", read)
	}
}
