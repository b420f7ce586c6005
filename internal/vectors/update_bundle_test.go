package vectors

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A ca signs certificates.
type ca struct {
	name string
	cert *x509.Certificate
	key  crypto.Signer
}

// newCA makes the certificate authority of a trust domain, the same every time.
func newCA(t testing.TB, trustDomain, keyName string, change ...func(*x509.Certificate)) ca {
	t.Helper()
	key := testKey(t, keyName)
	template := caTemplate(trustDomain, keyName)
	for _, f := range change {
		f(template)
	}
	return ca{keyName, sign(t, template, template, key.Public(), key), key}
}

func caTemplate(trustDomain, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(name), Subject: pkix.Name{CommonName: "test CA " + name},
		NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		URIs: []*url.URL{{Scheme: "spiffe", Host: trustDomain}},
	}
}

func serial(name string) *big.Int {
	b := make([]byte, 8)
	(&stream{seed: "serial " + name}).Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(&stream{seed: "unused"}, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// document is a bundle with these entries.
func document(entries ...any) object {
	if entries == nil {
		entries = []any{}
	}
	return object{{"keys", entries}, {"spiffe_sequence", 1}, {"spiffe_refresh_hint", 300}}
}

func writeEndpoints(w *writer) {
	w.family("endpoint", "Whether a bundle endpoint may be configured with this URL and profile.")
	type in struct {
		URL     string `json:"url"`
		Profile string `json:"profile,omitempty"`
	}
	none := expectation{}
	w.good("https", "host, port, path and query are free", in{URL: "https://bundles.example.com:8443/x?y"}, none, "BE-2")
	w.bad("http", "another scheme", in{URL: "http://bundles.example.com:8443/x?y"}, none, "BE-2")
	w.bad("user", "user information", in{URL: "https://u@bundles.example.com/"}, none, "BE-2")
	w.bad("no-host", "no host", in{URL: "https:///bundle.json"}, none, "BE-2")
	w.bad("port-0", "a port that is none", in{URL: "https://bundles.example.com:0/"}, none, "BE-2")
	w.bad("port-too-high", "a port that is none", in{URL: "https://bundles.example.com:65536/"}, none, "BE-2")
	w.good("profile", "the profile by its name", in{"https://bundles.example.com/", "https_web"}, none, "BE-1", "BE-3")
	w.bad("profile-unknown", "another profile", in{"https://bundles.example.com/", "https"}, none, "BE-3")
}

func writeBundles(w *writer) {
	w.family("bundle", "Whether a bundle document is taken, and which of its entries count. A vector with the member entry is about the entry at that position.")
	none := expectation{}
	jwt := jwk(w, testKey(w, "ec-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-1"})
	of := func(text string) bundleInput { return bundleInput{TrustDomain: "example.org", Text: text} }

	w.good("document", "one key", of(document(jwt).String()), none)
	w.bad("twice", "a member twice", of(`{"keys":[],"keys":[`+jwt.String()+`]}`), none, "BU-1", "GL-11")
	w.bad("twice-within", "a member twice in an entry of no meaning", of(`{"keys":[],"x":[{"a":1,"a":2}]}`), none, "BU-1", "GL-11")
	w.bad("more-data", "data after the object", of(document(jwt).String()+`{}`), none, "BU-1", "GL-11")
	w.bad("deep", "17 levels", of(`{"keys":[],"x":`+strings.Repeat("[", 17)+strings.Repeat("]", 17)+`}`), none, "BU-1", "GL-11")
	w.bad("not-utf8", "a byte that is no UTF-8", bundleInput{TrustDomain: "example.org", Document: []byte("{\"keys\":[],\"x\":\"\xff\"}")}, none, "BU-1", "GL-11")
	w.bad("no-keys", "no keys", of(`{"spiffe_sequence":1}`), none, "BU-2")
	w.bad("keys-object", "keys is an object", of(`{"keys":{}}`), none, "BU-2")
	w.bad("kid-twice", "one kid for two keys", of(document(jwt, jwk(w, testKey(w, "ec-other"), member{"use", "jwt-svid"}, member{"kid", "jwt-1"})).String()), none, "BU-11")
	w.bad("kid-twice-over-uses", "also when their uses differ", of(document(jwt, jwk(w, testKey(w, "ec-other"), member{"use", "wit-svid"}, member{"kid", "jwt-1"})).String()), none, "BU-11")

	w.good("empty", "nobody is trusted, and that counts", of(`{"keys":[]}`), none, "BU-3")
	longest := of(`{"keys":[]}`)
	longest.PadTo = 1 << 20
	w.good("longest", "1 MiB", longest, none, "BE-9")
	longest.PadTo++
	w.bad("too-long", "a byte more", longest, none, "BE-9")
	w.good("most-entries", "1000 entries", of(`{"keys":[`+strings.Repeat("{},", 999)+`{}]}`), none, "FX-1")
	w.bad("too-many-entries", "1001 entries", of(`{"keys":[`+strings.Repeat("{},", 1000)+`{}]}`), none, "FX-1")

	after := func(before, text string) bundleInput {
		return bundleInput{TrustDomain: "example.org", Before: before, Text: text}
	}
	w.good("sequence-higher", "a bundle after one with a lower sequence", after(`{"keys":[],"spiffe_sequence":9007199254740992}`, `{"keys":[],"spiffe_sequence":9007199254740993}`), none, "BU-13", "BU-14")
	w.bad("sequence-lower", "an older one played again", after(`{"keys":[],"spiffe_sequence":9007199254740993}`, `{"keys":[],"spiffe_sequence":9007199254740992}`), none, "BU-14")
	w.good("sequence-missing", "without a sequence the newest counts", after(`{"keys":[],"spiffe_sequence":2}`, `{"keys":[]}`), none, "BU-14")

	writeKeyEntries(w, jwt)
	writeAnchorEntries(w, jwt)
}

// entry is a document in which the entry under test is the second.
func entry(first object, second any) bundleInput {
	position := 1
	return bundleInput{TrustDomain: "example.org", Text: document(first, second).String(), Entry: &position, Others: 1}
}

func writeKeyEntries(w *writer, first object) {
	none := expectation{}
	key := testKey(w, "ec-second")
	second := jwk(w, key, member{"use", "jwt-svid"}, member{"kid", "jwt-2"})
	in := func(o object) bundleInput { return entry(first, o) }

	w.good("entry", "a second key", in(second), none)
	w.bad("entry-no-object", "a string", entry(first, "jwt-2"), none, "BU-1", "BU-4", "BU-5")
	w.bad("use-missing", "no use", in(second.without("use")), none, "BU-4")
	w.bad("use-unknown", "another use", in(second.with("use", "sig")), none, "BU-4")
	w.bad("use-upper-case", "uses are compared byte for byte", in(second.with("use", "JWT-SVID")), none, "BU-4")
	w.bad("kty-missing", "no kty", in(second.without("kty")), none, "BU-5", "JS-2")
	w.bad("kty-unknown", "a kty of the future", in(second.with("kty", "AKP")), none, "BU-5", "JS-2")
	w.bad("key-of-another-certificate", "x5c beside a key is of that key", in(second.with("x5c", x5c(newCA(w, "example.org", "ec-ca").cert))), none, "BU-5")
	w.bad("private", "a private key", in(second.with("d", "AAAA")), none, "BU-20")
	w.bad("kid-number", "a kid that is no string would pass for none", in(second.with("kid", 2)), none, "BU-9")
	w.bad("alg-number", "so would an alg", in(second.with("alg", 256)), none, "JS-3")
	w.bad("alg-none", "an alg that no SVID may have", in(second.with("alg", "none")), none, "JS-2", "JS-3")
	w.bad("alg-of-another-key", "an alg of another curve", in(second.with("alg", "ES384")), none, "JS-3")
	w.bad("ed25519", "a key with which none of the nine algorithms goes", in(jwk(w, testKey(w, "ed-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-2"})), none, "JS-2")
	w.bad("alg-twice", "the same key again with another alg", in(first.with("alg", "ES256")), none, "BU-11")
	w.good("rsa-2048", "RSA of 2048 bits", in(jwk(w, testKey(w, "rsa2048-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-2"})), none)
	w.bad("rsa-1024", "a short RSA key", in(jwk(w, testKey(w, "rsa1024-jwt"), member{"use", "jwt-svid"}, member{"kid", "jwt-2"})), none, "JS-3")
	w.good("kid-missing", "a jwt-svid key without kid serves tokens without one", in(second.without("kid")), none, "BU-9")
	w.good("wit", "a wit-svid key", in(second.with("use", "wit-svid")), none)
	w.bad("wit-kid-missing", "which needs a kid", in(second.with("use", "wit-svid").without("kid")), none, "BU-10")
	w.bad("wit-kid-number", "and a kid that is a string", in(second.with("use", "wit-svid").with("kid", 2)), none, "BU-10")
}

func writeAnchorEntries(w *writer, first object) {
	none := expectation{}
	root := newCA(w, "example.org", "ec-ca")
	in := func(o object) bundleInput { return entry(first, o) }
	changed := func(name string, change func(*x509.Certificate)) bundleInput {
		c := newCA(w, "example.org", name, change)
		return in(anchor(w, c.cert, c.key))
	}
	w.good("anchor", "a CA", in(anchor(w, root.cert, root.key)), none)
	w.bad("anchor-no-x5c", "no certificate", in(anchor(w, root.cert, root.key).without("x5c")), none, "BU-6")
	w.bad("anchor-x5c-empty", "an empty list of them", in(anchor(w, root.cert, root.key).with("x5c", []string{})), none, "BU-6")
	w.bad("anchor-not-base64", "one that is none", in(anchor(w, root.cert, root.key).with("x5c", []string{"***"})), none, "BU-8", "BU-6")
	w.bad("anchor-other-key", "parameters of another key", in(anchor(w, root.cert, testKey(w, "ec-other"))), none, "BU-8")
	w.bad("anchor-private", "a private key beside it", in(anchor(w, root.cert, root.key).with("d", "AAAA")), none, "BU-20")
	w.bad("anchor-no-ca", "no CA", changed("ec-no-ca", func(c *x509.Certificate) { c.IsCA = false }), none, "BU-8")
	w.bad("anchor-no-basic-constraints", "nor without the extension", changed("ec-no-bc", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }), none, "BU-8")
	w.bad("anchor-key-usage", "a CA that may not sign", changed("ec-no-sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), none, "XS-14")
	w.bad("anchor-workload", "the SPIFFE ID of a workload", changed("ec-workload-ca", func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/billing"}}
	}), none, "XS-14")
	w.bad("anchor-id-malformed", "a SPIFFE ID that is none", changed("ec-malformed-ca", func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "Example.org"}}
	}), none, "XS-14")
	w.bad("anchor-uri-not-der", "a URI that is not DER", changed("ec-ber-ca", constructedURI), none, "XS-14")
	w.bad("anchor-rsa-1024", "a short RSA key", changed("rsa1024-ca", func(*x509.Certificate) {}), none, "XS-18")
	w.good("anchor-foreign-id", "the SPIFFE ID of another trust domain is tolerated", changed("ec-foreign-ca", func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "other.test"}}
	}), none, "XS-15")
}
