package resource

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// A clock is moved by tests.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return noon.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// guarded is an API on real TLS that asks for a client certificate and, as RS-4
// allows, looks at no chain.
func guarded(t *testing.T, clk *clock) *httptest.Server {
	t.Helper()
	v := newVerifier(t, func(c *Config) { c.Now = clk.now })
	server := httptest.NewUnstartedServer(v.Require("read")(hello))
	// The server's own clock stays at noon, so that a session is resumed that
	// our rule MT-7 has to judge.
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, Time: atNoon}
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// clientWith trusts the server and shows these certificates.
func clientWith(t *testing.T, server *httptest.Server, certs ...tls.Certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: certs, ClientSessionCache: tls.NewLRUClientSessionCache(4), Time: atNoon},
		DisableKeepAlives: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func call(t *testing.T, client *http.Client, url, token string) *http.Response {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestBindingOverTLS(t *testing.T) {
	mine, other, next := certificate(t), certificate(t), certificate(t)
	ended := certificate(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	chain := func(n int) tls.Certificate {
		c := mine
		for range n - 1 {
			c.Certificate = append(c.Certificate[:len(c.Certificate):len(c.Certificate)], other.Certificate[0])
		}
		return c
	}
	tokenFor := func(cert *x509.Certificate) string {
		p := newPresentation()
		if cert != nil {
			p.bound(cert)
		}
		return p.sign()
	}
	for _, row := range []struct {
		name  string
		token string
		certs []tls.Certificate
		want  int
	}{
		{"MT-2 the certificate it is bound to", tokenFor(mine.Leaf), []tls.Certificate{mine}, 200},
		{"MT-2 another certificate", tokenFor(mine.Leaf), []tls.Certificate{other}, 401},
		{"MT-2 no certificate", tokenFor(mine.Leaf), nil, 401},
		{"MT-4 after rotation with the old token", tokenFor(mine.Leaf), []tls.Certificate{next}, 401},
		{"MT-4 after rotation with a new token", tokenFor(next.Leaf), []tls.Certificate{next}, 200},
		{"MT-7 certificate that has ended", tokenFor(ended.Leaf), []tls.Certificate{ended}, 401},
		{"MT-8 five certificates", tokenFor(mine.Leaf), []tls.Certificate{chain(5)}, 200},
		{"MT-8 six certificates", tokenFor(mine.Leaf), []tls.Certificate{chain(6)}, 401},
		{"bearer without certificate", tokenFor(nil), nil, 200},
		{"bearer with a certificate", tokenFor(nil), []tls.Certificate{other}, 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := guarded(t, &clock{})
			if resp := call(t, clientWith(t, server, row.certs...), server.URL, row.token); resp.StatusCode != row.want {
				t.Errorf("got %d", resp.StatusCode)
			}
		})
	}
}

// A thousand certificates end in a refusal of TLS or of ours, never in a 200
// (MT-8).
func TestVeryLongChain(t *testing.T) {
	mine, other := certificate(t), certificate(t)
	for range 999 {
		mine.Certificate = append(mine.Certificate, other.Certificate[0])
	}
	p := newPresentation()
	p.bound(mine.Leaf)
	server := guarded(t, &clock{})
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil))
	req.Header.Set("Authorization", "Bearer "+p.sign())
	resp, err := clientWith(t, server, mine).Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
}

// MT-7: what a resumed session brings back is judged by the time of the request.
func TestResumedConnection(t *testing.T) {
	for _, row := range []struct {
		name  string
		later time.Duration
		want  int
	}{
		{"MT-7 resumed while the certificate is valid", time.Minute, 200},
		{"MT-7 resumed after it has ended", 3 * time.Minute, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			clk := &clock{}
			server := guarded(t, clk)
			short := certificate(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(2 * time.Minute) })
			client := clientWith(t, server, short)
			p := newPresentation()
			p.bound(short.Leaf)
			if resp := call(t, client, server.URL, p.sign()); resp.StatusCode != 200 || resp.TLS.DidResume {
				t.Fatalf("first: %d, resumed %v", resp.StatusCode, resp.TLS.DidResume)
			}
			clk.advance(row.later)
			resp := call(t, client, server.URL, p.sign())
			if !resp.TLS.DidResume {
				t.Fatal("the session was not resumed")
			}
			if resp.StatusCode != row.want {
				t.Errorf("got %d", resp.StatusCode)
			}
		})
	}
}

// MT-4: the binding is judged at each request of a connection, and so is time.
func TestKeptConnection(t *testing.T) {
	clk := &clock{}
	server, mine := guarded(t, clk), certificate(t)
	client := clientWith(t, server, mine)
	client.Transport.(*http.Transport).DisableKeepAlives = false
	p := newPresentation()
	p.bound(mine.Leaf)
	token := p.sign()
	if resp := call(t, client, server.URL, token); resp.StatusCode != 200 {
		t.Errorf("got %d", resp.StatusCode)
	}
	q := newPresentation()
	q.bound(leaf(t))
	if resp := call(t, client, server.URL, q.sign()); resp.StatusCode != 401 {
		t.Errorf("another client's token on this connection: %d", resp.StatusCode)
	}
	clk.advance(5*time.Minute + DefaultLeeway)
	if resp := call(t, client, server.URL, token); resp.StatusCode != 401 {
		t.Errorf("after exp: %d", resp.StatusCode)
	}
}
