package workloadapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
)

// composed is the document and what a server takes of it.
func composed(t testing.TB, certificates, keys []byte) ([]byte, *bundle.Snapshot) {
	t.Helper()
	document, err := compose(certificates, entry{there: keys != nil, data: keys})
	if err != nil {
		t.Fatal(err)
	}
	return document, parse(t, exampleOrg, document)
}

// rules are those that entries were left out by.
func rules(s *bundle.Snapshot) string {
	var all []string
	for _, l := range s.LeftOut() {
		all = append(all, l.Rule)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestCertificates(t *testing.T) {
	a, b := root(t, nil), root(t, nil)
	broken := brokenCertificate(t)
	noCA := root(t, func(c *x509.Certificate) { c.IsCA = false })
	nonsense, err := asn1.Marshal([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	long := root(t, func(c *x509.Certificate) {
		c.Subject.OrganizationalUnit = []string{strings.Repeat("x", 70_000)} // a length of three bytes
	})
	for _, tt := range []struct {
		name  string
		der   [][]byte
		good  [][]byte
		rules string // of what is left out
		error string // instead
	}{
		{"none", nil, nil, "", ""},
		{"two", [][]byte{a, b}, [][]byte{a, b}, "", ""},
		{"one twice", [][]byte{a, a}, [][]byte{a}, "", ""},
		{"a long one", [][]byte{a, long, b}, [][]byte{a, long, b}, "", ""},
		{"F5 a broken one first", [][]byte{broken, a, b}, [][]byte{a, b}, "BU-8", ""},
		{"F5 a broken one in the middle", [][]byte{a, broken, b}, [][]byte{a, b}, "BU-8", ""},
		{"F5 a broken one last", [][]byte{a, b, broken}, [][]byte{a, b}, "BU-8", ""},
		{"F5 no certificate in the middle", [][]byte{a, nonsense, b}, [][]byte{a, b}, "BU-8", ""},
		{"F5 a number in the middle", [][]byte{a, {2, 1, 7}, b}, [][]byte{a, b}, "BU-8", ""},
		{"BU-8 no CA in the middle", [][]byte{a, noCA, b}, [][]byte{a, b}, "BU-8", ""},
		{"XS-18 a curve that is not allowed", [][]byte{a, weak(t), b}, [][]byte{a, b}, "XS-18", ""},
		{"BU-8 a kind of key that Go does not know", [][]byte{a, ed448(t), b}, [][]byte{a, b}, "BU-8", ""},
		{"cut at the end", [][]byte{a, b[:len(b)-1]}, nil, "", "certificate 1"},
		{"a byte too many", [][]byte{a, {0x30}}, nil, "", "certificate 1"},
		{"an endless length", [][]byte{a, {0x30, 0x80, 0, 0}, b}, nil, "", "certificate 1"},
		{"PEM", [][]byte{[]byte("-----BEGIN CERTIFICATE-----")}, nil, "", "certificate 0"},
		{"FX-1 a thousand and one", [][]byte{bytes.Repeat([]byte{5, 0}, maxEntries+1)}, nil, "", "FX-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der := bytes.Join(tt.der, nil)
			if tt.error != "" {
				if document, err := compose(der, entry{}); err == nil || !strings.Contains(err.Error(), tt.error) {
					t.Errorf("got %s, %v", document, err)
				}
				return
			}
			document, got := composed(t, der, nil)
			var anchors [][]byte
			for _, anchor := range got.Anchors() {
				anchors = append(anchors, anchor.Raw)
			}
			slices.SortFunc(anchors, bytes.Compare)
			want := slices.SortedFunc(slices.Values(tt.good), bytes.Compare)
			if !slices.EqualFunc(anchors, want, bytes.Equal) || rules(got) != tt.rules {
				t.Errorf("%d certificates, left out %v, of %s", len(anchors), got.LeftOut(), document)
			}
			slices.Reverse(tt.der)
			if again, _ := composed(t, bytes.Join(tt.der, nil), nil); !bytes.Equal(again, document) {
				t.Error("another order gave other bytes")
			}
		})
	}
}

// Entries have the members that RFC 7517 wants, whatever the kind of key.
func TestMembersOfACertificateEntry(t *testing.T) { // BU-7, BU-8
	for alg, want := range map[devca.KeyAlgorithm]string{
		devca.P256: "crv kty use x x5c y", devca.P384: "crv kty use x x5c y", devca.RSA2048: "e kty n use x5c", devca.Ed25519: "crv kty use x x5c",
	} {
		document, got := composed(t, roots(newAuthority(t, "example.org", devca.Options{KeyAlgorithm: alg})), nil)
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal(document, &set); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range set.Keys[0] {
			names = append(names, name)
		}
		slices.Sort(names)
		if strings.Join(names, " ") != want || len(got.Anchors()) != 1 {
			t.Errorf("%s: %v in %s", alg, names, document)
		}
	}
}

func TestKeys(t *testing.T) {
	good := jwk(t, "good", nil)
	ca := newAuthority(t, "example.org", devca.Options{}).Bundle()
	var bundled struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(ca, &bundled); err != nil {
		t.Fatal(err)
	}
	with := func(kid, name string, value any) json.RawMessage { return jwk(t, kid, map[string]any{name: value}) }
	for _, tt := range []struct {
		name  string
		keys  []json.RawMessage // beside the good one
		kids  string
		rules string
	}{
		{"use absent", []json.RawMessage{jwk(t, "a", nil)}, "a good", ""},
		{"use sig", []json.RawMessage{with("a", "use", "sig")}, "a good", ""},
		{"use jwt-svid", []json.RawMessage{with("a", "use", "jwt-svid")}, "a good", ""},
		{"use wit-svid", []json.RawMessage{with("a", "use", "wit-svid")}, "good", "BU-4"},
		{"use enc", []json.RawMessage{with("a", "use", "enc")}, "good", "BU-4"},
		{"use JWT-SVID", []json.RawMessage{with("a", "use", "JWT-SVID")}, "good", "BU-4"},
		{"use empty", []json.RawMessage{with("a", "use", "")}, "good", "BU-4"},
		{"use no string", []json.RawMessage{with("a", "use", 1)}, "good", "BU-4"},
		{"use null", []json.RawMessage{[]byte(`{"use":null,"kty":"EC","kid":"a"}`)}, "good", "BU-4"},
		{"a CA with its use", bundled.Keys[:1], "good", "BU-4"},
		{"BU-5 a kty that is unknown", []json.RawMessage{with("a", "kty", "AKP")}, "good", "BU-5"},
		{"BU-9 no kid", []json.RawMessage{jwk(t, "", nil)}, " good", ""},
		{"BU-20 a private key", []json.RawMessage{with("a", "d", "AAAA")}, "good", "BU-20"},
		{"JS-3 an alg that does not fit", []json.RawMessage{with("a", "alg", "RS256")}, "good", "JS-3"},
		{"members of other names", []json.RawMessage{with("a", "key_ops\n<é", []any{"verify", 1.5e300})}, "a good", ""},
		{"no object", []json.RawMessage{[]byte(`null`), []byte(`[]`), []byte(`"a"`), []byte(`1`)}, "good", "BU-1 BU-1 BU-1 BU-1"},
		{"empty object", []json.RawMessage{[]byte(`{ }`)}, "good", "BU-5"},
		{"the same again", []json.RawMessage{good}, "good", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document, got := composed(t, root(t, nil), jwks(t, append(tt.keys, good)...))
			var kids []string
			for _, k := range got.Keys(bundle.UseJWT) {
				kids = append(kids, k.ID)
			}
			slices.Sort(kids)
			if strings.Join(kids, " ") != tt.kids || rules(got) != tt.rules || len(got.Anchors()) != 1 || got.Supports(bundle.UseWIT) {
				t.Errorf("keys %q, left out %v, of %s", kids, got.LeftOut(), document)
			}
		})
	}
}

func TestKeySets(t *testing.T) {
	a, b := jwk(t, "a", nil), jwk(t, "b", nil)
	first, _ := composed(t, nil, jwks(t, a, b))
	second, _ := composed(t, nil, []byte(fmt.Sprintf(`{"x":[],"keys":[ %s , %s ],"spiffe_sequence":7,"spiffe_refresh_hint":1}`, b, a)))
	if !bytes.Equal(first, second) {
		t.Errorf("the same keys gave\n%s\n%s", first, second)
	}
	if s := parse(t, exampleOrg, second); s.RefreshHint() != 300*time.Second {
		t.Error("BU-15 a hint was taken from where there is none")
	} else if _, ok := s.Sequence(); ok {
		t.Error("BU-13 a sequence was taken from where there is none")
	}
	document, err := compose(nil, entry{there: true, data: jwks(t, a, jwk(t, "a", nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Parse(exampleOrg, document, time.Now()); err == nil || !strings.Contains(err.Error(), "BU-11") {
		t.Errorf("one kid on two keys: %v", err)
	}
	ca := root(t, nil)
	for _, tt := range []struct{ name, set, rule string }{
		{"nothing", ``, "BU-1"},
		{"an array", `[]`, "BU-1"},
		{"two documents", `{"keys":[]}{}`, "BU-1"},
		{"keys twice", `{"keys":[],"keys":[]}`, "BU-1"},
		{"a member twice in an entry", `{"keys":[{"kid":"a","kid":"b"}]}`, "BU-1"},
		{"not UTF-8", "{\"keys\":[\"\xff\"]}", "BU-1"},
		{"no keys", `{}`, "BU-2"},
		{"keys is an object", `{"keys":{}}`, "BU-2"},
		{"keys is null", `{"keys":null}`, "BU-2"},
		{"too many", `{"keys":[` + strings.Repeat("0,", maxEntries) + `0]}`, "FX-1"},
		{"too long", `{"keys":[` + strings.Repeat(" ", maxDocument) + `]}`, "BE-9"},
		{"too long together", `{"keys":["` + strings.Repeat("a", maxDocument-len(ca)-20) + `"]}`, "BE-9"},
	} {
		// The certificates beside a JWK Set that is none are not taken alone.
		if _, err := compose(ca, entry{there: true, data: []byte(tt.set)}); err == nil || !strings.Contains(err.Error(), tt.rule) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.rule)
		}
	}
	if _, err := compose(bytes.Repeat([]byte{5, 0}, maxEntries/2+1), entry{there: true, data: []byte(`{"keys":[` + strings.Repeat("0,", maxEntries/2) + `0]}`)}); !errors.Is(err, errTooMany) {
		t.Errorf("FX-1 too many together: %v", err)
	}
}

// weak is a CA certificate with a key on P-224, which a JWK cannot hold.
func weak(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// ed448 is a CA certificate that says its key is on Ed448.
func ed448(t testing.TB) []byte {
	t.Helper()
	der := roots(newAuthority(t, "example.org", devca.Options{KeyAlgorithm: devca.Ed25519}))
	der = bytes.ReplaceAll(der, []byte{6, 3, 0x2b, 0x65, 0x70}, []byte{6, 3, 0x2b, 0x65, 0x71})
	if cert, err := x509.ParseCertificate(der); err != nil || cert.PublicKey != nil {
		t.Fatalf("got a key %T, %v", cert.PublicKey, err)
	}
	return der
}

// Whatever an agent says, there is an error or a JWK Set with one entry for each
// thing it said, which a server can take; the same in any order.
func FuzzCompose(f *testing.F) {
	ca, key := root(f, nil), jwk(f, "a", nil)
	set := jwks(f, key, jwk(f, "b", map[string]any{"use": "sig"}))
	f.Add(ca, set, true)
	f.Add(slices.Concat(ca, brokenCertificate(f), ca), jwks(f), true)
	f.Add([]byte{}, []byte{}, false)
	f.Add([]byte{0x30, 0x80, 0, 0}, []byte(`{"keys":[{"use":"x509-svid"},null,{"\u0075se":1}]}`), true)
	f.Add(weak(f), []byte(`{"keys":[{"use":"wit-svid","kid":"a"}],"spiffe_sequence":1}`), true)
	f.Fuzz(func(t *testing.T, certificates, keys []byte, there bool) {
		before := [2][]byte{bytes.Clone(certificates), bytes.Clone(keys)}
		document, err := compose(certificates, entry{there: there, data: keys})
		again, errAgain := compose(certificates, entry{there: there, data: keys})
		if !bytes.Equal(document, again) || (err == nil) != (errAgain == nil) {
			t.Fatal("two answers")
		}
		if !bytes.Equal(before[0], certificates) || !bytes.Equal(before[1], keys) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if document != nil || strings.ContainsFunc(err.Error(), func(c rune) bool { return c < 0x20 }) {
				t.Fatalf("beside %q: %s", err, document)
			}
			return
		}
		var out struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(document, &out); err != nil || out.Keys == nil || len(document) > maxDocument {
			t.Fatalf("no JWK Set: %v: %s", err, document)
		}
		var in struct{ Keys []json.RawMessage }
		if there {
			if err := json.Unmarshal(keys, &in); err != nil {
				t.Fatalf("taken of what is no JWK Set: %v", err)
			}
		}
		if len(in.Keys) > len(out.Keys) || len(certificates) > 0 && len(in.Keys) == len(out.Keys) {
			t.Fatalf("entries got lost: %s", document)
		}
		s, err := bundle.Parse(exampleOrg, document, time.Unix(0, 0))
		if err != nil {
			if refused, ok := errors.AsType[*bundle.DocumentError](err); !ok || refused.Rule != "BU-11" {
				t.Fatalf("%v: %s", err, document)
			}
			return
		}
		for _, anchor := range s.Anchors() {
			if !bytes.Contains(certificates, anchor.Raw) {
				t.Fatal("a CA that is none of the X.509 bundle")
			}
		}
		if s.Supports(bundle.UseWIT) {
			t.Fatal("a key for WIT-SVIDs")
		}
	})
}
