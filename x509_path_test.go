package svidgate_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

type chain = []*x509.Certificate

// anchored is a verifier whose bundle of example.org has these anchors.
func anchored(t testing.TB, anchors ...ca) *svidgate.Verifier {
	t.Helper()
	var entries []map[string]any
	for _, a := range anchors {
		entries = append(entries, a.entry())
	}
	return newVerifier(t, bundles{exampleOrg: bundleOf(t, exampleOrg, entries...)})
}

// EC-8, XS-10, XS-11: a path leads to an anchor of its own trust domain, or nowhere.
func TestX509Path(t *testing.T) {
	root := newCA(t, "example.org")
	middle := root.below(t, newKey(t))
	lower := middle.below(t, newKey(t))
	other := newCA(t, "example.org") // of the same name, in no bundle
	svid := middle.leaf(t)
	missing := refused(oauth.ReasonCertMissing, "CX-1")
	runX509(t, anchored(t, root), []x509Row{
		{"XS-10 under the root", chain{root.leaf(t)}, accepted},
		{"XS-10 under an intermediate", chain{svid, middle.cert}, accepted},
		{"XS-10 under two", chain{lower.leaf(t), lower.cert, middle.cert}, accepted},
		{"XS-10 under two, sent in another order", chain{lower.leaf(t), middle.cert, lower.cert}, accepted},
		{"XS-10 the root sent along", chain{svid, middle.cert, root.cert}, accepted},
		{"XS-10 a certificate sent that is of no use", chain{svid, middle.cert, other.cert}, accepted},
		{"XS-10 the intermediate not sent", chain{svid}, chainBad},
		{"XS-10 one of two intermediates not sent", chain{lower.leaf(t), lower.cert}, chainBad},
		{"XS-10 another intermediate sent", chain{svid, lower.cert}, chainBad},
		{"XS-11 a stranger of the same name", chain{other.leaf(t)}, chainBad},
		{"XS-13 a stranger who sends his root", chain{other.leaf(t), other.cert}, chainBad},
		{"XS-13 a stranger who sends ours, too", chain{other.leaf(t), other.cert, root.cert}, chainBad},
		{"XS-13 signed by itself", chain{selfSigned(t)}, chainBad},
		{"XS-13 signed by itself and sent twice", slices.Repeat(chain{selfSigned(t)}, 2), chainBad},
		{"XS-10 the signature is not the CA's", chain{forged(t, root.leaf(t))}, chainBad},
		{"F12 the leaf sent second", chain{middle.cert, svid}, refused(oauth.ReasonCertIDMalformed, "XS-2")},
		{"F12 a CA that names a workload, as the leaf", chain{root.below(t, newKey(t), uris("spiffe://example.org/a")).cert}, refused(oauth.ReasonCertNotLeaf, "XS-3")},
		{"CX-1 nothing sent", nil, missing},
		{"CX-1 an empty chain", chain{}, missing},
		{"CX-1 no leaf", chain{nil}, missing},
		{"CX-1 no leaf but a CA", chain{nil, root.cert}, missing},
		{"CX-1 a gap in the chain", chain{svid, nil, middle.cert}, missing},
	})
}

func selfSigned(t *testing.T) *x509.Certificate {
	t.Helper()
	self := newCA(t, "example.org", uris("spiffe://example.org/a"), func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature
	})
	return self.cert
}

