package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/doctor"
	"github.com/svidgate/svidgate/oauth"
)

// One line a check, what to do next below it, and the sum; the same as JSON.
func TestDoctorCommand(t *testing.T) {
	d := workloadAPI(t)
	t.Setenv("SVIDGATE_SOCKET", "")
	out, stderr, err := run(t, "doctor", "--socket", d.SocketAddr())
	if err != nil || stderr != "" {
		t.Fatalf("%v: %s%s", err, out, stderr)
	}
	for _, want := range []string{
		"✓ Workload API: " + d.SocketAddr() + " answers\n", "✓ X.509-SVID: spiffe://example.org/billing, expires in ", "– TLS to the issuer: there is no --issuer\n", "\n2 in order, 0 failed, ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	out, _, err = run(t, "doctor", "--socket", d.SocketAddr(), "--admin-socket", "/nowhere/admin.sock")
	if !errors.Is(err, errSilent) || !strings.Contains(out, "✗ bundle at the server: there is no socket /nowhere/admin.sock") || !strings.Contains(out, "\n  next: ") {
		t.Errorf("%v: %s", err, out)
	}
	asJSON, _, err := run(t, "doctor", "--json", "--socket", d.SocketAddr())
	var got diagnosis
	if err != nil || json.Unmarshal([]byte(asJSON), &got) != nil || !got.Healthy || got.Passed != 2 || got.Failed != 0 || got.Passed+got.NotJudged != len(got.Checks) {
		t.Errorf("%v: %s", err, asJSON)
	}
	if got.Checks[0].Check != "workload_socket" || got.Checks[0].Outcome != oauth.Passed {
		t.Errorf("%+v", got.Checks[0])
	}
}

// The exit codes are a promise to CI: 0 in order, 1 a check failed, 2 nothing to
// check. Only a process has them.
func TestDoctorExitCodes(t *testing.T) {
	d := workloadAPI(t)
	for _, row := range []struct {
		name string
		args []string
		code int
	}{
		{"in order", []string{"--socket", d.SocketAddr()}, 0},
		{"a check failed", []string{"--socket", "unix:///nowhere/agent.sock"}, 1},
		{"nothing to check", nil, 2},
		{"a flag that makes no sense", []string{"--issuer", "http://a.example"}, 2},
		{"a flag that there is not", []string{"--issue", "https://a.example"}, 2},
		{"an argument", []string{"https://a.example"}, 2},
		{"a chain without its key", []string{"--x509-svid-file", "svid.pem"}, 2},
		{"no ca-file there", []string{"--ca-file", "/nowhere/ca.pem"}, 2},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"doctor"}, row.args...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1", "SPIFFE_ENDPOINT_SOCKET=", "SVIDGATE_SOCKET=")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != row.code {
			t.Errorf("%s: code %d, %v: %s", row.name, cmd.ProcessState.ExitCode(), err, out)
		}
	}
}

func TestDoctorFaults(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no ca-file", []string{"--ca-file", "/nowhere/ca.pem"}, "--ca-file"},
		{"a ca-file without certificates", []string{"--ca-file", file(t, "ca", "x")}, "holds no certificate"},
		{"a status listener far away", []string{"--status", "http://192.0.2.1/"}, "on loopback"},
	} {
		out, _, err := run(t, append([]string{"doctor"}, row.args...)...)
		if err == nil || !strings.Contains(err.Error(), row.want) || out != "" {
			t.Errorf("%s: %v, printed %q", row.name, err, out)
		}
	}
}

// An exitError keeps its cause.
func TestExitCode(t *testing.T) {
	err := error(&exitError{2, errSilent})
	if exitCode(err) != 2 || !errors.Is(err, errSilent) || err.Error() != errSilent.Error() {
		t.Errorf("%#v", err)
	}
	for outcome := range checkMarks {
		if outcome != oauth.Passed && outcome != oauth.NotJudged && outcome != doctor.Failed {
			t.Errorf("a mark for %s", outcome)
		}
	}
}
