package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// Tracing is started for real: what a collector gets tells of requests by their
// id, and holds nothing secret, whatever callers put where.
func TestTracing(t *testing.T) {
	var mu sync.Mutex
	var sent bytes.Buffer // guarded by mu
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %v: %v", r.URL, r.Header, err)
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&sent, r.Header)
		sent.Write(body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig+fmt.Sprintf("tracing: {endpoint: %q, sample: 1}\n", collector.URL), td)
	granted := s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	s.granted(t, s.ordersOf(t, td))
	wrong := td.jwt(t, "/billing", "https://else.example")
	c := withJWT(wrong, wrong)
	c.say("Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	c.say("Tracestate: a=" + wrong)
	c.say("Baggage: a=" + wrong)
	c.say("Authorization: Bearer " + wrong)
	c.target = "/token?x=" + wrong
	bad := s.do(t, c)
	aud := s.refused(t, withJWT(td.id("/billing"), wrong), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
	s.stop(t)

	mu.Lock()
	defer mu.Unlock()
	evidence.add(t.Name()+" spans", sent.Bytes())
	for _, text := range []string{
		granted.id, bad.id, aud.id, "svidgate", "shape", "identity", "client", "grant", "decision", "record",
		"aud_mismatch", "CJ-6", td.id("/billing"), "example.org", "spiffe_x509", "\x0a\xf7\x65\x19\x16\xcd\x43\xdd",
	} {
		if !bytes.Contains(sent.Bytes(), []byte(text)) {
			t.Errorf("the collector was not told of %q", text)
		}
	}
}

// A collector that takes connections and never answers is nobody's concern but
// that of its operator: requests are answered, and the stop does not wait for it.
func TestTracingHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig+fmt.Sprintf("tracing: {endpoint: \"http://%s\", sample: 1}\n", l.Addr()), td)
	began := time.Now()
	for range 20 {
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("20 requests took %v", took)
	}
	began = time.Now()
	s.stop(t)
	if took := time.Since(began); took > patience/2 {
		t.Errorf("the stop took %v", took)
	}
	if len(s.log.find(t, "msg", "some traces were not delivered")) != 1 {
		t.Error("the log does not tell that traces were lost")
	}
}
