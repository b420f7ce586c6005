package vectors

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

// leaf signs an X.509-SVID of billing with the test key of a name.
func (c ca) leaf(t testing.TB, keyName string, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial("leaf " + keyName), Subject: pkix.Name{Organization: []string{"test"}},
		NotBefore: noon.Add(-time.Minute), NotAfter: noon.Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
		URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/billing"}},
	}
	for _, f := range change {
		f(template)
	}
	return sign(t, template, c.cert, testKey(t, keyName).Public(), c.key)
}

// below signs another CA.
func (c ca) below(t testing.TB, keyName string, change ...func(*x509.Certificate)) ca {
	t.Helper()
	key := testKey(t, keyName)
	template := caTemplate("example.org", keyName)
	for _, f := range change {
		f(template)
	}
	return ca{keyName, sign(t, template, c.cert, key.Public(), c.key), key}
}

func raw(chain ...*x509.Certificate) [][]byte {
	all := [][]byte{}
	for _, c := range chain {
		all = append(all, c.Raw)
	}
	return all
}

func named(uris ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.URIs = nil
		if len(uris) > 0 {
			c.ExtraExtensions = []pkix.Extension{devca.RawURISAN(uris...)}
		}
	}
}

// usageNotCritical marks the key usage digitalSignature as not critical.
func usageNotCritical(c *x509.Certificate) {
	c.KeyUsage = 0
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}})
}

// constructedURI gives a certificate a URI in the constructed form, which DER has
// not, so that who looks for the usual form sees no name at all.
func constructedURI(c *x509.Certificate) {
	uri := asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagIA5String, Bytes: []byte("spiffe://example.org/ca")}
	inner, err := asn1.Marshal(uri)
	if err != nil { // cannot happen: the element is raw
		panic(err)
	}
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, IsCompound: true, Bytes: inner}})
	if err != nil {
		panic(err)
	}
	c.URIs, c.ExtraExtensions = nil, []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
}

