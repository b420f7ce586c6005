package bundle

import (
	"crypto/elliptic"
	"testing"
)

func FuzzParse(f *testing.F) {
	td := trustDomain(f, "example.org")
	jwt := keyEntry(f, UseJWT, "a", ecKey(f, elliptic.P256()).Public())
	anchor := anchorEntry(f, newAuthority(f, nil).cert)
	for _, seed := range [][]byte{
		nil,
		[]byte(`{"keys":[]}`),
		[]byte(`{"keys":[{},null,[],{"use":"jwt-svid","kty":"oct","k":"AA"}],"spiffe_sequence":9007199254740993}`),
		documentOf(f, map[string]any{"spiffe_sequence": 1, "spiffe_refresh_hint": 60}, jwt, anchor, jwt.with(entry{"use": "wit-svid", "kid": "b"})),
		documentOf(f, nil, jwt, jwt.with(entry{"kid": nil}), anchor.with(entry{"crv": nil, "x": nil, "y": nil}), anchor.with(entry{"x5c": []string{"AAAA"}})),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		s, err := Parse(td, document, epoch)
		again, errAgain := Parse(td, document, epoch)
		if (err == nil) != (errAgain == nil) {
			t.Fatalf("two answers: %v and %v", err, errAgain)
		}
		if err != nil {
			if err.Error() != errAgain.Error() {
				t.Fatalf("two answers: %v and %v", err, errAgain)
			}
			return
		}
		if s.digest != again.digest || len(s.LeftOut()) != len(again.LeftOut()) || len(s.Notes()) != len(again.Notes()) {
			t.Fatal("two answers")
		}
		if s.RefreshHint() <= 0 {
			t.Errorf("BU-15 hint %v", s.RefreshHint())
		}
		for _, cert := range s.Anchors() {
			if !cert.IsCA {
				t.Error("BU-8 an anchor is no CA")
			}
		}
		kids := map[string]Key{}
		for _, k := range append(s.Keys(UseJWT), s.Keys(UseWIT)...) {
			if k.ID == "" && k.Use == UseWIT {
				t.Error("BU-10 a wit-svid key has no kid")
			}
			if other, ok := kids[k.ID]; ok && k.ID != "" && !equalKeys(other.Public, k.Public) {
				t.Error("BU-11 one kid names two keys")
			}
			kids[k.ID] = k
		}
		for _, l := range s.LeftOut() {
			if l.Rule == "" || l.Why == "" {
				t.Errorf("an entry was left out without a reason: %+v", l)
			}
		}
	})
}
