package client_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

func privateJWK(key crypto.Signer) []byte {
	var members map[string]string
	if err := json.Unmarshal(must(jose.MarshalJWK(key.Public(), "", "", "")), &members); err != nil {
		panic(err)
	}
	members["d"] = base64.RawURLEncoding.EncodeToString(must(key.(*ecdsa.PrivateKey).Bytes()))
	return must(json.Marshal(members))
}

func privatePEM(key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

// put writes a file in such a way that it is seen to have changed.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	fresh := path + ".fresh"
	if err := os.WriteFile(fresh, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}

func TestWITSVIDFiles(t *testing.T) {
	w := newWITWorld(t)
	dir := t.TempDir()
	token, key := filepath.Join(dir, "token"), filepath.Join(dir, "key")
	first := *w.wit.held
	put(t, token, []byte(first.token+"\n"))
	put(t, key, privateJWK(first.key))
	c := w.client(w.config(client.WITSVID(client.WITSVIDFiles(token, key))))
	serves := func(what, jkt string) {
		t.Helper()
		if got := w.token(c, client.Request{}); !strings.HasSuffix(string(got.AccessToken), jkt) {
			t.Errorf("%s: got %s", what, got.AccessToken)
		}
	}
	serves("a JWK", first.jkt)

	w.wit.rotate()
	second := *w.wit.held
	put(t, token, []byte(second.token)) // the key is still being written
	serves("one of two files is new", first.jkt)
	put(t, key, privatePEM(second.key))
	w.until("the new WIT-SVID is used", func() bool {
		got := w.token(c, client.Request{})
		return strings.HasSuffix(string(got.AccessToken), second.jkt)
	})

	for name, data := range map[string][]byte{
		"a public key": must(jose.MarshalJWK(second.key.Public(), "", "", "")), "nothing": nil, "no key": []byte("s3cr3t"),
		"a secret": []byte(`{"kty":"oct","k":"czNjcjN0"}`), "two members of one name": []byte(`{"kty":"EC","kty":"EC"}`),
		"another key": privateJWK(must(devca.GenerateKey(devca.P256))), "a certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("s3cr3t")}),
	} {
		put(t, key, data)
		fresh := client.WITSVIDFiles(token, key)
		if _, _, err := fresh.GetWITSVID(); err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), second.token[20:60]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := os.Remove(token); err != nil { // taken away: withdrawn
		t.Fatal(err)
	}
	w.advance(time.Hour)
	if got, err := c.Token(t.Context(), client.Request{}); err == nil {
		t.Errorf("without the file: %v", got)
	}
}
