package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// A reloading daemon reads svidgate.yaml of its place.
func (p *place) reloading(t *testing.T) *Daemon {
	t.Helper()
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere)))
	load := func() (*config.Config, error) { return config.Load(p.path("svidgate.yaml")) }
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Start(t.Context(), cfg, Options{Log: p.log.logger(), Load: load})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// asks is the status that a workload's request for a token is answered with.
func (p *place) asks(t *testing.T, d *Daemon, authority *devca.Authority, path string) int {
	t.Helper()
	assertion, err := authority.JWTSVID(path, []string{"https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return p.shows(t, d, assertion)
}

func (p *place) shows(t *testing.T, d *Daemon, assertion string) int {
	t.Helper()
	resp, err := p.client().PostForm("https://"+d.Addresses()[Public]+oauth.PathToken, url.Values{
		"grant_type": {"client_credentials"}, "client_assertion_type": {oauth.ClientAssertionTypeJWTSPIFFE}, "client_assertion": {assertion},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

const clientA = `  - {client_id: "spiffe://example.org/a", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}`

// What a new configuration says counts from the next request on.
func TestReload(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	other, err := devca.New("other.test", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "other.json", other.Bundle())
	check := func(when string, a, b, c int) {
		t.Helper()
		if got := p.asks(t, d, p.authority, "/a"); got != a {
			t.Errorf("%s: a is answered with %d, want %d", when, got, a)
		}
		if got := p.asks(t, d, p.authority, "/b"); got != b {
			t.Errorf("%s: b is answered with %d, want %d", when, got, b)
		}
		if got := p.asks(t, d, other, "/c"); got != c {
			t.Errorf("%s: c of the other trust domain is answered with %d, want %d", when, got, c)
		}
	}
	check("at first", 200, 401, 401)

	p.write(t, "svidgate.yaml", []byte(p.text(anywhere,
		clientA, clientA+"\n"+strings.Replace(clientA, "/a\"", "/b\"", 1)+"\n"+strings.Replace(clientA, "example.org/a\"", "other.test/c\"", 1),
		"  example.org:", "  other.test: {bundle_file: other.json}\n  example.org:")))
	if err := d.Reload("the test"); err != nil {
		t.Fatal(err)
	}
	until(t, "the bundle of the other trust domain", func() bool { return strings.Contains(second(readyz(t, p, d)), `"other.test":{"ready":true`) })
	check("with more", 200, 200, 200)

	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, clientA, strings.Replace(clientA, "/a\"", "/b\"", 1))))
	if err := d.Reload("the test"); err != nil {
		t.Fatal(err)
	}
	check("F10 BE-16 with the trust domain ended and a gone", 401, 200, 401)
	if _, body := readyz(t, p, d); strings.Contains(body, "other.test") {
		t.Errorf("F10 readyz still has the trust domain: %s", body)
	}
	if n := len(p.log.lines("configuration reloaded")); n != 2 {
		t.Errorf("%d log lines about two reloads", n)
	}
}

func second[A, B any](_ A, b B) B { return b }

// A file that is wrong anywhere changes nothing anywhere, and the log says where
// it is wrong.
func TestReloadRefusesAWrongFileWhole(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	before := d.current.Load()
	p.write(t, "empty.pem", nil)
	withB := clientA + "\n" + strings.Replace(clientA, "/a\"", "/b\"", 1)
	for _, row := range []struct {
		name, text, want string
		faults           bool
	}{
		{"F48 an unknown key", p.text(anywhere, clientA, withB, "audit:", "audits:"), "svidgate.yaml:4:1: ", true},
		{"no YAML", "issuer: [", "svidgate.yaml:1:", true},
		{"an empty file", "", "svidgate.yaml:1:1: ", true},
		{"a scope that no resource has", p.text(anywhere, clientA, withB, "scopes: [read]", "scopes: [write]"), "read", true},
		{"another issuer", p.text(anywhere, clientA, withB, "issuer: https://127.0.0.1:1", "issuer: https://127.0.0.1:2"), "restart", true},
		{"another listener", p.text(strings.Replace(anywhere, `mtls: "127.0.0.1:0", `, "", 1), clientA, withB), "restart", true},
		{"another audit record", p.text(anywhere, clientA, withB, "audit.jsonl", "other.jsonl"), "restart", true},
		{"a ca_file without certificates", p.text(anywhere, clientA, withB, "bundle_file: bundle.json", `spiffe_bundle_endpoint: {url: "https://127.0.0.1:1/", ca_file: empty.pem}`), "ca_file", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p.write(t, "svidgate.yaml", []byte(row.text))
			err := d.Reload("the test")
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("the error is %v, want %q in it", err, row.want)
			}
			if _, ok := errors.AsType[config.Faults](err); ok != row.faults {
				t.Errorf("the error is a %T", err)
			}
			if d.current.Load() != before {
				t.Error("another configuration is in force")
			}
			if a, b := p.asks(t, d, p.authority, "/a"), p.asks(t, d, p.authority, "/b"); a != 200 || b != 401 {
				t.Errorf("a is answered with %d, b with %d", a, b)
			}
			if !logs(p, "configuration not reloaded, the one in force stays", "error", row.want) {
				t.Errorf("the log does not say so")
			}
			if body := p.metrics(t, d); !strings.Contains(body, "svidgate_config_file_refused 1") {
				t.Error("the metric does not say so")
			}
		})
	}
	// And the accepted twin.
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, clientA, withB)))
	if err := d.Reload("the test"); err != nil {
		t.Fatal(err)
	}
	if a, b := p.asks(t, d, p.authority, "/a"), p.asks(t, d, p.authority, "/b"); a != 200 || b != 200 {
		t.Errorf("after the good file a is answered with %d, b with %d", a, b)
	}
	if body := p.metrics(t, d); !strings.Contains(body, "svidgate_config_file_refused 0") {
		t.Error("the metric still says that the file is refused")
	}
}

