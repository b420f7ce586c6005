package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"testing"
)

// Every key and certificate of a bundle stands in its document: no text makes one
// that nobody published. A number may have zeros before it, which some publishers
// write; two spellings of one key are one key (BU-11). An entry more that is
// refused takes none of the others with it (F5).
func FuzzOnlyWhatIsWritten(f *testing.F) {
	td := trustDomain(f, "example.org")
	jwt := keyEntry(f, UseJWT, "a", ecKey(f, elliptic.P256()).Public())
	rsa2048 := keyEntry(f, UseWIT, "r", rsaKey(f, 2048))
	anchor := anchorEntry(f, newAuthority(f, nil).cert)
	for _, seed := range [][]byte{
		documentOf(f, nil, jwt, anchor), documentOf(f, map[string]any{"spiffe_sequence": 7}, rsa2048, jwt.with(entry{"kid": nil})),
		documentOf(f, nil, jwt.with(entry{"x": jwt["x"].(string) + "="})), documentOf(f, nil, jwt.with(entry{"x": "A" + jwt["x"].(string)})),
		documentOf(f, nil, rsa2048.with(entry{"n": "AA" + rsa2048["n"].(string), "e": "AAEAAQ"})), documentOf(f, nil, anchor, anchor),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		s, err := Parse(td, document, epoch)
		if err != nil {
			return
		}
		written := valuesOf(document)
		for _, k := range append(s.Keys(UseJWT), s.Keys(UseWIT)...) {
			for _, part := range partsOf(t, k.Public) {
				if !written[string(bytes.TrimLeft(part, "\x00"))] {
					t.Errorf("a key with a part %x, which the document does not have", part)
				}
			}
		}
		for _, cert := range s.Anchors() {
			if !written[string(cert.Raw)] {
				t.Error("an anchor that the document does not have")
			}
		}
		withBadNeighbour(t, s, document)
	})
}

// withBadNeighbour reads the document once more with an entry in front that is
// of no use.
func withBadNeighbour(t *testing.T, s *Snapshot, document []byte) {
	t.Helper()
	at := bytes.Index(document, []byte(`{"keys":[`)) + len(`{"keys":[`)
	if at < len(`{"keys":[`) || at >= len(document) || len(bytes.TrimLeft(document[at:], " \t\r\n")) == 0 {
		return
	}
	separator := ","
	if bytes.TrimLeft(document[at:], " \t\r\n")[0] == ']' {
		separator = ""
	}
	other, err := Parse(s.TrustDomain(), slices.Concat(document[:at], []byte(`{"use":"jwt-svid","kty":"oct","k":"AA"}`+separator), document[at:]), epoch)
	if err != nil {
		if len(s.LeftOut())+len(s.Keys(UseJWT))+len(s.Keys(UseWIT))+len(s.Anchors()) < maxEntries-1 && len(document) < maxDocument-64 && at == len(`{"keys":[`) {
			t.Fatalf("F5 a bad entry in front: %v", err)
		}
		return
	}
	if !s.Same(other) || !reflect.DeepEqual(s.Keys(UseJWT), other.Keys(UseJWT)) {
		t.Fatal("F5 a bad entry in front changes its neighbours")
	}
}

// partsOf are the numbers that a public key is made of.
func partsOf(t *testing.T, key crypto.PublicKey) [][]byte {
	t.Helper()
	switch k := key.(type) {
	case *rsa.PublicKey:
		return [][]byte{k.N.Bytes(), big.NewInt(int64(k.E)).Bytes()}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		return [][]byte{point[1 : 1+half], point[1+half:]}
	case ed25519.PublicKey:
		return [][]byte{k}
	}
	t.Fatalf("a key of type %T", key)
	return nil
}

// valuesOf are the bytes of all texts of a JSON document that are base64, without
// zeros before them.
func valuesOf(document []byte) map[string]bool {
	values := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(document))
	for {
		token, err := decoder.Token()
		if err != nil {
			return values
		}
		text, ok := token.(string)
		if !ok {
			continue
		}
		for _, encoding := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding, base64.StdEncoding} {
			if raw, err := encoding.DecodeString(text); err == nil {
				values[string(bytes.TrimLeft(raw, "\x00"))] = true
			}
		}
	}
}
