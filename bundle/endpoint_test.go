package bundle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var loopback = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}

// A site is a TLS server on loopback that remembers what it was asked.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func (s *site) asked() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// newSite serves with a certificate of ca for loopback; change may alter the
// TLS configuration.
func newSite(t *testing.T, ca authority, handler http.HandlerFunc, change func(*tls.Config)) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		handler(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.serverCertificate(t, loopback)}}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ErrorLog = discard()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func rootsOf(ca authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func atEpoch() time.Time { return epoch }

// newEndpoint is an endpoint that trusts ca, at the time of epoch.
func newEndpoint(t *testing.T, ca authority, url string) *Endpoint {
	t.Helper()
	e, err := NewEndpoint(EndpointConfig{URL: url, RootCAs: rootsOf(ca), Now: atEpoch})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// BE-2, FX-3: https, wherever the operator says that it is.
func TestNewEndpointURL(t *testing.T) {
	tests := []struct {
		name, url string
		ok        bool
	}{
		{"BE-2 https", "https://example.com/bundle.json", true},
		{"BE-2 port, path and query", "https://h:8443/x?y", true},
		{"BE-2 no path", "https://h", true},
		{"BE-2 private address", "https://10.0.0.1/", true},
		{"BE-2 IPv6", "https://[::1]:8443/", true},
		{"BE-2 http", "http://example.com/bundle.json", false},
		{"BE-2 no scheme", "example.com/bundle.json", false},
		{"BE-2 spiffe", "spiffe://example.org", false},
		{"BE-2 user", "https://u@h/", false},
		{"BE-2 user and password", "https://u:secret@h/", false},
		{"BE-2 empty user", "https://@h/", false},
		{"BE-2 no host", "https:///x", false},
		{"BE-2 port without host", "https://:8443/x", false},
		{"BE-2 opaque", "https:h/x", false},
		{"BE-2 port too large", "https://h:65536/", false},
		{"BE-2 port zero", "https://h:0/", false},
		{"BE-2 empty", "", false},
		{"BE-2 malformed", "https://h\x7f/", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewEndpoint(EndpointConfig{URL: tt.url})
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), "BE-2") || strings.Contains(err.Error(), "secret")) {
				t.Errorf("text %q", err)
			}
		})
	}
}

func TestNewEndpointProfile(t *testing.T) {
	for name, tt := range map[string]struct {
		profile string
		ok      bool
	}{
		"BE-1 no profile is https_web":    {"", true},
		"BE-3 https_web":                  {"https_web", true},
		"BE-6 https_spiffe without an ID": {"https_spiffe", false},
		"BE-3 another case":               {"HTTPS_WEB", false},
	} {
		_, err := NewEndpoint(EndpointConfig{URL: "https://h/", Profile: tt.profile})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := NewEndpoint(EndpointConfig{URL: "http://h/", Profile: "x"})
	if err == nil || !strings.Contains(err.Error(), "BE-2") || !strings.Contains(err.Error(), "BE-3") {
		t.Errorf("not every fault was reported: %v", err)
	}
}

func TestEndpointAnswers(t *testing.T) {
	ca := newAuthority(t, nil)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			if code != http.StatusNoContent {
				_, _ = w.Write([]byte("{}"))
			}
		}
	}
	sized := func(n int, chunked bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if chunked {
				w.(http.Flusher).Flush()
			} else {
				w.Header().Set("Content-Length", strconv.Itoa(n))
			}
			_, _ = w.Write(make([]byte, n))
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		size    int    // of the document; -1: refused
		text    string // in the refusal
	}{
		{"BE-9 status 200", status(200), 2, ""},
		{"BE-9 status 201", status(201), -1, "status 201"},
		{"BE-9 status 203", status(203), -1, "status 203"},
		{"BE-9 status 204", status(204), -1, "status 204"},
		{"BE-9 status 206", status(206), -1, "status 206"},
		{"BE-9 status 300", status(300), -1, "status 300"},
		{"BE-9 status 304", status(304), -1, "status 304"},
		{"BE-9 status 404", status(404), -1, "status 404"},
		{"BE-9 status 500", status(500), -1, "status 500"},
		{"BE-9 content type of another kind", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("{}"))
		}, 2, ""},
		{"BE-9 exactly 1 MiB", sized(1<<20, false), 1 << 20, ""},
		{"BE-9 1 MiB in chunks", sized(1<<20, true), 1 << 20, ""},
		{"BE-9 one byte more", sized(1<<20+1, false), -1, "1 MiB"},
		{"BE-9 one byte more in chunks", sized(1<<20+1, true), -1, "1 MiB"},
		{"BE-9 5 MiB in chunks", sized(5<<20, true), -1, "1 MiB"},
		{"BE-9 cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{}"))
		}, -1, "unexpected EOF"},
		{"BE-9 header block of 1 MiB", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			_, _ = w.Write([]byte("{}"))
		}, -1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, ca, tt.handler, nil)
			e := newEndpoint(t, ca, s.URL+"/b?token=secret")
			document, err := e.Fetch(t.Context())
			if tt.size < 0 {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Fatalf("error %v, want %q in it", err, tt.text)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("BE-18 the error repeats the query: %v", err)
				}
			} else if err != nil || len(document.Bytes) != tt.size {
				t.Fatalf("%d bytes, error %v", len(document.Bytes), err)
			}
			if !strings.HasPrefix(e.Origin(), s.URL+"/b (") || strings.Contains(e.Origin(), "secret") || document.Local {
				t.Errorf("origin %q, local %v", e.Origin(), document.Local)
			}
		})
	}
}

