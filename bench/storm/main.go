// Command storm kills the server under 30,000 workloads that each want a token,
// brings it back after a minute, and measures how they are served.
//
//	go run ./bench/storm
//	go run ./bench/storm -workloads 2000 -down 2s -token-life 10s
//
// Each workload has its own identity, SVID and connection with a full handshake,
// and behaves as package client does. It fails, with exit status 1, where a rule
// is broken: everybody is served in time, with no error but refused connections
// before the server is up (and those that the kill cut off), and what follows is
// steady: no echo of the storm when tokens are renewed, and no token ends before
// the next one is there.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
)

func main() {
	o := options{}
	asJSON := flag.Bool("json", false, "print JSON")
	flag.IntVar(&o.workloads, "workloads", 30000, "workloads")
	flag.DurationVar(&o.down, "down", time.Minute, "how long the server stays down")
	flag.DurationVar(&o.tokenLife, "token-life", 2*time.Minute, "life of access tokens")
	flag.DurationVar(&o.within, "within", time.Minute, "how long after the server is ready everybody must have been served")
	flag.IntVar(&o.inFlight, "in-flight", 2000, "connections at once; workloads beyond that wait for one, as in the queue of a listener")
	flag.IntVar(&o.serverCore, "server-core", process.AnyCore, "core that the server is kept on")
	core := flag.Int("core", process.AnyCore, "core that the workloads are kept on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	passed, err := runAndPrint(ctx, o, *core, *asJSON)
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(2)
	}
	if !passed {
		os.Exit(1)
	}
}

func runAndPrint(ctx context.Context, o options, core int, asJSON bool) (passed bool, err error) {
	dir, err := os.MkdirTemp("", "svidgate-storm-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if o.program, err = process.Build(ctx, dir, "bench/server"); err != nil {
		return false, err
	}
	s, err := prepare(dir, o)
	if err != nil {
		return false, err
	}
	if core != process.AnyCore {
		if err := process.Pin(core); err != nil {
			return false, err
		}
	}
	if err := s.run(ctx); err != nil {
		return false, err
	}
	r := s.report()
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return r.Passed, e.Encode(r)
	}
	return r.Passed, r.write(os.Stdout)
}
