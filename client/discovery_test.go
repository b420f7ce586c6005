package client_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
)

func TestIssuerMismatch(t *testing.T) { // AM-2, CL-10
	w := newWorld(t)
	w.client(w.config(client.JWTSVID(w.jwt))) // the accepted twin
	w.edge.publishes("issuer", w.edge.issuer+"/")
	_, err := client.New(t.Context(), w.config(client.JWTSVID(w.jwt)))
	if err == nil || !strings.Contains(err.Error(), "AM-2") {
		t.Fatalf("got %v", err)
	}
	if n := w.jwt.calls.Load(); n != 0 {
		t.Errorf("BC-7: %d JWT-SVIDs were fetched for a server that lies", n)
	}
}

// BC-9: the endpoints are those of the metadata, or there is no client.
func TestMetadataAnswer(t *testing.T) {
	w := newWorld(t)
	certificate := must(w.webCA.Certificate("127.0.0.1"))
	var issuer string
	for _, tt := range []struct {
		name    string
		answers http.HandlerFunc
		want    string // empty: accepted
	}{
		{"as it should be", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json; charset=utf-8")
			rw.Write([]byte(`{"issuer":"` + issuer + `","token_endpoint":"` + issuer + `/token"}`))
		}, ""},
		{"redirect to a good document", func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/elsewhere" {
				http.Redirect(rw, req, issuer+"/elsewhere", http.StatusFound)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.Write([]byte(`{"issuer":"` + issuer + `","token_endpoint":"` + issuer + `/token"}`))
		}, "302"},
		{"not found", http.NotFound, "404"},
		{"another media type", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			rw.Write([]byte(`{"issuer":"` + issuer + `","token_endpoint":"` + issuer + `/token"}`))
		}, "application/json"},
		{"longer than 64 KiB", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Write([]byte(`{"issuer":"` + issuer + `","token_endpoint":"` + issuer + `/token","x":"` + strings.Repeat("x", 64<<10) + `"}`))
		}, "longer than 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.answers, certificate, tls.NoClientCert)
			issuer = s.URL
			config := w.config(client.JWTSVID(w.jwt))
			config.Issuer = issuer
			_, err := client.New(t.Context(), config)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMetadataTimeout(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	config := w.config(client.JWTSVID(w.jwt))
	config.Issuer = "https://" + listener.Addr().String()
	config.Timeout = 50 * time.Millisecond
	if _, err := client.New(t.Context(), config); err == nil {
		t.Fatal("got a client without an answer")
	}
}

// TestServerIsVerifiedByTheWebPKI holds CX-6 and XS-25: a certificate from the
// workload's own trust domain says nothing about the authorization server.
func TestServerIsVerifiedByTheWebPKI(t *testing.T) {
	w := newWorld(t)
	svid := must(w.authority.X509SVID("/as", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }))
	foreign := must(devca.NewServerCA(w.now))
	for _, tt := range []struct {
		name        string
		certificate tls.Certificate
		roots       *x509.CertPool
		accepted    bool
	}{
		{"certificate of the Web PKI", must(w.webCA.Certificate("127.0.0.1")), w.webCA.Pool(), true},
		{"X.509-SVID of the trust domain", svid.TLSCertificate(), w.webCA.Pool(), false},
		{"X.509-SVID of the trust domain, system store", svid.TLSCertificate(), nil, false},
		{"another CA", must(foreign.Certificate("127.0.0.1")), w.webCA.Pool(), false},
		{"no root at all", must(w.webCA.Certificate("127.0.0.1")), x509.NewCertPool(), false},
		{"another host", must(w.webCA.Certificate("as.example.com")), w.webCA.Pool(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for what, credential := range map[string]client.Credential{"JWT": client.JWTSVID(w.jwt), "X.509": client.X509SVID(w.x509)} {
				e := newEdge(w, tt.certificate)
				config := w.config(credential)
				config.Issuer, config.RootCAs = e.issuer, tt.roots
				c, err := client.New(t.Context(), config)
				if tt.accepted {
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					w.token(c, client.Request{})
					continue
				}
				if err == nil || !strings.Contains(err.Error(), "CX-6") {
					t.Errorf("%s: got %v, want a refusal that explains", what, err)
				}
			}
		})
	}

	// The same at the token endpoint, when only the alias has the wrong certificate.
	bad := newEdge(w, svid.TLSCertificate())
	w.edge.publishes("mtls_endpoint_aliases", map[string]any{"token_endpoint": bad.mtlsTokenURL})
	c := w.client(w.config(client.X509SVID(w.x509)))
	if _, err := c.Token(t.Context(), client.Request{}); err == nil || !strings.Contains(err.Error(), "CX-6") {
		t.Errorf("at the alias: got %v", err)
	}
	if len(bad.seen()) != 0 {
		t.Error("the request was sent to a server that was not verified")
	}
}

func TestServerCertificateIsJudgedByTheInjectedClock(t *testing.T) {
	w := newWorld(t)
	config := w.config(client.JWTSVID(w.jwt))
	w.client(config)
	w.advance(2 * 365 * 24 * time.Hour)
	if _, err := client.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("got %v, want an expired certificate", err)
	}
}

func TestMetadataIsRefreshed(t *testing.T) { // AM-9, LD-5
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	moved := newEdge(w, must(w.webCA.Certificate("127.0.0.1")))
	w.token(c, client.Request{Scope: "a"})
	w.edge.publishes("token_endpoint", moved.tokenURL)
	w.token(c, client.Request{Scope: "b"})
	if n := len(w.edge.metadataReads()); n != 1 {
		t.Fatalf("read %d times at once, want 1", n)
	}
	w.advance(7 * time.Minute)
	w.token(c, client.Request{Scope: "c"}) // still by the old copy, or already by the new
	w.until("the metadata was read again", func() bool { return len(w.edge.metadataReads()) == 2 })
	w.until("the new endpoint is used", func() bool {
		w.token(c, client.Request{Scope: rand.Text()})
		return len(moved.seen()) > 0
	})

	// A document that turns bad, or a server that is gone, changes nothing.
	w.edge.publishes("issuer", "https://rogue.example.com")
	w.advance(7 * time.Minute)
	w.token(c, client.Request{Scope: "d"})
	w.until("the metadata was read a third time", func() bool { return len(w.edge.metadataReads()) == 3 })
	for range 20 {
		w.token(c, client.Request{Scope: rand.Text()})
	}
	if n := len(w.edge.metadataReads()); n != 3 {
		t.Errorf("AM-9: read %d times within a minute after a failure", n)
	}
}

func TestNewIsBoundToItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.New(ctx, w.config(client.JWTSVID(w.jwt))); err == nil {
		t.Fatal("ignored a cancelled context")
	}
}
