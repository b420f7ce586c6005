package mint_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

// TestKnownThumbprint is MT-1 and F24 by a known answer: the X.509-SVID in
// testdata, with its bundle, is fixed, and the value was worked out by
//
//	openssl x509 -in svid.pem -outform DER | openssl dgst -sha256 -binary |
//	  openssl base64 | tr '+/' '-_' | tr -d =
func TestKnownThumbprint(t *testing.T) {
	const known = "nBDNZNGkvUh4AMXwVg3hT_dLpaEw0P25rM4eAq-qHqk"

	td := spiffeid.RequireTrustDomainFromString("example.org")
	document, err := os.ReadFile("testdata/bundle.json")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := bundle.Parse(td, document, testidentity.Noon)
	if err != nil {
		t.Fatal(err)
	}
	p := newPress(t)
	p.World.Verifier, err = svidgate.NewVerifier(svidgate.Config{
		Issuer: testidentity.Issuer, Settings: svidgate.DefaultSettings(), Bundles: only{snapshot}, Now: p.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	token := p.token(t, byX509(t, readChain(t)), oauth.MethodX509)
	_, claims := p.read(t, token)
	cnf, _ := claims["cnf"].(map[string]any)
	if cnf["x5t#S256"] != known || len(cnf) != 1 {
		t.Errorf("MT-1 cnf is %v, want x5t#S256 %s and nothing else", cnf, known)
	}
}

type only struct{ snapshot *bundle.Snapshot }

func (o only) Bundle(td spiffeid.TrustDomain) (*bundle.Snapshot, error) {
	if td != o.snapshot.TrustDomain() {
		return nil, bundle.ErrUnknownTrustDomain
	}
	return o.snapshot, nil
}

func readChain(t *testing.T) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile("testdata/svid.pem")
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}
