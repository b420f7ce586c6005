package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// entry is a key's JWK as a map, with members set over it; nil removes one.
func entry(t *testing.T, name string, over map[string]any) []byte {
	t.Helper()
	raw, err := jose.MarshalJWK(testKey(t, name).Public(), "k1", "jwt-svid", "")
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{}
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	maps.Copy(members, over)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	if raw, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return raw
}

func member(t *testing.T, raw []byte, name string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	return members[name].(string)
}

func certificateBy(t *testing.T, name string) string {
	t.Helper()
	key := testKey(t, name)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestParseJWKReadsItsOwn(t *testing.T) {
	for name := range testKeys() {
		if name == "EC P-224" || name == "EC P-224 other" || name == "RSA 1024" {
			continue
		}
		public := testKey(t, name).Public()
		raw, err := jose.MarshalJWK(public, "k1", "jwt-svid", jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jose.ParseJWK(raw)
		if err != nil || got.KeyID != "k1" || got.Use != "jwt-svid" || got.Algorithm != jose.ES256 || got.Certificate != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if !got.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
			t.Errorf("%s: another key came back", name)
		}
	}
}

func TestParseJWK(t *testing.T) {
	const ec, rs, ed = "EC P-256", "RSA 2048", "Ed25519"
	x := member(t, entry(t, ec, nil), "x")
	n := member(t, entry(t, rs, nil), "n")
	standard := strings.NewReplacer("-", "+", "_", "/")
	cert, foreign := certificateBy(t, ec), certificateBy(t, ec+" other")
	for _, c := range []struct {
		name string
		raw  []byte
		want string // in the error; empty: accepted
		is   error  // the cause, where it has a name
	}{
		{"BU-5 EC", entry(t, ec, nil), "", nil},
		{"BU-5 RSA", entry(t, rs, nil), "", nil},
		{"BU-5 OKP", entry(t, ed, nil), "", nil},
		{"BU-17 a member nobody knows", entry(t, ec, map[string]any{"x-note": []any{1, "2"}}), "", nil},
		{"BU-17 key_ops and ext", entry(t, ec, map[string]any{"key_ops": []string{"verify"}, "ext": true}), "", nil},
		{"BU-7 without kid and use", entry(t, ec, map[string]any{"kid": nil, "use": nil}), "", nil},

		{"BU-1 not JSON", []byte(`kty`), "not a JSON object", nil},
		{"BU-1 an array", []byte(`[]`), "not a JSON object", nil},
		{"BU-1 a member twice", []byte(`{"kty":"EC","kty":"RSA"}`), "twice", nil},
		{"BU-5 nothing in it", []byte(`{}`), "", jose.ErrKeyType},
		{"BU-5 no kty", entry(t, ec, map[string]any{"kty": nil}), "", jose.ErrKeyType},
		{"BU-5 kty not a string", entry(t, ec, map[string]any{"kty": 5}), "", jose.ErrKeyType},
		{"BU-5 kty in lower case", entry(t, ec, map[string]any{"kty": "ec"}), "", jose.ErrKeyType},
		{"BU-5 kty that is to come", entry(t, ec, map[string]any{"kty": "AKP"}), "", jose.ErrKeyType},
		{"BU-5 kty of another kind", entry(t, ec, map[string]any{"kty": "RSA"}), "parameters", nil},

		{"BU-20 oct", []byte(`{"kty":"oct","k":"c2VjcmV0"}`), "", jose.ErrPrivateKey},
		{"BU-20 oct without its key", []byte(`{"kty":"oct"}`), "", jose.ErrPrivateKey},
		{"BU-20 d", entry(t, ec, map[string]any{"d": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 d that is null", []byte(strings.Replace(string(entry(t, ec, nil)), "{", `{"d":null,`, 1)), "", jose.ErrPrivateKey},
		{"BU-20 p", entry(t, rs, map[string]any{"p": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 q", entry(t, rs, map[string]any{"q": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 dp", entry(t, rs, map[string]any{"dp": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 dq", entry(t, rs, map[string]any{"dq": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 qi", entry(t, rs, map[string]any{"qi": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 oth", entry(t, rs, map[string]any{"oth": []any{}}), "", jose.ErrPrivateKey},
		{"BU-20 k", entry(t, rs, map[string]any{"k": "AA"}), "", jose.ErrPrivateKey},
		{"BU-20 d of an Ed25519 key", entry(t, ed, map[string]any{"d": x}), "", jose.ErrPrivateKey},

		{"RFC 7518 6.2.1 no crv", entry(t, ec, map[string]any{"crv": nil}), "parameters", nil},
		{"RFC 7518 6.2.1 another curve", entry(t, ec, map[string]any{"crv": "P-384"}), "parameters", nil},
		{"RFC 7518 6.2.1 a curve we do not verify with", entry(t, ec, map[string]any{"crv": "secp256k1"}), "parameters", nil},
		{"RFC 7518 6.2.1 no x", entry(t, ec, map[string]any{"x": nil}), "parameters", nil},
		{"RFC 7518 6.2.1 no y", entry(t, ec, map[string]any{"y": nil}), "parameters", nil},
		{"RFC 7518 6.2.1 a point beside the curve", entry(t, ec, map[string]any{"y": x}), "parameters", nil},
		{"RFC 7518 6.2.1 x too short", entry(t, ec, map[string]any{"x": x[:40]}), "parameters", nil},
		{"RFC 7518 6.2.1 x not a string", entry(t, ec, map[string]any{"x": 5}), "parameters", nil},
		{"RFC 7518 6.2.1 x padded", entry(t, ec, map[string]any{"x": x + "="}), "parameters", nil},
		{"RFC 7518 6.2.1 x not base64", entry(t, ec, map[string]any{"x": "****" + x[4:]}), "parameters", nil},
		{"RFC 7518 6.3.1 no n", entry(t, rs, map[string]any{"n": nil}), "parameters", nil},
		{"RFC 7518 6.3.1 no e", entry(t, rs, map[string]any{"e": nil}), "parameters", nil},
		{"RFC 7518 6.3.1 e zero", entry(t, rs, map[string]any{"e": "AA"}), "parameters", nil},
		{"RFC 7518 6.3.1 n in standard base64", entry(t, rs, map[string]any{"n": "+/" + standard.Replace(n[2:])}), "parameters", nil},
		{"RFC 8037 2 another curve", entry(t, ed, map[string]any{"crv": "X25519"}), "parameters", nil},
		{"RFC 8037 2 x too short", entry(t, ed, map[string]any{"x": "AAAA"}), "parameters", nil},

		{"BU-8 x5c of this key", entry(t, ec, map[string]any{"x5c": []string{cert}}), "", nil},
		{"BU-6 two values in x5c, the first counts", entry(t, ec, map[string]any{"x5c": []string{cert, foreign}}), "", nil},
		{"BU-8 x5c of another key", entry(t, ec, map[string]any{"x5c": []string{foreign}}), "another key", nil},
		{"BU-6 x5c of this key second", entry(t, ec, map[string]any{"x5c": []string{foreign, cert}}), "another key", nil},
		{"BU-6 x5c empty", entry(t, ec, map[string]any{"x5c": []string{}}), "", jose.ErrNoCertificate},
		{"BU-6 x5c a string", entry(t, ec, map[string]any{"x5c": cert}), "", jose.ErrNoCertificate},
		{"BU-6 x5c of numbers", entry(t, ec, map[string]any{"x5c": []any{1}}), "strings", nil},
		{"BU-6 x5c with a number second", entry(t, ec, map[string]any{"x5c": []any{cert, 1}}), "strings", nil},
		{"BU-6 x5c in base64url", entry(t, ec, map[string]any{"x5c": []string{"_-8A"}}), "not base64", nil},
		{"BU-8 x5c that is no certificate", entry(t, ec, map[string]any{"x5c": []string{"AAAA"}}), "does not parse", nil},
		{"BU-8 x5c with a byte after the certificate", entry(t, ec, map[string]any{"x5c": []string{trailing(t, cert)}}), "does not parse", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := jose.ParseJWK(c.raw)
			if c.want == "" && c.is == nil {
				if err != nil || got.Key == nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q, %v", err, c.want, c.is)
			}
			if got.Key != nil && c.name[:4] != "BU-8" && c.name[:4] != "BU-6" {
				t.Error("a key beside an error")
			}
			if strings.Contains(err.Error(), x) || strings.Contains(err.Error(), n[:20]) {
				t.Errorf("the error repeats a key: %v", err)
			}
		})
	}
}

func trailing(t *testing.T, cert string) string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(cert)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(append(der, 0))
}

func TestMarshalJWKRefuses(t *testing.T) {
	for _, key := range []crypto.PublicKey{testKey(t, "EC P-256"), testKey(t, "RSA 2048"), testKey(t, "Ed25519"), []byte("secret"), nil} {
		if raw, err := jose.MarshalJWK(key, "", "", ""); err == nil || raw != nil {
			t.Errorf("KR-1 a %T was written", key)
		}
	}
	// Nothing of the private half is in what a public key becomes.
	key := testKey(t, "EC P-256").(*ecdsa.PrivateKey)
	raw, err := jose.MarshalJWK(&key.PublicKey, "k", "sig", jose.ES256)
	var members map[string]any
	if err != nil || json.Unmarshal(raw, &members) != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "alg": "ES256", "x": members["x"], "y": members["y"]}; !maps.Equal(members, want) {
		t.Errorf("KR-1 %v", members)
	}
}

// Known answers: RFC 7638 section 3.1 and RFC 8037 appendix A.3.
func TestThumbprint(t *testing.T) {
	for _, c := range []struct{ name, jwk, want string }{
		{"RFC 7638 3.1", `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		key, err := jose.ParseJWK([]byte(c.jwk))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := jose.Thumbprint(key.Key); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	if _, err := jose.Thumbprint("no key"); err == nil {
		t.Error("a thumbprint of no key")
	}
}
