package client_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
)

// call is what an API saw of a request.
type call struct {
	path, authorization, body, thumbprint string
	method                                string
	dpop                                  []string
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
	c := call{path: req.URL.Path, authorization: strings.Join(req.Header.Values("Authorization"), ","), body: string(body), proto: req.ProtoMajor, method: req.Method, dpop: req.Header.Values("DPoP")}
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

			// LC-5: nor does it see a token that the caller put there. net/http would
			// pass it on, since the two hosts differ in their port only.
			req := must(http.NewRequest(http.MethodGet, a.URL+"/away", nil))
			req.Header.Set("Authorization", "Bearer of-somebody-else")
			must(hc.Do(req)).Body.Close()
			calls = foreign.seen()
			if got := calls[len(calls)-1]; got.authorization != "" {
				t.Errorf("the other origin saw %q", got.authorization)
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

func TestTransportRequestMadeByHand(t *testing.T) { // http.Transport returns errors, too, and does not panic
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	rt := w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		want   string // empty: sent with the token
	}{
		{"as http.NewRequest makes it", func(*http.Request) {}, ""},
		{"no header", func(r *http.Request) { r.Header = nil }, ""},
		{"no URL", func(r *http.Request) { r.URL = nil }, "no URL"},
		{"no URL and no header", func(r *http.Request) { r.URL, r.Header = nil, nil }, "no URL"},
		{"elsewhere with no header", func(r *http.Request) {
			r.Header = nil
			r.Response = &http.Response{Request: must(http.NewRequest(http.MethodGet, "https://api.example.com/", nil))}
		}, ""},
		{"after a step with no URL", func(r *http.Request) { r.Response = &http.Response{Request: &http.Request{}} }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := &closeCounter{Reader: strings.NewReader("body")}
			req := must(http.NewRequest(http.MethodPost, a.URL, body))
			tt.change(req)
			headerless, before := req.Header == nil, len(a.seen())
			resp, err := rt.RoundTrip(req)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if resp != nil {
				resp.Body.Close()
				calls := a.seen()[before:]
				if withToken := req.Response == nil; len(calls) != 1 || (calls[0].authorization != "") != withToken {
					t.Errorf("the API saw %v, want one request, with a token: %v", calls, withToken)
				}
			}
			if headerless != (req.Header == nil) {
				t.Error("the caller's request was changed")
			}
			w.until("the body is closed", func() bool { return body.closed.Load() > 0 })
		})
	}
}

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
