package workload_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/client"
	svids "github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
	"github.com/svidgate/svidgate/oauth"
)

const patience = 20 * time.Second

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w") // short: a socket's name has its limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "api.sock")
}

func newDomain(t *testing.T, path string) *devdomain.Domain {
	t.Helper()
	d, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org",
		SocketPath:  path,
		Identities:  []devdomain.Identity{{Path: "/billing", Hint: "internal"}, {Path: "/ledger", Hint: "external"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func start(t *testing.T, d *devdomain.Domain) {
	t.Helper()
	if err := d.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, config svids.Config) *svids.Source {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := svids.Open(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openUntil opens a source, gives up when enough has happened, and returns the
// error.
func openUntil(t *testing.T, config svids.Config, enough func(log *lineBuffer) bool) error {
	t.Helper()
	var lines lineBuffer
	config.Log = slog.New(slog.NewTextHandler(&lines, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		s, err := svids.Open(ctx, config)
		if err == nil {
			s.Close()
		}
		opened <- err
	}()
	deadline := time.After(patience)
	for !enough(&lines) {
		select {
		case err := <-opened:
			return err
		case <-deadline:
			t.Fatal("nothing happened")
		case <-time.After(2 * time.Millisecond):
		}
	}
	cancel()
	return <-opened
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// claims reads a JWT-SVID without checking it.
func claims(t *testing.T, token string) (sub string, aud []string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("no JWT")
	}
	var c struct {
		Sub string
		Aud []string
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c.Sub, c.Aud
}

func TestIdentities(t *testing.T) { // CL-5
	d := newDomain(t, socketPath(t))
	start(t, d)
	for _, tt := range []struct {
		name, id, hint string
		want           string // empty: none
	}{
		{"the first", "", "", "spiffe://example.org/billing"},
		{"by SPIFFE ID", "spiffe://example.org/ledger", "", "spiffe://example.org/ledger"},
		{"by hint", "", "external", "spiffe://example.org/ledger"},
		{"by both", "spiffe://example.org/ledger", "external", "spiffe://example.org/ledger"},
		{"SPIFFE ID that is not offered", "spiffe://example.org/other", "", ""},
		{"hint that is not offered", "", "nowhere", ""},
		{"SPIFFE ID and the hint of another", "spiffe://example.org/billing", "external", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := svids.Config{Address: d.SocketAddr(), SPIFFEID: tt.id, Hint: tt.hint}
			if tt.want == "" {
				err := openUntil(t, config, func(log *lineBuffer) bool { return log.count("waiting for the Workload API") == 1 })
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `spiffe://example.org/billing (hint "internal")`) {
					t.Fatalf("got %v, want what is offered", err)
				}
				return
			}
			s := open(t, config)
			svid, err := s.GetX509SVID()
			if err != nil || svid.ID.String() != tt.want {
				t.Fatalf("X.509: got %v, %v", svid, err)
			}
			token, err := s.FetchJWTSVID(t.Context(), "https://as.example.com")
			if err != nil {
				t.Fatal(err)
			}
			if sub, aud := claims(t, token); sub != tt.want || len(aud) != 1 || aud[0] != "https://as.example.com" {
				t.Fatalf("JWT: got %s for %v", sub, aud)
			}
		})
	}
}

func TestAddress(t *testing.T) { // CL-1
	d := newDomain(t, socketPath(t))
	start(t, d)
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", d.SocketAddr())
	open(t, svids.Config{})
	open(t, svids.Config{Address: d.SocketAddr()})
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	path := strings.TrimPrefix(d.SocketAddr(), "unix://")
	for name, address := range map[string]string{
		"none": "", "a path": path, "relative": "unix:api.sock", "an authority": "unix://host" + path, "a query": d.SocketAddr() + "?a=b",
		"http": "http://127.0.0.1:1", "a name": "tcp://localhost:1", "no port": "tcp://127.0.0.1", "tcp with a path": "tcp://127.0.0.1:1/x",
	} {
		if _, err := svids.Open(t.Context(), svids.Config{Address: address}); err == nil || !strings.Contains(err.Error(), "CL-1") {
			t.Errorf("%s: %q: got %v", name, address, err)
		}
	}
	if _, err := svids.Open(t.Context(), svids.Config{Address: d.SocketAddr(), SPIFFEID: "spiffe://example.org"}); err == nil {
		t.Error("SI-12: a trust domain was taken for a workload")
	}
}

func TestSocketAppearsLater(t *testing.T) { // F46
	path := socketPath(t)
	var lines lineBuffer
	var s *svids.Source
	opened := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		s, err = svids.Open(ctx, svids.Config{Address: "unix://" + path, Log: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		opened <- err
	}()
	until(t, "several attempts have failed", func() bool { return lines.count("still not ready") >= 2 })
	if n := lines.count("level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	d := newDomain(t, path)
	start(t, d)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := lines.count("level=WARN"); n != 1 || lines.count("X.509-SVID received") != 1 {
		t.Errorf("%d warnings and %d good news, want one of each", n, lines.count("X.509-SVID received"))
	}
}

func TestOpenGivesUpWithItsContext(t *testing.T) { // F46
	err := openUntil(t, svids.Config{Address: "unix://" + socketPath(t)}, func(log *lineBuffer) bool { return log.count("waiting") == 1 })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "is the agent running") {
		t.Fatalf("got %v, want what went wrong and what to do", err)
	}
}

func TestRotationIsFollowed(t *testing.T) { // CL-4
	d := newDomain(t, socketPath(t))
	start(t, d)
	s := open(t, svids.Config{Address: d.SocketAddr()})
	first, err := s.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Rotate(); err != nil {
		t.Fatal(err)
	}
	until(t, "the next SVID is there", func() bool {
		svid, err := s.GetX509SVID()
		return err == nil && !svid.Certificates[0].Equal(first.Certificates[0])
	})
}

// A-9, CL-4: the bundles are those of the last message, of the trust domain itself and
// of those that it is federated with.
func TestBundlesAreFollowed(t *testing.T) {
	d := newDomain(t, socketPath(t))
	start(t, d)
	s := open(t, svids.Config{Address: d.SocketAddr()})
	own, partner := d.Authority().TrustDomain(), spiffeid.RequireTrustDomainFromString("partner.test")
	roots := func(td spiffeid.TrustDomain) int {
		bundle, err := s.GetX509BundleForTrustDomain(td)
		if err != nil {
			return -1
		}
		return len(bundle.X509Authorities())
	}
	if n, m := roots(own), roots(partner); n != 1 || m != -1 {
		t.Fatalf("%d anchors of its own, %d of a stranger", n, m)
	}
	other, err := devca.New("partner.test", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddFederated("partner.test", other.Bundle()); err != nil {
		t.Fatal(err)
	}
	until(t, "the federated bundle is there", func() bool { return roots(partner) == 1 })
	if err := d.Rotate(); err != nil {
		t.Fatal(err)
	}
	until(t, "the next anchor is there", func() bool { return roots(own) > 1 })
	if err := d.RemoveFederated("partner.test"); err != nil {
		t.Fatal(err)
	}
	until(t, "the federated bundle is withdrawn", func() bool { return roots(partner) == -1 })
	if _, err := s.GetX509BundleForTrustDomain(partner); err == nil || !strings.Contains(err.Error(), "federated") {
		t.Errorf("got %v", err)
	}
}

func TestAgentGoesAwayAndComesBack(t *testing.T) { // CL-3, F39
	path := socketPath(t)
	d := newDomain(t, path)
	start(t, d)
	var lines lineBuffer
	s := open(t, svids.Config{Address: d.SocketAddr(), Log: slog.New(slog.NewTextHandler(&lines, nil))})
	first, err := s.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	until(t, "the loss was noticed", func() bool { return lines.count("the Workload API is away") == 1 })
	if svid, err := s.GetX509SVID(); err != nil || svid != first {
		t.Fatalf("while it is away: got %v, %v; want the last SVID", svid, err)
	}
	if _, err := s.FetchJWTSVID(t.Context(), "https://as.example.com"); err == nil || !strings.Contains(err.Error(), "is the agent running") {
		t.Fatalf("F22: got %v", err)
	}
	next := newDomain(t, path)
	start(t, next)
	until(t, "the stream is back", func() bool {
		svid, err := s.GetX509SVID()
		return err == nil && svid != first
	})
	until(t, "JWT-SVIDs are back", func() bool {
		_, err := s.FetchJWTSVID(t.Context(), "https://as.example.com")
		return err == nil
	})
}

func TestClose(t *testing.T) {
	d := newDomain(t, socketPath(t))
	start(t, d)
	s := open(t, svids.Config{Address: d.SocketAddr()})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.FetchJWTSVID(t.Context(), "https://as.example.com"); err == nil {
		t.Error("a closed source still asks")
	}
}

// refusing is a Workload API that answers every question with one status.
type refusing struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	code  codes.Code
	mu    sync.Mutex
	calls int
}

func (r *refusing) FetchX509SVID(*workload.X509SVIDRequest, grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	return status.Error(r.code, "because")
}

func (r *refusing) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func TestRefusals(t *testing.T) { // CL-3
	for _, tt := range []struct {
		code codes.Code
		want string // empty: the source opens without X.509-SVIDs
		wait bool   // until the context ends
	}{
		{codes.PermissionDenied, "is the workload registered", true},
		{codes.Unavailable, "is the agent running", true},
		{codes.InvalidArgument, "because", false},
		{codes.Unimplemented, "", false},
	} {
		t.Run(tt.code.String(), func(t *testing.T) {
			path := socketPath(t)
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			api := &refusing{code: tt.code}
			server := grpc.NewServer()
			workload.RegisterSpiffeWorkloadAPIServer(server, api)
			go server.Serve(listener)
			defer server.Stop()
			config := svids.Config{Address: "unix://" + path}
			if tt.want == "" {
				s := open(t, config)
				if n := len(s.Credentials()); n != 1 {
					t.Errorf("%d credentials, want JWT-SVID alone", n)
				}
				if _, err := s.GetX509SVID(); err == nil {
					t.Error("an X.509-SVID out of nowhere")
				}
			} else {
				err := openUntil(t, config, func(*lineBuffer) bool { return api.asked() > 1 })
				if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, context.Canceled) != tt.wait {
					t.Fatalf("got %v", err)
				}
			}
			if retried := api.asked() > 1; retried != tt.wait {
				t.Errorf("CL-3: asked %d times", api.asked())
			}
		})
	}
}

// TestTokenFromTheWorkloadAPI goes the whole way: socket, SVIDs, a token bound to
// the certificate, a rotation, the next token.
func TestTokenFromTheWorkloadAPI(t *testing.T) { // LC-1, MT-4
	d := newDomain(t, socketPath(t))
	start(t, d)
	s := open(t, svids.Config{Address: d.SocketAddr(), SPIFFEID: "spiffe://example.org/ledger"})

	certificate, err := d.ServerCA().Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	var forms []url.Values
	var mu sync.Mutex
	as := httptest.NewUnstartedServer(nil)
	as.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		if req.Method == http.MethodGet {
			fmt.Fprintf(rw, `{"issuer":%q,"token_endpoint":%q}`, as.URL, as.URL+oauth.PathToken)
			return
		}
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<16))
		form, err2 := url.ParseQuery(string(body))
		if err != nil || err2 != nil || len(req.TLS.PeerCertificates) == 0 {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		forms = append(forms, form)
		mu.Unlock()
		fmt.Fprintf(rw, `{"access_token":"%x","token_type":"Bearer","expires_in":300}`, sha256.Sum256(req.TLS.PeerCertificates[0].Raw))
	})
	as.Config.ErrorLog = log.New(io.Discard, "", 0)
	as.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	as.StartTLS()
	defer as.Close()

	for _, method := range []oauth.AuthMethod{oauth.MethodX509, oauth.MethodJWT} {
		c, err := client.New(t.Context(), client.Config{Issuer: as.URL, Credentials: s.Credentials(), Method: method, RootCAs: d.ServerCA().Pool()})
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Token(t.Context(), client.Request{Scope: "read"})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		form := forms[len(forms)-1]
		mu.Unlock()
		if form.Get("client_id") != "spiffe://example.org/ledger" || form.Has("client_assertion") != (method == oauth.MethodJWT) {
			t.Errorf("%s: the server saw %v", method, form.Get("client_id"))
		}
		if method == oauth.MethodJWT {
			if sub, aud := claims(t, form.Get("client_assertion")); sub != "spiffe://example.org/ledger" || aud[0] != as.URL {
				t.Errorf("CJ-11: %s for %v", sub, aud)
			}
		}
		if err := d.Reissue(); err != nil {
			t.Fatal(err)
		}
		until(t, "there is a token for the new certificate", func() bool {
			next, err := c.Token(t.Context(), client.Request{Scope: "read"})
			return err == nil && next.AccessToken != first.AccessToken
		})
	}
}

// lineBuffer counts log lines.
type lineBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lineBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lineBuffer) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}
