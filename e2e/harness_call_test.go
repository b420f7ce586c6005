package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/oauth"
)

// A call is one request, byte by byte. The zero value of a field is what an
// honest caller of the token endpoint sends.
type call struct {
	cert   *tls.Certificate // shown to a listener that asks; it makes mtls the listener
	public bool             // the public listener in spite of a certificate
	method string
	target string
	host   string
	header []string // "Name: value", in order
	form   url.Values
	body   string // in place of the form
	chunks bool   // the body in chunks, its length not announced
	silent bool   // answered by the HTTP library: no Request-Id, no audit line
}

// An answer is what came back, with the audit line that was written.
type answer struct {
	status int
	header http.Header
	body   []byte
	id     string // Request-Id
	audit  line   // nil when there is none
	token  oauth.TokenResponse
}

func (c *call) listener() string {
	if c.cert != nil && !c.public {
		return "mtls"
	}
	return "public"
}

func (c *call) set(name, value string) { c.form.Set(name, value) }
func (c *call) drop(name string)       { c.form.Del(name) }
func (c *call) say(line string)        { c.header = append(c.header, line) }

// text is the request as it goes over the wire.
func (c *call) text(host string) string {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	body := or(c.body, c.form.Encode())
	header := append([]string{"Host: " + or(c.host, host)}, c.header...)
	if !strings.Contains(strings.ToLower(strings.Join(c.header, "\n")), "content-type:") {
		header = append(header, "Content-Type: application/x-www-form-urlencoded")
	}
	switch {
	case c.chunks:
		header = append(header, "Transfer-Encoding: chunked")
		body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	case c.method == "" || c.method == http.MethodPost || body != "":
		header = append(header, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return or(c.method, http.MethodPost) + " " + or(c.target, "/token") + " HTTP/1.1\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + body
}

// A connection to a listener, over TLS.
type connection struct {
	*tls.Conn
	s    *server
	host string
	r    *bufio.Reader
}

// tlsConfig is what an honest client has.
func tlsConfig(listener string, cert *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: serverCA().Pool(), ServerName: map[string]string{"public": "as.example.com", "mtls": "mtls.as.example.com"}[listener]}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	return config
}

func (s *server) dial(t *testing.T, listener string, config *tls.Config) *connection {
	t.Helper()
	c, err := s.tryDial(listener, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *server) tryDial(listener string, config *tls.Config) (*connection, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.addresses[listener], config)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, s: s, host: config.ServerName, r: bufio.NewReader(c)}, nil
}

// do makes one call on a connection of its own.
func (s *server) do(t *testing.T, c call) answer {
	t.Helper()
	conn := s.dial(t, c.listener(), tlsConfig(c.listener(), c.cert))
	defer conn.Close()
	return conn.do(t, c)
}

// do makes one call on this connection and checks what every answer must have.
func (conn *connection) do(t *testing.T, c call) answer {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	request := c.text(conn.host)
	// An answer may come before the end of a body that is too large.
	go io.WriteString(conn, request)
	return conn.answer(t, c)
}

func (conn *connection) answer(t *testing.T, c call) answer {
	t.Helper()
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	resp, err := http.ReadResponse(conn.r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatalf("the answer broke off: %v", err)
	}
	resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, body: body, id: resp.Header.Get(oauth.HeaderRequestID)}
	if !c.silent {
		conn.s.check(t, c, &a)
	}
	return a
}

// check is what holds for every answer, whatever the test is about.
func (s *server) check(t *testing.T, c call, a *answer) {
	t.Helper()
	s.mu.Lock()
	if a.id == "" || s.ids[a.id] || len(a.header.Values(oauth.HeaderRequestID)) != 1 {
		t.Errorf("Request-Id %q is missing or not new", a.header.Values(oauth.HeaderRequestID))
	}
	s.ids[a.id] = true
	if a.status >= http.StatusBadRequest {
		fmt.Fprintf(&s.answers, "%d %v %s\n", a.status, a.header, a.body)
	}
	event := eventAt(c.target)
	decision := event != "" && a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed
	if decision {
		s.decided++
	}
	s.mu.Unlock()
	if decision && a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("GL-6 Cache-Control is %q", a.header.Get("Cache-Control"))
	}
	if a.status == http.StatusOK && decision && event == "token" {
		if err := json.Unmarshal(a.body, &a.token); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		secrets.jwt(string(a.token.AccessToken))
		if a.token.RefreshToken != "" {
			secrets.add("refresh token", string(a.token.RefreshToken))
		}
	}
	if s.record == nil {
		return
	}
	lines := slices.DeleteFunc(s.record.find(t, "request_id", a.id), func(l line) bool { return l.text("event") == audit.EventRegister })
	switch {
	case !decision && len(lines) != 0:
		t.Errorf("status %d has %d audit lines, want none", a.status, len(lines))
	case decision && len(lines) != 1:
		t.Errorf("TK-9 status %d has %d audit lines, want one", a.status, len(lines))
	case decision:
		a.audit = lines[0]
		if lines[0].text("event") != event {
			t.Errorf("event %q, want %q", lines[0].text("event"), event)
		}
	}
}

// eventAt is the event of a decision at a target; empty where nothing is decided.
func eventAt(target string) string {
	path, _, _ := strings.Cut(target, "?")
	for suffix, event := range map[string]string{"/token": "token", "/par": "par", "/introspect": "introspect", "/revoke": "revoke"} {
		if strings.HasSuffix(path, suffix) {
			return event
		}
	}
	if path == "" { // as an honest caller of the token endpoint has it
		return "token"
	}
	return ""
}

// status asks the status listener.
func (s *server) status(t *testing.T, path string, host ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addresses["status"]+path, nil)
	if t.Context().Err() != nil { // in a cleanup
		r, err = http.NewRequest(http.MethodGet, "http://"+s.addresses["status"]+path, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(host) > 0 {
		r.Host = host[0]
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// metric is the value of one series, 0 when there is none.
func (s *server) metric(t *testing.T, series string) float64 {
	t.Helper()
	_, body := s.status(t, "/metrics")
	for l := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(l, series+" "); ok {
			var v float64
			if _, err := fmt.Sscan(value, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// sequence waits until the server has this sequence of a trust domain's bundle.
func (s *server) sequence(t *testing.T, d *domain, sequence uint64) {
	t.Helper()
	until(t, fmt.Sprintf("sequence %d of %s", sequence, d.name), func() bool {
		var state struct {
			TrustDomains map[string]struct{ Sequence uint64 } `json:"trust_domains"`
		}
		_, body := s.status(t, "/readyz")
		return json.Unmarshal(body, &state) == nil && state.TrustDomains[d.name].Sequence >= sequence
	})
}
