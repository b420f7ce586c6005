package daemon

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// soon fails when something waits for ever.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("%s did not end", what)
	}
}

// A pipe in the place of a file waits for its writer, for ever: neither a reload, nor
// a handshake, nor a stop waits with it.
func TestPipesInPlaceOfFiles(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	pipe := func(name string) {
		t.Helper()
		if err := os.Remove(p.path(name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(p.path(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe("ca.pem")
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, "bundle_file: bundle.json", `spiffe_bundle_endpoint: {url: "https://127.0.0.1:1/", ca_file: ca.pem}`)))
	soon(t, "the reload with a pipe as ca_file", func() {
		if err := d.Reload("the test"); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("%v", err)
		}
	})
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere)))
	pipe("as.crt")
	soon(t, "the reload with a pipe as certificate", func() {
		if err := d.Reload("the test"); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("%v", err)
		}
	})
	d.certificate.look()
	soon(t, "a handshake", func() {
		if got := p.asks(t, d, p.authority, "/a"); got != 200 {
			t.Errorf("a is answered with %d", got)
		}
	})
	soon(t, "the stop", func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// A certificate that has expired, or is not valid yet, does not take the place of a
// good one; where there is no good one, it may.
func TestReloadKeepsAGoodCertificate(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	chain, key := p.pair(t)
	p.write(t, "as.crt", chain)
	p.write(t, "as.key", key)
	inFiles, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name      string
		now       time.Time
		inUseLast time.Time // when the one in use ends
		want      string
	}{
		{"the new one has expired", inFiles.Leaf.NotAfter.Add(time.Hour), inFiles.Leaf.NotAfter.Add(2 * time.Hour), "has expired"},
		{"the new one is not valid yet", inFiles.Leaf.NotBefore.Add(-time.Hour), inFiles.Leaf.NotAfter, "not valid before"},
		{"both have expired", inFiles.Leaf.NotAfter.Add(time.Hour), inFiles.Leaf.NotAfter, ""},
		{"the new one is good", time.Now(), inFiles.Leaf.NotAfter, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			leaf := *inFiles.Leaf
			leaf.NotBefore, leaf.NotAfter = inFiles.Leaf.NotBefore.Add(-2*time.Hour), row.inUseLast
			inUse := &tls.Certificate{Leaf: &leaf}
			d.certificate.current.Store(inUse)
			d.certificate.now = func() time.Time { return row.now }
			err := d.Reload("the test")
			switch {
			case row.want == "" && (err != nil || d.certificate.current.Load() == inUse):
				t.Errorf("it was not taken: %v", err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || d.certificate.current.Load() != inUse):
				t.Errorf("%v, want %q and the one in use to stay", err, row.want)
			}
		})
	}
}

// Whoever sends SIGHUP is answered in the log each time; only what nobody asked for
// is said once.
func TestEachHangupIsAnswered(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, "audit:", "audits:")))
	said := func() int { return len(p.log.lines("configuration not reloaded, the one in force stays")) }
	d.Reload(byWatch)
	first := said()
	if first == 0 {
		t.Error("a fault of a changed file is not said at all")
	}
	d.Reload(byWatch)
	if said() != first {
		t.Error("the same fault of a file is said at each look")
	}
	d.Reload(byHangup)
	if said() == first {
		t.Error("SIGHUP is not answered")
	}
}

// A key file that is gone does not keep a client from being cut off.
func TestReloadWithoutTheKeyFile(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	if err := os.Remove(p.path("svidgate-keys.json")); err != nil {
		t.Fatal(err)
	}
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, clientA, strings.Replace(clientA, "/a\"", "/b\"", 1))))
	if err := d.Reload("the test"); err != nil {
		t.Error(err)
	}
	if got := p.asks(t, d, p.authority, "/a"); got != 401 {
		t.Errorf("the client that was taken out is answered with %d", got)
	}
}

// A slip in a trust domain's source does not end a healthy trust domain; a source that
// works takes over without a gap.
func TestReloadWithAnotherSource(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	before, err := d.bundles.Bundle(p.authority.TrustDomain())
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, "bundle.json", "bundel.json")))
	if err := d.Reload("the test"); err == nil || !strings.Contains(err.Error(), "example.org") {
		t.Errorf("a file that is not there: %v", err)
	}
	p.write(t, "broken.json", []byte("{}"))
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, "bundle.json", "broken.json")))
	if err := d.Reload("the test"); err == nil || !strings.Contains(err.Error(), "BU-2") {
		t.Errorf("a file that is no bundle: %v", err)
	}
	if after, err := d.bundles.Bundle(p.authority.TrustDomain()); err != nil || after.Generation() != before.Generation() {
		t.Errorf("the trust domain did not stay: %v", err)
	}
	p.write(t, "moved.json", p.authority.Bundle())
	p.write(t, "svidgate.yaml", []byte(p.text(anywhere, "bundle.json", "moved.json")))
	if err := d.Reload("the test"); err != nil {
		t.Fatal(err)
	}
	if got := p.asks(t, d, p.authority, "/a"); got != 200 {
		t.Errorf("right after the change a is answered with %d", got)
	}
}

// Without a status listener all listeners end together: none takes new requests while
// another one drains.
func TestStopWithoutStatusListener(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, `{public: "127.0.0.1:0", mtls: "127.0.0.1:0"}`))
	conn, err := tls.Dial("tcp", d.Addresses()[Public], &tls.Config{RootCAs: p.ca.Pool(), NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: as\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\ngrant", oauth.PathToken)
	until(t, "the request in the handler", func() bool { return strings.Contains(stacks(), "tokenrequest.Parse") })
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop() }()
	until(t, "the end of the mtls listener", func() bool { return free(d.Addresses()[MTLS]) })
	select {
	case err := <-stopped:
		t.Errorf("it stopped over a request: %v", err)
	default:
	}
	fmt.Fprint(conn, "_type")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// The record has that another configuration came into force, and who asked for it.
func TestReloadIsRecorded(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	if err := d.Reload(byHangup); err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile(p.path("audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"event":"reload"`, `"outcome":"granted"`, `"source":"SIGHUP"`} {
		if !strings.Contains(string(record), want) {
			t.Errorf("AU-1 no %s in %s", want, record)
		}
	}
}
