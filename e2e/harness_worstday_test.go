package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/internal/spoken"
)

// A patient is a server with something wrong about it or its callers, and what
// becomes a section of docs/worst-day.md.
type patient struct {
	*server
	td        *domain
	issuer    string
	sockets   []string // of the Workload API, if there is one
	adminPath string
	document  *strings.Builder
}

const worstDayConfig = `issuer: %[1]s
listen: {public: "%[2]s", mtls: "%[3]s", status: "127.0.0.1:0"}
mtls_url: https://%[3]s
resources:
  - {resource: "https://api.example.com/", scopes: [read, write]}
clients:
  - {client_id: "spiffe://example.org/billing", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
  - {client_id: "spiffe://example.org/orders", token_endpoint_auth_method: spiffe_x509, resources: ["https://api.example.com/"], scope: read}
  - {client_id: reports, spiffe_id: "spiffe://example.org/reports", token_endpoint_auth_method: spiffe_jwt, resources: ["https://api.example.com/"], scope: read}
`

// newPatient makes a server whose issuer is on loopback, so that the program's own
// commands reach it, and a trust domain with a Workload API for them.
func newPatient(t *testing.T, document *strings.Builder) *patient {
	t.Helper()
	dd, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org", ServerCA: serverCA(), CA: devca.Options{Intermediate: true},
		Identities: []devdomain.Identity{{Path: "/billing"}, {Path: "/orders"}, {Path: "/reports"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := dd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dd.Close() })
	p := &patient{td: &domain{Authority: dd.Authority(), name: "example.org", url: dd.BundleURL()}, document: document}
	p.sockets = append(p.sockets, dd.SocketAddr())
	p.prepare(t)
	return p
}

func (p *patient) prepare(t *testing.T) {
	t.Helper()
	var addresses [2]string // of the public and the mtls listener, so that the configuration can have their URLs
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	p.issuer = "https://" + addresses[0]
	p.server = prepare(t, fmt.Sprintf(worstDayConfig, p.issuer, addresses[0], addresses[1])+adminAt(shortFolder(t)), p.td)
}

// ask makes the request that the caller in trouble makes, and writes down what it
// is told and what the record says.
func (p *patient) ask(t *testing.T, c call) answer {
	t.Helper()
	a := p.do(t, c)
	body := a.body
	if a.status == http.StatusOK {
		body = regexp.MustCompile(`"access_token":"[^"]*"`).ReplaceAll(body, []byte(`"access_token":"…"`))
	}
	p.block("The caller is told:", "", fmt.Sprintf("%d %s\n%s", a.status, http.StatusText(a.status), body))
	for raw := range strings.Lines(string(contentOf(t, p.record.path))) {
		if strings.Contains(raw, `"request_id":"`+a.id+`"`) {
			p.block("The audit record has:", "json", raw)
		}
	}
	return a
}

