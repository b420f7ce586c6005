package workloadapi

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

const patience = 20 * time.Second

var exampleOrg = spiffeid.RequireTrustDomainFromString("example.org")

// said is what an agent says.
type said struct {
	x509, jwt       map[string][]byte
	x509Err, jwtErr error // instead, also in streams that are open; io.EOF ends one in good order
	once            bool  // end each stream after an answer
}

// An agent is a Workload API that says what a test wants, over real gRPC. For
// all that an ordinary one says there is internal/devdomain.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer

	mu      sync.Mutex
	said    said
	updated chan struct{}
	asked   int // streams that were opened
	cuts    int
}

func newAgent(says said) *agent { return &agent{said: says, updated: make(chan struct{})} }

func (a *agent) say(says said) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = says
	close(a.updated)
	a.updated = make(chan struct{})
}

// cut ends every stream that is open, and no later one.
func (a *agent) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cuts++
	close(a.updated)
	a.updated = make(chan struct{})
}

func (a *agent) streams() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *agent) stream(ctx context.Context, send func(said) error) error {
	if md, _ := metadata.FromIncomingContext(ctx); !slices.Equal(md.Get("workload.spiffe.io"), []string{"true"}) || len(md.Get("authorization")) > 0 {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	a.mu.Lock()
	a.asked++
	cuts := a.cuts
	a.mu.Unlock()
	for {
		a.mu.Lock()
		says, updated, over := a.said, a.updated, a.cuts > cuts
		a.mu.Unlock()
		if over {
			return nil
		}
		if err := send(says); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if says.once {
			return nil
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-updated:
		}
	}
}

func (a *agent) FetchX509Bundles(_ *workload.X509BundlesRequest, ss grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return a.stream(ss.Context(), func(s said) error {
		if s.x509Err != nil {
			return s.x509Err
		}
		return ss.Send(&workload.X509BundlesResponse{Bundles: s.x509})
	})
}

func (a *agent) FetchJWTBundles(_ *workload.JWTBundlesRequest, ss grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return a.stream(ss.Context(), func(s said) error {
		if s.jwtErr != nil {
			return s.jwtErr
		}
		return ss.Send(&workload.JWTBundlesResponse{Bundles: s.jwt})
	})
}

// serve lets the agent answer at l until the test ends or stop is called.
func (a *agent) serve(t *testing.T, l net.Listener) (stop func()) {
	t.Helper()
	s := grpc.NewServer(grpc.WaitForHandlers(true))
	workload.RegisterSpiffeWorkloadAPIServer(s, a)
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		s.Stop()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// socketPath is in a folder of its own: a socket's name has its limit.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "api.sock")
}

// start is the address of an agent that says this.
func start(t *testing.T, says said) string {
	t.Helper()
	path := socketPath(t)
	newAgent(says).serve(t, listen(t, path))
	return "unix://" + path
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newSource(t *testing.T, config Config) *Source {
	t.Helper()
	if config.TrustDomain.IsZero() {
		config.TrustDomain = exampleOrg
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fetch returns the document and what a server takes of it.
func fetch(t *testing.T, s *Source) ([]byte, *bundle.Snapshot) {
	t.Helper()
	document, err := s.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if document.Local {
		t.Error("BU-14 the document counts as one that the operator keeps")
	}
	return document.Bytes, parse(t, s.td, document.Bytes)
}

func parse(t testing.TB, td spiffeid.TrustDomain, document []byte) *bundle.Snapshot {
	t.Helper()
	snapshot, err := bundle.Parse(td, document, time.Now())
	if err != nil {
		t.Fatalf("%v: %s", err, document)
	}
	return snapshot
}

// refused fetches, wants an error with all of these words, and checks that it is
// fit to print.
func refused(t *testing.T, s *Source, words ...string) {
	t.Helper()
	document, err := s.Fetch(t.Context())
	if err == nil {
		t.Fatalf("fetched %s", document.Bytes)
	}
	for _, word := range append(words, s.Origin()) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error without %q: %v", word, err)
		}
	}
	if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < 0x20 || c == 0x7f }) {
		t.Errorf("the error has a control character: %q", err)
	}
	if len(document.Bytes) > 0 {
		t.Errorf("a document beside an error: %s", document.Bytes)
	}
}

func newAuthority(t testing.TB, td string, options devca.Options) *devca.Authority {
	t.Helper()
	a, err := devca.New(td, options)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// roots are the CA certificates of a, as the Workload API sends them.
func roots(a *devca.Authority) []byte {
	var der [][]byte
	for _, root := range a.Roots() {
		der = append(der, root.Raw)
	}
	return bytes.Join(der, nil)
}

// root is a CA certificate of example.org, after change.
func root(t testing.TB, change func(*x509.Certificate)) []byte {
	t.Helper()
	return roots(newAuthority(t, "example.org", devca.Options{MutateRoot: change}))
}

// jwk is a public key as an agent publishes it; members with the value nil are
// left out.
func jwk(t testing.TB, kid string, change map[string]any) json.RawMessage {
	t.Helper()
	key, err := devca.GenerateKey(devca.P256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jose.MarshalJWK(key.Public(), kid, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	if raw, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return raw
}

// jwks is a JWK Set as an agent publishes it.
func jwks(t testing.TB, keys ...json.RawMessage) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": append([]json.RawMessage{}, keys...)})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func own(data []byte) map[string][]byte { return map[string][]byte{"spiffe://example.org": data} }

// brokenCertificate has the length it states, and nonsense inside.
func brokenCertificate(t testing.TB) []byte {
	der := root(t, nil)
	der[4] = 0x05
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatal("the broken certificate is none")
	}
	return der
}

func has(s *bundle.Snapshot) [2]int { return [2]int{len(s.Anchors()), len(s.Keys(bundle.UseJWT))} }
