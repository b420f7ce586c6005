package strictid_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/strictid"
)

// The rules one by one and Workload give one answer, and an identifier with
// another byte in it is refused or another identifier: there is one spelling
// (SI-10).
func FuzzWorkload(f *testing.F) {
	for i, c := range workloads {
		f.Add(c.id, uint(i), byte('A'+i%58))
	}
	f.Fuzz(func(t *testing.T, s string, at uint, to byte) {
		id, err := strictid.Workload(s)
		first := ""
		for _, r := range append(slices.Clone(strictid.Rules), strictid.PathRule) {
			if r.Broken(strictid.Cut(s)) != "" {
				first = r.ID
				break
			}
		}
		said := ""
		if fault, ok := errors.AsType[*strictid.Fault](err); ok {
			said = fault.Rule
		}
		if first != said || (err == nil) != (said == "") {
			t.Fatalf("%q: the rules say %q, Workload %v", s, first, err)
		}
		if err != nil {
			return
		}
		if id.String() != s || id.Path() == "" || !id.MemberOf(id.TrustDomain()) {
			t.Fatalf("%q became %q", s, id)
		}
		changed := []byte(s)
		changed[at%uint(len(s))] = to
		if other, err := strictid.Workload(string(changed)); err == nil && (other == id) != (string(changed) == s) {
			t.Fatalf("%q and %q are one workload", s, changed)
		}
	})
}

// A trust domain has the two spellings of SI-13 and no third, and each is read
// the same again.
func FuzzTrustDomain(f *testing.F) {
	for _, s := range []string{"example.org", "spiffe://example.org", "spiffe://example.org/", "example.org.", "Example.org", "a:1", "spiffe://", "", "spiffe://spiffe://a", "a_b-c.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		td, err := strictid.TrustDomain(s)
		again, err2 := strictid.TrustDomain(s)
		if td != again || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("two answers: %v, %v and %v, %v", td, err, again, err2)
		}
		if err != nil {
			if !td.IsZero() {
				t.Fatal("a trust domain beside an error")
			}
			return
		}
		if s != td.Name() && s != "spiffe://"+td.Name() {
			t.Fatalf("SI-13 %q was read as %q", s, td.Name())
		}
		if _, err := strictid.Parse(td.IDString()); err != nil {
			t.Fatalf("SI-11 %q is no identifier: %v", td.IDString(), err)
		}
	})
}

// What is accepted as a subject alternative name is DER: taken apart and put
// together again it has the same bytes, so no name has a second form (XS-26).
func FuzzSANEncoding(f *testing.F) {
	const id = "spiffe://example.org/a"
	f.Add(sequence(name(tagURI, id)))
	f.Add(sequence(name(tagDNS, "a.test"), name(tagURI, id), name(tagEmail, "a@b.test")))
	f.Add(sequence(name(tagURIConstructed, id)))
	f.Add(slices.Concat([]byte{0x30, 0x81, byte(len(id) + 2)}, name(tagURI, id)))
	f.Add(slices.Concat([]byte{0x30, byte(len(id) + 3), tagURI, 0x81, byte(len(id))}, []byte(id)))
	f.Add([]byte{0x30, 0x03, 0x9f, 0x06, 0x00})
	f.Fuzz(func(t *testing.T, value []byte) {
		cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidSAN, Value: value}}}
		got, err := strictid.URINames(cert)
		if err != nil {
			if got != nil {
				t.Fatalf("names %q beside an error", got)
			}
			return
		}
		var parts []asn1.RawValue
		if rest, err := asn1.Unmarshal(value, &parts); err != nil || len(rest) != 0 {
			t.Fatalf("%x is no sequence: %v", value, err)
		}
		uris := 0
		for i := range parts {
			parts[i].FullBytes = nil
			if parts[i].Class == asn1.ClassContextSpecific && parts[i].Tag == tagURI&0x1f {
				uris++
			}
		}
		back, err := asn1.Marshal(parts)
		if err != nil || !bytes.Equal(back, value) {
			t.Fatalf("%x was accepted, written again it is %x, %v", value, back, err)
		}
		if uris != len(got) {
			t.Fatalf("%d URIs, read as %q", uris, got)
		}
	})
}
