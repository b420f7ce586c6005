package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"testing"
	"time"
)

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certificateOf(t *testing.T, key crypto.Signer) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// entryOf is a key's JWK with other members set over it; nil removes one.
func entryOf(t *testing.T, key crypto.PublicKey, over map[string]any) []byte {
	t.Helper()
	raw, err := MarshalJWK(key, "", "x509-svid", "")
	if err != nil {
		t.Fatal(err)
	}
	entry := map[string]any{}
	if err := json.Unmarshal(raw, &entry); err != nil {
		t.Fatal(err)
	}
	maps.Copy(entry, over)
	maps.DeleteFunc(entry, func(_ string, v any) bool { return v == nil })
	if raw, err = json.Marshal(entry); err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParseCertificateJWK(t *testing.T) {
	key, other := newECKey(t), newECKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, MinRSABits)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificateOf(t, key)
	bare := map[string]any{"crv": nil, "x": nil, "y": nil}
	with := func(members map[string]any) map[string]any {
		all := maps.Clone(bare)
		maps.Copy(all, members)
		return all
	}
	tests := []struct {
		name string
		raw  []byte
		key  crypto.PublicKey // nil: refused
		want error            // the refusal's cause, where it has a name
	}{
		{"BU-8 certificate and its parameters", entryOf(t, &key.PublicKey, map[string]any{"x5c": []string{cert}}), &key.PublicKey, nil},
		{"BU-8 certificate of another key", entryOf(t, &other.PublicKey, map[string]any{"x5c": []string{cert}}), nil, nil},
		{"BU-8 no parameters at all", entryOf(t, &key.PublicKey, with(map[string]any{"x5c": []string{cert}})), &key.PublicKey, nil},
		{"BU-8 no parameters, RSA", entryOf(t, &rsaKey.PublicKey, map[string]any{"n": nil, "e": nil, "x5c": []string{certificateOf(t, rsaKey)}}), &rsaKey.PublicKey, nil},
		{"BU-8 no parameters and kty of another kind", entryOf(t, &key.PublicKey, with(map[string]any{"kty": "RSA", "x5c": []string{cert}})), nil, nil},
		{"BU-8 half of the parameters", entryOf(t, &key.PublicKey, map[string]any{"y": nil, "x5c": []string{cert}}), nil, nil},
		{"BU-6 x5c missing", entryOf(t, &key.PublicKey, nil), nil, ErrNoCertificate},
		{"BU-6 x5c empty", entryOf(t, &key.PublicKey, map[string]any{"x5c": []string{}}), nil, ErrNoCertificate},
		{"BU-6 x5c a string", entryOf(t, &key.PublicKey, map[string]any{"x5c": cert}), nil, ErrNoCertificate},
		{"BU-6 two values", entryOf(t, &key.PublicKey, map[string]any{"x5c": []string{cert, "?"}}), &key.PublicKey, nil},
		{"BU-5 kty missing", entryOf(t, &key.PublicKey, with(map[string]any{"kty": nil, "x5c": []string{cert}})), nil, ErrKeyType},
		{"BU-5 kty unknown", entryOf(t, &key.PublicKey, with(map[string]any{"kty": "AKP", "x5c": []string{cert}})), nil, ErrKeyType},
		{"BU-20 private key", entryOf(t, &key.PublicKey, map[string]any{"d": "AA", "x5c": []string{cert}}), nil, ErrPrivateKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCertificateJWK(tt.raw)
			if tt.key == nil {
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Fatalf("error %v, want %v", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !samePublicKey(tt.key, got.Key) || got.Certificate == nil {
				t.Fatalf("got another key, or no certificate: %T", got.Key)
			}
		})
	}
}

// Everywhere but in a certificate's entry a key states its own parameters.
func TestParseJWKDemandsParameters(t *testing.T) {
	key := newECKey(t)
	cert := []string{certificateOf(t, key)}
	if _, err := ParseJWK(entryOf(t, &key.PublicKey, map[string]any{"x5c": cert})); err != nil {
		t.Errorf("with parameters: %v", err)
	}
	if _, err := ParseJWK(entryOf(t, &key.PublicKey, map[string]any{"x5c": cert, "crv": nil, "x": nil, "y": nil})); err == nil {
		t.Error("BU-8 a key without parameters was accepted")
	}
}
