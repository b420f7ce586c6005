package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/svidgate/svidgate/internal/audit"
)

// A developer is what `svidgate dev --json` prints.
type developer struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	Resource      string   `json:"resource"`
	Socket        string   `json:"socket"`
	CAFile        string   `json:"ca_file"`
	Status        string   `json:"status"`
	Audit         string   `json:"audit"`
	Workloads     []string `json:"workloads"`
}

// dev runs `svidgate dev` until the end of the test.
func dev(t *testing.T) (d developer, s *server) {
	t.Helper()
	s = &server{dir: t.TempDir(), ids: map[string]bool{}, ended: make(chan struct{})}
	s.stdout, s.stderr = s.file(t, "stdout"), s.file(t, "stderr")
	s.cmd = exec.Command(program(), "dev", "--json", "--verbose", "--dir", filepath.Join(s.dir, "dev"))
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.cmd.Wait() // its result is in ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-s.ended:
		default:
			s.cmd.Process.Signal(syscall.SIGTERM)
		}
		s.wait(t)
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("dev ended with code %d: %s", code, said(t, s.stderr))
		}
		evidence.add("dev standard error", said(t, s.stderr))
		evidence.add("dev standard output", said(t, s.stdout))
	})
	until(t, "what dev prints when it is up", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("dev ended: %s", said(t, s.stderr))
		default:
		}
		return json.Unmarshal(said(t, s.stdout), &d) == nil
	})
	return d, s
}

var example = sync.OnceValue(func() string { return build("./examples/workload") })

// Shows f: a program that knows nothing of this module but package client gets
// tokens with go-spiffe's own sources and calls the API, by each method.
func TestWorkloadExample(t *testing.T) {
	d, _ := dev(t)
	for what, value := range map[string]string{"issuer": d.Issuer, "resource": d.Resource, "socket": d.Socket, "ca_file": d.CAFile, "token_endpoint": d.TokenEndpoint, "status": d.Status} {
		if value == "" {
			t.Errorf("dev --json says no %s", what)
		}
	}
	if len(d.Workloads) < 2 {
		t.Fatalf("workloads %v", d.Workloads)
	}
	billing, orders := d.Workloads[0], d.Workloads[1]
	run := func(env []string, args ...string) (string, string, int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, example(), append(args, "--issuer", d.Issuer, "--resource", d.Resource, "--ca-file", d.CAFile)...)
		cmd.Env = append(os.Environ(), env...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		evidence.add("example", append(out.Bytes(), errs.Bytes()...))
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	out, errs, code := run(nil, "--socket", d.Socket, "--jwt", billing, "--x509", orders)
	if code != 0 || errs != "" {
		t.Fatalf("code %d, %s", code, errs)
	}
	want := `JWT-SVID: 200 OK {"hello":"` + billing + `","client_id":"` + billing + `","bound_to_certificate":false}
X.509-SVID: 200 OK {"hello":"` + orders + `","client_id":"` + orders + `","bound_to_certificate":true}
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	// The socket from the environment, as every SPIFFE program takes it (CL-1).
	if out, errs, code := run([]string{"SPIFFE_ENDPOINT_SOCKET=" + d.Socket}, "--jwt", billing); code != 0 || !strings.HasPrefix(out, "JWT-SVID: 200 OK") {
		t.Errorf("code %d, %s, %s", code, out, errs)
	}
	// Each is registered for one method, and refused by the other (CA-7).
	for _, args := range [][]string{{"--jwt", orders}, {"--x509", billing}, {"--jwt", "spiffe://dev.test/nobody"}} {
		if out, errs, code := run(nil, append(args, "--socket", d.Socket)...); code == 0 || out != "" || !strings.HasPrefix(errs, "workload: ") {
			t.Errorf("%v: code %d, %q, %q", args, code, out, errs)
		}
	}
	record, err := os.ReadFile(d.Audit)
	if err != nil {
		t.Fatal(err)
	}
	evidence.add("dev audit record", record)
	report, err := audit.Verify(bytes.NewReader(record))
	if err != nil || report.Lines < 5 {
		t.Errorf("%d audit lines, %v", report.Lines, err)
	}
	for _, path := range []string{"/readyz", "/metrics"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.Status+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Timeout: patience}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, %v", path, resp.StatusCode, err)
		}
		resp.Body.Close()
		evidence.add("dev "+path, body)
	}
}

// `svidgate token` against the same environment: the token and nothing else.
func TestTokenCommand(t *testing.T) {
	d, _ := dev(t)
	for i, method := range []string{"spiffe_jwt", "spiffe_x509", "spiffe_wit"} {
		args := []string{"token", "--issuer", d.Issuer, "--ca-file", d.CAFile, "--socket", d.Socket, "--spiffe-id", d.Workloads[i], "--method", method}
		cmd := exec.CommandContext(t.Context(), program(), args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output() // not among the evidence: it is a token, as asked for
		if err != nil {
			t.Errorf("%s: %v, %s", method, err, errs.String())
			continue
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\n$`).Match(out) {
			t.Errorf("%s: %d bytes that are not one token", method, len(out))
		}
		secrets.jwt(strings.TrimSpace(string(out)))
		evidence.add("token standard error", errs.Bytes())
	}
	// What is refused says so, with the id under which the operator finds it.
	_, errs, code := command(t, ".", "token", "--issuer", d.Issuer, "--ca-file", d.CAFile, "--socket", d.Socket, "--spiffe-id", d.Workloads[0], "--method", "spiffe_x509")
	if code == 0 || !strings.Contains(errs, "invalid_client") || !regexp.MustCompile(`[A-Z2-7]{26}`).MatchString(errs) {
		t.Errorf("code %d, %s", code, errs)
	}
}

