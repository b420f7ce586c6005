package client_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/oauth"
)

// call is what an API saw of a request.
type call struct {
	path, authorization, body, thumbprint string
	proto                                 int
}

type api struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []call
	handle func(n int, c call, rw http.ResponseWriter) // nil: 200
}

func newAPI(w *world, auth tls.ClientAuthType) *api {
	w.Helper()
	a := &api{}
	a.Server = serve(w, a, must(w.webCA.Certificate("127.0.0.1")), auth)
	return a
}

func (a *api) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return
	}
	c := call{path: req.URL.Path, authorization: strings.Join(req.Header.Values("Authorization"), ","), body: string(body), proto: req.ProtoMajor}
	if len(req.TLS.PeerCertificates) > 0 {
		c.thumbprint = thumbprint(req.TLS.PeerCertificates[0].Raw)
	}
	a.mu.Lock()
	a.calls = append(a.calls, c)
	n, handle := len(a.calls), a.handle
	a.mu.Unlock()
	if handle != nil {
		handle(n, c, rw)
	}
}

func (a *api) handles(f func(n int, c call, rw http.ResponseWriter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handle = f
}

func (a *api) seen() []call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]call(nil), a.calls...)
}

func refuse(rw http.ResponseWriter) {
	rw.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
	rw.WriteHeader(http.StatusUnauthorized)
}

// base is the transport of an application: it trusts the test's Web PKI.
func (w *world) base() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.webCA.Pool(), Time: w.now}}
}

func (w *world) do(hc *http.Client, method, url, body string) (*http.Response, error) {
	w.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, nil
}

func (w *world) get(hc *http.Client, url string) int {
	w.Helper()
	resp, err := w.do(hc, http.MethodGet, url, "")
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode
}

func TestTransportAddsTheToken(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL + "/v1", Scope: "read"})}
	req := must(http.NewRequest(http.MethodGet, a.URL+"/v1/things", nil))
	req.Header.Set("Authorization", "Bearer of-somebody-else") // LC-5
	req.Header.Set("X-Kept", "1")
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := a.seen()[0].authorization; got != "Bearer token-1-" {
		t.Errorf("the API saw %q", got)
	}
	if got := req.Header.Get("Authorization"); got != "Bearer of-somebody-else" {
		t.Errorf("the caller's request was changed: %q", got)
	}
	if resp.Request.Header.Get("Authorization") == "Bearer token-1-" {
		t.Error("the answer carries the token back to the application")
	}
	if r := w.edge.last(); r.form.Get("resource") != a.URL+"/v1" || r.form.Get("scope") != "read" {
		t.Errorf("asked for %v", r.form)
	}
}

func TestRedirectDoesNotLeakTheToken(t *testing.T) { // LC-4, PR-4
	w := newWorld(t)
	a, foreign := newAPI(w, tls.NoClientCert), newAPI(w, tls.RequestClientCert)
	target := foreign.URL
	a.handles(func(_ int, c call, rw http.ResponseWriter) {
		switch c.path {
		case "/same":
			rw.Header().Set("Location", "/end")
		case "/away":
			rw.Header().Set("Location", target)
		default:
			return
		}
		rw.WriteHeader(http.StatusTemporaryRedirect)
	})
	for name, credential := range map[string]client.Credential{"JWT": client.JWTSVID(w.jwt), "X.509": client.X509SVID(w.x509)} {
		t.Run(name, func(t *testing.T) {
			c := w.client(w.config(credential))
			hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
			before := len(a.seen())
			if got := w.get(hc, a.URL+"/same"); got != 200 {
				t.Fatalf("status %d", got)
			}
			for _, c := range a.seen()[before:] {
				if !strings.HasPrefix(c.authorization, "Bearer token-") {
					t.Errorf("same origin: %s came without the token", c.path)
				}
			}
			if got := w.get(hc, a.URL+"/away"); got != 200 {
				t.Fatalf("status %d", got)
			}
			calls := foreign.seen()
			if got := calls[len(calls)-1]; got.authorization != "" || got.thumbprint != "" {
				t.Errorf("the other origin saw %q and certificate %q", got.authorization, got.thumbprint)
			}

			// Away and back: the target at the API was chosen by a stranger.
			foreign.handles(func(_ int, _ call, rw http.ResponseWriter) {
				rw.Header().Set("Location", a.URL+"/delete-everything")
				rw.WriteHeader(http.StatusTemporaryRedirect)
			})
			defer foreign.handles(nil)
			w.get(hc, a.URL+"/away")
			calls = a.seen()
			if got := calls[len(calls)-1]; got.path != "/delete-everything" || got.authorization != "" {
				t.Errorf("back at the API: %s with %q", got.path, got.authorization)
			}
		})
	}
}

