package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
	"github.com/svidgate/svidgate/oauth"
)

// workloadAPI runs a real one with two identities and a federated bundle.
func workloadAPI(t *testing.T, change ...func(*devdomain.Config)) (d *devdomain.Domain) {
	t.Helper()
	dir, err := os.MkdirTemp("", "who") // short: a socket's name has its limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := devdomain.Config{
		TrustDomain: "example.org", SocketPath: filepath.Join(dir, "w.sock"),
		Identities: []devdomain.Identity{{Path: "/billing", Hint: "internal"}, {Path: "/orders"}},
		CA:         devca.Options{Intermediate: true},
	}
	for _, f := range change {
		f(&c)
	}
	d, err = devdomain.New(c)
	if err != nil {
		t.Fatal(err)
	}
	other, err := devca.New("partner.test", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddFederated("partner.test", other.Bundle()); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestWhoami(t *testing.T) {
	d := workloadAPI(t)
	kid, _, _ := d.Authority().JWTKey()
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", d.SocketAddr())
	out, _, err := run(t, "whoami", "--audience", "https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Workload API " + d.SocketAddr(), "\n  spiffe://example.org/billing  (hint internal, the default)\n", "\n  spiffe://example.org/orders\n", "expires in ", ", 2 certificates\n",
		"\n  example.org\n    1 X.509 anchor, 1 JWT key: kid " + kid + "\n", "\n  partner.test  (federated)\n",
		"\nJWT-SVIDs for https://as.example.com\n  hint internal\n    SPIFFE ID     spiffe://example.org/billing\n", "not shown",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if oauth.Redact(out) != out {
		t.Errorf("AU-2 a token is shown: %s", out)
	}
	bare, _, err := run(t, "whoami")
	if err != nil || !strings.Contains(bare, "Add --audience") || strings.Contains(bare, "JWT-SVIDs for") {
		t.Errorf("%v: %s", err, bare)
	}
	asJSON, _, err := run(t, "whoami", "--json", "--socket", d.SocketAddr(), "--audience", "https://as.example.com")
	var self identity
	if err != nil || json.Unmarshal([]byte(asJSON), &self) != nil {
		t.Fatalf("%v: %s", err, asJSON)
	}
	if len(self.X509SVIDs) != 2 || !self.X509SVIDs[0].Default || self.X509SVIDs[1].Default || self.X509SVIDs[0].Certificates != 2 ||
		len(self.Bundles) != 2 || !self.Bundles[0].Own || self.Bundles[1].Own || len(self.JWTSVIDs) != 2 || self.JWTSVIDs[0].Hint != "internal" {
		t.Errorf("%+v", self)
	}
}

func TestWhoamiShowsWITSVIDs(t *testing.T) {
	d := workloadAPI(t, func(c *devdomain.Config) { c.CA.WIT = true })
	kid, _, _ := d.Authority().WITKey()
	out, _, err := run(t, "whoami", "--socket", d.SocketAddr())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nWIT-SVIDs\n  hint internal\n    SPIFFE ID", "spiffe://example.org/billing", ", 1 WIT key: kid " + kid + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if oauth.Redact(out) != out {
		t.Errorf("AU-2 a token is shown: %s", out)
	}
	asJSON, _, err := run(t, "whoami", "--json", "--socket", d.SocketAddr())
	var self identity
	if err != nil || json.Unmarshal([]byte(asJSON), &self) != nil || len(self.WITSVIDs) != 2 || len(self.Bundles[0].WITKeyIDs) != 1 {
		t.Errorf("%v: %s", err, asJSON)
	}
}

func TestWhoamiFaults(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no address", nil, "--socket"},
		{"no socket", []string{"--socket", "unix:///nowhere/agent.sock"}, "is the agent running"},
		{"an address that is none", []string{"--socket", "/nowhere/agent.sock"}, "CL-1"},
	} {
		out, _, err := run(t, append([]string{"whoami"}, row.args...)...)
		if err == nil || !strings.Contains(err.Error(), row.want) || out != "" {
			t.Errorf("%s: %v, printed %q", row.name, err, out)
		}
	}
}