func writeX509SVIDs(w *writer) {
	w.family("x509-svid", "Whether the certificates that a TLS peer sent are an X.509-SVID. The TLS library has seen that the peer holds the key of the first.")
	verifierContexts(w)
	root, otherRoot := newCA(w, "example.org", "ec-ca"), newCA(w, "other.test", "ec-other-ca")
	type in struct {
		Context      string   `json:"context"`
		Certificates [][]byte `json:"certificates"`
	}
	of := func(chain ...*x509.Certificate) in { return in{"default", raw(chain...)} }
	with := func(change ...func(*x509.Certificate)) in { return of(root.leaf(w, "ec-leaf", change...)) }
	ok := expectation{SPIFFEID: billing}
	why := func(reason string) expectation { return expectation{Reason: reason} }
	id := why("cert_id_malformed")

	w.good("ordinary", "an X.509-SVID as SPIRE makes it", with(), ok)
	w.good("dns-names", "names of other kinds do not count", with(func(c *x509.Certificate) { c.DNSNames = []string{"billing.example.org"} }), ok, "XS-1")
	w.good("key-encipherment", "further usages of the key are fine", with(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement }), ok, "XS-9")
	w.good("no-extended-key-usage", "no extended key usage", with(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), ok, "XS-7")
	w.bad("none", "no certificate", of(), why("cert_missing"), "CX-1")
	w.bad("two-uris", "two URIs", with(named(billing, "https://example.org")), why("cert_uri_san_count"), "XS-1")
	w.bad("no-uri", "no URI", with(named()), why("cert_uri_san_count"), "XS-1")
	w.bad("other-uri", "a URI of another scheme", with(named("https://example.org/billing")), id, "SI-1", "SI-10", "SI-3", "SI-15")
	w.bad("scheme-upper-case", "one spelling only, which a URL type hides", with(named("SPIFFE://example.org/billing")), why("cert_id_not_canonical"), "SI-10", "SI-15", "XS-26")
	w.bad("fragment-empty", "an empty fragment, which a URL type drops", with(named(billing+"#")), id, "SI-2", "SI-7", "SI-15", "XS-26")
	w.bad("trust-domain", "a trust domain is nobody", with(named("spiffe://example.org")), id, "XS-2")
	w.bad("trust-domain-unknown", "a trust domain that is not configured", with(named("spiffe://unknown.test/billing")), why("td_unknown"), "JS-13")
	w.bad("trust-domain-not-ready", "one without a bundle yet", with(named("spiffe://not-ready.test/billing")), why("td_not_ready"), "GL-15")
	w.bad("trust-domain-lying", "the store hands out the bundle of another one", of(otherRoot.leaf(w, "ec-leaf", named("spiffe://lying.test/billing"))), why("internal"), "JS-13", "MT-9")
	w.bad("bundle-too-old", "a bundle not confirmed for too long", of(otherRoot.leaf(w, "ec-leaf", named("spiffe://old.test/billing"))), why("bundle_too_old"), "BE-15")
	w.bad("bundle-without-anchors", "a bundle with nothing in it", with(named("spiffe://empty.test/billing")), why("bundle_no_keys"), "BU-12", "XS-10", "XS-14")

	w.bad("ca", "a CA as a leaf", with(func(c *x509.Certificate) { c.IsCA = true }), why("cert_not_leaf"), "XS-3")
	w.bad("key-usage", "a key that may not sign", with(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), why("cert_key_usage"), "XS-4")
	w.bad("key-usage-missing", "no key usage at all", with(func(c *x509.Certificate) { c.KeyUsage = 0 }), why("cert_key_usage"), "XS-4")
	w.bad("signs-certificates", "a key that signs certificates", with(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign; c.IsCA = true }), why("cert_not_leaf"), "XS-3", "XS-5")
	w.bad("signs-lists", "a key that signs revocation lists", with(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }), why("cert_key_usage_signs"), "XS-5")
	w.bad("for-servers-only", "an extended key usage without clients", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), why("cert_ext_key_usage"), "XS-7")
	w.good("key-usage-not-critical", "a key usage that is not marked critical is told", with(usageNotCritical), ok, "XS-6")
	critical := func(chain ...*x509.Certificate) in { return in{"critical key usage required", raw(chain...)} }
	w.good("key-usage-critical-required", "one that is, where it has to be", critical(root.leaf(w, "ec-leaf")), ok, "XS-6")
	w.bad("key-usage-critical-required-missing", "one that is not, where it has to be", critical(root.leaf(w, "ec-leaf", usageNotCritical)), why("cert_key_usage"), "XS-6")
	w.good("ed25519", "Ed25519", of(root.leaf(w, "ed-leaf")), ok, "XS-18")
	w.good("rsa-2048", "RSA of 2048 bits", of(root.leaf(w, "rsa2048-leaf")), ok, "XS-18")
	w.bad("rsa-1024", "a short RSA key", of(root.leaf(w, "rsa1024-leaf")), why("key_too_weak"), "XS-18")
	w.bad("p-224", "a short curve", of(root.leaf(w, "ec224-leaf")), why("key_too_weak"), "XS-18")
	w.good("last-second", "its last second", with(func(c *x509.Certificate) { c.NotAfter = noon }), ok, "XS-22")
	w.bad("expired", "a second later", with(func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), why("expired"), "XS-22", "XS-10", "XS-14")
	w.bad("not-yet-valid", "a second too early", with(func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), why("not_yet_valid"), "XS-22", "XS-10", "XS-14")

	writeX509Paths(w, root, otherRoot)
}

