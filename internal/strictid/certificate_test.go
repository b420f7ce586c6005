package strictid_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/strictid"
)

var oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}

// A general name of RFC 5280 as bytes.
func name(tag byte, value string) []byte {
	return append([]byte{tag, byte(len(value))}, value...)
}

func sequence(parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

const (
	tagEmail          = 0x81
	tagDNS            = 0x82
	tagURI            = 0x86
	tagURIConstructed = 0xa6
)

func TestURINames(t *testing.T) {
	const id = "spiffe://example.org/a"
	for _, c := range []struct {
		name  string
		value []byte // of the extension
		want  []string
		bad   bool
	}{
		{"XS-1 one URI", sequence(name(tagURI, id)), []string{id}, false},
		{"XS-1 one URI among other names", sequence(name(tagDNS, "a.test"), name(tagURI, id), name(tagEmail, "a@b.test")), []string{id}, false},
		{"XS-1 two URIs", sequence(name(tagURI, id), name(tagURI, "https://a")), []string{id, "https://a"}, false},
		{"XS-1 no URI", sequence(name(tagDNS, "a.test")), nil, false},
		{"XS-1 no name at all", sequence(), nil, false},
		{"XS-26 an empty fragment", sequence(name(tagURI, id+"#")), []string{id + "#"}, false},
		{"XS-26 the scheme in upper case", sequence(name(tagURI, "SPIFFE://example.org/a")), []string{"SPIFFE://example.org/a"}, false},
		{"XS-26 an empty URI", sequence(name(tagURI, "")), []string{""}, false},
		{"XS-26 a URI with a zero byte", sequence(name(tagURI, id+"\x00")), []string{id + "\x00"}, false},

		{"XS-26 nothing", nil, nil, true},
		{"XS-26 not a sequence", name(tagURI, id), nil, true},
		{"XS-26 a set", append([]byte{0x31}, sequence(name(tagURI, id))[1:]...), nil, true},
		{"XS-26 a sequence with a context tag", append([]byte{0xb0}, sequence(name(tagURI, id))[1:]...), nil, true},
		{"XS-26 bytes after the sequence", append(sequence(name(tagURI, id)), 0), nil, true},
		{"XS-26 a sequence that is cut off", sequence(name(tagURI, id))[:20], nil, true},
		{"XS-26 a name that is cut off", sequence(name(tagURI, id)[:10]), nil, true},
		{"XS-26 an indefinite length", slices.Concat([]byte{0x30, 0x80}, name(tagURI, id), []byte{0, 0}), nil, true},
		{"XS-26 a length in two bytes where one is enough", slices.Concat([]byte{0x30, 0x81, byte(len(id) + 2)}, name(tagURI, id)), nil, true},
		// Go's path validation does not see such a name and so would not hold it
		// against a name constraint (XS-16).
		{"XS-26 a URI in constructed form", sequence(name(tagURIConstructed, id)), nil, true},
		{"XS-26 a URI in constructed form beside a plain one", sequence(name(tagURI, id), name(tagURIConstructed, id)), nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidSAN, Value: c.value}}}
			got, err := strictid.URINames(cert)
			if (err != nil) != c.bad {
				t.Fatalf("error %v, want one: %v", err, c.bad)
			}
			if !cmp.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestURINamesOfSeveralExtensions(t *testing.T) {
	one := pkix.Extension{Id: oidSAN, Value: sequence(name(tagURI, "spiffe://a/b"))}
	other := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 18}, Value: one.Value} // issuer alternative name
	for _, c := range []struct {
		name string
		have []pkix.Extension
		want int
	}{
		{"XS-1 none", nil, 0},
		{"XS-1 one", []pkix.Extension{one}, 1},
		{"XS-1 the issuer's alternative name is none", []pkix.Extension{other}, 0},
		{"XS-1 the extension twice counts twice", []pkix.Extension{one, one}, 2},
	} {
		got, err := strictid.URINames(&x509.Certificate{Extensions: c.have})
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// On certificates as they come off a wire, beside what Go's URL type makes of
// them.
func TestURINamesOfACertificate(t *testing.T) {
	ca, err := devca.New("example.org", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		uris []string
		goes string // the first URI as Go's type prints it
	}{
		{"XS-26 as it should be", []string{"spiffe://example.org/a"}, "spiffe://example.org/a"},
		{"XS-26 an empty fragment", []string{"spiffe://example.org/a#"}, "spiffe://example.org/a"},
		{"XS-26 the scheme in upper case", []string{"SPIFFE://example.org/a"}, "spiffe://example.org/a"},
		{"XS-1 two URIs", []string{"spiffe://example.org/a", "spiffe://example.org/b"}, "spiffe://example.org/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			svid, err := ca.X509SVID("/a", func(cert *x509.Certificate) {
				cert.ExtraExtensions = []pkix.Extension{devca.RawURISAN(c.uris...)}
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := strictid.URINames(svid.Leaf())
			if err != nil || !cmp.Equal(got, c.uris) {
				t.Errorf("got %q, %v", got, err)
			}
			if goes := svid.Leaf().URIs[0].String(); goes != c.goes {
				t.Errorf("Go's URL type says %q: the reason for XS-26 has changed", goes)
			}
		})
	}
}

// Whenever Go can read a certificate with these bytes as its subject alternative
// name, we see as many URIs in it as Go does, or none at all because we refuse.
func FuzzURINames(f *testing.F) {
	const id = "spiffe://example.org/a"
	f.Add(sequence(name(tagURI, id)))
	f.Add(sequence(name(tagURI, id+"#"), name(tagURI, "SPIFFE://x/y")))
	f.Add(sequence(name(tagDNS, "a.test"), name(tagURIConstructed, id)))
	f.Add(sequence(name(tagURIConstructed, string(name(tagURI, id)))))
	f.Add([]byte{0x30, 0x80, 0, 0})
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	f.Fuzz(func(t *testing.T, value []byte) {
		san := pkix.Extension{Id: oidSAN, Value: value}
		got, err := strictid.URINames(&x509.Certificate{Extensions: []pkix.Extension{san}})
		again, err2 := strictid.URINames(&x509.Certificate{Extensions: []pkix.Extension{san}})
		if !slices.Equal(got, again) || (err == nil) != (err2 == nil) {
			t.Fatalf("two answers: %q, %v and %q, %v", got, err, again, err2)
		}
		if err != nil {
			return
		}
		written := &x509.Certificate{Extensions: []pkix.Extension{devca.RawURISAN(got...)}}
		if back, err := strictid.URINames(written); err != nil || !slices.Equal(back, got) {
			t.Fatalf("%q written and read again is %q, %v", got, back, err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0), ExtraExtensions: []pkix.Extension{san},
		}
		der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
		if err != nil {
			return // not a certificate that could be made
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return // Go refuses it before we see it
		}
		if len(cert.URIs) != len(got) {
			t.Fatalf("Go reads %d URIs, we read %q", len(cert.URIs), got)
		}
		for i, u := range cert.URIs {
			if parsed, err := url.Parse(got[i]); err != nil || parsed.String() != u.String() {
				t.Fatalf("URI %d is %q to Go, %q to us", i, u, got[i])
			}
		}
	})
}