func logs(p *place, msg, key, want string) bool {
	for _, line := range p.log.lines(msg) {
		if text, _ := line[key].(string); strings.Contains(text, want) {
			return true
		}
	}
	return false
}

func (p *place) metrics(t *testing.T, d *Daemon) string {
	t.Helper()
	resp, err := p.client().Get("http://" + d.Addresses()[Status] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What was used, counted and learnt before goes on after a reload.
func TestReloadForgetsNothing(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	single := []string{"bundle_file: bundle.json", "bundle_file: bundle.json, single_use: true"}
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, single...)))
	if err := d.Reload("the test"); err != nil {
		t.Fatal(err)
	}
	snapshot, err := d.bundles.Bundle(p.authority.TrustDomain())
	if err != nil {
		t.Fatal(err)
	}
	signer := d.keys.Signer().KeyID
	assertion, err := p.authority.JWTSVID("/a", []string{"https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.shows(t, d, assertion); got != 200 {
		t.Fatalf("the first use is answered with %d", got)
	}
	proof, challenge := [32]byte{1}, d.challenges.Fresh()
	if unused, err := d.current.Load().authenticator.Proofs.UseProof(t.Context(), "a", proof, time.Now().Add(time.Hour)); !unused || err != nil {
		t.Fatal(unused, err)
	}
	issued := issuedTotal(p.metrics(t, d))
	if err := d.Reload("the test"); err != nil {
		t.Fatal(err)
	}
	if got := p.shows(t, d, assertion); got != 401 {
		t.Errorf("CJ-13 the second use, after a reload, is answered with %d", got)
	}
	if unused, err := d.current.Load().authenticator.Proofs.UseProof(t.Context(), "a", proof, time.Now().Add(time.Hour)); unused || err != nil {
		t.Errorf("AK-10 a proof is unused after a reload (%v)", err)
	}
	if !d.challenges.Current(challenge) {
		t.Error("PP-12 challenges are other ones after a reload")
	}
	if again, err := d.bundles.Bundle(p.authority.TrustDomain()); err != nil || again.Generation() != snapshot.Generation() {
		t.Errorf("the bundle is another one (%v)", err)
	}
	if d.keys.Signer().KeyID != signer {
		t.Error("another key signs")
	}
	if after := issuedTotal(p.metrics(t, d)); issued == "" || after != issued {
		t.Errorf("the counter of tokens went from %q to %q", issued, after)
	}
}