func TestTransportOrigins(t *testing.T) { // LC-4
	w := newWorld(t)
	a, other := newAPI(w, tls.NoClientCert), newAPI(w, tls.NoClientCert)
	plain := httptest.NewServer(a)
	defer plain.Close()
	port := a.URL[strings.LastIndex(a.URL, ":"):]
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	for _, tt := range []struct {
		name     string
		resource string
		more     []string
		url      string
		want     string // empty: sent with the token
	}{
		{"the resource's origin", a.URL + "/v1", nil, a.URL + "/v2", ""},
		{"an origin named besides", "https://api.example.com/", []string{a.URL}, a.URL, ""},
		{"an origin with a slash", "https://api.example.com/", []string{a.URL + "/"}, a.URL, ""},
		{"a resource that is no URL of a host", "spiffe://example.org/api", []string{a.URL}, a.URL, ""},
		{"the server's default resource", "", []string{a.URL}, a.URL, ""},
		{"another port", a.URL, nil, other.URL, "LC-4"},
		{"another host", a.URL, nil, "https://localhost" + port, "LC-4"},
		{"plain http", plain.URL, []string{a.URL}, plain.URL, "LC-4"},
		{"plain http named", a.URL, []string{plain.URL}, a.URL, "https URL"},
		{"an origin with a path", a.URL, []string{a.URL + "/v1"}, a.URL, "nothing more"},
		{"an origin with a user", a.URL, []string{"https://u@127.0.0.1"}, a.URL, "nothing more"},
		{"no origin at all", "spiffe://example.org/api", nil, a.URL, "name the origins"},
		{"a malformed resource", "/api", []string{a.URL}, a.URL, "RFC 8707"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: tt.resource}, tt.more...)}
			before := len(a.seen()) + len(other.seen())
			_, err := w.do(hc, http.MethodPost, tt.url, "body")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if sent := len(a.seen()) + len(other.seen()) - before; (sent == 1) != (err == nil) {
				t.Errorf("%d requests were sent", sent)
			}
		})
	}
}

