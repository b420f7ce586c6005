package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// asProgram makes the test's own binary be svidgate, for the exit codes that only
// a process has.
const asProgram = "SVIDGATE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run runs a command in this process.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	err = finish(root).ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// every is each command of the program but cobra's own.
func every(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, every(sub)...)
	}
	return all
}

func words(c *cobra.Command) []string { return strings.Fields(c.CommandPath())[1:] }

// Every command says what it does, gives an example, and explains each flag.
func TestHelp(t *testing.T) {
	for _, c := range every(newRoot()) {
		t.Run(c.CommandPath(), func(t *testing.T) {
			stdout, stderr, err := run(t, append(words(c), "--help")...)
			if err != nil || stderr != "" {
				t.Fatalf("%v, standard error %q", err, stderr)
			}
			if c.Short == "" || c.Example == "" || !strings.Contains(stdout, "Examples:\n"+strings.TrimRight(c.Example, "\n")) {
				t.Errorf("no example: %s", stdout)
			}
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" || !strings.Contains(stdout, "--"+f.Name) {
					t.Errorf("--%s is not explained", f.Name)
				}
			})
			for line := range strings.Lines(c.Long) {
				if utf8.RuneCountInString(strings.TrimSpace(line)) > 88 {
					t.Errorf("longer than the rest: %q", line)
				}
			}
			for line := range strings.Lines(stdout) {
				if strings.ContainsAny(line, "\t\x1b") {
					t.Errorf("a tab or an escape in %q", line)
				}
			}
		})
	}
}

// Every example is a command that exists, with flags and arguments that it takes.
func TestExamplesAreTrue(t *testing.T) {
	n := 0
	for _, c := range every(newRoot()) {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "  ") // what follows two spaces is said of it
			for one := range strings.SplitSeq(line, " | ") {
				check(t, one)
			}
			n++
		}
	}
	if n < 7 {
		t.Errorf("only %d examples", n)
	}
}

// check fails unless a command line could be run as it stands.
func check(t *testing.T, line string) {
	t.Helper()
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "svidgate" {
		t.Errorf("%q is no command of ours", line)
		return
	}
	c, rest, err := newRoot().Find(fields[1:])
	if err == nil && !c.HasParent() {
		err = errors.New("no such command")
	}
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err == nil {
		err = c.ValidateRequiredFlags()
	}
	if err == nil {
		err = c.ValidateFlagGroups()
	}
	if err != nil {
		t.Errorf("%q: %v", line, err)
	}
}

// What `dev` prints to be pasted can be pasted.
func TestPastedCommands(t *testing.T) {
	d := developer{
		Issuer: "https://127.0.0.1:1", MTLSURL: "https://127.0.0.1:2", Resource: "https://127.0.0.1:3/", Scope: "read", Socket: "unix:///tmp/w.sock",
		Bundle: "https://127.0.0.1:4/", TrustDomain: "dev.test", CAFile: "/tmp/ca.pem", Config: "/tmp/c.yaml", Audit: "/tmp/a.jsonl", Status: "http://127.0.0.1:5", Admin: "/tmp/a.sock",
	}
	text := d.text("svidgate")
	lines := regexp.MustCompile(`svidgate (?:token|doctor) [^)"\n]+`).FindAllString(text, -1)
	if len(lines) != 5 {
		t.Fatalf("%d commands in %s", len(lines), text)
	}
	for _, line := range lines {
		check(t, line)
	}
	if strings.Contains(text, "%!") {
		t.Errorf("a value is missing: %s", text)
	}
}

