package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// The readiness body, the line "ready" and the metrics, by the names of the
// contract.
func TestStatus(t *testing.T) {
	good := newDomain(t, "good.test", devca.Options{})
	late := newDomain(t, "late.test", devca.Options{})
	late.status.Store(&answers{http.StatusNotFound})
	s := start(t, strings.ReplaceAll(worldConfig, "example.org", "good.test")+
		`  - {client_id: "spiffe://late.test/w", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}`+"\n", good, late)
	ready := s.log.find(t, "msg", "ready")[0]
	for name, want := range map[string]string{"issuer": issuer, "mtls_url": mtlsURL, "level": "INFO"} {
		if ready.text(name) != want {
			t.Errorf("ready has %s %q", name, ready.text(name))
		}
	}

	type state struct {
		Ready        bool
		Error        string
		Listeners    map[string]string
		TrustDomains map[string]struct {
			Ready      bool
			Sequence   *uint64
			AgeSeconds *int64 `json:"age_seconds"`
			Error      *string
		} `json:"trust_domains"`
	}
	readyz := func() (int, state) {
		resp, body := s.status(t, "/readyz")
		var got state
		if err := json.Unmarshal(body, &got); err != nil || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%v: %s", err, body)
		}
		return resp.StatusCode, got
	}
	code, got := readyz()
	if code != http.StatusOK || !got.Ready {
		t.Errorf("one trust domain is ready: %d %+v", code, got)
	}
	for _, name := range []string{"public", "mtls", "status"} {
		if got.Listeners[name] != ready.text(name) || strings.HasSuffix(got.Listeners[name], ":0") || got.Listeners[name] == "" {
			t.Errorf("listener %s is %q in /readyz and %q in the log", name, got.Listeners[name], ready.text(name))
		}
	}
	if d := got.TrustDomains["good.test"]; !d.Ready || d.Sequence == nil || *d.Sequence != 1 || d.AgeSeconds == nil || *d.AgeSeconds > 30 || *d.Error != "" {
		t.Errorf("good.test %+v", d)
	}
	if d := got.TrustDomains["late.test"]; d.Ready || d.Sequence != nil || !strings.Contains(*d.Error, "404") {
		t.Errorf("late.test %+v", d)
	}

	// Section 14: a trust domain that never had a bundle is the server's own affair.
	ask := func() call { return withJWT(late.id("/w"), late.jwt(t, "/w", issuer)) }
	a := s.refused(t, ask(), refusal{"(unavailable)", oauth.ReasonTDNotReady, "GL-15"})
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.granted(t, withJWT(good.id("/billing"), good.jwt(t, "/billing", issuer)))
	late.status.Store(nil)
	s.sequence(t, late, 1)
	s.granted(t, ask())

	_, body := s.status(t, "/metrics")
	for _, series := range []string{
		`svidgate_tokens_issued_total{binding="bearer",grant="client_credentials",method="spiffe_jwt"} 2`,
		`svidgate_refusals_total{endpoint="token",reason="td_not_ready",trust_domain="late.test"} 1`,
		`svidgate_profile_legacy_use_total{rule="CJ-7"} 0`,
		`svidgate_profile_legacy_use_total{rule="CJ-10"} 0`,
	} {
		if !strings.Contains(string(body), series+"\n") {
			t.Errorf("no line %s", series)
		}
	}
	for _, d := range []string{"good.test", "late.test"} {
		if !regexp.MustCompile(`svidgate_bundle_age_seconds\{trust_domain="` + d + `"\} [0-9.]+`).Match(body) {
			t.Errorf("no age of the bundle of %s", d)
		}
	}
	for l := range strings.Lines(string(body)) {
		if name := regexp.MustCompile(`^[a-z_]+`).FindString(l); name != "" && !regexp.MustCompile(`^(svidgate|go|process|promhttp)_`).MatchString(name) {
			t.Errorf("a metric named %s", name)
		}
	}

	// An inventive stranger makes no new series.
	before := strings.Count(string(body), "\n")
	for i := range 20 {
		s.do(t, call{method: fmt.Sprintf("FROB%d", i), target: fmt.Sprintf("/path-%d", i)})
		s.do(t, withJWT(fmt.Sprintf("client-%d", i), good.jwt(t, "/billing", issuer, inClaims("sub", fmt.Sprintf("spiffe://td-%d.test/w", i)))))
	}
	_, body = s.status(t, "/metrics")
	if more := strings.Count(string(body), "\n") - before; more > 60 {
		t.Errorf("%d more lines", more)
	}
}