// BE-9: the ten seconds are for all of it, and a server that dawdles over the
// body gets no more than one that never answers.
func TestEndpointTimeout(t *testing.T) {
	ca := newAuthority(t, nil)
	quick := newSite(t, ca, body("{}"), nil)
	e := newEndpoint(t, ca, quick.URL)
	if e.timeout != 10*time.Second {
		t.Errorf("timeout %v", e.timeout)
	}
	if _, err := e.Fetch(t.Context()); err != nil {
		t.Errorf("a quick server: %v", err)
	}
	for name, handler := range map[string]http.HandlerFunc{
		"BE-9 no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"BE-9 half a body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		e := newEndpoint(t, ca, newSite(t, ca, handler, nil).URL)
		e.timeout = 100 * time.Millisecond
		if _, err := e.Fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndpointTLS(t *testing.T) {
	ca, other := newAuthority(t, nil), newAuthority(t, nil)
	serve := func(signer authority, ips []net.IP, names ...string) func(*tls.Config) {
		return func(c *tls.Config) {
			c.Certificates = []tls.Certificate{signer.serverCertificate(t, ips, names...)}
		}
	}
	tests := []struct {
		name   string
		change func(*tls.Config)
		now    time.Time
		ok     bool
	}{
		{"BE-5 certificate for the host", nil, epoch, true},
		{"BE-5 certificate for another address", serve(ca, []net.IP{net.IPv4(127, 0, 0, 2)}), epoch, false},
		{"BE-5 certificate for a name instead of the address", serve(ca, nil, "example.org"), epoch, false},
		{"BE-5 certificate of another CA", serve(other, loopback), epoch, false},
		{"BE-5 certificate expired", nil, epoch.Add(25 * time.Hour), false},
		{"BE-5 certificate not yet valid", nil, epoch.Add(-2 * time.Hour), false},
		{"BE-5 TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, epoch, true},
		{"BE-5 TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, epoch, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, ca, body("{}"), tt.change)
			e, err := NewEndpoint(EndpointConfig{URL: s.URL, RootCAs: rootsOf(ca), Now: func() time.Time { return tt.now }})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = e.Fetch(t.Context()); (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if asked := len(s.asked()); !tt.ok && asked != 0 {
				t.Errorf("%d requests reached a server that was not trusted", asked)
			}
		})
	}
	t.Run("BE-5 the system's roots do not know the test CA", func(t *testing.T) {
		s := newSite(t, ca, body("{}"), nil)
		e, err := NewEndpoint(EndpointConfig{URL: s.URL, Now: atEpoch})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Fetch(t.Context()); err == nil {
			t.Error("accepted")
		}
	})
}

// BE-5: the endpoint learns nothing of who asks.
func TestEndpointShowsNothing(t *testing.T) {
	ca := newAuthority(t, nil)
	s := newSite(t, ca, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "1", Path: "/"})
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	}, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	e := newEndpoint(t, ca, s.URL+"/?q=secret")
	for range 2 {
		if _, err := e.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	requests := s.asked()
	if len(requests) != 4 {
		t.Fatalf("%d requests", len(requests))
	}
	if requests[0].URL.RawQuery != "q=secret" {
		t.Errorf("BE-2 the query was not sent: %v", requests[0].URL)
	}
	for _, r := range requests {
		if r.Method != http.MethodGet || r.Header.Get("Accept") != "application/json" {
			t.Errorf("BE-9 %s, Accept %q", r.Method, r.Header.Get("Accept"))
		}
		if len(r.TLS.PeerCertificates) != 0 || r.TLS.DidResume {
			t.Errorf("BE-5 a client certificate or a resumed session")
		}
		for _, header := range []string{"Authorization", "Cookie", "Referer", "Accept-Encoding"} {
			if r.Header.Get(header) != "" {
				t.Errorf("BE-5, BE-9 the request has %s", header)
			}
		}
	}
	if transport := e.newClient(nil).Transport.(*http.Transport); transport.Proxy != nil {
		t.Error("a proxy could be asked")
	}
}

func TestEndpointRedirects(t *testing.T) {
	ca, other := newAuthority(t, nil), newAuthority(t, nil)
	target := newSite(t, ca, body(`{"target":1}`), nil)
	untrusted := newSite(t, other, body(`{}`), nil)
	misnamed := newSite(t, ca, body(`{}`), func(c *tls.Config) {
		c.Certificates = []tls.Certificate{ca.serverCertificate(t, nil, "example.org")}
	})
	plain := &site{Server: httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("BE-10 a request without TLS")
	}))}
	t.Cleanup(plain.Close)
	withUser := strings.Replace(target.URL, "https://", "https://u@", 1)

	tests := []struct {
		name     string
		status   int
		location string
		ok       bool
	}{
		{"BE-10 301 to https", 301, target.URL + "/b", true},
		{"BE-10 302 to https", 302, target.URL + "/b", true},
		{"BE-10 303 to https", 303, target.URL + "/b", true},
		{"BE-10 307 to https", 307, target.URL + "/b", true},
		{"BE-10 308 to https", 308, target.URL + "/b", true},
		{"BE-10 with a query and a fragment", 302, target.URL + "/b?secret#f", true},
		{"BE-10 without a scheme", 302, strings.TrimPrefix(target.URL, "https:"), true},
		{"BE-10 to http", 302, plain.URL, false},
		{"BE-10 to user information", 302, withUser, false},
		{"BE-10 to no host", 302, "https:///b", false},
		{"BE-10 to a malformed URL", 302, "https://h:x/", false},
		{"BE-10 to nowhere", 302, "", false},
		{"BE-10 to a certificate of another CA", 302, untrusted.URL, false},
		{"BE-10 to a certificate for another name", 302, misnamed.URL, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := newSite(t, ca, func(w http.ResponseWriter, _ *http.Request) {
				if tt.location != "" {
					w.Header().Set("Location", tt.location)
				}
				w.WriteHeader(tt.status)
			}, nil)
			document, err := newEndpoint(t, ca, from.URL).Fetch(t.Context())
			if !tt.ok {
				if err == nil {
					t.Fatal("accepted")
				}
				return
			}
			if err != nil || string(document.Bytes) != `{"target":1}` {
				t.Fatalf("%q, %v", document.Bytes, err)
			}
			if len(document.Redirects) != 1 || !strings.HasPrefix(document.Redirects[0], target.URL) || strings.Contains(document.Redirects[0], "secret") {
				t.Errorf("BE-18 redirects %q", document.Redirects)
			}
		})
	}
	if n := len(untrusted.asked()) + len(misnamed.asked()); n != 0 {
		t.Errorf("BE-10 %d requests reached servers that were not trusted", n)
	}
}