// forged is the certificate with its subject's key exchanged, its signature kept.
func forged(t *testing.T, cert *x509.Certificate) *x509.Certificate {
	t.Helper()
	other := selfSigned(t)
	out, err := x509.ParseCertificate(bytes.Replace(cert.Raw, cert.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo, 1))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is wrong with one certificate above the leaf, each beside the sound one.
func TestX509SigningCertificates(t *testing.T) {
	root := newCA(t, "example.org")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	// under is a leaf under an intermediate with a mutation.
	under := func(mutations ...mutation) chain {
		middle := root.below(t, newKey(t), mutations...)
		return chain{middle.leaf(t), middle.cert}
	}
	weakMiddle := root.below(t, weak)
	short := root.below(t, newKey(t), func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := short.below(t, newKey(t))
	until := func(notAfter time.Time) mutation { return func(c *x509.Certificate) { c.NotAfter = notAfter } }
	usage := func(u x509.KeyUsage) mutation { return func(c *x509.Certificate) { c.KeyUsage = u } }
	extended := func(u ...x509.ExtKeyUsage) mutation { return func(c *x509.Certificate) { c.ExtKeyUsage = u } }
	runX509(t, anchored(t, root), []x509Row{
		{"XS-14 a sound intermediate", under(), accepted},
		{"XS-10 an intermediate that expires now", under(until(noon)), accepted},
		{"XS-10 an intermediate that expired a second ago", under(until(noon.Add(-time.Second))), chainBad},
		{"XS-10 an intermediate not valid yet", under(func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), chainBad},
		{"XS-10 a path length that is kept", chain{short.leaf(t), short.cert}, accepted},
		{"XS-10 a path length that is not kept", chain{below.leaf(t), below.cert, short.cert}, chainBad},
		{"XS-10 an intermediate that is no CA", under(func(c *x509.Certificate) { c.IsCA = false }), chainBad},
		{"XS-10 an intermediate without basic constraints", under(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }), chainBad},
		{"XS-10 an intermediate that may sign lists only", under(usage(x509.KeyUsageCRLSign)), chainBad},
		{"XS-14 an intermediate that may sign certificates only", under(usage(x509.KeyUsageCertSign)), accepted},
		{"XS-14 an intermediate without key usage", under(usage(0)), notSigning},
		{"XS-10 an intermediate with an unknown extension", under(extension(false)), accepted},
		{"XS-10 an intermediate with an unknown critical extension", under(extension(true)), chainBad},
		{"XS-14 an intermediate without a SPIFFE ID", under(uris()), accepted},
		{"XS-14 an intermediate with an https URI", under(uris("https://ca.example.org/ca")), accepted},
		{"XS-15 an intermediate with another trust domain's ID", under(uris("spiffe://other.example")), accepted},
		{"XS-14 an intermediate with a workload's SPIFFE ID", under(uris("spiffe://example.org/ca")), notSigning},
		{"XS-14 an intermediate with a workload's SPIFFE ID second", under(uris("https://ca.example.org", "spiffe://example.org/ca")), notSigning},
		{"XS-26 an intermediate with a workload's SPIFFE ID in upper case", under(rawURIs("SPIFFE://example.org/ca")), notSigning},
		{"XS-14 an intermediate that is for clients", under(extended(x509.ExtKeyUsageClientAuth)), accepted},
		{"XS-14 an intermediate that is for servers only", under(extended(x509.ExtKeyUsageServerAuth)), notSigning},
		{"XS-18 an intermediate with RSA of 1024 bits", chain{weakMiddle.leaf(t), weakMiddle.cert}, notSigning},
		{"XS-18 a leaf signed with SHA-1", chain{root.leaf(t, sha1)}, chainBad},
		{"XS-18 an intermediate signed with SHA-1", under(sha1), chainBad},
		{"XS-18 a leaf signed with SHA-384", chain{root.leaf(t, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA384 })}, accepted},
	})
}

func sha1(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }

// When two paths lead to an anchor, the one that may sign counts.
func TestX509TwoPaths(t *testing.T) {
	root := newCA(t, "example.org")
	key := newKey(t)
	name := func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "the same name"} }
	good := root.below(t, key, name)
	bad := root.below(t, key, name, uris("spiffe://example.org/ca"))
	leaf := good.leaf(t)
	runX509(t, anchored(t, root), []x509Row{
		{"XS-14 the sound path alone", chain{leaf, good.cert}, accepted},
		{"XS-14 the other path alone", chain{leaf, bad.cert}, notSigning},
		{"XS-14 both, the sound one first", chain{leaf, good.cert, bad.cert}, accepted},
		{"XS-14 both, the sound one second", chain{leaf, bad.cert, good.cert}, accepted},
	})
}

