package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sound = `issuer: https://127.0.0.1:1
listen: {public: "127.0.0.1:0"}
tls: {certificate: as.crt, key: as.key}
`

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// check-config prints nothing, or one line FILE:LINE:COL: message for each fault
// on standard error; and serve prints the same before it gives up.
func TestCheckConfig(t *testing.T) {
	good := file(t, "svidgate.yaml", sound)
	if stdout, stderr, err := run(t, "check-config", good); stdout != "" || stderr != "" || err != nil {
		t.Errorf("printed %q and %q, %v", stdout, stderr, err)
	}
	bad := file(t, "svidgate.yaml", strings.Replace(sound, "listen:", "lisen:", 1)+"profile: latests\n")
	want := bad + `:2:1: unknown key "lisen"; did you mean "listen"?` + "\n" + bad + ":4:10: "
	for _, args := range [][]string{{"check-config", bad}, {"serve", "--config", bad}, {"serve", "-c", bad}} {
		stdout, stderr, err := run(t, args...)
		if stdout != "" || !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 2 || !errors.Is(err, errSilent) {
			t.Errorf("%v printed %q and %q, %v", args, stdout, stderr, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if _, stderr, err := run(t, "check-config", missing); stderr != "" || err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file that is missing: %q, %v", stderr, err)
	}
	if _, stderr, err := run(t, "serve", "--config", missing); err == nil || errors.Is(err, errSilent) && stderr == "" {
		t.Errorf("serve says nothing of a file that is missing: %q, %v", stderr, err)
	}
	if _, _, err := run(t, "serve", "--config", good); err == nil || !strings.Contains(err.Error(), "as.crt") {
		t.Errorf("serve without its certificate: %v", err)
	}
}

// The exit code is 0 only on success, and what is wrong stands on standard error
// once.
func TestExitCodes(t *testing.T) {
	good, bad := file(t, "svidgate.yaml", sound), file(t, "svidgate.yaml", "{")
	for _, row := range []struct {
		args []string
		code int
		err  string // how standard error begins
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"--help"}, 0, ""},
		{nil, 0, ""},
		{[]string{"check-config", good}, 0, ""},
		{[]string{"check-config", bad}, 1, bad + ":1:1: "},
		{[]string{"serve", "--config", bad}, 1, bad + ":1:1: "},
		{[]string{"serve", "--config", good}, 1, "svidgate: daemon: tls: "},
		{[]string{"nothing"}, 1, `svidgate: unknown command "nothing"`},
		{[]string{"version", "--nothing"}, 1, "svidgate: unknown flag: --nothing"},
		{[]string{"token", "--issuer", "http://a", "--jwt-svid-file", good}, 1, "svidgate: the issuer "},
	} {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], row.args...)
			cmd.Env = append(os.Environ(), asProgram+"=1")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			if !strings.HasPrefix(stderr.String(), row.err) || (stderr.Len() == 0) != (row.err == "") || strings.Count(stderr.String(), row.err) != 1 && row.err != "" {
				t.Errorf("standard error is %q, want %q", stderr.String(), row.err)
			}
			if (stdout.Len() > 0) != (row.code == 0 && len(row.args) != 2) {
				t.Errorf("standard output is %q", stdout.String())
			}
		})
	}
}