func TestEndpointRedirectCount(t *testing.T) {
	ca := newAuthority(t, nil)
	// The path says how many redirects are still to come.
	s := newSite(t, ca, func(w http.ResponseWriter, r *http.Request) {
		if n, _ := strconv.Atoi(r.URL.Path[1:]); n > 0 {
			http.Redirect(w, r, "/"+strconv.Itoa(n-1), http.StatusFound)
		}
	}, nil)
	for name, tt := range map[string]struct {
		path     string
		forbid   bool
		ok       bool
		requests int
	}{
		"BE-12 five redirects":           {"/5", false, true, 6},
		"BE-12 six redirects":            {"/6", false, false, 6},
		"BE-12 for ever":                 {"/1000000", false, false, 6},
		"BE-12 none, forbidden":          {"/0", true, true, 1},
		"BE-12 one redirect, forbidden":  {"/1", true, false, 1},
		"BE-12 one redirect, if allowed": {"/1", false, true, 2},
	} {
		e, err := NewEndpoint(EndpointConfig{URL: s.URL + tt.path, RootCAs: rootsOf(ca), Now: atEpoch, ForbidRedirects: tt.forbid})
		if err != nil {
			t.Fatal(err)
		}
		before := len(s.asked())
		if _, err = e.Fetch(t.Context()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(s.asked()) - before; n != tt.requests {
			t.Errorf("%s: %d requests, want %d", name, n, tt.requests)
		}
	}
}

// BE-11: even a permanent redirect is good for one fetch only.
func TestEndpointBE11StartsAnew(t *testing.T) {
	ca := newAuthority(t, nil)
	s := newSite(t, ca, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
		}
	}, nil)
	e := newEndpoint(t, ca, s.URL+"/old")
	for range 2 {
		if _, err := e.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	for _, r := range s.asked() {
		paths = append(paths, r.URL.Path)
	}
	if got := strings.Join(paths, " "); got != "/old /new /old /new" {
		t.Errorf("asked for %s", got)
	}
}

// What a peer writes into its certificate comes out in the error, made clean.
func TestEndpointErrorIsClean(t *testing.T) {
	ca := newAuthority(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert := ca.serverCertificate(t, loopback)
	listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}})
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte("HTTP/1.1 evil\x1b[31m\"line\r\n\r\n"))
			conn.Close()
		}
	}()
	_, err = newEndpoint(t, ca, "https://"+listener.Addr().String()).Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "evil") {
		t.Fatalf("the peer's bytes are not in the error, so nothing was tested: %v", err)
	}
	if strings.ContainsAny(err.Error(), "\x1b\n\"") {
		t.Errorf("AK-31 unclean text %q", err)
	}
}

// serveFrom answers with what the channel holds, and leaves it there.
func serveFrom(served chan []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		document := <-served
		served <- document
		_, _ = w.Write(document)
	}
}