func TestOriginOfDefaultPortAndCase(t *testing.T) { // no network: refused or not before anything is sent
	w := newWorld(t)
	c := w.client(w.config(client.JWTSVID(w.jwt)))
	sent := errors.New("sent")
	for url, want := range map[string]bool{
		"https://api.example.com/x":     true,
		"https://api.example.com:443/x": true,
		"https://API.example.COM/x":     true,
		"https://api.example.com:444/x": false,
		"https://api.example.com./x":    false,
		"https://xapi.example.com/x":    false,
		"https://api.example.com.evil/": false,
		"http://api.example.com/x":      false,
		"http://api.example.com:443/x":  false,
	} {
		rt := c.Transport(roundTripper(func(req *http.Request) (*http.Response, error) { return nil, sent }), client.Request{Resource: "https://api.example.com/"})
		_, err := rt.RoundTrip(must(http.NewRequest(http.MethodGet, url, nil)))
		if errors.Is(err, sent) != want {
			t.Errorf("%s: got %v, want sent: %v", url, err, want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// closeCounter is a body that knows whether it was closed.
type closeCounter struct {
	io.Reader
	closed atomic.Int64
}

func (c *closeCounter) Close() error { c.closed.Add(1); return nil }

func TestTransportClosesTheBody(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	good := w.client(w.config(client.JWTSVID(w.jwt)))
	failing := w.client(w.config(client.JWTSVID(w.jwt)))
	for name, tt := range map[string]struct {
		client  *client.Client
		request client.Request
		url     string
		prepare func()
	}{
		"sent":            {good, client.Request{Resource: a.URL}, a.URL, func() {}},
		"no token":        {failing, client.Request{Resource: a.URL}, a.URL, func() { w.edge.answers(func(int, captured) reply { return reply{status: 500} }) }},
		"another origin":  {good, client.Request{Resource: a.URL}, "https://api.example.com", func() {}},
		"bad resource":    {good, client.Request{Resource: "/x"}, a.URL, func() {}},
		"connection lost": {good, client.Request{Resource: "https://127.0.0.1:1"}, "https://127.0.0.1:1", func() {}},
	} {
		w.edge.answers(func(int, captured) reply { return reply{} })
		w.advance(time.Minute)
		w.token(good, client.Request{Resource: a.URL})
		tt.prepare()
		body := &closeCounter{Reader: strings.NewReader("body")}
		req := must(http.NewRequest(http.MethodPost, tt.url, body))
		resp, err := tt.client.Transport(w.base(), tt.request).RoundTrip(req)
		if (err == nil) != (name == "sent") {
			t.Errorf("%s: got %v", name, err)
		}
		if resp != nil {
			resp.Body.Close()
		}
		w.until(name+": the body is closed", func() bool { return body.closed.Load() > 0 })
	}
}

func TestInvalidTokenIsTriedOnceMore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  func(n int, rw http.ResponseWriter)
		body    func(req *http.Request)
		status  int
		calls   int
		renewed bool
	}{
		{"accepted the second time", func(n int, rw http.ResponseWriter) {
			if n == 1 {
				refuse(rw)
			}
		}, nil, 200, 2, true},
		{"refused twice", func(_ int, rw http.ResponseWriter) { refuse(rw) }, nil, 401, 2, true},
		{"a body that can be sent again", func(n int, rw http.ResponseWriter) {
			if n == 1 {
				refuse(rw)
			}
		}, func(req *http.Request) {
			req.Body = io.NopCloser(strings.NewReader("body"))
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
		}, 200, 2, true},
		{"a body that cannot", func(n int, rw http.ResponseWriter) {
			if n == 1 {
				refuse(rw)
			}
		}, func(req *http.Request) { req.Body = io.NopCloser(strings.NewReader("body")) }, 401, 1, false},
		{"a body that fails the second time", func(n int, rw http.ResponseWriter) { refuse(rw) }, func(req *http.Request) {
			req.Body = io.NopCloser(strings.NewReader("body"))
			req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}, 401, 1, true},
		{"another error", func(_ int, rw http.ResponseWriter) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
			rw.WriteHeader(401)
		}, nil, 401, 1, false},
		{"another status", func(_ int, rw http.ResponseWriter) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.WriteHeader(403)
		}, nil, 403, 1, false},
		{"401 without a challenge", func(_ int, rw http.ResponseWriter) { rw.WriteHeader(401) }, nil, 401, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			a := newAPI(w, tls.NoClientCert)
			a.handles(func(n int, _ call, rw http.ResponseWriter) { tt.answer(n, rw) })
			rt := w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})
			req := must(http.NewRequest(http.MethodPost, a.URL, nil))
			if tt.body != nil {
				tt.body(req)
			}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // must be readable, whichever of the two it is
			resp.Body.Close()
			calls := a.seen()
			if resp.StatusCode != tt.status || len(calls) != tt.calls {
				t.Fatalf("status %d after %d calls, want %d after %d", resp.StatusCode, len(calls), tt.status, tt.calls)
			}
			if renewed := len(w.edge.seen()) == 2; renewed != tt.renewed {
				t.Errorf("%d token requests", len(w.edge.seen()))
			}
			if tt.calls == 2 && (calls[0].authorization == calls[1].authorization || calls[0].body != calls[1].body) {
				t.Errorf("second attempt %+v after %+v", calls[1], calls[0])
			}
		})
	}
}

