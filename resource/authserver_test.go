package resource

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// An authServer publishes metadata and keys over real TLS.
type authServer struct {
	*httptest.Server
	issuer string // the URL and a path

	mu       sync.Mutex
	metadata http.HandlerFunc // nil is the right document
	keys     http.HandlerFunc // nil is jwks
	jwks     []byte
	hits     map[string]int
}

func newAuthServer(t *testing.T, path string) *authServer {
	t.Helper()
	s := &authServer{hits: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Server.Close)
	s.issuer = s.URL + path
	s.publish(t, keyOf("es256", jose.ES256, "p256"))
	return s
}

// quiet swallows what the server says of handshakes that are meant to fail.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func (s *authServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.hits[r.URL.Path]++
	metadata, keys, jwks := s.metadata, s.keys, s.jwks
	s.mu.Unlock()
	switch {
	case r.URL.Path == "/keys" && keys != nil:
		keys(w, r)
	case r.URL.Path == "/keys":
		w.Write(jwks)
	case metadata != nil:
		metadata(w, r)
	case r.URL.Path == "/.well-known/oauth-authorization-server"+strings.TrimSuffix(strings.TrimPrefix(s.issuer, s.URL), "/"):
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.issuer, s.URL+"/keys")
	default:
		http.NotFound(w, r)
	}
}

func (s *authServer) publish(tb testing.TB, keys ...testKey) {
	set := []byte(`{"keys":[`)
	for i, k := range keys {
		if i > 0 {
			set = append(set, ',')
		}
		set = append(set, k.jwk(tb, true)...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jwks = append(set, "]}"...)
}

func (s *authServer) answerKeys(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = h
}

func (s *authServer) answerMetadata(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metadata = h
}

// asked is how often a path was asked for.
func (s *authServer) asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[path]
}

// fetches is how often the keys were asked for.
func (s *authServer) fetches() int { return s.asked("/keys") }

func (s *authServer) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// remote are RemoteKeys whose Run waits for tick instead of a timer, and tells
// on waits for how long it would have.
type remote struct {
	*RemoteKeys
	clk   *clock
	waits chan time.Duration
	tick  chan struct{}
}

func newRemote(t *testing.T, s *authServer, change ...func(*RemoteKeysConfig)) *remote {
	t.Helper()
	r := &remote{clk: &clock{}, waits: make(chan time.Duration), tick: make(chan struct{})}
	c := RemoteKeysConfig{Issuer: s.issuer, RootCAs: s.roots(), Now: r.clk.now}
	for _, f := range change {
		f(&c)
	}
	var err error
	if r.RemoteKeys, err = NewRemoteKeys(c); err != nil {
		t.Fatal(err)
	}
	r.sleep = func(ctx context.Context, d time.Duration) error {
		select {
		case r.waits <- d:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-r.tick:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r
}

// run starts Run and returns after its first fetch.
func (r *remote) run(t *testing.T) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return <-r.waits
}

// poll makes Run fetch once more and returns how long it would wait then.
func (r *remote) poll() time.Duration {
	r.tick <- struct{}{}
	return <-r.waits
}

// kids are those of the set that is in use.
func (r *remote) kids(t *testing.T) string {
	t.Helper()
	set := r.current.Load()
	if set == nil {
		return "none"
	}
	return strings.Join(set.KeyIDs(), " ")
}
