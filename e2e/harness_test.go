package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

// The names of the server under test. Its certificate is for them, and our
// connections go to wherever it listens, so no port has to be known beforehand.
const (
	issuer   = "https://as.example.com"
	mtlsURL  = "https://mtls.as.example.com"
	tokenURL = issuer + "/token"
	aliasURL = mtlsURL + "/token"
	apiURL   = "https://api.example.com/"
)

// patience bounds every wait for another process on a busy machine.
const patience = time.Minute

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// These are the suite's own and not of one test: the program is built once, and
// what it put out is searched when all tests are done.
var (
	workspace = sync.OnceValue(func() string { return must(os.MkdirTemp("", "svidgate-e2e-")) })
	program   = sync.OnceValue(func() string { return build("./cmd/svidgate") })
	serverCA  = sync.OnceValue(func() *devca.ServerCA { return must(devca.NewServerCA(nil)) })

	secrets  = &vault{}
	evidence = &pile{}
	seen     = &reasonsSeen{reasons: map[string]int{}}
)

func TestMain(m *testing.M) {
	flag.Parse()
	workspace() // before any test changes where temporary files go
	if raceDetector && os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=50") // each program would take a second to end
	}
	code := m.Run()
	if err := os.RemoveAll(workspace()); err != nil {
		fmt.Println("e2e:", err)
		code = 1
	}
	if problems := afterwards(); len(problems) > 0 {
		for _, p := range problems {
			fmt.Println("e2e:", p)
		}
		code = 1
	}
	os.Exit(code)
}

// build makes a program of this module.
func build(pkg string) string {
	name := filepath.Join(workspace(), filepath.Base(pkg))
	args := []string{"build", "-o", name}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build %s: %v\n%s", pkg, err, out))
	}
	return name
}

// must is for what can fail only when the machine does.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// until polls a condition of another process.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if condition() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// A tail reads a file of JSON lines that another process writes.
type tail struct {
	path string

	mu    sync.Mutex
	read  int64
	lines []line
}

// A line is one line of the audit record or of the log.
type line map[string]any

func (l line) text(name string) string { s, _ := l[name].(string); return s }

// all are the lines so far. A line that is being written is left for later, and
// one that is not JSON is for somebody else to find.
func (f *tail) all(t *testing.T) []line {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.Open(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, f.read, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	for raw := range bytes.Lines(data) {
		if !bytes.HasSuffix(raw, []byte("\n")) {
			break
		}
		f.read += int64(len(raw))
		var l line
		if json.Unmarshal(raw, &l) == nil {
			f.lines = append(f.lines, l)
		}
	}
	return f.lines
}

// find are the lines in which a member has this value.
func (f *tail) find(t *testing.T, member, value string) []line {
	t.Helper()
	var found []line
	for _, l := range f.all(t) {
		if l.text(member) == value {
			found = append(found, l)
		}
	}
	return found
}

// command runs the program to its end.
func command(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(), args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	evidence.add("stdout of "+args[0], out.Bytes())
	evidence.add("stderr of "+args[0], errs.Bytes())
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
