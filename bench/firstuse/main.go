// Command firstuse starts a server with an empty store and no client, and has
// 10,000 workloads ask for a token at once, each for the first time.
//
//	go run ./bench/firstuse
//	go run ./bench/firstuse -workloads 1000 -connections 16
//
// It measures the first requests, the same again, and the same after a restart;
// and then known workloads while others register. It fails, with exit status 1,
// where a request was refused, where there is not exactly one registration and one
// record for each workload, or where the first requests took longer than -within.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/bench/internal/world"
	"github.com/svidgate/svidgate/internal/admin"
)

type options struct {
	workloads, connections int
	rate, newRate          float64
	within                 time.Duration
	asJSON                 bool
}

func main() {
	var o options
	flag.IntVar(&o.workloads, "workloads", 10000, "workloads that ask for the first time")
	flag.IntVar(&o.connections, "connections", 64, "requests on their way at once")
	flag.Float64Var(&o.rate, "rate", 300, "requests a second of known workloads, while others register")
	flag.Float64Var(&o.newRate, "new-rate", 100, "workloads a second that register meanwhile")
	flag.DurationVar(&o.within, "within", 10*time.Second, "how long the first requests may take")
	flag.BoolVar(&o.asJSON, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := run(ctx, o)
	if b != nil {
		b.write(o.asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "firstuse:", err)
		os.Exit(1)
	}
}

// A phase is one load and what came of it.
type phase struct {
	Name   string      `json:"name"`
	Result load.Result `json:"result"`
}

// A bench is a server and what was measured of it.
type bench struct {
	o       options
	world   *world.World
	state   string
	program string
	server  *process.Process
	ready   process.Ready

	Phases        []phase `json:"phases"`
	Registrations int     `json:"registrations"` // in the audit record
	Records       int     `json:"records"`       // in the store, after the restart
}

func run(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "sg-fu-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &bench{o: o, state: filepath.Join(dir, "state")}
	if b.world, err = world.Make(filepath.Join(dir, "world"), 1); err != nil {
		return nil, err
	}
	if b.program, err = process.Build(ctx, dir, "cmd/svidgate"); err != nil {
		return nil, err
	}
	if err := b.configure(); err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	defer func() { b.server.Stop() }()
	return b, b.measure(ctx)
}

// configure writes a configuration without any client.
func (b *bench) configure() error {
	text := fmt.Sprintf(`issuer: %s
profile: latest
store: sqlite:svidgate.db
listen: {public: "127.0.0.1:0"}
tls: {certificate: %q, key: %q}
admin: {socket: admin.sock}
resources: [{resource: %q, scopes: [read]}]
trust_domains:
  domain-0.test:
    bundle_file: %q
    registration: {mode: first_use, allow: ["/client/*"], resources: [%q], scope: read, max_clients: 1000000, new_clients: 0}
`, world.Issuer, b.world.Certificate(), b.world.Key(), world.Resource, b.world.Bundle(0), world.Resource)
	return errors.Join(os.MkdirAll(b.state, 0o700), os.WriteFile(filepath.Join(b.state, "svidgate.yaml"), []byte(text), 0o600))
}

func (b *bench) start(ctx context.Context) (err error) {
	b.ready = process.Ready{}
	b.server, err = process.Start(ctx, process.AnyCore, b.ready.Parse, b.program, "serve", "--config", filepath.Join(b.state, "svidgate.yaml"))
	return err
}

// forms are of workloads from first on, each with an SVID of its own.
func (b *bench) forms(first, n int) ([]string, error) {
	return world.Many(n, func(i int) (string, error) { return b.world.JWTForm(first+i, 1, time.Hour-time.Minute) })
}

// job is a load of these forms. The last of them, one for each connection, are for
// the warm-up.
func (b *bench) job(forms []string, connections int, rate float64) (load.Job, error) {
	target, err := load.Target(b.ready.Public)
	return load.Job{
		Target: target, Path: "/token", TLS: func(int) *tls.Config { return b.world.TLS() }, Connection: load.Kept, Connections: connections,
		Requests: len(forms) - connections, Rate: rate, Timeout: 30 * time.Second, PID: b.server.PID,
		Form: func(i int) (string, error) { return forms[i%len(forms)], nil },
	}, err
}

func (b *bench) load(ctx context.Context, name string, forms []string) error {
	job, err := b.job(forms, b.o.connections, 0)
	if err != nil {
		return err
	}
	return b.run(ctx, name, job)
}

func (b *bench) run(ctx context.Context, name string, job load.Job) error {
	result, err := load.Run(ctx, job)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.Phases = append(b.Phases, phase{name, result})
	if len(result.Errors) > 0 {
		return fmt.Errorf("%s: %v", name, result.Errors)
	}
	return nil
}

const meanwhile = 4 // connections of known workloads, and of those that register

func (b *bench) measure(ctx context.Context) error {
	n := b.o.workloads + b.o.connections
	forms, err := b.forms(0, n)
	if err != nil {
		return err
	}
	if err := b.load(ctx, "first requests", forms); err != nil {
		return err
	}
	if err := b.load(ctx, "the same again", forms); err != nil {
		return err
	}
	b.server.Stop()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.load(ctx, "after a restart", forms); err != nil {
		return err
	}
	// Known workloads, alone and while others register.
	seconds := 10.0
	known := forms[:min(len(forms), int(b.o.rate*seconds)+meanwhile)]
	quiet, err := b.job(known, meanwhile, b.o.rate)
	if err != nil {
		return err
	}
	if err := b.run(ctx, "known workloads, alone", quiet); err != nil {
		return err
	}
	more := int(b.o.newRate*seconds) + meanwhile
	others, err := b.forms(n, more)
	if err != nil {
		return err
	}
	registering, err := b.job(others, meanwhile, b.o.newRate)
	if err != nil {
		return err
	}
	registering.PID = 0
	over := make(chan error, 1)
	go func() {
		r, err := load.Run(ctx, registering)
		if err == nil && len(r.Errors) > 0 {
			err = fmt.Errorf("those that register meanwhile: %v", r.Errors)
		}
		over <- err
	}()
	err = b.run(ctx, "known workloads, while others register", quiet)
	if err := errors.Join(err, <-over); err != nil {
		return err
	}
	return b.judge(ctx, n+more)
}

// judge counts what there is of each workload.
func (b *bench) judge(ctx context.Context, want int) (err error) {
	if b.Registrations, err = b.registered(); err != nil {
		return err
	}
	client := admin.Dial(filepath.Join(b.state, "admin.sock"))
	for f := (admin.ClientFilter{}); ; {
		page, err := client.Clients(ctx, f)
		if err != nil {
			return err
		}
		b.Records += len(page.Clients)
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	if b.Registrations != want || b.Records != want {
		return fmt.Errorf("%d workloads have %d registrations and %d records", want, b.Registrations, b.Records)
	}
	if took := time.Duration(b.Phases[0].Result.Seconds * float64(time.Second)); took > b.o.within {
		return fmt.Errorf("the first requests took %s, and may take %s", took.Round(time.Millisecond), b.o.within)
	}
	return nil
}

// registered counts the workloads that the audit record has a registration of; one
// that has two is an error.
func (b *bench) registered() (int, error) {
	file, err := os.Open(filepath.Join(b.state, "audit.jsonl"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct {
			Event    string `json:"event"`
			SPIFFEID string `json:"spiffe_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return 0, err
		}
		if l.Event != "register" {
			continue
		}
		if seen[l.SPIFFEID] {
			return 0, fmt.Errorf("%s was registered twice", l.SPIFFEID)
		}
		seen[l.SPIFFEID] = true
	}
	return len(seen), lines.Err()
}

func (b *bench) write(asJSON bool) {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		e.Encode(b)
		return
	}
	for _, p := range b.Phases {
		cpu := 0.0
		if s := p.Result.Server; s != nil {
			cpu = s.CPUSeconds
		}
		fmt.Printf("%-40s %6d tokens in %6.2f s (%5.0f/s), server CPU %5.2f s; p50 %.2f ms, p99 %.2f ms, max %.2f ms\n",
			p.Name, p.Result.Tokens, p.Result.Seconds, p.Result.TokensPerSecond, cpu, p.Result.Latency.P50, p.Result.Latency.P99, p.Result.Latency.Max)
	}
	fmt.Printf("%d registrations in the audit record, %d records in the store\n", b.Registrations, b.Records)
}
