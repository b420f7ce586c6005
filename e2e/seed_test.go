package e2e

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

// seedTable is the first draft's section 5.1.1, letter for letter.
const seedTable = `{
  "example.org": {
    "spiffe_bundle_endpoint": {
      "url": "https://example.com/bundle.json"
    }
  }
}
`

// seedCertificate makes an X.509-SVID what the draft prints.
func seedCertificate(c *x509.Certificate) {
	c.Subject = pkix.Name{Country: []string{"US"}, Organization: []string{"SPIRE"}}
	c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement
}

// Shows b: the draft's own table of trust domains loads unchanged, as a file of
// its own and where trust_domains stands.
func TestSeedTable(t *testing.T) {
	table := func(t *testing.T, json string) string {
		s := prepare(t, worldConfig+"trust_domains: trust-domains.json\n")
		if err := os.WriteFile(filepath.Join(s.dir, "trust-domains.json"), []byte(json), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.dir
	}
	for name, dir := range map[string]string{
		"as a file": table(t, seedTable),
		"in place":  prepare(t, worldConfig+"trust_domains: "+strings.ReplaceAll(seedTable, "\n", " ")+"\n").dir,
	} {
		if out, errs, code := command(t, dir, "check-config", "svidgate.yaml"); code != 0 || out != "" || errs != "" {
			t.Errorf("%s: code %d, %q, %q", name, code, out, errs)
		}
	}
	// One letter wrong in the table is found there, by its own line.
	wrong := table(t, strings.Replace(seedTable, `"url"`, `"uri"`, 1))
	if _, errs, code := command(t, wrong, "check-config", "svidgate.yaml"); code != 1 || !strings.HasPrefix(errs, "trust-domains.json:4:7: ") {
		t.Errorf("code %d, %q", code, errs)
	}
}

// The same table with a host that can be reached: the name of the trust domain
// and the host of its endpoint differ, and the system's CAs vouch for the host.
func TestSeedTableInUse(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	s := prepare(t, worldConfig+"trust_domains: trust-domains.json\n")
	table := strings.Replace(seedTable, "https://example.com/bundle.json", td.url, 1)
	if err := os.WriteFile(filepath.Join(s.dir, "trust-domains.json"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"SSL_CERT_FILE=" + filepath.Join(s.dir, "ca.pem")}
	s.run(t)
	s.granted(t, withJWT("", td.jwt(t, "/billing", tokenURL)))
	s.granted(t, call{cert: td.svid(t, "/orders"), form: form("client_id", td.id("/orders"))})

	// BE-5: without that CA the endpoint is nobody's, and the server is not ready.
	untrusting := prepare(t, worldConfig+"trust_domains: trust-domains.json\n")
	if err := os.WriteFile(filepath.Join(untrusting.dir, "trust-domains.json"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	untrusting.run(t)
	if resp, body := untrusting.status(t, "/readyz"); resp.StatusCode != 503 || !strings.Contains(string(body), "td_not_ready") {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}
	untrusting.refused(t, withJWT("", td.jwt(t, "/billing", tokenURL)), refusal{"(unavailable)", "td_not_ready", "GL-15"})
}
