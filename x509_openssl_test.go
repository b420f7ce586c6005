package svidgate_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

// madeTwice are X.509-SVIDs that are made by the openssl program and by Go alike:
// what a verifier makes of a defect must not depend on who wrote it.
var madeTwice = []struct {
	name     string
	uris     []string
	ca       bool
	keyUsage []string
	extended []string
	want     want
}{
	{"CX-4 as it should be", []string{"spiffe://example.org/a"}, false, []string{"digitalSignature"}, []string{"serverAuth", "clientAuth"}, accepted},
	{"XS-1 two URI names", []string{"spiffe://example.org/a", "spiffe://example.org/b"}, false, []string{"digitalSignature"}, []string{"clientAuth"}, uriCount},
	{"XS-26 an empty fragment", []string{"spiffe://example.org/a#"}, false, []string{"digitalSignature"}, []string{"clientAuth"}, refused(oauth.ReasonCertIDMalformed, "SI-2")},
	{"XS-26 the scheme in upper case", []string{"SPIFFE://example.org/a"}, false, []string{"digitalSignature"}, []string{"clientAuth"}, refused(oauth.ReasonCertIDNotCanonical, "SI-10")},
	{"XS-3 a CA", []string{"spiffe://example.org/a"}, true, []string{"digitalSignature"}, []string{"clientAuth"}, refused(oauth.ReasonCertNotLeaf, "XS-3")},
	{"XS-4 no key usage", []string{"spiffe://example.org/a"}, false, nil, []string{"clientAuth"}, refused(oauth.ReasonCertKeyUsage, "XS-4")},
	{"XS-5 keyCertSign", []string{"spiffe://example.org/a"}, false, []string{"digitalSignature", "keyCertSign"}, []string{"clientAuth"}, refused(oauth.ReasonCertKeyUsageSigns, "XS-5")},
	{"XS-7 serverAuth only", []string{"spiffe://example.org/a"}, false, []string{"digitalSignature"}, []string{"serverAuth"}, refused(oauth.ReasonCertExtKeyUsage, "XS-7")},
}

func TestReasonsAreDistinct(t *testing.T) {
	seen := map[oauth.Reason]string{}
	for _, row := range madeTwice {
		if other, ok := seen[row.want.reason]; ok {
			t.Errorf("%s and %s have the reason %q", other, row.name, row.want.reason)
		}
		seen[row.want.reason] = row.name
	}
}

func TestX509MadeByGo(t *testing.T) {
	usages := map[string]x509.KeyUsage{"digitalSignature": x509.KeyUsageDigitalSignature, "keyCertSign": x509.KeyUsageCertSign}
	extended := map[string]x509.ExtKeyUsage{"serverAuth": x509.ExtKeyUsageServerAuth, "clientAuth": x509.ExtKeyUsageClientAuth}
	root := newCA(t, "example.org")
	v := anchored(t, root)
	for _, row := range madeTwice {
		leaf := root.leaf(t, rawURIs(row.uris...), func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.ExtKeyUsage = row.ca, 0, nil
			for _, u := range row.keyUsage {
				c.KeyUsage |= usages[u]
			}
			for _, u := range row.extended {
				c.ExtKeyUsage = append(c.ExtKeyUsage, extended[u])
			}
		})
		runX509(t, v, []x509Row{{row.name, chain{leaf}, row.want}})
	}
}

func TestX509MadeByOpenSSL(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("this test needs the openssl program: install the package openssl (apt-get install openssl, apk add openssl, brew install openssl)")
	}
	dir := t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		// The machine's own configuration must not add extensions of its own.
		cmd.Env = append(os.Environ(), "OPENSSL_CONF=openssl.cnf")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	write := func(name string, lines ...string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) *x509.Certificate {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	write("openssl.cnf", "[req]", "distinguished_name = name", "prompt = no", "[name]", "O = SPIFFE",
		"[ca]", "basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign, cRLSign",
		"subjectKeyIdentifier = hash", "subjectAltName = URI:spiffe://example.org")
	newKey := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	openssl(append([]string{"req", "-config", "openssl.cnf", "-x509", "-extensions", "ca", "-subj", "/O=SPIFFE/CN=root", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt"}, newKey...)...)
	openssl(append([]string{"req", "-config", "openssl.cnf", "-new", "-subj", "/O=SPIFFE", "-keyout", "leaf.key", "-out", "leaf.csr"}, newKey...)...)

	root := ca{"example.org", read("ca.crt"), nil}
	// openssl takes the time of the machine, and so does the verifier.
	v := newVerifier(t, bundles{exampleOrg: bundleOf(t, exampleOrg, root.entry())},
		func(c *svidgate.Config) { c.Now, c.Settings.MaxBundleAge = time.Now, svidgate.Unbounded })
	for i, row := range madeTwice {
		number := strconv.Itoa(i + 1)
		lines := []string{"basicConstraints = critical, CA:" + strings.ToUpper(strconv.FormatBool(row.ca)), "subjectAltName = @names"}
		if len(row.keyUsage) > 0 {
			lines = append(lines, "keyUsage = critical, "+strings.Join(row.keyUsage, ", "))
		}
		lines = append(lines, "extendedKeyUsage = "+strings.Join(row.extended, ", "), "[names]")
		for j, uri := range row.uris {
			lines = append(lines, "URI."+strconv.Itoa(j+1)+` = "`+uri+`"`) // quoted, else # begins a comment
		}
		write("leaf"+number+".ext", lines...)
		openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", number, "-days", "1",
			"-extfile", "leaf"+number+".ext", "-out", "leaf"+number+".crt")
		runX509(t, v, []x509Row{{row.name, chain{read("leaf" + number + ".crt")}, row.want}})
	}
}
