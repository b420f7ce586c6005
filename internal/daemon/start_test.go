package daemon

import (
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

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
		}, "daemon: listen.public: another program listens at " + port},
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
		{"a store that others may read", func(t *testing.T, p *place) *config.Config {
			p.write(t, "x.db", nil)
			if err := os.Chmod(p.path("x.db"), 0o640); err != nil {
				t.Fatal(err)
			}
			return p.config(t, anywhere, "audit:", "store: sqlite:x.db\naudit:")
		}, "chmod 600"},
		{"a store that is none", func(t *testing.T, p *place) *config.Config {
			p.write(t, "x.db", []byte(strings.Repeat("something else", 1000)))
			return p.config(t, anywhere, "audit:", "store: sqlite:x.db\naudit:")
		}, "x.db: the store is unavailable: file is not a database"},
		{"keys in the store, and nothing to encrypt them with", func(t *testing.T, p *place) *config.Config {
			return p.config(t, anywhere, "audit:", "store: sqlite:x.db\nkeys: {in: store}\naudit:")
		}, "SVIDGATE_KEYS_ENCRYPTION_KEY"},
		{"keys in the store, and what encrypts them is not there", func(t *testing.T, p *place) *config.Config {
			return p.config(t, anywhere, "audit:", "store: sqlite:x.db\nkeys: {in: store, encryption_key_file: e}\naudit:")
		}, "keys.encryption_key_file: open "},
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
