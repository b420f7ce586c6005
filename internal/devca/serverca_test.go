package devca_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

func TestServerCA(t *testing.T) {
	ca, err := devca.NewServerCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Certificate("localhost", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()

	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.PEM()) {
		t.Fatal("PEM has no certificate")
	}
	other, err := devca.NewServerCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		roots *x509.CertPool
		host  string
		want  string // empty: accepted
	}{
		{"Pool", ca.Pool(), "127.0.0.1", ""},
		{"PEM", pool, "127.0.0.1", ""},
		{"host name", ca.Pool(), "localhost", ""},
		{"BE-5 another host", ca.Pool(), "other.example", "valid for"},
		{"BE-5 another CA", other.Pool(), "127.0.0.1", "unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.roots, ServerName: c.host}}}
			defer client.CloseIdleConnections()
			res, err := client.Get(server.URL)
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := ca.Certificate(); err == nil {
		t.Error("a certificate without a host")
	}
}
