package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/admin"
	"github.com/svidgate/svidgate/internal/audit"
)

// operatorEvents are the audit lines that tell of an operator and not of a
// request for a token, and those that come beside one.
var operatorEvents = []string{audit.EventReload, audit.EventBundleRefresh, audit.EventBundleOverride, audit.EventKeyRotate, audit.EventKeyRemove, audit.EventRevokeByAdmin,
	audit.EventClientApprove, audit.EventClientBlock, audit.EventClientUnblock, audit.EventClientDelete, audit.EventRegister}

// operated counts the lines of operators, and of people, in the audit record.
func (s *server) operated(t *testing.T) int {
	t.Helper()
	n := 0
	for _, l := range s.record.all(t) {
		if slices.Contains(operatorEvents, l.text("event")) || slices.Contains(personEvents, l.text("event")) {
			n++
		}
	}
	return n
}

// shortFolder is a folder of the test's own in which the path of a socket fits.
func shortFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// adminAt is the line of a configuration that puts the administration socket
// into this folder.
func adminAt(dir string) string {
	return fmt.Sprintf("\nadmin: {socket: %q}\n", filepath.Join(dir, "admin.sock"))
}

// socket is the administration socket, as the line "ready" tells it.
func (s *server) socket(t *testing.T) string {
	t.Helper()
	path := s.log.find(t, "msg", "ready")[0].text("admin")
	if !filepath.IsAbs(path) {
		t.Fatalf("the line ready has the admin socket %q, which is not absolute", path)
	}
	return path
}

// admin asks as the commands do.
func (s *server) admin(t *testing.T) *admin.Client {
	t.Helper()
	return admin.Dial(s.socket(t))
}

// operator runs a command against this server.
func (s *server) operator(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	end := len(args)
	if i := slices.Index(args, "--"); i >= 0 {
		end = i
	}
	return command(t, s.dir, slices.Insert(slices.Clone(args), end, "--socket", s.socket(t))...)
}

// done runs a command that must succeed, and returns what it printed.
func (s *server) done(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := s.operator(t, args...)
	if code != 0 || errs != "" {
		t.Fatalf("svidgate %s: code %d, %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refuses runs a command that must fail and say this.
func (s *server) refuses(t *testing.T, says string, args ...string) {
	t.Helper()
	out, errs, code := s.operator(t, args...)
	if code != 1 || out != "" || !strings.Contains(errs, says) {
		t.Errorf("svidgate %s: code %d, %q, %q; it should say %q", strings.Join(args, " "), code, out, errs, says)
	}
}

// asJSON runs a command with --json and decodes what it printed, with no member
// that the type does not have.
func asJSON[T any](t *testing.T, s *server, args ...string) (v T) {
	t.Helper()
	out := s.done(t, append(args, "--json")...)
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || d.More() {
		t.Fatalf("svidgate %s --json: %v: %s", strings.Join(args, " "), err, out)
	}
	return v
}

// commandWith runs the program to its end with an environment and an input.
func commandWith(t *testing.T, dir string, env []string, input []byte, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(), args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(os.Environ(), env...), bytes.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// kill ends the process as a crash does.
func (s *server) kill(t *testing.T) {
	t.Helper()
	s.killed = true
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
}

// replace writes a file of the server anew, in one step.
func (s *server) replace(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
