package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/svidgate/svidgate/internal/audit"
)

// A server is `svidgate serve` in a process of its own.
type server struct {
	dir       string
	env       []string
	cmd       *exec.Cmd
	stdout    *os.File
	stderr    *os.File
	log       *tail // of standard error
	ended     chan struct{}
	addresses map[string]string // of the listeners, from the line "ready"
	record    *tail             // nil when the audit record is not in a regular file
	issuer    string
	killed    bool // what it decided last may have reached nobody

	mu      sync.Mutex
	ids     map[string]bool     // every Request-Id that was answered
	decided int                 // answers that must have an audit line
	keys    *jose.JSONWebKeySet // as published
	answers bytes.Buffer        // what callers were told when they were refused
}

// defaults are what a configuration gets that does not say otherwise. Failures
// per source have no limit, because this suite is a source that mostly fails.
var defaults = []struct{ key, value string }{
	{"issuer", issuer},
	{"listen", `{public: "127.0.0.1:0", mtls: "127.0.0.1:0", status: "127.0.0.1:0"}`},
	{"mtls_url", mtlsURL},
	{"tls", "{certificate: as.crt, key: as.key}"},
	{"audit", "{file: audit.jsonl}"},
	{"log", "{level: debug}"},
	{"limits", "{failures_per_source: 0}"},
}

// start runs a server with this configuration and these trust domains, and stops
// it at the end of the test.
func start(t *testing.T, config string, domains ...*domain) *server {
	t.Helper()
	s := prepare(t, config, domains...)
	s.run(t)
	return s
}

// prepare writes what a server reads.
func prepare(t *testing.T, config string, domains ...*domain) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), ids: map[string]bool{}}
	for _, d := range defaults {
		if d.key == "mtls_url" && !regexp.MustCompile(`(?m)^listen:.*mtls:`).MatchString(config) {
			continue
		}
		if !regexp.MustCompile(`(?m)^` + d.key + `:`).MatchString(config) {
			config = d.key + ": " + d.value + "\n" + config
		}
	}
	if len(domains) > 0 {
		config += "\ntrust_domains:\n" + entries(domains)
	}
	s.issuer = regexp.MustCompile(`(?m)^issuer: (.*)$`).FindStringSubmatch(config)[1]
	if m := regexp.MustCompile(`(?m)^audit: \{file: ([a-z.]+)`).FindStringSubmatch(config); m != nil {
		s.record = &tail{path: filepath.Join(s.dir, m[1])}
	}
	pair, err := serverCA().Certificate("as.example.com", "mtls.as.example.com", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("private key of the TLS listeners", string(key))
	for name, data := range map[string][]byte{
		"svidgate.yaml": []byte(config),
		"ca.pem":        serverCA().PEM(),
		"as.crt":        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"as.key":        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// spawn starts the process and does not wait for it.
func (s *server) spawn(t *testing.T) {
	t.Helper()
	s.stdout, s.stderr, s.ended = s.file(t, "stdout"), s.file(t, "stderr"), make(chan struct{})
	s.log = &tail{path: s.stderr.Name()}
	s.cmd = exec.Command(program(), "serve", "--config", filepath.Join(s.dir, "svidgate.yaml"))
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, ended := s.cmd, s.ended
	go func() {
		cmd.Wait() // its result is in ProcessState
		close(ended)
	}()
	t.Cleanup(func() {
		select {
		case <-ended:
		default:
			cmd.Process.Kill()
			<-ended
		}
	})
}

// file is for the process to write to. With a pipe, what is written would come
// later than the answer to a request.
func (s *server) file(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(s.dir, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// said is what the process wrote to one of its files.
func said(t *testing.T, f *os.File) []byte {
	t.Helper()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// run starts the process and waits until it says that it is ready.
func (s *server) run(t *testing.T) {
	t.Helper()
	s.spawn(t)
	until(t, "the log line ready", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("serve ended: %s", said(t, s.stderr))
		default:
		}
		ready := s.log.find(t, "msg", "ready")
		if len(ready) == 0 {
			return false
		}
		s.addresses = map[string]string{}
		for _, name := range []string{"public", "mtls", "status"} {
			s.addresses[name] = ready[0].text(name)
		}
		return true
	})
	t.Cleanup(func() { s.stop(t) })
}

// stop ends the process as an operator does, and looks at what it leaves behind.
func (s *server) stop(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
		return // a test ended it and has looked
	default:
	}
	s.lastLook(t)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	s.wait(t)
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		said := said(t, s.stderr)
		t.Errorf("serve ended with code %d: %s", code, said[max(0, len(said)-2000):])
	}
	s.inspect(t)
}

// wait waits for the end of the process.
func (s *server) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.ended
		t.Errorf("serve did not end: %s", said(t, s.stderr))
	}
}

// lastLook adds what the status listener says to the evidence.
func (s *server) lastLook(t *testing.T) {
	if s.addresses["status"] == "" {
		return
	}
	for _, path := range []string{"/metrics", "/readyz", "/livez"} {
		_, body := s.status(t, path)
		evidence.add(t.Name()+" "+path, body)
	}
}

// inspect looks at everything that a server left behind.
func (s *server) inspect(t *testing.T) {
	t.Helper()
	evidence.add(t.Name()+" standard error", said(t, s.stderr))
	evidence.add(t.Name()+" standard output", said(t, s.stdout))
	s.mu.Lock()
	defer s.mu.Unlock()
	evidence.add(t.Name()+" answers", bytes.Clone(s.answers.Bytes()))
	for l := range bytes.Lines(said(t, s.stderr)) {
		if !json.Valid(l) {
			t.Errorf("a line on standard error is not JSON: %s", l)
		}
	}
	if s.record == nil {
		return
	}
	for _, l := range s.record.all(t) {
		seen.note(l.text("reason"))
	}
	record, err := os.ReadFile(s.record.path)
	if err != nil {
		t.Fatal(err)
	}
	evidence.add(t.Name()+" audit record", record)
	if _, err := audit.Verify(bytes.NewReader(record)); err != nil {
		t.Errorf("AU-3 the audit chain: %v", err)
	}
	if n := bytes.Count(record, []byte(`"outcome":`)) - s.operated(t); n != s.decided && !(s.killed && n > s.decided) {
		t.Errorf("TK-9 %d decisions, %d lines of decisions in the audit record", s.decided, n)
	}
	s.keepSigningKeys(t)
}

// keepSigningKeys counts the server's own keys among the secrets.
func (s *server) keepSigningKeys(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "svidgate-keys.json"))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"private_key"\s*:\s*"([^"]+)"`).FindAllSubmatch(data, -1) {
		secrets.add("signing key", string(m[1]))
	}
}