// `svidgate demo` shows the main job and ends with 0, and leaves nothing behind.
func TestDemo(t *testing.T) {
	temp := t.TempDir()
	program()
	t.Setenv("TMPDIR", temp)
	out, errs, code := command(t, ".", "demo")
	if code != 0 || errs != "" {
		t.Fatalf("code %d, %s", code, errs)
	}
	for what, pattern := range map[string]string{
		"claims of the JWT-SVID's token":   `"sub": "spiffe://dev\.test/billing"`,
		"claims of the X.509-SVID's token": `"sub": "spiffe://dev\.test/orders"[\s\S]*"cnf": \{\s*"x5t#S256": "[A-Za-z0-9_-]{43}"`,
		"claims of the WIT-SVID's token":   `"sub": "spiffe://dev\.test/shipping"`,
		"its binding":                      `"cnf": \{\s*"jkt": "[A-Za-z0-9_-]{43}"`,
		"the third accepted call":          `200 \{"hello":"spiffe://dev\.test/shipping"[^}]*"bound_to_key":true`,
		"the first accepted call":          `200 \{"hello":"spiffe://dev\.test/billing"`,
		"the second accepted call":         `200 \{"hello":"spiffe://dev\.test/orders"[^}]*"bound_to_certificate":true`,
		"what the refused caller is told":  `401 \{"error":"invalid_client"`,
		"the reason":                       `refused: aud_mismatch`,
		"the rule that refused":            `CJ-6`,
		"the timing of a step":             `\([0-9.]+(µs|ms|s)\)`,
		"the audit record":                 `verified`,
	} {
		if !regexp.MustCompile(pattern).MatchString(out) {
			t.Errorf("%s is not in it:\n%s", what, out)
		}
	}
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A token that is bound to the key of a WIT-SVID is of use with a proof only, and
// `svidgate token --headers-for` makes one for one call (DP-5, DP-3).
func TestHeadersForOneCall(t *testing.T) {
	d, _ := dev(t)
	shipping := d.Workloads[2]
	cmd := exec.CommandContext(t.Context(), program(), "token", "--issuer", d.Issuer, "--ca-file", d.CAFile, "--socket", d.Socket,
		"--spiffe-id", shipping, "--method", "spiffe_wit", "--headers-for", d.Resource)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output() // not among the evidence: it is a token, as asked for
	if err != nil || errs.Len() != 0 {
		t.Fatalf("%v, %s", err, errs.String())
	}
	header := http.Header{}
	for line := range strings.Lines(string(out)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			t.Fatalf("%d bytes that are no header", len(line))
		}
		header.Add(name, value)
		for word := range strings.FieldsSeq(value) {
			secrets.jwt(word)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(d.CAFile)))
	api := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	calls := func(method, url string, change func(http.Header)) (int, string, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header.Clone()
		change(r.Header)
		resp, err := api.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.Header.Get("WWW-Authenticate")
	}
	untouched := func(http.Header) {}
	for _, row := range []struct {
		name, method, url string
		change            func(http.Header)
		want              string // of the challenge
	}{
		{"another path", http.MethodGet, d.Resource + "other", untouched, `DPoP realm="` + d.Resource + `", error="invalid_dpop_proof"`},
		{"another method", http.MethodPost, d.Resource, untouched, `error="invalid_dpop_proof"`},
		{"as Bearer", http.MethodGet, d.Resource, func(h http.Header) {
			h.Set("Authorization", "Bearer"+strings.TrimPrefix(h.Get("Authorization"), "DPoP"))
		}, `Bearer realm="` + d.Resource + `", error="invalid_token"`},
		{"without the proof", http.MethodGet, d.Resource, func(h http.Header) { h.Del("DPoP") }, `error="invalid_token"`},
	} {
		if status, _, challenge := calls(row.method, row.url, row.change); status != http.StatusUnauthorized || !strings.Contains(challenge, row.want) {
			t.Errorf("%s: %d, %s", row.name, status, challenge)
		}
	}
	if status, body, challenge := calls(http.MethodGet, d.Resource, untouched); status != http.StatusOK || !strings.Contains(body, `"hello":"`+shipping+`"`) || !strings.Contains(body, `"bound_to_key":true`) {
		t.Errorf("%d %s, %s", status, body, challenge)
	}
	if status, _, challenge := calls(http.MethodGet, d.Resource, untouched); status != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_dpop_proof"`) {
		t.Errorf("the same call again: %d, %s", status, challenge)
	}
}
