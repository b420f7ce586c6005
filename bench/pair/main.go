// Command pair measures the server beside the floor, in one run: it starts both
// on loopback, sends each the same load in turns, and prints tokens per second of
// the server process's CPU and the ratio of the two.
//
//	go run ./bench/pair
//
// It talks to nothing but the two processes it starts.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

const (
	issuer   = "https://127.0.0.1"
	resource = "https://api.example.com/"
	td       = "bench.test"
	module   = "github.com/svidgate/svidgate/"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds of each pair")
	tokens := flag.Int("tokens", 20000, "tokens a round")
	conns := flag.Int("connections", 16, "connections kept open")
	clients := flag.Int("clients", 1000, "clients in the configuration")
	flag.Parse()
	if err := run(*rounds, *tokens, *conns, *clients); err != nil {
		fmt.Fprintln(os.Stderr, "pair:", err)
		os.Exit(1)
	}
}

// A job is one kind of request.
type job struct {
	name string
	// form gives the body of the i-th request of a round.
	form func(i int) string
	tls  *tls.Config
	mtls bool
}

func run(rounds, tokens, conns, clients int) error {
	dir, err := os.MkdirTemp("", "svidgate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	authority, err := devca.New(td, devca.Options{JWTLifetime: time.Hour})
	if err != nil {
		return err
	}
	ca, err := devca.NewServerCA(time.Now)
	if err != nil {
		return err
	}
	if err := writeFiles(dir, authority, ca, clients); err != nil {
		return err
	}
	product, err := start(dir, "cmd/svidgate", "serve", "--config", filepath.Join(dir, "svidgate.yaml"))
	if err != nil {
		return err
	}
	defer product.stop()
	floor, err := start(dir, "bench/floor", "-issuer", issuer, "-bundle", filepath.Join(dir, "bundle.json"), "-cert", filepath.Join(dir, "as.crt"), "-key", filepath.Join(dir, "as.key"))
	if err != nil {
		return err
	}
	defer floor.stop()

	jobs, err := makeJobs(authority, ca, tokens, clients)
	if err != nil {
		return err
	}
	fmt.Printf("%d rounds of %d tokens, %d kept connections, %d clients\n\n", rounds, tokens, conns, clients)
	fmt.Printf("%-34s %12s %12s %18s\n", "tokens per core-second (median)", "svidgate", "floor", "CPU ratio (min–max)")
	for _, j := range jobs {
		var ours, theirs, ratios []float64
		for range rounds {
			a, err := measure(product, j, tokens, conns)
			if err != nil {
				return fmt.Errorf("svidgate, %s: %w", j.name, err)
			}
			b, err := measure(floor, j, tokens, conns)
			if err != nil {
				return fmt.Errorf("floor, %s: %w", j.name, err)
			}
			ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, b/a)
		}
		fmt.Printf("%-34s %12.0f %12.0f %8.2f (%.2f–%.2f)\n", j.name, median(ours), median(theirs), median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return nil
}

func writeFiles(dir string, authority *devca.Authority, ca *devca.ServerCA, clients int) error {
	pair, err := ca.Certificate("127.0.0.1")
	if err != nil {
		return err
	}
	chain, key, err := devca.ServerPEM(pair)
	if err != nil {
		return err
	}
	var config strings.Builder
	fmt.Fprintf(&config, `issuer: %s
profile: latest
listen: {public: "127.0.0.1:0", mtls: "127.0.0.1:0"}
tls: {certificate: as.crt, key: as.key}
audit: {file: audit.jsonl}
trust_domains: {%s: {bundle_file: bundle.json}}
resources: [{resource: %q, scopes: [read]}]
clients:
`, issuer, td, resource)
	for i := range clients {
		fmt.Fprintf(&config, "  - {client_id: \"%s\", auth_methods: [spiffe_jwt], resources: [%q], scope: read}\n", jwtClient(i), resource)
	}
	fmt.Fprintf(&config, "  - {client_id: \"spiffe://%s/x509\", auth_methods: [spiffe_x509], resources: [%q], scope: read}\n", td, resource)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "svidgate.yaml"), []byte(config.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "bundle.json"), authority.Bundle(), 0o600),
		os.WriteFile(filepath.Join(dir, "as.crt"), chain, 0o600),
		os.WriteFile(filepath.Join(dir, "as.key"), key, 0o600),
	)
}

func jwtClient(i int) string { return fmt.Sprintf("spiffe://%s/client/%d", td, i) }

func makeJobs(authority *devca.Authority, ca *devca.ServerCA, tokens, clients int) ([]job, error) {
	fresh := make([]string, tokens)
	for i := range fresh {
		path := fmt.Sprintf("/client/%d", i%clients)
		svid, err := authority.JWTSVID(path, []string{issuer}, func(_, claims map[string]any) { claims["jti"] = fmt.Sprint(i) })
		if err != nil {
			return nil, err
		}
		fresh[i] = jwtForm(jwtClient(i%clients), svid)
	}
	svid, err := authority.X509SVID("/x509")
	if err != nil {
		return nil, err
	}
	plain := &tls.Config{RootCAs: ca.Pool()}
	mutual := &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{svid.TLSCertificate()}}
	x509Form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"spiffe://" + td + "/x509"}}.Encode()
	return []job{
		{fmt.Sprintf("JWT-SVID, %d different", tokens), func(i int) string { return fresh[i%tokens] }, plain, false},
		{"JWT-SVID, one again and again", func(int) string { return fresh[0] }, plain, false},
		{"X.509-SVID, kept connection", func(int) string { return x509Form }, mutual, true},
	}, nil
}

func jwtForm(clientID, svid string) string {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {clientID},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"}, "client_assertion": {svid},
	}.Encode()
}

// A process is a server that was started here.
type process struct {
	cmd          *exec.Cmd
	public, mtls string
}

func start(dir, pkg string, args ...string) (*process, error) {
	bin := filepath.Join(dir, filepath.Base(pkg))
	build := exec.Command("go", "build", "-trimpath", "-o", bin, module+pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	p := &process{cmd: exec.Command(bin, args...)}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var ready struct{ Msg, Public, MTLS string }
		if addr, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			p.public, p.mtls = addr, addr
		} else if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Msg == "ready" {
			p.public, p.mtls = ready.Public, ready.MTLS
		} else {
			continue
		}
		go io.Copy(io.Discard, stderr)
		return p, nil
	}
	return nil, fmt.Errorf("%s did not come up", pkg)
}

func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
}

// cpu is the user and system time the process has used.
func (p *process) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errors.New("unexpected process statistics")
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil // 100 ticks a second
}

// measure sends a round and returns tokens per second of the process's CPU.
func measure(p *process, j job, tokens, conns int) (float64, error) {
	address := p.public
	if j.mtls {
		address = p.mtls
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: j.tls, MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns,
	}}
	defer client.CloseIdleConnections()
	send := func(i int) error {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+address+"/token", strings.NewReader(j.form(i)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %s", resp.StatusCode, body)
		}
		return nil
	}
	load := func(n int) error {
		var next atomic.Int64
		errs := make(chan error, conns)
		var wg sync.WaitGroup
		for range conns {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					if err := send(i); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	}
	if err := load(4 * conns); err != nil { // open the connections
		return 0, err
	}
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := load(tokens); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	if err != nil {
		return 0, err
	}
	return float64(tokens) / (after - before).Seconds(), nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