func issuedTotal(metrics string) string {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "svidgate_tokens_issued_total{") {
			return line
		}
	}
	return ""
}

// A changed file is noticed, a bad one too, and one that is put back.
func TestFilesAreWatched(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	good := p.text(anywhere, clientA, clientA+"\n"+strings.Replace(clientA, "/a\"", "/b\"", 1))
	p.write(t, "svidgate.yaml", []byte(strings.Replace(good, "audit:", "audits:", 1)))
	until(t, "the line about the bad file", func() bool {
		return logs(p, "configuration not reloaded, the one in force stays", "error", "svidgate.yaml:4:1: ")
	})
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere)))
	until(t, "the end of the alarm", func() bool { return len(p.log.lines("configuration is again the one in force")) == 1 })
	if got := p.asks(t, d, p.authority, "/b"); got != 401 {
		t.Errorf("b is answered with %d before its file came", got)
	}
	p.write(t, "svidgate.yaml", []byte(good))
	until(t, "the reload", func() bool { return len(p.log.lines("configuration reloaded")) == 1 })
	if got := p.asks(t, d, p.authority, "/b"); got != 200 {
		t.Errorf("b is answered with %d", got)
	}
}

// SIGHUP reloads, and ends nothing.
func TestHangup(t *testing.T) {
	p := newPlace(t)
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere)))
	load := func() (*config.Config, error) { return config.Load(p.path("svidgate.yaml")) }
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	hangup := make(chan os.Signal)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, Options{Log: p.log.logger(), Load: load, Hangup: hangup}) }()
	until(t, "the log line ready", func() bool { return len(p.log.lines("ready")) == 1 })
	hangup <- os.Interrupt // which signal it is does not matter here
	until(t, "the reload", func() bool { return len(p.log.lines("configuration reloaded")) == 1 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Requests during reloads, good and bad ones, are all answered, by one
// configuration or the other; and stopping meanwhile is in order.
func TestReloadUnderLoad(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	var (
		workers sync.WaitGroup
		done    atomic.Bool
		calls   atomic.Int64
	)
	for range 4 {
		workers.Go(func() {
			for !done.Load() {
				if got := p.asks(t, d, p.authority, "/a"); got != 200 {
					t.Errorf("a is answered with %d", got)
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range 20 {
		text := p.text(anywhere, clientA, clientA+"\n"+strings.Replace(clientA, "/a\"", "/b\"", 1))
		if i%2 == 0 {
			text = p.text(anywhere, "audit:", "audits:")
		}
		p.write(t, "svidgate.yaml", []byte(text))
		before := calls.Load()
		if err := d.Reload("the test"); (err == nil) != (i%2 == 1) {
			t.Errorf("reload %d: %v", i, err)
		}
		until(t, "another call", func() bool { return calls.Load() > before || t.Failed() })
	}
	done.Store(true)
	workers.Wait()
}

func TestReloadWithoutAFile(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere))
	if err := d.Reload("the test"); !errors.Is(err, errNoFile) {
		t.Errorf("%v", err)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if err := d.Reload("the test"); !errors.Is(err, errStopping) {
		t.Errorf("after the stop: %v", err)
	}
}

// The key set that is served is the ring's, with the age it may reach in a cache.
func TestKeySetMayBeKept(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere, "audit:", "keys: {rotate: 1m, publish_ahead: 30s}\naudit:"))
	t.Cleanup(func() { d.Stop() })
	resp, err := p.client().Get("https://" + d.Addresses()[Public] + oauth.PathJWKS)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ Kid, Use, Alg string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.StatusCode, err)
	}
	if got := resp.Header.Get("Cache-Control"); got != "public, max-age=10" {
		t.Errorf("KR-2 Cache-Control is %q: a copy must be renewed well within publish_ahead", got)
	}
	if len(set.Keys) == 0 || set.Keys[0].Kid != d.keys.Signer().KeyID {
		t.Errorf("KR-1 the keys are %v", set.Keys)
	}
}
