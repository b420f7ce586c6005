package daemon

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A daemon that was stopped leaves nothing: no goroutine, no port, no lock. So it
// can be started again at once, with the same files.
func TestStartAndStop(t *testing.T) {
	p := newPlace(t)
	run := func() (addresses []string) {
		t.Helper()
		d := p.start(t, p.config(t, anywhere))
		addresses = slices.Collect(maps.Values(d.Addresses()))
		if len(addresses) != 3 {
			t.Errorf("it listens at %v", d.Addresses())
		}
		for _, name := range []string{Public, MTLS} {
			resp, err := p.client().Get("https://" + d.Addresses()[name] + oauth.PathJWKS)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %d", name, resp.StatusCode)
			}
		}
		if status, body := readyz(t, p, d); status != http.StatusOK {
			t.Errorf("readyz: %d %s", status, body)
		}
		if err := d.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		return addresses
	}
	run() // what Go itself starts once is there after this
	until(t, "the end of the first run's connections", func() bool { return !strings.Contains(stacks(), "net/http.(*conn).serve") })
	before := runtime.NumGoroutine()
	for range 3 {
		for _, address := range run() {
			if !free(address) {
				t.Errorf("%s is still taken", address)
			}
		}
	}
	until(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func readyz(t *testing.T, p *place, d *Daemon) (int, string) {
	t.Helper()
	resp, err := p.client().Get("http://" + d.Addresses()[Status] + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Whatever keeps a daemon from starting, it says what, and keeps nothing.
func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	for _, row := range []struct {
		name   string
		config func(*testing.T, *place) *config.Config
		want   string
	}{
		{"public's port is taken", func(t *testing.T, p *place) *config.Config {
			return p.config(t, `{public: "`+port+`", status: "127.0.0.1:0"}`)
		}, "daemon: listen.public: "},
		{"mtls's port is taken", func(t *testing.T, p *place) *config.Config {
			return p.config(t, `{public: "FREE", mtls: "`+port+`"}`, "FREE", freeAddress(t))
		}, "daemon: listen.mtls: "},
		{"status's port is taken", func(t *testing.T, p *place) *config.Config {
			return p.config(t, `{public: "FREE", status: "`+port+`"}`, "FREE", freeAddress(t))
		}, "daemon: listen.status: "},
		{"the key of another certificate", func(t *testing.T, p *place) *config.Config {
			_, key := p.pair(t)
			p.write(t, "as.key", key)
			return p.config(t, anywhere)
		}, "daemon: tls: "},
		{"no certificate", func(t *testing.T, p *place) *config.Config {
			return p.config(t, anywhere, "as.crt", "none.crt")
		}, "none.crt"},
		{"signing keys that others may read", func(t *testing.T, p *place) *config.Config {
			p.write(t, "svidgate-keys.json", []byte("{}"))
			if err := os.Chmod(p.path("svidgate-keys.json"), 0o644); err != nil {
				t.Fatal(err)
			}
			return p.config(t, anywhere)
		}, "chmod 600"},
		{"an audit record of somebody else", func(t *testing.T, p *place) *config.Config {
			p.write(t, "audit.jsonl", []byte("not ours\n"))
			return p.config(t, anywhere)
		}, "audit.jsonl"},
		{"a folder for an audit record", func(t *testing.T, p *place) *config.Config {
			return p.config(t, anywhere, "audit.jsonl", ".")
		}, "audit"},
		{"no ca_file", func(t *testing.T, p *place) *config.Config {
			return p.config(t, anywhere, "bundle_file: bundle.json", `spiffe_bundle_endpoint: {url: "https://127.0.0.1:1/", ca_file: none.pem}`)
		}, "ca_file"},
		{"a ca_file without certificates", func(t *testing.T, p *place) *config.Config {
			p.write(t, "empty.pem", nil)
			return p.config(t, anywhere, "bundle_file: bundle.json", `spiffe_bundle_endpoint: {url: "https://127.0.0.1:1/", ca_file: empty.pem}`)
		}, "has no certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlace(t)
			before := runtime.NumGoroutine()
			cfg := row.config(t, p)
			d, err := Start(t.Context(), cfg, Options{Log: p.log.logger()})
			if err == nil {
				d.Stop()
				t.Fatal("it started")
			}
			if d != nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %q", err, row.want)
			}
			until(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
			for _, address := range []string{cfg.Listen.Public, cfg.Listen.MTLS, cfg.Listen.Status} {
				if address != "" && address != port && !strings.HasSuffix(address, ":0") && !free(address) {
					t.Errorf("%s is still taken", address)
				}
			}
			// With the fault mended it starts: nothing holds its files.
			chain, key := p.pair(t)
			p.write(t, "as.crt", chain)
			p.write(t, "as.key", key)
			for _, name := range []string{"svidgate-keys.json", "audit.jsonl"} {
				os.Remove(p.path(name))
			}
			if err := p.start(t, p.config(t, anywhere)).Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Two daemons never share an audit record.
func TestSecondDaemonWithTheSameRecord(t *testing.T) {
	p := newPlace(t)
	first := p.start(t, p.config(t, anywhere))
	if _, err := Start(t.Context(), p.config(t, anywhere), Options{Log: p.log.logger()}); err == nil || !strings.Contains(err.Error(), "audit.jsonl") {
		t.Errorf("AU-3 the second one: %v", err)
	}
	if status, _ := readyz(t, p, first); status != http.StatusOK {
		t.Errorf("the first one is no longer ready: %d", status)
	}
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
}

// Listeners that are handed over belong to the daemon, whether it starts or not.
func TestListenersThatAreHandedOver(t *testing.T) {
	for _, ok := range []bool{true, false} {
		p := newPlace(t)
		given := map[string]net.Listener{}
		var addresses []string
		for _, name := range []string{Public, MTLS, Status} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			given[name] = l
			addresses = append(addresses, l.Addr().String())
		}
		cfg := p.config(t, anywhere)
		if !ok {
			cfg.TLS.Key = p.path("none")
		}
		d, err := Start(t.Context(), cfg, Options{Log: p.log.logger(), Listeners: given})
		if (err == nil) != ok {
			t.Fatal(err)
		}
		if ok {
			if want := map[string]string{Public: addresses[0], MTLS: addresses[1], Status: addresses[2]}; !maps.Equal(d.Addresses(), want) {
				t.Errorf("it listens at %v, want %v", d.Addresses(), want)
			}
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		}
		for _, address := range addresses {
			if !free(address) {
				t.Errorf("started %t: %s is still taken", ok, address)
			}
		}
	}
}

// Stopping takes readiness away first, lets the request in hand end, and only
// then closes the record.
func TestStopDrains(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere))
	conn, err := tls.Dial("tcp", d.Addresses()[Public], &tls.Config{RootCAs: p.ca.Pool(), NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = "grant_type=client_credentials"
	fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: as\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	until(t, "the request in the handler", func() bool { return strings.Contains(stacks(), "tokenrequest.Parse") })

	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop() }()
	until(t, "the end of readiness", func() bool {
		status, body := readyz(t, p, d)
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"stopping"`)
	})
	until(t, "the end of the public listener", func() bool { return free(d.Addresses()[Public]) })
	select {
	case err := <-stopped:
		t.Fatalf("it stopped over a request: %v", err)
	default:
	}
	fmt.Fprint(conn, body[10:])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the request in hand was answered with %d", resp.StatusCode)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	record, err := os.ReadFile(p.path("audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(record, &line); err != nil || line["request_id"] != resp.Header.Get(oauth.HeaderRequestID) {
		t.Errorf("TK-9 the record is %s (%v)", record, err)
	}
}

// A listener that dies ends Run with its error.
func TestListenerDies(t *testing.T) {
	p := newPlace(t)
	dying, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), p.config(t, anywhere), Options{Log: p.log.logger(), Listeners: map[string]net.Listener{MTLS: dying}})
	}()
	until(t, "the log line ready", func() bool { return len(p.log.lines("ready")) == 1 })
	dying.Close()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "listener mtls") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it goes on without one of its listeners")
	}
}

// Run says in one line where it listens, and ends without an error when it is
// told to.
func TestRun(t *testing.T) {
	p := newPlace(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, p.config(t, anywhere), Options{Log: p.log.logger()}) }()
	until(t, "the log line ready", func() bool { return len(p.log.lines("ready")) == 1 })
	ready := p.log.lines("ready")[0]
	for _, name := range []string{Public, MTLS, Status} {
		address, _ := ready[name].(string)
		if _, port, err := net.SplitHostPort(address); err != nil || port == "0" || free(address) {
			t.Errorf("%s is said to be at %q", name, address)
		}
	}
	if ready["issuer"] != "https://127.0.0.1:1" || ready["mtls_url"] != "https://"+ready[MTLS].(string) {
		t.Errorf("the line is %v", ready)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it did not end")
	}
}

// Only what works is advertised (MD-1), and the alias is the listener's own
// address where the issuer is on loopback.
func TestWhatIsAdvertised(t *testing.T) {
	for _, row := range []struct {
		name, listen string
		change       []string
		methods      []string
		alias        bool
	}{
		{"MD-1 with a listener for certificates", anywhere, nil, []string{"spiffe_jwt", "spiffe_x509"}, true},
		{"MD-1 without", `{public: "127.0.0.1:0"}`, nil, []string{"spiffe_jwt"}, false},
		{"MD-1 certificates at the public listener", `{public: "127.0.0.1:0"}`, []string{"audit:", "public_client_certificates: true\naudit:"}, []string{"spiffe_jwt", "spiffe_x509"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlace(t)
			d := p.start(t, p.config(t, row.listen, row.change...))
			resp, err := p.client().Get("https://" + d.Addresses()[Public] + oauth.PathASMetadata)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var m oauth.Metadata
			if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&m); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(m.TokenEndpointAuthMethodsSupported) != fmt.Sprint(row.methods) {
				t.Errorf("MD-1 the methods are %v, want %v", m.TokenEndpointAuthMethodsSupported, row.methods)
			}
			want := ""
			if row.alias {
				want = "https://" + d.Addresses()[MTLS] + oauth.PathToken
			}
			if m.MTLSEndpointAliases["token_endpoint"] != want {
				t.Errorf("AM-5 the alias is %q, want %q", m.MTLSEndpointAliases["token_endpoint"], want)
			}
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAliasBase(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, row := range []struct {
		name, issuer, configured string
		listener                 net.Listener
		want                     string
	}{
		{"AM-5 configured", "https://as.example.com", "https://mtls.as.example.com", l, "https://mtls.as.example.com"},
		{"AM-5 no listener", "https://127.0.0.1:1", "", nil, ""},
		{"AM-5 loopback", "https://127.0.0.1:1", "", l, "https://127.0.0.1:" + port},
		{"AM-5 loopback, no port", "https://localhost", "", l, "https://localhost:" + port},
		{"AM-5 loopback in IPv6", "https://[::1]:1", "", l, "https://[::1]:" + port},
		{"AM-5 loopback with a path", "https://127.0.0.1:1/t1", "", l, "https://127.0.0.1:" + port + "/t1"},
		{"AM-5 loopback with a slash", "https://127.0.0.1:1/", "", l, "https://127.0.0.1:" + port},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := aliasBase(&config.Config{Issuer: row.issuer, MTLSURL: row.configured}, row.listener)
			if err != nil || got != row.want {
				t.Errorf("%q, %v, want %q", got, err, row.want)
			}
		})
	}
	if _, err := aliasBase(&config.Config{Issuer: "https://%zz"}, l); err == nil {
		t.Error("a base was made of a malformed issuer")
	}
}

// XS-20, XS-23: the public listener asks for no certificate, the other does and
// takes whatever comes; whether it is an SVID is judged later.
func TestWhoIsAskedForACertificate(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere))
	defer d.Stop()
	stranger, err := devca.New("stranger.test", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := stranger.X509SVID("/a")
	if err != nil {
		t.Fatal(err)
	}
	pair := svid.TLSCertificate()
	for name, want := range map[string]bool{Public: false, MTLS: true} {
		asked := false
		conn, err := tls.Dial("tcp", d.Addresses()[name], &tls.Config{
			RootCAs: p.ca.Pool(),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				return &pair, nil
			},
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		conn.Close()
		if asked != want {
			t.Errorf("XS-20 %s asks for a certificate: %t, want %t", name, asked, want)
		}
	}
}
