package daemon

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/devca"
)

// patience bounds every wait for something that comes from outside the test.
const patience = 30 * time.Second

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// A logged log keeps its lines.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// lines are the log lines with this msg.
func (l *logged) lines(msg string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for raw := range bytes.Lines(l.buf.Bytes()) {
		var line map[string]any
		if json.Unmarshal(raw, &line) == nil && line["msg"] == msg {
			found = append(found, line)
		}
	}
	return found
}

// text is all of it.
func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A place is a folder with all that a configuration names.
type place struct {
	dir       string
	ca        *devca.ServerCA
	authority *devca.Authority // of example.org
	log       logged
}

func newPlace(t *testing.T) *place {
	t.Helper()
	ca, err := devca.NewServerCA(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := devca.New("example.org", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{dir: t.TempDir(), ca: ca, authority: a}
	p.write(t, "bundle.json", a.Bundle())
	chain, key := p.pair(t)
	p.write(t, "as.crt", chain)
	p.write(t, "as.key", key)
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pair is a new server certificate.
func (p *place) pair(t *testing.T) (chain, key []byte) {
	t.Helper()
	pair, err := p.ca.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if chain, key, err = devca.ServerPEM(pair); err != nil {
		t.Fatal(err)
	}
	return chain, key
}

// anywhere are listeners on free ports.
const anywhere = `{public: "127.0.0.1:0", mtls: "127.0.0.1:0", status: "127.0.0.1:0"}`

// config is a configuration with these listeners. Pairs of old and new text change
// it.
func (p *place) config(t *testing.T, listen string, change ...string) *config.Config {
	t.Helper()
	cfg, err := config.Parse(p.path("svidgate.yaml"), []byte(p.text(listen, change...)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// text is what config parses.
func (p *place) text(listen string, change ...string) string {
	text := fmt.Sprintf(`issuer: https://127.0.0.1:1
listen: %s
tls: {certificate: as.crt, key: as.key}
audit: {file: audit.jsonl}
trust_domains:
  example.org: {bundle_file: bundle.json}
resources:
  - {resource: "https://api.example.com/", scopes: [read]}
clients:
  - {client_id: "spiffe://example.org/a", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
`, listen)
	return strings.NewReplacer(change...).Replace(text)
}

func (p *place) start(t *testing.T, cfg *config.Config) *Daemon {
	t.Helper()
	d, err := Start(t.Context(), cfg, Options{Log: p.log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// client trusts the place's CA, and keeps no connection.
func (p *place) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.ca.Pool()}, DisableKeepAlives: true}}
}

// free reports whether nobody listens at an address.
func free(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