func TestMistakes(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"an unknown command", []string{"serv"}, `unknown command "serv"`},
		{"the nearest command is named", []string{"serv"}, "serve"},
		{"help on nothing", []string{"help", "nope"}, `there is no command "nope"`},
		{"a shell that nobody knows", []string{"completion", "tcsh"}, `unknown command "tcsh" for "svidgate completion"`},
		{"an unknown flag", []string{"version", "--jsn"}, "unknown flag: --jsn"},
		{"an unknown flag of the program", []string{"--config", "x"}, "unknown flag: --config"},
		{"an unknown short flag", []string{"serve", "-x"}, "unknown shorthand flag"},
		{"a name that looks like one", []string{"keys", "remove", "-rEf"}, "put -- before a name that begins with a dash"},
		{"an argument too many", []string{"version", "x"}, `unknown command "x"`},
		{"an argument too many for serve", []string{"serve", "svidgate.yaml"}, "svidgate.yaml"},
		{"no file to check", []string{"check-config"}, "accepts 1 arg(s), received 0"},
		{"two files to check", []string{"check-config", "a", "b"}, "accepts 1 arg(s), received 2"},
		{"a flag without its value", []string{"serve", "--config"}, "flag needs an argument"},
		{"a flag that is no number", []string{"token", "--issuer", "https://a", "--timeout", "soon"}, `--timeout is a time with its unit, such as 30s, not "soon"`},
		{"a number that is none", []string{"client", "list", "--limit", "x"}, `--limit is a number, not "x"`},
		{"a number below none", []string{"client", "list", "--limit", "-1"}, "--limit is a number from 1 on"},
		{"a switch that is neither", []string{"keys", "list", "--json=perhaps"}, `--json is true or false, not "perhaps"`},
		{"where flags are explained", []string{"revoke", "--clinet", "x"}, "; see svidgate revoke --help"},
		{"nothing to revoke", []string{"revoke"}, "exactly one of --jti, --grant"},
		{"two things to revoke", []string{"revoke", "--jti", "a", "--key", "b"}, "exactly one of --jti, --grant"},
		{"two ways to know the server", []string{"token", "--issuer", "https://a", "--ca-file", "a", "--server-id", "spiffe://a/b"}, "give one of --ca-file and --server-id"},
		{"headers of no call", []string{"token", "--issuer", "https://a", "--headers-for", "http://b"}, "no call of an https URL"},
		{"an issuer without TLS", []string{"token", "--issuer", "http://a"}, `the issuer "http://a" is not an https URL`},
		{"a method that nobody knows", []string{"token", "--issuer", "https://a", "--method", "basic"}, `not "basic"`},
		{"a required flag", []string{"token"}, "name the authorization server with --issuer"},
		{"two ways to print", []string{"token", "--issuer", "https://a", "--json", "--print-claims"}, "give one of --print-claims, --json and --headers-for"},
		{"a certificate without its key", []string{"token", "--issuer", "https://a", "--x509-svid-file", "a"}, "--x509-svid-file and --x509-key-file go together"},
	} {
		t.Run(row.name, func(t *testing.T) {
			stdout, stderr, err := run(t, row.args...)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %q", err, row.want)
			}
			if stdout != "" || stderr != "" {
				t.Errorf("printed besides: %q, %q", stdout, stderr)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	stdout, _, err := run(t, "version", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatal(err)
	}
	if v["version"] == "" || v["go"] != runtime.Version() || v["platform"] != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%s", stdout)
	}
	if flag, _, err := run(t, "--version"); err != nil || !strings.HasPrefix(flag, "svidgate ") {
		t.Errorf("%q, %v", flag, err)
	}
	stdout, _, err = run(t, "version")
	if err != nil || !regexp.MustCompile(`^svidgate \S+ \(go\S+.*, \S+/\S+\)\n$`).MatchString(stdout) {
		t.Errorf("%q, %v", stdout, err)
	}
}

// Completion for the usual shells, for values and for files.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		stdout, _, err := run(t, "completion", shell)
		if err != nil || !strings.Contains(stdout, "svidgate") || len(stdout) < 1000 {
			t.Errorf("%s: %d bytes, %v", shell, len(stdout), err)
		}
		if help, _, err := run(t, "completion", shell, "--help"); err != nil || !strings.Contains(help, "svidgate completion "+shell) {
			t.Errorf("%s: the help shows no example: %v", shell, err)
		}
	}
	const anyFile, noFiles, extensions, folders = ":0", ":4", ":8", ":16"
	for _, row := range []struct {
		args []string
		want []string
		how  string
	}{
		{[]string{"token", "--method", ""}, []string{"spiffe_jwt", "spiffe_wit", "spiffe_x509"}, noFiles},
		{[]string{"check-config", ""}, []string{"yaml", "yml", "json"}, extensions},
		{[]string{"serve", "--config", ""}, []string{"yaml", "yml", "json"}, extensions},
		{[]string{"dev", "--dir", ""}, nil, folders},
		{[]string{"doctor", "--method", ""}, []string{"spiffe_jwt", "spiffe_wit", "spiffe_x509"}, noFiles},
		{[]string{"doctor", "--admin-socket", ""}, []string{"sock"}, extensions},
		{[]string{"inspect", ""}, nil, anyFile},
		{[]string{"inspect", "a", ""}, nil, noFiles},
		{[]string{"whoami", "--audience", ""}, nil, noFiles},
		{[]string{"ser"}, []string{"serve\tRun the authorization server"}, noFiles},
	} {
		stdout, _, err := run(t, append([]string{"__complete"}, row.args...)...)
		got := strings.Split(strings.TrimSpace(stdout), "\n")
		if err != nil || !slices.Equal(got[:len(got)-1], row.want) || got[len(got)-1] != row.how {
			t.Errorf("%v completes to %q, %v", row.args, got, err)
		}
	}
}

// A mistyped subcommand does nothing, and so is no success.
func TestMistypedSubcommand(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"keys", ""}, {"bundle", ""}, {"audit", ""}, // help
		{"keys rotat", `unknown command "rotat" for "svidgate keys"; did you mean rotate?`},
		{"bundle lst", `unknown command "lst" for "svidgate bundle"; did you mean list?`},
		{"audit verfy x", `unknown command "verfy" for "svidgate audit"; did you mean verify?`},
		{"keys revoke x", `unknown command "revoke" for "svidgate keys"`},
	} {
		stdout, _, err := run(t, strings.Fields(row.args)...)
		switch {
		case row.want == "" && (err != nil || !strings.Contains(stdout, "Available Commands:")):
			t.Errorf("%s: %v, %q", row.args, err, stdout)
		case row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want) || stdout != ""):
			t.Errorf("%s: %v, want %s", row.args, err, row.want)
		}
	}
}

// Every command in a block of the documents is one that there is, with flags and
// arguments that it takes.
func TestCommandsOfTheDocuments(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, document := range append(documents, "../../README.md", "../../SECURITY.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(strings.TrimPrefix(line, "$ "), "  ") // what follows two spaces is said of it
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "svidgate ") && !strings.ContainsAny(line, "`)") {
				check(t, line)
				n++
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d commands", n)
	}
}
