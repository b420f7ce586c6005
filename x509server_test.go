package svidgate_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/oauth"
)

// BE-6: a server is good by its exact SPIFFE ID, and by all that makes a certificate an
// X.509-SVID.
func TestVerifyServerX509SVID(t *testing.T) {
	usage := func(usages ...x509.ExtKeyUsage) mutation {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	root, stranger, elsewhere := newCA(t, "example.org"), newCA(t, "example.org"), newCA(t, "elsewhere.test")
	clientsOnly := root.below(t, newKey(t), usage(x509.ExtKeyUsageClientAuth))
	foreign := root.below(t, newKey(t), uris("spiffe://elsewhere.test"))
	serversOnly := root.below(t, newKey(t), usage(x509.ExtKeyUsageServerAuth))
	relaxed := func(c *x509.Certificate) {
		c.KeyUsage = 0
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}})
	}
	long := func(c *x509.Certificate) { c.NotAfter = noon.Add(30 * 24 * time.Hour) }
	month := newCA(t, "example.org", long)
	own, both := bundleOf(t, exampleOrg, root.entry()), bundleOf(t, exampleOrg, root.entry(), elsewhere.entry())
	a := spiffeid.RequireFromString("spiffe://example.org/a")
	tests := []struct {
		name string
		sent chain
		by   *bundle.Snapshot
		now  time.Time
		rule string // empty: accepted
		why  oauth.Reason
	}{
		{"BE-6 its SPIFFE ID", chain{root.leaf(t)}, own, noon, "", ""},
		{"BE-6 another of the trust domain", chain{root.leaf(t, uris("spiffe://example.org/b"))}, own, noon, "BE-6", ""},
		{"BE-6 the same path of another trust domain", chain{root.leaf(t, uris("spiffe://elsewhere.test/a"))}, own, noon, "BE-6", ""},
		{"BE-6 the same path of another trust domain, whose CA is there", chain{elsewhere.leaf(t)}, both, noon, "BE-6", ""},
		{"XS-1 no SPIFFE ID", chain{root.leaf(t, uris())}, own, noon, "XS-1", oauth.ReasonCertURISANCount},
		{"CX-1 nothing", nil, own, noon, "CX-1", oauth.ReasonCertMissing},
		{"XS-7 for servers only", chain{root.leaf(t, usage(x509.ExtKeyUsageServerAuth))}, own, noon, "", ""},
		{"XS-7 for anything", chain{root.leaf(t, usage())}, own, noon, "", ""},
		{"XS-7 for clients only", chain{root.leaf(t, usage(x509.ExtKeyUsageClientAuth))}, own, noon, "XS-7", oauth.ReasonCertExtKeyUsage},
		{"XS-14 under a CA for servers only", chain{serversOnly.leaf(t), serversOnly.cert}, own, noon, "", ""},
		{"XS-14 under a CA for clients only", chain{clientsOnly.leaf(t), clientsOnly.cert}, own, noon, "XS-14", oauth.ReasonCertChainBad},
		{"XS-6 its key usage is not critical", chain{root.leaf(t, relaxed)}, own, noon, "", ""},
		{"XS-15 under a CA of another name", chain{foreign.leaf(t, uris("spiffe://example.org/a")), foreign.cert}, own, noon, "", ""},
		{"XS-3 a CA", chain{root.leaf(t, func(c *x509.Certificate) { c.IsCA = true })}, own, noon, "XS-3", oauth.ReasonCertNotLeaf},
		{"XS-10 of a stranger", chain{stranger.leaf(t)}, own, noon, "XS-10", oauth.ReasonCertChainBad},
		{"XS-13 of a stranger who sends his root", chain{stranger.leaf(t), stranger.cert}, own, noon, "XS-10", oauth.ReasonCertChainBad},
		{"XS-22 in its last minute", chain{root.leaf(t)}, own, noon.Add(59 * time.Minute), "", ""},
		{"XS-22 ended", chain{root.leaf(t)}, own, noon.Add(61 * time.Minute), "XS-22", oauth.ReasonExpired},
		{"XS-12 no bundle", chain{root.leaf(t)}, nil, noon, "GL-15", oauth.ReasonTDNotReady},
		{"BU-12 no anchors", chain{root.leaf(t)}, bundleOf(t, exampleOrg), noon, "BU-12", oauth.ReasonBundleNoKeys},
		{"MT-9 the bundle of another trust domain", chain{root.leaf(t)}, bundleOf(t, spiffeid.RequireTrustDomainFromString("elsewhere.test"), root.entry()), noon, "JS-13", oauth.ReasonInternal},
		{"BE-6 however old the bundle", chain{month.leaf(t, long)}, bundleOf(t, exampleOrg, month.entry()), noon.Add(29 * 24 * time.Hour), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := svidgate.VerifyServerX509SVID(tt.sent, a, tt.by, tt.now)
			if tt.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "("+tt.rule+")") || tt.why != "" && !errors.Is(err, tt.why) {
				t.Fatalf("%v, want %s %s", err, tt.why, tt.rule)
			}
		})
	}
}
