package client

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/devca"
)

var (
	exampleOrg = spiffeid.RequireTrustDomainFromString("example.org")
	asID       = spiffeid.RequireFromString("spiffe://example.org/as")
)

// a pinned server is judged as the verifier judges it, by the bundle of its own
// trust domain as the source has it.
func TestVerifyServer(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	authority, stranger := newAuthority(t, clock), newAuthority(t, clock)
	own := x509bundle.FromX509Authorities(exampleOrg, authority.Roots())
	of := func(a *devca.Authority, path string) []*x509.Certificate {
		t.Helper()
		svid, err := a.X509SVID(path)
		if err != nil {
			t.Fatal(err)
		}
		return svid.Certificates
	}
	for _, tt := range []struct {
		name string
		sent []*x509.Certificate
		by   x509bundle.Source
		at   time.Time
		want string // empty: accepted
	}{
		{"A-9 its SPIFFE ID", of(authority, "/as"), own, now, ""},
		{"A-9 another of the trust domain", of(authority, "/other"), own, now, "BE-6"},
		{"XS-10 an authority of the same name", of(stranger, "/as"), own, now, "XS-10"},
		{"XS-22 ended", of(authority, "/as"), own, now.Add(61 * time.Minute), "XS-22"},
		{"CX-1 nothing", nil, own, now, "CX-1"},
		{"XS-12 no anchors", of(authority, "/as"), x509bundle.New(exampleOrg), now, "no anchors"},
		{"MT-9 no bundle of the trust domain", of(authority, "/as"), x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString("elsewhere.test"), authority.Roots()), now, "example.org"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := verifyServer(tt.sent, asID, tt.by, tt.at)
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "A-9")) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestX509BundleFile(t *testing.T) {
	authority := newAuthority(t, nil)
	path := filepath.Join(t.TempDir(), "bundle")
	source := X509BundleFile(path, exampleOrg)
	if _, err := source.GetX509BundleForTrustDomain(exampleOrg); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("no file: got %v", err)
	}
	root := authority.Roots()[0]
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	for _, tt := range []struct {
		name    string
		content []byte
		anchors int
		fault   string
	}{
		{"PEM", inPEM, 1, ""},
		{"two in PEM", append(inPEM, inPEM...), 1, ""}, // the same one
		{"a SPIFFE bundle", authority.Bundle(), 1, ""},
		{"a SPIFFE bundle without anchors", []byte(`{"keys":[]}`), 0, "no anchor"},
		{"PEM that is cut", inPEM[:len(inPEM)/2], 0, "neither"},
		{"PEM of something else", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: root.RawSubjectPublicKeyInfo}), 0, "no anchor"},
		{"neither", []byte("hello"), 0, "neither"},
		{"empty", nil, 0, "neither"},
		{"too long", make([]byte, maxBundleFile+1), 0, "is longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, path, tt.content)
			bundle, err := source.GetX509BundleForTrustDomain(exampleOrg)
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Fatalf("got %v", err)
			}
			if err == nil && len(bundle.X509Authorities()) != tt.anchors {
				t.Errorf("%d anchors", len(bundle.X509Authorities()))
			}
		})
	}
	write(t, path, inPEM)
	if _, err := source.GetX509BundleForTrustDomain(spiffeid.RequireTrustDomainFromString("elsewhere.test")); err == nil {
		t.Error("XS-11: the bundle was given for another trust domain")
	}
}