// XS-15: what bears the SPIFFE ID of another trust domain, and was sent by a peer whose
// path is good, is told of once. What leads nowhere is not told of: strangers send it.
func TestX509ForeignIntermediate(t *testing.T) {
	root, stranger := newCA(t, "example.org"), newCA(t, "example.org")
	own := root.below(t, newKey(t))
	foreign, other := root.below(t, newKey(t), uris("spiffe://other.example")), root.below(t, newKey(t), rawURIs("https://ca.example", "spiffe://Third.example"))
	lower := foreign.below(t, newKey(t))
	theirs := stranger.below(t, newKey(t), uris("spiffe://other.example"))
	noWorkload := foreign.leaf(t, uris("spiffe://example.org"))
	again := chain{foreign.leaf(t), foreign.cert}
	var log bytes.Buffer
	v := newVerifier(t, bundles{exampleOrg: bundleOf(t, exampleOrg, root.entry())}, func(c *svidgate.Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	for _, row := range []struct {
		name string
		sent chain
		want want
		told string
	}{
		{"XS-15 its own trust domain", chain{own.leaf(t), own.cert}, accepted, ""},
		{"XS-15 another one, under a stranger's root", chain{theirs.leaf(t), theirs.cert, stranger.cert}, chainBad, ""},
		{"XS-15 another one, sent by nobody", chain{noWorkload, foreign.cert}, refused(oauth.ReasonCertIDMalformed, "XS-2"), ""},
		{"XS-15 another one, sent along and not on the path", chain{own.leaf(t), own.cert, foreign.cert}, accepted, ""},
		{"XS-15 another one", again, accepted, "spiffe://other.example"},
		{"XS-15 the same chain again", again, accepted, ""},
		{"XS-15 another workload under it", chain{foreign.leaf(t), foreign.cert}, accepted, ""},
		{"XS-15 another path over it", chain{lower.leaf(t), lower.cert, foreign.cert}, accepted, ""},
		{"XS-15 a second one, malformed", chain{other.leaf(t), other.cert}, accepted, "spiffe://Third.example"},
	} {
		t.Run(row.name, func(t *testing.T) {
			log.Reset()
			judgeX509(t, v, row.sent, row.want)
			if got := log.String(); row.told == "" && got != "" || row.told != "" && (strings.Count(got, "\n") != 1 || !strings.Contains(got, `"rule":"XS-15"`) || !strings.Contains(got, `"intermediate":"`+row.told+`"`)) {
				t.Errorf("the log says %q, want %q", got, row.told)
			}
		})
	}
	// Explaining shows it, and neither writes into the log nor counts as having told.
	fresh := newVerifier(t, bundles{exampleOrg: bundleOf(t, exampleOrg, root.entry())}, func(c *svidgate.Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	log.Reset()
	for _, c := range []struct {
		sent  chain
		shown string
	}{{again, "spiffe://other.example"}, {chain{own.leaf(t), own.cert}, "none"}} {
		e := fresh.ExplainX509SVID(t.Context(), c.sent)
		i := slices.IndexFunc(e.Findings, func(f oauth.Finding) bool { return f.Rule == "XS-15" })
		if i < 0 || e.Findings[i].Outcome != oauth.Passed || e.Findings[i].Presented != c.shown {
			t.Errorf("XS-15 explained: %+v", e.Findings)
		}
	}
	if log.Len() > 0 {
		t.Errorf("XS-15 explaining says in the log %q", log.String())
	}
	if judgeX509(t, fresh, again, accepted); !strings.Contains(log.String(), `"rule":"XS-15"`) {
		t.Error("XS-15 what was explained is not told any more")
	}
}

// Key identifiers are hints: they choose which anchor is tried first, and decide
// nothing.
func TestX509KeyIdentifiersAreHints(t *testing.T) {
	one := func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "one name for all"} }
	id := func(subject, authority string) mutation {
		return func(c *x509.Certificate) { c.SubjectKeyId, c.AuthorityKeyId = []byte(subject), []byte(authority) }
	}
	a, b, c := newCA(t, "example.org", one, id("a", "")), newCA(t, "example.org", one, id("b", "")), newCA(t, "example.org", one)
	says := func(signer ca, authority string) *x509.Certificate {
		issuer := *signer.cert
		issuer.SubjectKeyId = []byte(authority)
		return ca{signer.td, &issuer, signer.key}.leaf(t)
	}
	stranger := newCA(t, "example.org", one, id("a", ""))
	middle := b.below(t, newKey(t), id("m", "b"))
	runX509(t, anchored(t, a, b, c), []x509Row{
		{"XS-10 the anchor that it names", chain{says(a, "a")}, accepted},
		{"XS-10 another one of that name", chain{says(b, "b")}, accepted},
		{"XS-10 it names one and another signed it", chain{says(b, "a")}, accepted},
		{"XS-10 it names none that there is", chain{says(b, "x")}, accepted},
		{"XS-10 it names none", chain{says(b, "")}, accepted},
		{"XS-10 under an intermediate", chain{says(middle, "m"), middle.cert}, accepted},
		{"XS-11 a stranger who names an anchor", chain{says(stranger, "a")}, chainBad},
		{"XS-13 a stranger who sends his root", chain{says(stranger, "a"), stranger.cert}, chainBad},
	})
}

func TestX509Anchors(t *testing.T) {
	root := newCA(t, "example.org")
	middle := root.below(t, newKey(t))
	expired := newCA(t, "example.org", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	elsewhere := newCA(t, "local")
	elsewhere.td = "example.org"
	byWorkload := newCA(t, "example.org", uris("spiffe://example.org/ca"))
	leaf := root.leaf(t)
	pinned := newVerifier(t, bundles{exampleOrg: bundleOf(t, exampleOrg, certificateEntry(leaf))})
	noAnchors := refused(oauth.ReasonBundleNoKeys, "BU-12")
	for _, c := range []struct {
		name string
		v    *svidgate.Verifier
		sent chain
		want want
	}{
		{"XS-11 one anchor", anchored(t, root), chain{leaf}, accepted},
		{"XS-11 two anchors", anchored(t, newCA(t, "example.org"), root), chain{leaf}, accepted},
		{"XS-17 an anchor that is not self-signed", anchored(t, middle), chain{middle.leaf(t)}, accepted},
		{"XS-17 that anchor does not stand for its issuer", anchored(t, middle), chain{leaf}, chainBad},
		{"XS-15 an anchor that names another trust domain", anchored(t, elsewhere), chain{elsewhere.leaf(t)}, accepted},
		{"XS-14 an anchor that names a workload is not loaded", anchored(t, byWorkload), chain{byWorkload.leaf(t)}, noAnchors},
		{"XS-10 an anchor that expired", anchored(t, expired), chain{expired.leaf(t)}, chainBad},
		{"BU-8 the leaf itself in the bundle is no anchor", pinned, chain{leaf}, noAnchors},
		{"XS-12 an empty bundle", anchored(t), chain{leaf}, noAnchors},
	} {
		runX509(t, c.v, []x509Row{{c.name, c.sent, c.want}})
	}
}

func TestX509NameConstraints(t *testing.T) {
	permitted := func(td string) mutation {
		return func(c *x509.Certificate) { c.PermittedURIDomains = []string{td} }
	}
	excluded := func(td string) mutation {
		return func(c *x509.Certificate) { c.ExcludedURIDomains = []string{td} }
	}
	free := newCA(t, "example.org")
	ours, theirs := newCA(t, "example.org", permitted("example.org")), newCA(t, "example.org", permitted("b.example"))
	subOurs, subTheirs := free.below(t, newKey(t), permitted("example.org")), free.below(t, newKey(t), permitted("b.example"))
	without := newCA(t, "example.org", excluded("example.org"))
	runX509(t, anchored(t, free, ours, theirs, without), []x509Row{
		{"XS-16 an anchor that permits the trust domain", chain{ours.leaf(t)}, accepted},
		{"XS-16 an anchor that permits another", chain{theirs.leaf(t)}, chainBad},
		{"XS-16 an anchor that excludes it", chain{without.leaf(t)}, chainBad},
		{"XS-16 an intermediate that permits the trust domain", chain{subOurs.leaf(t), subOurs.cert}, accepted},
		{"XS-16 an intermediate that permits another", chain{subTheirs.leaf(t), subTheirs.cert}, chainBad},
		// A URI written in a way that path validation overlooks must not escape
		// from the constraint.
		{"XS-16 past the constraint, a URI in constructed form", chain{subTheirs.leaf(t, constructedURI), subTheirs.cert}, uriCount},
		{"XS-16 past the constraint, the scheme in upper case", chain{subTheirs.leaf(t, rawURIs("SPIFFE://example.org/a")), subTheirs.cert}, refused(oauth.ReasonCertIDNotCanonical, "SI-10")},
	})
	// A dotted quad fails closed under a constraint.
	v := newVerifier(t, bundles{quad.TrustDomain(): bundleOf(t, quad.TrustDomain(), ours.entry(), free.entry())})
	runX509(t, v, []x509Row{
		{"XS-16 a dotted quad without a constraint", chain{free.leaf(t, uris("spiffe://1.2.3.4/a"))}, accepted},
		{"XS-16 a dotted quad under a constraint", chain{ours.leaf(t, uris("spiffe://1.2.3.4/a"))}, chainBad},
	})
}

// constructedURI writes the SPIFFE ID with the bit that says the value is made up
// of others, beside a DNS name.
func constructedURI(c *x509.Certificate) {
	names := []asn1.RawValue{
		{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("a.example.org")},
		{Class: asn1.ClassContextSpecific, Tag: 6, IsCompound: true, Bytes: []byte("spiffe://example.org/a")},
	}
	value, err := asn1.Marshal(names)
	if err != nil {
		panic(err) // cannot be: every element is raw
	}
	c.URIs = nil
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value}}
}

// MT-8 bounds what is looked at before any path is built.
func TestX509ChainSize(t *testing.T) {
	cas := []ca{newCA(t, "example.org")}
	for range 5 {
		cas = append(cas, cas[len(cas)-1].below(t, newKey(t)))
	}
	under := func(n int) chain { // n intermediates
		c := chain{cas[n].leaf(t)}
		for i := n; i > 0; i-- {
			c = append(c, cas[i].cert)
		}
		return c
	}
	fat := func(size int) chain {
		return chain{cas[0].leaf(t, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, size)})
		})}
	}
	const limit = 32 << 10
	overhead := len(fat(limit / 2)[0].Raw) - limit/2
	var largest chain // the signature's length varies by a byte or two
	for largest == nil || len(largest[0].Raw) != limit {
		largest = fat(limit - overhead)
	}
	runX509(t, anchored(t, cas[0]), []x509Row{
		{"MT-8 five certificates", under(4), accepted},
		{"MT-8 six certificates", under(5), chainTooLong},
		{"MT-8 a thousand certificates", append(under(1), slices.Repeat(chain{cas[1].cert}, 998)...), chainTooLong},
		{"MT-8 32 KiB", largest, accepted},
		{"MT-8 32 KiB and a little", fat(limit - overhead + 16), chainTooLong},
		{"MT-8 32 KiB with what comes after the leaf", append(slices.Clone(largest), cas[1].cert), chainTooLong},
	})
}