func writeX509Paths(w *writer, root, otherRoot ca) {
	w.Helper()
	type in struct {
		Context      string   `json:"context"`
		Certificates [][]byte `json:"certificates"`
	}
	of := func(chain ...*x509.Certificate) in { return in{"default", raw(chain...)} }
	bad := expectation{Reason: "cert_chain_bad"}
	middle := root.below(w, "ec-middle")
	leaf := middle.leaf(w, "ec-leaf")
	below := func(keyName string, change func(*x509.Certificate)) in {
		c := root.below(w, keyName, change)
		return of(c.leaf(w, "ec-leaf"), c.cert)
	}
	ok := expectation{SPIFFEID: billing}

	w.good("intermediate-foreign", "an intermediate that bears the SPIFFE ID of another trust domain is told", below("ec-middle-foreign", named("spiffe://other.test")), ok, "XS-15")
	w.good("intermediate", "signed by an intermediate that was sent", of(leaf, middle.cert), ok, "XS-10")
	w.bad("intermediate-missing", "which was not sent", of(leaf), bad, "XS-10", "XS-14")
	w.bad("other-trust-domain", "signed by the CA of another trust domain", of(otherRoot.leaf(w, "ec-leaf")), bad, "XS-10", "XS-14", "XS-11")
	w.bad("own-anchor", "a CA of its own, sent along", func() in {
		own := newCA(w, "example.org", "ec-attacker")
		return of(own.leaf(w, "ec-leaf"), own.cert)
	}(), bad, "XS-10", "XS-14", "XS-13")
	w.bad("self-signed", "signed by itself", func() in {
		own := newCA(w, "example.org", "ec-leaf")
		return of(own.leaf(w, "ec-leaf"))
	}(), bad, "XS-10", "XS-14", "XS-12")
	w.bad("signature-broken", "one bit of the signature", func() in {
		i := of(root.leaf(w, "ec-leaf"))
		der := append([]byte(nil), i.Certificates[0]...)
		der[len(der)-1] ^= 1
		i.Certificates[0] = der
		return i
	}(), bad, "XS-10", "XS-14")
	w.bad("critical-extension", "a critical extension that nobody knows", of(root.leaf(w, "ec-leaf", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
	})), bad, "XS-10", "XS-14")
	w.bad("intermediate-expired", "an intermediate that has ended", below("ec-middle-expired", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), bad, "XS-10", "XS-14")
	w.bad("intermediate-no-ca", "an intermediate that is no CA", below("ec-middle-no-ca", func(c *x509.Certificate) { c.IsCA = false }), bad, "XS-10", "XS-14")
	w.bad("path-too-long", "a CA below one that allows none", func() in {
		first := root.below(w, "ec-middle-0", func(c *x509.Certificate) { c.MaxPathLenZero = true })
		second := first.below(w, "ec-middle-1")
		return of(second.leaf(w, "ec-leaf"), second.cert, first.cert)
	}(), bad, "XS-10", "XS-14")
	w.bad("name-constraint", "an intermediate for other names only", below("ec-middle-names", func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"other.test"}, true
	}), bad, "XS-10", "XS-14", "XS-16")
	w.bad("intermediate-workload", "an intermediate that bears the SPIFFE ID of a workload", below("ec-middle-workload", func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/ca"}}
	}), bad, "XS-14")
	w.bad("intermediate-uri-not-der", "an intermediate with a URI that is not DER", below("ec-middle-ber", constructedURI), bad, "XS-14")
	w.bad("intermediate-for-servers", "an intermediate for servers only", below("ec-middle-servers", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}), bad, "XS-14")
	w.bad("intermediate-rsa-1024", "an intermediate with a short key", below("rsa1024-middle", func(*x509.Certificate) {}), bad, "XS-14", "XS-18")
	w.good("five", "five certificates", of(leaf, middle.cert, root.cert, otherRoot.cert, otherRoot.cert), ok, "MT-8")
	w.bad("too-many-bytes", "more than 32 KiB together", of(leaf, middle.cert, root.leaf(w, "ec-leaf", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 2}, Value: make([]byte, 32<<10)}}
	})), bad, "MT-8")
	w.bad("rsa-too-long", "an RSA key of more than 4096 bits among them", of(leaf, middle.cert, func() *x509.Certificate {
		modulus := make([]byte, 513) // of nobody's key: nothing is signed with it
		(&stream{seed: "long modulus"}).Read(modulus)
		modulus[0], modulus[512] = 1, modulus[512]|1
		return sign(w, caTemplate("example.org", "long"), root.cert, &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}, root.key)
	}()), bad, "MT-8")
	w.bad("six", "one too many", of(leaf, middle.cert, root.cert, otherRoot.cert, otherRoot.cert, otherRoot.cert), bad, "MT-8")
}