// Without any trust domain there is nothing to wait for, and no method that works
// (MD-1).
func TestNoTrustDomain(t *testing.T) {
	s := start(t, "clients: []\n")
	if resp, body := s.status(t, "/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}
	if a := s.do(t, call{method: http.MethodGet, target: oauth.PathASMetadata}); strings.Contains(string(a.body), "spiffe_") {
		t.Errorf("MD-1 the metadata is %s", a.body)
	}
	stranger := must(devca.New("example.org", devca.Options{}))
	s.refused(t, withJWT("", secrets.jwt(must(stranger.JWTSVID("/w", []string{issuer})))), refusal{"invalid_client", oauth.ReasonTDUnknown, "JS-13"})
}

// The status listener is for this machine: a page under another name of it is
// turned away (DNS rebinding).
func TestStatusHost(t *testing.T) {
	w := newWorld(t)
	_, port, _ := strings.Cut(w.addresses["status"], ":")
	for _, row := range []struct {
		host   string
		status int
	}{
		{"127.0.0.1:" + port, 200}, {"localhost:" + port, 200}, {"localhost", 200}, {"[::1]:" + port, 200}, {"127.0.0.2", 200},
		{"evil.example.com", 421}, {"evil.example.com:" + port, 421}, {"localhost.example.com", 421}, {"127.0.0.1.example.com:" + port, 421},
		{"as.example.com", 421}, {"0.0.0.0:" + port, 421}, {"10.0.0.1", 421},
	} {
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			resp, body := w.status(t, path, row.host)
			if resp.StatusCode != row.status || resp.Header.Get(oauth.HeaderRequestID) == "" {
				t.Errorf("Host %s, %s: status %d, want %d", row.host, path, resp.StatusCode, row.status)
			}
			if row.status == 421 && len(body) != 0 {
				t.Errorf("Host %s, %s: %s", row.host, path, body)
			}
		}
	}
	for _, path := range []string{"/", "/token", "/jwks.json", "/debug/pprof/", "/livez/", "/metrics/x"} {
		if resp, _ := w.status(t, path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, resp.StatusCode)
		}
	}
}

// A stop lets a request end, tells readiness first, and exits with 0.
func TestGracefulStop(t *testing.T) {
	w := newWorld(t)
	c := w.billing(t)
	request := c.text("as.example.com")
	middle := len(request) - 20
	conn := w.dial(t, "public", tlsConfig("public", nil))
	if _, err := io.WriteString(conn, request[:middle]); err != nil {
		t.Fatal(err)
	}
	idle := w.dial(t, "public", tlsConfig("public", nil))
	idle.granted(t, w.billing(t))
	w.lastLook(t)
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "readiness off", func() bool {
		resp, body := w.status(t, "/readyz")
		return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "stopping")
	})
	if resp, _ := w.status(t, "/livez"); resp.StatusCode != http.StatusOK {
		t.Errorf("liveness: %d", resp.StatusCode)
	}
	until(t, "no new connections", func() bool {
		conn, err := w.tryDial("public", tlsConfig("public", nil))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case <-w.ended:
		t.Fatal("it ended with a request in hand")
	default:
	}
	if _, err := io.WriteString(conn, request[middle:]); err != nil {
		t.Fatal(err)
	}
	a := conn.answer(t, c)
	if a.status != http.StatusOK || a.audit.text("outcome") != "granted" {
		t.Errorf("the request in hand: status %d, audit %v", a.status, a.audit)
	}
	if _, err := conn.r.ReadByte(); err != io.EOF {
		t.Errorf("its connection stays open: %v", err)
	}
	w.wait(t)
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, said(t, w.stderr))
	}
	w.inspect(t)
}

// GL-16: an address that fails too often has to wait, and a client that asks too
// often, too.
func TestLimits(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	wrong := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", "wrong")) }
	right := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
	limited := refusal{"(too_many)", oauth.ReasonRateLimited, "GL-16"}

	t.Run("failures_per_source", func(t *testing.T) {
		s := start(t, worldConfig+"limits: {failures_per_source: 2/m}\n", td)
		for range 3 {
			s.granted(t, right()) // success costs nothing
		}
		s.refused(t, wrong(), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
		a := s.do(t, wrong())
		if a.status == http.StatusUnauthorized { // a burst of two
			a = s.do(t, wrong())
		}
		if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" || len(a.body) != 0 {
			t.Errorf("status %d, header %v", a.status, a.header)
		}
		s.refused(t, right(), limited) // whoever it is: no signature is checked
		if a := s.do(t, call{method: http.MethodGet, target: oauth.PathJWKS}); a.status != http.StatusOK {
			t.Errorf("keys: status %d", a.status)
		}
		if n := s.metric(t, `svidgate_refusals_total{endpoint="token",reason="rate_limited",trust_domain=""}`); n != 2 {
			t.Errorf("the metric has %v", n)
		}
	})
	t.Run("requests_per_client", func(t *testing.T) {
		s := start(t, worldConfig+"limits: {failures_per_source: 0, requests_per_client: 1/m}\n", td)
		s.granted(t, right())
		a := s.refused(t, right(), limited)
		if a.audit.text("spiffe_id") != td.id("/billing") {
			t.Errorf("audit line %v", a.audit)
		}
		s.granted(t, s.ordersOf(t, td)) // another client has its own
		s.refused(t, wrong(), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
	})
	t.Run("recovery", func(t *testing.T) {
		s := start(t, worldConfig+"limits: {failures_per_source: 1/s}\n", td)
		s.refused(t, wrong(), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
		s.refused(t, right(), limited)
		until(t, "the wait is over", func() bool { return s.do(t, right()).status == http.StatusOK })
	})
}
