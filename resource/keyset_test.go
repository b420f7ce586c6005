package resource

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// entry is a JWK with some members changed; nil takes a member away.
func entry(tb testing.TB, k testKey, change map[string]any) json.RawMessage {
	var m map[string]any
	if err := json.Unmarshal(k.jwk(tb, true), &m); err != nil {
		tb.Fatal(err)
	}
	for name, value := range change {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return must(json.Marshal(m))
}

func TestKeysLeftOut(t *testing.T) {
	ec := keyOf("bad", jose.ES256, "p256b")
	rsaKey := keyOf("bad", jose.RS256, "rsa")
	p224 := must(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey.Bytes()) // 4, x, y
	x224, y224 := base64.RawURLEncoding.EncodeToString(p224[1:29]), base64.RawURLEncoding.EncodeToString(p224[29:])
	n1024 := must(rand.Prime(rand.Reader, 1024))
	secret := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for _, row := range []struct {
		name      string
		bad, twin json.RawMessage
	}{
		{"KR-5 use enc", entry(t, ec, map[string]any{"use": "enc"}), entry(t, ec, nil)},
		{"KR-5 use of a bundle", entry(t, ec, map[string]any{"use": "jwt-svid"}), entry(t, ec, map[string]any{"use": nil})},
		{"KR-5 use SIG", entry(t, ec, map[string]any{"use": "SIG"}), entry(t, ec, nil)},
		{"KR-5 empty use", entry(t, ec, map[string]any{"use": ""}), entry(t, ec, nil)},
		{"KR-5 use is no string", entry(t, ec, map[string]any{"use": []string{"sig"}}), entry(t, ec, nil)},
		{"KR-5 key_ops sign", entry(t, ec, map[string]any{"key_ops": []string{"sign"}}), entry(t, ec, map[string]any{"key_ops": []string{"verify"}})},
		{"KR-1 private key", entry(t, ec, map[string]any{"d": secret}), entry(t, ec, nil)},
		{"KR-1 private RSA prime", entry(t, rsaKey, map[string]any{"p": secret}), entry(t, rsaKey, nil)},
		{"KR-1 symmetric key", json.RawMessage(`{"kty":"oct","kid":"bad","use":"sig","alg":"HS256","k":"` + secret + `"}`), entry(t, ec, nil)},
		{"KR-1 kid of an earlier entry", entry(t, ec, map[string]any{"kid": "good"}), entry(t, ec, nil)},
		{"KR-1 kid is no string", entry(t, ec, map[string]any{"kid": 1}), entry(t, ec, map[string]any{"kid": nil})},
		{"KR-4 RSA of 1024 bits", must(jose.MarshalJWK(&rsa.PublicKey{N: n1024, E: 65537}, "bad", "sig", jose.RS256)), entry(t, rsaKey, nil)},
		{"KR-7 curve P-224", json.RawMessage(fmt.Sprintf(`{"kty":"EC","crv":"P-224","kid":"bad","use":"sig","x":%q,"y":%q}`, x224, y224)), entry(t, ec, nil)},
		{"KR-7 no coordinates", entry(t, ec, map[string]any{"x": nil}), entry(t, ec, nil)},
		{"KR-7 not an object", json.RawMessage(`"key"`), entry(t, ec, nil)},
		{"KR-7 unknown kty", entry(t, ec, map[string]any{"kty": "AKP"}), entry(t, ec, nil)},
		{"GL-9 alg HS256", entry(t, ec, map[string]any{"alg": "HS256"}), entry(t, ec, map[string]any{"alg": nil})},
		{"GL-9 alg of another kind of key", entry(t, ec, map[string]any{"alg": "RS256"}), entry(t, ec, map[string]any{"alg": "ES256"})},
		{"GL-9 alg of another curve", entry(t, ec, map[string]any{"alg": "ES384"}), entry(t, ec, nil)},
		{"GL-9 alg is no string", entry(t, ec, map[string]any{"alg": 1}), entry(t, ec, nil)},
		{"GL-9 an encryption algorithm", entry(t, rsaKey, map[string]any{"alg": "RSA-OAEP"}), entry(t, rsaKey, nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			good := keyOf("good", jose.ES256, "p256").jwk(t, true)
			// A bad entry costs its neighbours nothing, wherever it stands (F5).
			set, err := ParseKeySet(jwks(good, row.bad, keyOf("last", jose.ES384, "p384").jwk(t, true)))
			if err != nil {
				t.Fatal(err)
			}
			rule, _, _ := strings.Cut(row.name, " ")
			if set.Len() != 2 || set.byID["good"] == nil || set.byID["last"] == nil || set.byID["good"].public.(*ecdsa.PublicKey).Curve != elliptic.P256() {
				t.Errorf("kept %v", set.KeyIDs())
			}
			if out := set.LeftOut(); len(out) != 1 || out[0].Index != 1 || out[0].Rule != rule || out[0].Why == "" {
				t.Errorf("left out %+v", out)
			}
			if set, err := ParseKeySet(jwks(good, row.twin)); err != nil || set.Len() != 2 || len(set.LeftOut()) != 0 {
				t.Errorf("the twin: %v, %+v", err, set.LeftOut())
			}
		})
	}
}

func TestKeySetsRefusedWhole(t *testing.T) {
	one := string(keyOf("a", jose.ES256, "p256").jwk(t, true))
	many := func(n int) string { // entries of which all but one are left out
		return `{"keys":[` + one + strings.Repeat(`,{}`, n-1) + `]}`
	}
	fill := func(n int) string { return `{"keys":[` + one + `],"x":"` + strings.Repeat("a", n-len(one)-18) + `"}` }
	for _, row := range []struct{ name, bad, twin string }{
		{"not JSON", "<html>", `{"keys":[` + one + `]}`},
		{"a bare array", "[" + one + "]", `{"keys":[` + one + `]}`},
		{"no keys", `{"Keys":[` + one + `]}`, `{"keys":[` + one + `],"Keys":1}`},
		{"keys is an object", `{"keys":` + one + `}`, `{"keys":[` + one + `]}`},
		{"GL-11 two keys members", `{"keys":[],"keys":[` + one + `]}`, `{"keys":[` + one + `]}`},
		{"GL-11 data at the end", `{"keys":[` + one + `]}{}`, `{"keys":[` + one + "]}\n"},
		{"FX-1 101 keys", many(101), many(100)},
		{"FX-1 more than 256 KiB", fill(MaxKeySet + 1), fill(MaxKeySet)},
	} {
		t.Run(row.name, func(t *testing.T) {
			if set, err := ParseKeySet([]byte(row.bad)); err == nil {
				t.Errorf("read %d keys", set.Len())
			}
			if set, err := ParseKeySet([]byte(row.twin)); err != nil || set.Len() != 1 {
				t.Errorf("the twin: %v", err)
			}
		})
	}
	if got := len(fill(MaxKeySet)); got != MaxKeySet {
		t.Fatalf("the test makes %d bytes", got)
	}
	if set, err := ParseKeySet([]byte(`{"keys":[]}`)); err != nil || set.Len() != 0 {
		t.Errorf("LD-4 an empty set: %v", err)
	}
}

func TestStaticKeys(t *testing.T) {
	good := jwks(keyOf("a", jose.ES256, "p256").jwk(t, true))
	k, err := NewStaticKeys(issuerA, good)
	if err != nil || k.Issuer() != issuerA {
		t.Fatal(err)
	}
	if set, err := k.KeySet(t.Context(), "other"); err != nil || !slices.Equal(set.KeyIDs(), []string{"a"}) {
		t.Errorf("got %v", err)
	}
	for _, row := range []struct {
		name, issuer string
		jwks         []byte
	}{
		{"AM-2 no issuer", "", good},
		{"AM-2 http", "http://as.example.com", good},
		{"AM-2 HTTPS in upper case", "HTTPS://as.example.com", good},
		{"AM-2 query", issuerA + "?a", good},
		{"AM-2 empty query", issuerA + "?", good},
		{"AM-2 fragment", issuerA + "#", good},
		{"AM-2 user", "https://user@as.example.com", good},
		{"AM-2 no host", "https:///x", good},
		{"AM-2 a port and no host", "https://:443", good},
		{"AM-2 control character", issuerA + "\n", good},
		{"no keys", issuerA, jwks()},
		{"no usable key", issuerA, jwks(entry(t, keyOf("a", jose.ES256, "p256"), map[string]any{"use": "enc"}))},
		{"no key set", issuerA, []byte("{}")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if k, err := NewStaticKeys(row.issuer, row.jwks); err == nil || k != nil {
				t.Error("accepted")
			}
		})
	}
}
