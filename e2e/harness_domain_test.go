package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

// A domain is a trust domain with its own authority and its own bundle source.
type domain struct {
	*devca.Authority
	name     string
	url      string                  // of the bundle endpoint
	file     string                  // of the bundle, where that is the source
	more     string                  // further keys of its entry in trust_domains
	fetches  atomic.Int64            // of the endpoint
	document atomic.Pointer[[]byte]  // served in place of the authority's
	status   atomic.Pointer[answers] // given in place of 200
}

type answers struct{ status int }

// newDomain makes a trust domain whose bundle is at an https endpoint.
func newDomain(t *testing.T, name string, options devca.Options) *domain {
	t.Helper()
	authority, err := devca.New(name, options)
	if err != nil {
		t.Fatal(err)
	}
	d := &domain{Authority: authority, name: name}
	endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		d.fetches.Add(1)
		if s := d.status.Load(); s != nil {
			w.WriteHeader(s.status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(d.bundle())
	}))
	pair, err := serverCA().Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	endpoint.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	endpoint.Config.ErrorLog = log.New(io.Discard, "", 0) // of servers that were killed in a handshake
	endpoint.StartTLS()
	t.Cleanup(endpoint.Close)
	d.url = endpoint.URL + "/bundle.json"
	return d
}

// newFileDomain makes a trust domain whose bundle is in a file.
func newFileDomain(t *testing.T, name string, options devca.Options) *domain {
	t.Helper()
	authority, err := devca.New(name, options)
	if err != nil {
		t.Fatal(err)
	}
	d := &domain{Authority: authority, name: name, file: filepath.Join(t.TempDir(), "bundle.json")}
	d.publish(t)
	return d
}

func (d *domain) bundle() []byte {
	if document := d.document.Load(); document != nil {
		return *document
	}
	return d.Bundle()
}

// serve publishes another document than the authority's.
func (d *domain) serve(t *testing.T, document string) {
	t.Helper()
	b := []byte(document)
	d.document.Store(&b)
	d.publish(t)
}

// publish writes the file anew, in one step.
func (d *domain) publish(t *testing.T) {
	t.Helper()
	if d.file == "" {
		return
	}
	if err := os.WriteFile(d.file+".new", d.bundle(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.file+".new", d.file); err != nil {
		t.Fatal(err)
	}
}

// entry is the trust domain in a configuration.
func (d *domain) entry() string {
	if d.file != "" {
		return fmt.Sprintf("  %s: {bundle_file: %q%s}\n", d.name, d.file, d.more)
	}
	return fmt.Sprintf("  %s: {spiffe_bundle_endpoint: {url: %q, ca_file: ca.pem}, refresh: {min: 1s, max: 1s}%s}\n", d.name, d.url, d.more)
}

func (d *domain) id(path string) string { return "spiffe://" + d.name + path }

// jwt makes a JWT-SVID for one audience.
func (d *domain) jwt(t *testing.T, path, audience string, mutate ...func(header, claims map[string]any)) string {
	t.Helper()
	token, err := d.JWTSVID(path, []string{audience}, mutate...)
	if err != nil {
		t.Fatal(err)
	}
	return secrets.jwt(token)
}

// svid makes an X.509-SVID.
func (d *domain) svid(t *testing.T, path string, mutate ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	svid, err := d.X509SVID(path, mutate...)
	return shown(t, svid, err)
}

// shown is an SVID to show to a TLS server.
func shown(t *testing.T, svid devca.SVID, err error) *tls.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	key, err := svid.KeyDER()
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("private key of "+svid.ID.String(), string(key))
	pair := svid.TLSCertificate()
	return &pair
}

func entries(domains []*domain) string {
	var b strings.Builder
	for _, d := range domains {
		b.WriteString(d.entry())
	}
	return b.String()
}
