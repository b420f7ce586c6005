package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// The certificate of the listeners is read again when its files change, and half
// of a replacement changes nothing.
func TestListenerCertificateReload(t *testing.T) {
	w := newWorld(t)
	serial := func() string {
		conn := w.dial(t, "public", tlsConfig("public", nil))
		defer conn.Close()
		conn.granted(t, w.billing(t))
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	pair := must(serverCA().Certificate("as.example.com", "mtls.as.example.com"))
	write := func(name, kind string, der []byte) {
		t.Helper()
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("as.crt", "CERTIFICATE", pair.Certificate[0])
	until(t, "a warning of half a replacement", func() bool {
		if got := serial(); got != first {
			t.Fatalf("serial %s before the key was there", got)
		}
		return len(w.log.find(t, "msg", "tls certificate not reloaded, the old one stays")) > 0
	})
	key := must(x509.MarshalPKCS8PrivateKey(pair.PrivateKey))
	secrets.add("private key of the TLS listeners", string(key))
	write("as.key", "PRIVATE KEY", key)
	want := pair.Leaf.SerialNumber.String()
	until(t, "the new certificate", func() bool { return serial() == want })
}

// A signal that administrators send out of habit ends nothing.
func TestHangup(t *testing.T) {
	w := newWorld(t)
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "a word about SIGHUP in the log", func() bool { return bytes.Contains(said(t, w.stderr), []byte("SIGHUP")) })
	w.granted(t, w.billing(t))
}

// Many callers at once, of all kinds. With -race the program watches itself, and
// a race ends it with another exit code than 0.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	good, bad, orders := w.billing(t), withJWT(w.td.id("/billing"), w.td.jwt(t, "/billing", "wrong")), w.orders(t)
	var callers sync.WaitGroup
	for range 8 {
		public := w.dial(t, "public", tlsConfig("public", nil))
		mtls := w.dial(t, "mtls", tlsConfig("mtls", orders.cert))
		callers.Go(func() {
			for range 10 {
				for _, step := range []struct {
					conn   *connection
					call   call
					status int
				}{
					{public, good, http.StatusOK},
					{public, bad, http.StatusUnauthorized},
					{mtls, orders, http.StatusOK},
					{public, call{method: http.MethodGet}, http.StatusMethodNotAllowed},
					{mtls, call{method: http.MethodPost, target: oauth.PathJWKS}, http.StatusMethodNotAllowed},
					{mtls, call{method: http.MethodGet, target: oauth.PathASMetadata}, http.StatusOK},
					{public, call{method: http.MethodGet, target: "/nothing"}, http.StatusNotFound},
				} {
					if a := step.conn.do(t, step.call); a.status != step.status {
						t.Errorf("status %d, want %d", a.status, step.status)
					}
				}
			}
		})
	}
	callers.Wait()
	if n := w.metric(t, `svidgate_tokens_issued_total{binding="bearer",grant="client_credentials",method="spiffe_jwt"}`); n != 80 {
		t.Errorf("%v tokens counted", n)
	}
}

// Every command explains itself with an example.
func TestHelp(t *testing.T) {
	out, _, code := command(t, ".", "--help")
	if code != 0 {
		t.Fatalf("code %d", code)
	}
	for _, name := range []string{"serve", "dev", "demo", "token", "check-config", "version"} {
		if !strings.Contains(out, "\n  "+name+" ") {
			t.Errorf("%s is not among the commands:\n%s", name, out)
		}
		help, errs, code := command(t, ".", name, "--help")
		if code != 0 || errs != "" || !strings.Contains(help, "Examples:\n  svidgate "+name) {
			t.Errorf("%s --help: code %d, %s%s", name, code, errs, help)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if script, _, code := command(t, ".", "completion", shell); code != 0 || !strings.Contains(script, "svidgate") {
			t.Errorf("completion for %s: code %d", shell, code)
		}
	}
	if out, _, code := command(t, ".", "version", "--json"); code != 0 || !strings.HasPrefix(out, `{"version":"`) {
		t.Errorf("version: code %d, %s", code, out)
	}
}