func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// explain runs `svidgate explain` for people, writes it down, and returns the same
// in JSON.
func (p *patient) explain(t *testing.T, code int, args ...string) explain.Report {
	t.Helper()
	args = append([]string{"explain"}, args...)
	out := p.command(t, code, args...)
	shown := out
	if strings.Contains(p.document.String(), "$ svidgate explain") {
		shown = withoutPassed(out)
	}
	p.block("The operator asks, and is told:", "", "$ svidgate "+strings.Join(args, " ")+"\n"+shown)
	var r explain.Report
	if err := json.Unmarshal([]byte(p.command(t, code, append(args, "--json")...)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Accepted != (code == 0) {
		t.Errorf("accepted %t, code %d", r.Accepted, code)
	}
	return r
}

// withoutPassed leaves out rules that passed, where there are many in a row.
func withoutPassed(s string) string {
	return regexp.MustCompile(`(?:  ✓ .*\n){4,}`).ReplaceAllStringFunc(s, func(run string) string {
		return fmt.Sprintf("  ✓ … %d rules passed\n", strings.Count(run, "\n"))
	})
}

// command runs a command in the server's folder, as its operator.
func (p *patient) command(t *testing.T, code int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(), args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "SVIDGATE_SOCKET="+p.socket(t), "SSL_CERT_FILE="+filepath.Join(p.dir, "ca.pem"))
	if len(p.sockets) > 0 {
		cmd.Env = append(cmd.Env, "SPIFFE_ENDPOINT_SOCKET="+p.sockets[0])
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() != code || errs.Len() > 0 {
		t.Fatalf("svidgate %s: code %d, want %d: %s%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), code, out.String(), errs.String())
	}
	if args[0] != "token" {
		evidence.add("output of "+args[0], out.Bytes())
	}
	return out.String()
}

// mend does what the explanation says, and nothing else.
func (p *patient) mend(t *testing.T, r explain.Report) {
	t.Helper()
	var done strings.Builder
	if r.Edit != nil {
		p.edit(t, *r.Edit)
		fmt.Fprintf(&done, "# in %s, under %s:\n#   %s\n", r.Edit.File, r.Edit.Under, r.Edit.Write)
	}
	words := strings.Fields(r.Next)
	if len(words) < 2 || words[0] != "svidgate" {
		t.Fatalf("the next command is %q", r.Next)
	}
	out := p.command(t, 0, words[1:]...)
	if words[1] == "token" {
		p.mu.Lock()
		p.decided++
		p.mu.Unlock()
		secrets.jwt(strings.TrimSpace(out))
		if strings.Count(out, ".") != 2 {
			t.Fatal("the command printed no token")
		}
		out = "eyJ…  (an access token)\n"
	}
	fmt.Fprintf(&done, "$ %s\n%s", r.Next, out)
	p.block("Done as it says:", "", done.String())
}

// edit writes a line where the explanation says, as an operator does by hand. The
// server may notice by itself before it is told to reload.
func (p *patient) edit(t *testing.T, e explain.Edit) {
	t.Helper()
	path := filepath.Join(p.dir, "svidgate.yaml")
	if e.File != path {
		t.Errorf("the file to edit is %s", e.File)
	}
	table, at, entry := strings.Cut(e.Under, ", at ")
	key, _, _ := strings.Cut(e.Write, ":")
	var lines []string
	section := ""
	for line := range strings.Lines(string(contentOf(t, path))) {
		if !strings.HasPrefix(line, " ") {
			section, _, _ = strings.Cut(line, ":")
		}
		ours := entry && section == table && (strings.HasPrefix(line, "  "+at+":") || strings.Contains(line, "client_id: "+at+","))
		if ours {
			line = regexp.MustCompile(`, `+key+`: "[^"]*"`).ReplaceAllString(line, "")
			line = strings.TrimSuffix(line, "}\n") + ", " + e.Write + "}\n"
		}
		lines = append(lines, line)
		if !entry && strings.HasPrefix(line, table+":") {
			lines = append(lines, "  "+e.Write+"\n")
		}
	}
	p.replace(t, "svidgate.yaml", []byte(strings.Join(lines, "")))
}

func (p *patient) section(title, text string) {
	fmt.Fprintf(p.document, "## %s\n\n%s\n\n", title, text)
}

func (p *patient) block(intro, language, text string) {
	fmt.Fprintf(p.document, "%s\n\n```%s\n%s\n```\n\n", intro, language, strings.TrimSuffix(p.steady(text), "\n"))
}

var (
	longID   = regexp.MustCompile(`"(request_id|txn|jti)":"[A-Z2-7]{26}"`)
	digest   = regexp.MustCompile(`"(prev|svid_sha256)":"[0-9a-f]{64}"`)
	stamps   = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	keyIDs   = regexp.MustCompile(`"(key_id|svid_key_id)":"[^"]*"`)
	sequence = regexp.MustCompile(`"bundle_sequence":\d+`)
	spans    = regexp.MustCompile(`\b(in )?(\d+[hms]\d*[ms]?)\b( ahead| ago| old| left)?`)
	endpoint = regexp.MustCompile(`https://127\.0\.0\.1:\d+/bundle\.json`)
	failures = regexp.MustCompile(`failures in a row: \d+`)
	age      = regexp.MustCompile(`\bsequence \d+ -> \d+`)
	seconds  = regexp.MustCompile(`\b(\d+h\d+m)\d+s old`)
)

// steady puts fixed names and times in place of those of this run.
func (p *patient) steady(s string) string {
	s = strings.ReplaceAll(s, p.issuer, issuer)
	for _, socket := range p.sockets {
		s = strings.ReplaceAll(s, socket, "unix:///run/spire/agent.sock")
	}
	s = strings.ReplaceAll(s, p.adminPath, "/run/svidgate/svidgate-admin.sock")
	s = strings.ReplaceAll(s, p.dir, "/etc/svidgate")
	s = longID.ReplaceAllString(s, `"$1":"5RZ3JUF5QNTT2QY2PA7SXGBWPN"`)
	s = digest.ReplaceAllString(s, `"$1":"…"`)
	s = stamps.ReplaceAllString(s, "2026-12-01T09:00:00Z")
	s = keyIDs.ReplaceAllString(s, `"$1":"…"`)
	s = sequence.ReplaceAllString(s, `"bundle_sequence":1`)
	s = endpoint.ReplaceAllString(s, "https://bundles.example.org/bundle.json")
	s = failures.ReplaceAllString(s, "failures in a row: 9")
	s = age.ReplaceAllString(s, "sequence 1 -> 2")
	s = seconds.ReplaceAllString(s, "${1}0s old")
	s = spans.ReplaceAllStringFunc(s, func(m string) string {
		found := spans.FindStringSubmatch(m)
		d, err := time.ParseDuration(found[2])
		if err != nil || found[1] == "" && found[3] == "" { // not how far something is from now
			return m
		}
		if d = d.Round(30 * time.Second); d == 0 && found[1] != "" {
			return "0s ago"
		}
		return found[1] + spoken.Duration(d) + found[3]
	})
	return s
}