func TestAPIThatRefusesEverythingIsNoStorm(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	a.handles(func(_ int, _ call, rw http.ResponseWriter) { refuse(rw) })
	hc := &http.Client{Transport: w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := w.get(hc, a.URL); got != 401 {
				t.Errorf("status %d", got)
			}
		})
	}
	wg.Wait()
	if n := len(w.edge.seen()); n > 2 {
		t.Errorf("%d token requests for an API that refuses every token, want 2", n)
	}
}

func TestTransportAnswersWith401WhenTheServerIsDown(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	hc := &http.Client{Transport: w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})}
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatal(got)
	}
	a.handles(func(_ int, _ call, rw http.ResponseWriter) { refuse(rw) })
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	if got := w.get(hc, a.URL); got != 401 {
		t.Fatalf("status %d, want the API's own 401", got)
	}
	a.handles(nil)
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatalf("status %d: the token was thrown away on one API's word", got)
	}
}

// bound makes an API check that the token belongs to the certificate, as one bound
// by x5t#S256 would. The edge writes the thumbprint into its tokens.
func bound(a *api) {
	a.handles(func(_ int, c call, rw http.ResponseWriter) {
		if c.thumbprint == "" || !strings.HasSuffix(c.authorization, "-"+c.thumbprint) {
			refuse(rw)
		}
	})
}

func TestRotationUnderLoad(t *testing.T) { // F23, MT-4
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", http2), func(t *testing.T) {
			w := newWorld(t)
			a := &api{}
			a.Server = httptest.NewUnstartedServer(a)
			a.Config.ErrorLog = log.New(io.Discard, "", 0)
			a.EnableHTTP2 = http2
			a.TLS = &tls.Config{Certificates: []tls.Certificate{must(w.webCA.Certificate("127.0.0.1"))}, ClientAuth: tls.RequestClientCert}
			a.StartTLS()
			defer a.Close()
			bound(a)
			base := w.base()
			base.ForceAttemptHTTP2 = http2
			c := w.client(w.config(client.X509SVID(w.x509)))
			hc := &http.Client{Transport: c.Transport(base, client.Request{Resource: a.URL})}
			var wg sync.WaitGroup
			var served atomic.Int64
			stop := make(chan struct{})
			for range 8 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if got := w.get(hc, a.URL); got != 200 {
							t.Errorf("F23: the application saw %d", got)
							return
						}
						served.Add(1)
					}
				})
			}
			for range 15 {
				before := served.Load()
				w.x509.rotate()
				w.until("requests went on after the rotation", func() bool { return served.Load() > before+40 || t.Failed() })
			}
			close(stop)
			wg.Wait()
			var thumbprints = map[string]bool{}
			for i, c := range a.seen() {
				if http2 != (c.proto == 2) {
					t.Fatalf("call %d came in HTTP/%d", i, c.proto)
				}
				if !strings.HasSuffix(c.authorization, "-"+c.thumbprint) {
					t.Fatalf("MT-4: call %d mixed token and certificate", i)
				}
				thumbprints[c.thumbprint] = true
			}
			if len(thumbprints) < 10 {
				t.Errorf("only %d certificates were used in 16", len(thumbprints))
			}
		})
	}
}

