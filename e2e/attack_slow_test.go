package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// drip writes a text one byte at a time until the peer has enough of it.
func drip(ctx context.Context, w io.Writer, text string) {
	for i := range text {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// AK-18, GL-8, F21: who sends a byte now and then is cut off by the server's own
// limits of time, whatever it drips: TLS, a header, a body. None of it would end
// within ten minutes. A body that broke off is a decision like any other, and who
// is not slow does not notice.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.billing(t)
	const each = 12
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var drippers sync.WaitGroup
	defer drippers.Wait()
	defer cancel()

	slow := w.billing(t)
	request := slow.text("as.example.com")
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	begin := time.Now()
	var bodies, heads []*connection
	var raws []net.Conn
	for range each {
		conn := w.dial(t, "public", tlsConfig("public", nil))
		if _, err := io.WriteString(conn, head+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, conn)
		drippers.Go(func() { drip(ctx, conn, body) })

		conn = w.dial(t, "public", tlsConfig("public", nil))
		heads = append(heads, conn)
		drippers.Go(func() { drip(ctx, conn, request) })

		raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addresses["public"])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { raw.Close() })
		raws = append(raws, raw)
		drippers.Go(func() { drip(ctx, raw, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+strings.Repeat("\x00", 500)) })
	}
	before, _, _ := w.memory(t)
	w.beside(t, good, func() {
		// What never becomes a request is answered by nobody.
		for _, raw := range raws {
			ended(t, raw, raw, "in the middle of TLS")
		}
		t.Logf("TLS hellos were given up after %v", time.Since(begin).Round(100*time.Millisecond))
		for _, conn := range heads {
			ended(t, conn, conn.r, "in the middle of a header")
		}
		t.Logf("headers were given up after %v", time.Since(begin).Round(100*time.Millisecond))
		for _, conn := range bodies {
			conn.SetDeadline(time.Now().Add(patience))
			a := conn.answer(t, slow)
			if a.status != http.StatusBadRequest || a.audit.text("reason") != string(oauth.ReasonRequestMalformed) || a.audit.text("rule") != "GL-2" {
				t.Errorf("a body that breaks off: status %d, audit %v", a.status, a.audit)
			}
			ended(t, conn, conn.r, "after a body that broke off")
		}
		t.Logf("bodies were given up after %v", time.Since(begin).Round(100*time.Millisecond))
	})
	w.held(t, before)
}

// ended waits until the peer closes a connection, and fails when it says anything
// before, but for what TLS says at its end.
func ended(t *testing.T, conn net.Conn, r io.Reader, when string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Errorf("AK-18 the server waits for ever %s", when)
	}
	if strings.HasPrefix(string(got), "HTTP/1.1 2") {
		t.Errorf("%s: %q", when, got)
	}
}

// The same over HTTP/2, where a slow body holds a stream and not a connection:
// the stream ends, and the connection's other streams go on.
func TestSlowStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	transport := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: tlsConfig("public", nil),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.addresses["public"])
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	post := func(body io.Reader) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tokenURL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return client.Do(r)
	}
	quick := func() {
		t.Helper()
		resp, err := post(strings.NewReader(w.billing(t).form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/2.0" {
			t.Errorf("status %d over %s", resp.StatusCode, resp.Proto)
		}
		w.decisions(1)
	}
	quick()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	var dripper sync.WaitGroup
	dripper.Go(func() { drip(ctx, write, w.billing(t).form.Encode()) })
	resp, err := post(read)
	read.Close()
	cancel()
	dripper.Wait()
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("AK-18 a slow stream: status %d", resp.StatusCode)
		}
	} else if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Errorf("AK-18 the server waits for ever: %v", err)
	}
	quick()
	// It was a decision, whether the peer heard of it or not.
	until(t, "the audit line of what broke off", func() bool { return len(w.record.find(t, "reason", string(oauth.ReasonRequestMalformed))) == 1 })
	w.decisions(1)
}
