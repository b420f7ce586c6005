package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

// A-9, LC-1: a server that is served with an X.509-SVID is known to `svidgate token` by
// its SPIFFE ID, and by nothing else.
func TestServerKnownBySPIFFEID(t *testing.T) {
	t.Parallel()
	td, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org", Identities: []devdomain.Identity{{Path: "/billing"}, {Path: "/orders"}}, ServerCA: serverCA(),
		SocketPath: filepath.Join(shortFolder(t), "w.sock"), CA: devca.Options{Intermediate: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := td.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { td.Close() })
	public, mtls := vacant(t), vacant(t)
	s := prepare(t, "issuer: https://"+public+"\nmtls_url: https://"+mtls+"\nlisten: {public: \""+public+"\", mtls: \""+mtls+"\", status: \"127.0.0.1:0\"}\n"+worldConfig+
		"trust_domains:\n  example.org: {spiffe_bundle_endpoint: {url: \""+td.BundleURL()+"\", ca_file: ca.pem}}\n")
	svid := must(td.Authority().X509SVID("/as"))                                 // without any host name
	secrets.add("private key of the TLS listeners", string(must(svid.KeyDER()))) // whose PEM has a first line like all others
	s.replace(t, "as.crt", svid.ChainPEM())
	s.replace(t, "as.key", must(svid.KeyPEM()))
	s.replace(t, "bundle.json", td.Authority().Bundle())
	s.replace(t, "foreign.json", must(devca.New("example.org", devca.Options{})).Bundle())
	s.run(t)

	orders := []string{"--spiffe-id", "spiffe://example.org/orders", "--method", "spiffe_x509"} // at the mTLS alias
	billing := []string{"--spiffe-id", "spiffe://example.org/billing", "--method", "spiffe_jwt"}
	for _, tt := range []struct {
		name string
		args []string
		want string // empty: accepted
	}{
		{"pinned, by the Workload API's bundle", append(orders, "--server-id", "spiffe://example.org/as"), ""},
		{"pinned, with a JWT-SVID", append(billing, "--server-id", "spiffe://example.org/as"), ""},
		{"pinned, by a bundle file", append(orders, "--server-id", "spiffe://example.org/as", "--server-bundle-file", "bundle.json"), ""},
		{"pinned, by the bundle of another authority", append(orders, "--server-id", "spiffe://example.org/as", "--server-bundle-file", "foreign.json"), "A-9"},
		{"another SPIFFE ID pinned", append(orders, "--server-id", "spiffe://example.org/orders"), "A-9"},
		{"another trust domain pinned", append(orders, "--server-id", "spiffe://elsewhere.test/as"), "A-9"},
		{"not pinned", orders, "CX-6"},
		{"not pinned, with the trust domain's authority as CA", append(orders, "--ca-file", "as.crt"), "CX-6"},
	} {
		cmd := exec.CommandContext(t.Context(), program(), append([]string{"token", "--issuer", s.issuer, "--socket", td.SocketAddr()}, tt.args...)...)
		cmd.Dir = s.dir
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output() // not among the evidence: it is a token, as asked for
		evidence.add("token standard error", errs.Bytes())
		if (err == nil) != (tt.want == "") || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%s: %v, %s", tt.name, err, errs.String())
		}
		if err == nil {
			secrets.jwt(strings.TrimSpace(string(out)))
			s.decided++
		}
	}
}