func TestRotationWhileTheServerIsDown(t *testing.T) { // LD-5, MT-4c
	w := newWorld(t)
	a := newAPI(w, tls.RequestClientCert)
	bound(a)
	c := w.client(w.config(client.X509SVID(w.x509)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatal(got)
	}
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	w.x509.rotate()
	for range 28 {
		w.advance(10 * time.Second)
		if got := w.get(hc, a.URL); got != 200 {
			t.Fatalf("status %d: the old token with its certificate still lives", got)
		}
	}
	w.edge.answers(func(int, captured) reply { return reply{} })
	w.until("a new token is there", func() bool {
		w.advance(40 * time.Second) // the old token has ended, the back-off is over
		_, err := w.do(hc, http.MethodGet, a.URL, "")
		return err == nil
	})
	calls := a.seen()
	if calls[0].thumbprint == calls[len(calls)-1].thumbprint {
		t.Error("the new certificate was never used")
	}
}

func TestAnotherIdentityUsesNothingOfTheOld(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.RequestClientCert)
	c := w.client(w.config(client.X509SVID(w.x509)))
	hc := &http.Client{Transport: c.Transport(w.base(), client.Request{Resource: a.URL})}
	w.get(hc, a.URL)
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	w.x509.path = "/other"
	w.x509.rotate()
	if resp, err := w.do(hc, http.MethodGet, a.URL, ""); !errors.Is(err, oauth.Unavailable) {
		t.Fatalf("got %v, %v: a token of another workload was used", resp, err)
	}
}

func TestForeignTransportsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.RequestClientCert)
	bound(a)
	c := w.client(w.config(client.X509SVID(w.x509)))
	withConfig := func() *http.Transport {
		config := c.TLSConfig()
		config.RootCAs = w.webCA.Pool()
		return &http.Transport{TLSClientConfig: config}
	}
	for name, base := range map[string]http.RoundTripper{
		"TLSConfig":  withConfig(),
		"wrapped":    roundTripper(withConfig().RoundTrip),
		"own dialer": &http.Transport{DialTLSContext: (&tls.Dialer{Config: withConfig().TLSClientConfig, NetDialer: &net.Dialer{}}).DialContext},
	} {
		t.Run(name, func(t *testing.T) {
			hc := &http.Client{Transport: c.Transport(base, client.Request{Resource: a.URL})}
			before := len(a.seen())
			for range 3 {
				if got := w.get(hc, a.URL); got != 200 {
					t.Fatalf("status %d", got)
				}
				if name == "TLSConfig" { // its idle connections can be closed
					w.x509.rotate()
				}
			}
			hc.CloseIdleConnections()
			if calls := a.seen()[before:]; len(calls) != 3 {
				t.Errorf("%d calls, want 3 without a retry", len(calls))
			}
		})
	}
}

func TestTLSConfigWithoutX509SVID(t *testing.T) {
	w := newWorld(t)
	if config := w.client(w.config(client.JWTSVID(w.jwt))).TLSConfig(); config.GetClientCertificate != nil || config.MinVersion != tls.VersionTLS12 {
		t.Error("a certificate out of nowhere")
	}
	c := w.client(w.config(client.X509SVID(w.x509)))
	first := must(c.TLSConfig().GetClientCertificate(nil))
	w.x509.rotate()
	if second := must(c.TLSConfig().GetClientCertificate(nil)); second.Leaf.Equal(first.Leaf) {
		t.Error("the certificate of before the rotation")
	}
	w.x509.svid.Store(nil)
	if _, err := c.TLSConfig().GetClientCertificate(nil); err == nil {
		t.Error("CL-4: an SVID that was withdrawn is still shown")
	}
}

func TestNilBase(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	hc := &http.Client{Transport: w.client(w.config(client.X509SVID(w.x509))).Transport(nil, client.Request{Resource: a.URL})}
	if _, err := w.do(hc, http.MethodGet, a.URL, ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("got %v: the system's roots know nothing of the test's CA", err)
	}
	if len(a.seen()) != 0 {
		t.Error("the token went to a server that was not verified")
	}
}
