package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	workloadpb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

// A diagnosis is what `svidgate doctor --json` prints.
type diagnosis struct {
	Healthy   bool      `json:"healthy"`
	Passed    int       `json:"passed"`
	Failed    int       `json:"failed"`
	NotJudged int       `json:"not_judged"`
	Checks    []checked `json:"checks"`
}

// A checked thing is one finding.
type checked struct {
	Check, What, Outcome, Found, Next string
}

// failed are the checks that failed, and what they found and advise.
func (d diagnosis) failed() (names, texts string) {
	var ids, all []string
	for _, c := range d.Checks {
		if c.Outcome == "failed" {
			ids = append(ids, c.Check)
			all = append(all, c.Found, c.Next)
		}
	}
	return strings.Join(ids, " "), strings.Join(all, "\n")
}

// diagnose runs the doctor as a workload would.
func diagnose(t *testing.T, dir string, args ...string) (diagnosis, int) {
	t.Helper()
	out, errs, code := commandWith(t, dir, []string{"SPIFFE_ENDPOINT_SOCKET=", "SVIDGATE_SOCKET="}, nil, append([]string{"doctor", "--json"}, args...)...)
	evidence.add("doctor", []byte(out+errs))
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	var v diagnosis
	if err := d.Decode(&v); err != nil || errs != "" {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	return v, code
}

// vacant is a port of loopback where nobody listens.
func vacant(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// agent is a trust domain with a Workload API.
func agent(t *testing.T) *devdomain.Domain {
	t.Helper()
	d, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org", Identities: []devdomain.Identity{{Path: "/billing"}}, ServerCA: serverCA(),
		SocketPath: filepath.Join(shortFolder(t), "w.sock"), CA: devca.Options{Intermediate: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// loopbackServer runs a server whose issuer a client on this machine reaches. The
// bundle is fetched from this URL.
func loopbackServer(t *testing.T, bundleURL string) (s *server, iss string) {
	t.Helper()
	public, mtls := vacant(t), vacant(t)
	iss = "https://" + public
	s = prepare(t, fmt.Sprintf("issuer: %s\nlisten: {public: %q, mtls: %q, status: \"127.0.0.1:0\"}\nmtls_url: https://%s\n", iss, public, mtls, mtls)+worldConfig+
		adminAt(shortFolder(t))+fmt.Sprintf("trust_domains:\n  example.org: {spiffe_bundle_endpoint: {url: %q, ca_file: ca.pem}}\n", bundleURL))
	s.run(t)
	return s, iss
}

// settle counts what the doctor had decided, which no call of this suite asked for.
func (s *server) settle(t *testing.T, atMost int) {
	t.Helper()
	n := len(s.record.find(t, "event", "token")) - s.decided
	if n < 0 || n > atMost {
		t.Errorf("%d decisions, want at most %d", n, atMost)
	}
	s.decided += n
}

// `svidgate doctor` for a workload beside its server: in order, and with one thing
// broken at a time.
func TestDoctor(t *testing.T) {
	t.Parallel()
	td := agent(t)
	s, iss := loopbackServer(t, td.BundleURL())
	ca := filepath.Join(s.dir, "ca.pem")
	other := filepath.Join(s.dir, "other.pem")
	if err := os.WriteFile(other, must(devca.NewServerCA(nil)).PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	sound := func() map[string]string {
		return map[string]string{"--issuer": iss, "--ca-file": ca, "--socket": td.SocketAddr(), "--admin-socket": s.socket(t), "--status": "http://" + s.addresses["status"]}
	}
	run := func(t *testing.T, changes ...string) (diagnosis, int) {
		t.Helper()
		flags := sound()
		for i := 0; i < len(changes); i += 2 {
			flags[changes[i]] = changes[i+1]
		}
		var args []string
		for name, value := range flags {
			args = append(args, name, value)
		}
		d, code := diagnose(t, s.dir, args...)
		s.settle(t, 2)
		return d, code
	}

	t.Run("in order", func(t *testing.T) {
		d, code := run(t)
		if names, texts := d.failed(); code != 0 || !d.Healthy || names != "" || d.Passed != 14 || d.NotJudged != 3 { // no WIT-SVID, so no token by one
			t.Fatalf("code %d, %d passed, failed: %s\n%s", code, d.Passed, names, texts)
		}
		i := slices.IndexFunc(d.Checks, func(c checked) bool { return c.Check == "token_jwt" })
		if !strings.Contains(d.Checks[i].Found, "client spiffe://example.org/billing, for "+apiURL+", scope read") {
			t.Errorf("%+v", d.Checks[i])
		}
	})

	denied := filepath.Join(shortFolder(t), "w.sock")
	l, err := net.Listen("unix", denied)
	if err != nil {
		t.Fatal(err)
	}
	noIdentity := grpc.NewServer()
	workloadpb.RegisterSpiffeWorkloadAPIServer(noIdentity, denies{})
	go noIdentity.Serve(l)
	t.Cleanup(noIdentity.Stop)

	for _, row := range []struct {
		name         string
		changes      []string
		failed, says string
	}{
		{"the wrong authority", []string{"--ca-file", other}, "tls", "other.pem"},
		{"the wrong issuer", []string{"--issuer", iss + "/"}, "metadata issuer_audience", "trailing slash"},
		{"a server that is down", []string{"--issuer", "https://" + vacant(t)}, "tls", "start the server"},
		{"no identity", []string{"--socket", "unix://" + denied}, "x509_svid", "register this workload"},
		{"no agent", []string{"--socket", "unix://" + filepath.Join(s.dir, "none")}, "workload_socket", "start the agent"},
		{"another client", []string{"--client-id", "spiffe://example.org/orders"}, "client_match token_jwt token_x509", "svidgate explain --request-id "},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, code := run(t, row.changes...)
			if names, texts := d.failed(); code != 1 || d.Healthy || names != row.failed || !strings.Contains(texts, row.says) {
				t.Errorf("code %d, failed: %s, want %s\n%s", code, names, row.failed, texts)
			}
		})
	}

	// The Request-Id that the doctor tells is the one of the audit line.
	d, _ := run(t, "--client-id", "nobody")
	_, texts := d.failed()
	lines := s.record.find(t, "reason", "client_not_found")
	if len(lines) == 0 || !strings.Contains(texts, lines[0].text("request_id")) {
		t.Errorf("no audit line under the id told: %s", texts)
	}
}

type denies struct {
	workloadpb.UnimplementedSpiffeWorkloadAPIServer
}

func (denies) FetchX509SVID(*workloadpb.X509SVIDRequest, grpc.ServerStreamingServer[workloadpb.X509SVIDResponse]) error {
	return status.Error(codes.PermissionDenied, "no identity issued")
}

// A server that has no bundle of the workload's trust domain: what the doctor says
// beside it, and what without.
func TestDoctorWithoutBundle(t *testing.T) {
	t.Parallel()
	td := agent(t)
	s, iss := loopbackServer(t, "https://"+vacant(t)+"/bundle.json")
	ca := filepath.Join(s.dir, "ca.pem")
	beside, code := diagnose(t, s.dir, "--issuer", iss, "--ca-file", ca, "--socket", td.SocketAddr(), "--admin-socket", s.socket(t), "--status", "http://"+s.addresses["status"])
	names, texts := beside.failed()
	if code != 1 || names != "client_match token_jwt token_x509 server_bundle server_ready" || !strings.Contains(texts, "td_not_ready") || !strings.Contains(texts, "svidgate bundle status example.org") {
		t.Errorf("code %d, failed: %s\n%s", code, names, texts)
	}
	s.settle(t, 2)
	away, code := diagnose(t, s.dir, "--issuer", iss, "--ca-file", ca, "--socket", td.SocketAddr())
	names, texts = away.failed()
	if code != 1 || names != "token_jwt token_x509" || !strings.Contains(texts, "503") {
		t.Errorf("code %d, failed: %s\n%s", code, names, texts)
	}
	s.settle(t, 2)
}

// whoami and inspect beside the same workload: what the Workload API gives can be
// looked at, and nothing of it is a secret.
func TestWhoamiAndInspect(t *testing.T) {
	t.Parallel()
	td := agent(t)
	out, errs, code := commandWith(t, ".", []string{"SPIFFE_ENDPOINT_SOCKET=" + td.SocketAddr()}, nil, "whoami", "--audience", issuer)
	evidence.add("whoami", []byte(out+errs))
	if code != 0 || errs != "" || !strings.Contains(out, "spiffe://example.org/billing  (the default)") || !strings.Contains(out, "JWT-SVIDs for "+issuer) {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
	token := secrets.jwt(must(td.Authority().JWTSVID("/billing", []string{issuer})))
	out, errs, code = commandWith(t, ".", nil, []byte(token+"\n"), "inspect")
	signature := token[strings.LastIndexByte(token, '.')+1:]
	if code != 0 || errs != "" || !strings.HasPrefix(out, "JWT-SVID: ") || !strings.Contains(out, "NOTHING WAS VERIFIED") || strings.Contains(out, signature) {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
	svid := must(td.Authority().X509SVID("/billing"))
	key := must(svid.KeyPEM())
	out, errs, code = commandWith(t, ".", nil, append(svid.ChainPEM(), key...), "inspect")
	if code != 1 || out != "" || !strings.Contains(errs, "private key") || strings.Contains(errs, string(key[40:60])) {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
}
