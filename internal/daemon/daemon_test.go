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