// An RSA key as long as a chain may be costs seconds of path building, which a
// stranger could ask for with every request.
func TestX509LongRSAKey(t *testing.T) {
	root := newCA(t, "example.org")
	under := func(bits int) chain {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		middle := root.below(t, newKey(t))
		long := signed(t, middle.cert, root.cert, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 1<<31 - 1}, root.key)
		return chain{middle.leaf(t), middle.cert, long}
	}
	runX509(t, anchored(t, root), []x509Row{
		{"MT-8 RSA of 4096 bits", under(4096), accepted},
		{"MT-8 RSA of 4097 bits", under(4097), chainTooLong},
		{"MT-8 RSA of 100,000 bits", under(100000), chainTooLong},
	})
}

// systemCA is the one CA in the system's store: a process reads that store once,
// however often the test runs.
var systemCA = sync.OnceValues(func() (*devca.Authority, error) {
	return devca.New("example.org", devca.Options{Now: atNoon})
})

// XS-12, AV-3: a CA of the system's store signs for nobody, not even when the bundle
// is empty.
func TestX509NoSystemRoots(t *testing.T) {
	authority, err := systemCA()
	if err != nil {
		t.Fatal(err)
	}
	system, root := domain{authority}, authority.Roots()[0]
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	leaf := system.chain(t)[0]
	if _, err := leaf.Verify(x509.VerifyOptions{CurrentTime: noon}); err != nil {
		t.Fatalf("the twin: the system's store does not hold the CA: %v", err)
	}
	runX509(t, newVerifier(t, bundlesOf(t, system)), []x509Row{{"XS-12 the CA in the bundle", chain{leaf}, accepted}})
	runX509(t, newVerifier(t, bundlesOf(t, newDomain(t, "example.org", devca.Options{}))), []x509Row{
		{"XS-12 the CA only in the system's store", chain{leaf}, chainBad},
		{"XS-12 the CA only in the system's store and sent along", chain{leaf, root}, chainBad},
	})
	runX509(t, anchored(t), []x509Row{{"XS-12 an empty bundle", chain{leaf}, refused(oauth.ReasonBundleNoKeys, "BU-12")}})
}
