package client_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

// clock is injected everywhere and stands still, so that an hour costs nothing and
// a slow machine changes nothing.
type clock struct {
	start  time.Time
	offset atomic.Int64
}

func (c *clock) now() time.Time          { return c.start.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// world is a trust domain, a stand-in for the Web PKI, and the edge of an
// authorization server that writes down what it is sent.
type world struct {
	testing.TB
	clock
	authority *devca.Authority
	webCA     *devca.ServerCA
	jwt       *jwtSource
	x509      *x509Source
	wit       *witSource
	edge      *edge
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t}
	w.start = time.Now()
	w.authority = must(devca.New("example.org", devca.Options{Now: w.now, JWTLifetime: time.Hour, WIT: true}))
	w.webCA = must(devca.NewServerCA(w.now))
	w.jwt = &jwtSource{world: w, path: "/billing"}
	w.x509 = &x509Source{world: w, path: "/billing"}
	w.x509.rotate()
	w.wit = &witSource{world: w, path: "/billing"}
	w.wit.rotate()
	w.edge = newEdge(w, must(w.webCA.Certificate("127.0.0.1")))
	return w
}

// must is for what cannot fail in a test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (w *world) config(credentials ...client.Credential) client.Config {
	return client.Config{Issuer: w.edge.issuer, Credentials: credentials, RootCAs: w.webCA.Pool(), Now: w.now}
}

func (w *world) client(config client.Config) *client.Client {
	w.Helper()
	c, err := client.New(context.Background(), config)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) token(c *client.Client, request client.Request) *client.Token {
	w.Helper()
	token, err := c.Token(context.Background(), request)
	if err != nil {
		w.Fatal(err)
	}
	return token
}

// until waits for what happens on another goroutine.
func (w *world) until(what string, done func() bool) {
	w.Helper()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-deadline:
			w.Fatalf("waited in vain until %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

type jwtSource struct {
	*world
	path  string
	calls atomic.Int64
	fail  atomic.Bool
}

func (s *jwtSource) FetchJWTSVID(_ context.Context, audience string) (string, error) {
	s.calls.Add(1)
	if s.fail.Load() {
		return "", fmt.Errorf("no identity issued")
	}
	return s.authority.JWTSVID(s.path, []string{audience})
}

type x509Source struct {
	*world
	path string
	svid atomic.Pointer[x509svid.SVID]
}

func (s *x509Source) GetX509SVID() (*x509svid.SVID, error) {
	if svid := s.svid.Load(); svid != nil {
		return svid, nil
	}
	return nil, fmt.Errorf("no identity issued")
}

// rotate issues the next SVID and returns its thumbprint.
func (s *x509Source) rotate() string {
	made := must(s.authority.X509SVID(s.path))
	s.svid.Store(must(x509svid.ParseRaw(made.ChainDER(), must(made.KeyDER()))))
	return thumbprint(made.Leaf().Raw)
}

func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}

type witSource struct {
	*world
	path string
	mu   sync.Mutex
	held *held
}

// held is a WIT-SVID with its key.
type held struct {
	token string
	key   crypto.Signer
	jkt   string
}

func (s *witSource) GetWITSVID() (string, crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return "", nil, fmt.Errorf("no identity issued")
	}
	return s.held.token, s.held.key, nil
}

// rotate issues the next WIT-SVID and returns the thumbprint of its key.
func (s *witSource) rotate(mutate ...func(header, claims map[string]any)) string {
	key := must(devca.GenerateKey(devca.P256))
	h := &held{must(s.authority.WITSVID(s.path, key.Public(), mutate...)), key, must(jose.Thumbprint(key.Public()))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
	return h.jkt
}

func (s *witSource) withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
}

// captured is a token request as it came.
type captured struct {
	raw        string
	form       url.Values
	header     http.Header
	mtls       bool   // came in at the listener that asks for a certificate
	thumbprint string // of the certificate, if one was shown
	connection string
}

// reply is what the edge answers; the zero reply is a token.
type reply struct {
	status int
	header map[string]string
	body   string
	hangUp bool // break the connection
}

