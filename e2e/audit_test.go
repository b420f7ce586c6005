package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// AU-6, GL-15: what cannot be recorded is not given. The device is always full.
func TestAuditUnavailable(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig+"audit: {file: /dev/full}\n", td)
	if resp, body := s.status(t, "/readyz"); resp.StatusCode != http.StatusOK {
		t.Fatalf("before the first decision: %d %s", resp.StatusCode, body)
	}
	for _, c := range []call{
		withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)), // would be granted
		withJWT(td.id("/billing"), td.jwt(t, "/billing", "wrong")),
		{body: "nonsense"},
	} {
		a := s.refused(t, c, refusal{"(unavailable)", oauth.ReasonAuditUnavailable, "AU-6"})
		if bytes.Contains(a.body, []byte("access_token")) {
			t.Error("a token")
		}
	}
	resp, body := s.status(t, "/readyz")
	var state struct {
		Ready bool
		Error string
	}
	if err := json.Unmarshal(body, &state); err != nil || resp.StatusCode != http.StatusServiceUnavailable || state.Ready || state.Error != "audit_unavailable" {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}
	if resp, _ := s.status(t, "/livez"); resp.StatusCode != http.StatusOK {
		t.Errorf("liveness: %d, and a restart would not help", resp.StatusCode)
	}
	total := 0.0
	for _, domain := range []string{"", "example.org"} {
		total += s.metric(t, `svidgate_refusals_total{endpoint="token",reason="audit_unavailable",trust_domain="`+domain+`"}`)
	}
	if total != 3 {
		t.Errorf("the metric has %v refusals", total)
	}
	if n := s.metric(t, `svidgate_tokens_issued_total{binding="bearer",grant="client_credentials",method="spiffe_jwt"}`); n != 0 {
		t.Errorf("the metric has %v tokens", n)
	}
	// Public documents need no record.
	if a := s.do(t, call{method: http.MethodGet, target: oauth.PathJWKS}); a.status != http.StatusOK {
		t.Errorf("keys: status %d", a.status)
	}
}

// AU-6: a record that takes nothing, because nobody reads the pipe, holds up
// each request for some seconds and not for ever.
func TestAuditHangs(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := prepare(t, worldConfig+"audit: {file: pipe}\n", td)
	s.record = nil
	path := filepath.Join(s.dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // its own writer, too, so that it opens at once
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	s.run(t)
	ask := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
	s.granted(t, ask())

	// A pipe holds 64 KiB; a line has at most a few hundred bytes more than its scope.
	stuck := s.dial(t, "public", tlsConfig("public", nil))
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		for {
			long := ask()
			long.set("scope", strings.Repeat("s", 2000))
			if _, err := stuck.Write([]byte(long.text("as.example.com"))); err != nil {
				return
			}
			if _, err := http.ReadResponse(stuck.r, &http.Request{Method: http.MethodPost}); err != nil {
				return // the one that waits for the pipe until we hang up
			}
		}
	}()
	until(t, "readiness off", func() bool {
		conn, err := s.tryDial("public", tlsConfig("public", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		a := conn.do(t, call{form: ask().form, silent: true})
		return a.status == http.StatusServiceUnavailable
	})
	if resp, body := s.status(t, "/readyz"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}

	// When somebody reads again it goes on by itself.
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, err := reader.Read(buffer)
			evidence.add("audit pipe", bytes.Clone(buffer[:n]))
			if err != nil {
				return
			}
		}
	}()
	until(t, "readiness on", func() bool {
		resp, _ := s.status(t, "/readyz")
		return resp.StatusCode == http.StatusOK
	})
	stuck.Close()
	<-filled
	s.granted(t, ask())
}

// AU-3: the chain goes on over a restart, and after a crash that tore a line.
func TestAuditChainOverRestarts(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig, td)
	ask := func() call { return withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)) }
	wrong := refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"}
	s.granted(t, ask())
	first := s.granted(t, ask())
	s.stop(t)
	s.run(t)
	second := s.granted(t, ask())
	if first.keyID != second.keyID {
		t.Errorf("the signing key changed over a restart: tokens of before do not verify")
	}
	if second.audit["seq"] != 3.0 {
		t.Errorf("seq is %v after two lines", second.audit["seq"])
	}
	s.refused(t, withJWT("", td.jwt(t, "/billing", "wrong")), wrong)

	// Killed in the middle of a write: half a line at the end.
	s.lastLook(t)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	file, err := os.OpenFile(s.record.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"version":1,"seq":5,"pr`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	s.run(t)
	third := s.granted(t, ask())
	if third.audit["seq"] != 6.0 {
		t.Errorf("seq is %v, with one line that tells of the crash", third.audit["seq"])
	}
	if lines := s.record.find(t, "event", "recovered"); len(lines) != 1 || lines[0]["lost_bytes"] != 24.0 {
		t.Errorf("recovered: %v", lines)
	}
	s.stop(t)

	// Whoever changes a line is found out.
	record, err := os.ReadFile(s.record.path)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(record, []byte(`"outcome":"refused"`), []byte(`"outcome":"granted"`), 1)
	var bad *audit.BadLine
	if _, err := audit.Verify(bytes.NewReader(forged)); !errors.As(err, &bad) || bad.Line != 4 {
		t.Errorf("a forged line 4: %v", err)
	}
	info, err := os.Stat(s.record.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// AU-1: on standard output, too, and there the chain begins with the process.
func TestAuditOnStandardOutput(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig+"audit: {file: \"-\"}\n", td)
	for range 3 {
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	}
	s.stop(t)
	report, err := audit.Verify(bytes.NewReader(said(t, s.stdout)))
	if err != nil || report.Lines != 3 {
		t.Errorf("%d lines, %v", report.Lines, err)
	}
}