type edge struct {
	*world
	issuer       string
	tokenURL     string
	mtlsTokenURL string
	public, mtls *httptest.Server

	mu       sync.Mutex
	document map[string]any
	answer   func(n int, r captured) reply
	requests []captured
	metadata []string        // the paths it was read at
	conns    map[string]bool // by remote address, while open
}

func newEdge(w *world, certificate tls.Certificate) *edge {
	e := &edge{world: w, conns: map[string]bool{}, answer: func(int, captured) reply { return reply{} }}
	e.public = serve(w, http.HandlerFunc(e.handle), certificate, tls.NoClientCert, e.follow)
	e.mtls = serve(w, http.HandlerFunc(e.handle), certificate, tls.RequestClientCert, e.follow)
	e.issuer = e.public.URL
	e.tokenURL, e.mtlsTokenURL = e.public.URL+"/token", e.mtls.URL+"/token"
	e.document = map[string]any{
		"issuer":                                e.issuer,
		"token_endpoint":                        e.tokenURL,
		"mtls_endpoint_aliases":                 map[string]any{"token_endpoint": e.mtlsTokenURL},
		"token_endpoint_auth_methods_supported": []string{"spiffe_jwt", "spiffe_x509"},
		"grant_types_supported":                 []string{"client_credentials"},
	}
	return e
}

func serve(t testing.TB, handler http.Handler, certificate tls.Certificate, auth tls.ClientAuthType, state ...func(net.Conn, http.ConnState)) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	for _, f := range state {
		s.Config.ConnState = f
	}
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: auth}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (e *edge) handle(rw http.ResponseWriter, req *http.Request) {
	if strings.HasPrefix(req.URL.Path, "/.well-known/oauth-authorization-server") {
		e.mu.Lock()
		e.metadata = append(e.metadata, req.URL.Path)
		body := must(json.Marshal(e.document))
		e.mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		rw.Write(body)
		return
	}
	raw := must(io.ReadAll(io.LimitReader(req.Body, 1<<20)))
	r := captured{
		raw: string(raw), form: must(url.ParseQuery(string(raw))), header: req.Header,
		mtls: "https://"+req.Host == e.mtls.URL, connection: req.RemoteAddr,
	}
	if len(req.TLS.PeerCertificates) > 0 {
		r.thumbprint = thumbprint(req.TLS.PeerCertificates[0].Raw)
	}
	e.mu.Lock()
	e.requests = append(e.requests, r)
	n, answer := len(e.requests), e.answer
	e.mu.Unlock()

	a := answer(n, r)
	if a.hangUp {
		panic(http.ErrAbortHandler)
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Request-Id", fmt.Sprintf("req-%d", n))
	for name, value := range a.header {
		rw.Header().Set(name, value)
	}
	if a.status == 0 {
		a.status = http.StatusOK
		a.body = fmt.Sprintf(`{"access_token":"token-%d-%s","token_type":"Bearer","expires_in":300,"scope":"read"}`, n, r.thumbprint)
	}
	rw.WriteHeader(a.status)
	io.WriteString(rw, a.body)
}

func (e *edge) follow(c net.Conn, state http.ConnState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch state {
	case http.StateNew:
		e.conns[c.RemoteAddr().String()] = true
	case http.StateClosed:
		delete(e.conns, c.RemoteAddr().String())
	}
}

// open reports whether a connection is.
func (e *edge) open(remote string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conns[remote]
}

func (e *edge) answers(f func(n int, r captured) reply) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = f
}

func (e *edge) publishes(name string, value any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if value == nil {
		delete(e.document, name)
		return
	}
	e.document[name] = value
}

func (e *edge) seen() []captured {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]captured(nil), e.requests...)
}

func (e *edge) metadataReads() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.metadata...)
}

func (e *edge) last() captured {
	e.Helper()
	seen := e.seen()
	if len(seen) == 0 {
		e.Fatal("the server saw no token request")
	}
	return seen[len(seen)-1]
}
