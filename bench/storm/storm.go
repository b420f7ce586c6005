package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/bench/internal/world"
)

type options struct {
	program              string // bench/server, built
	workloads            int
	down, tokenLife      time.Duration
	within               time.Duration
	inFlight, serverCore int
}

// sources are where connections come from, to have ports enough. The server's own
// address is not among them: while it is down, a connection from there could be
// given the very port that it calls, and reach itself.
const sources = "127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.7,127.0.0.8,127.0.0.9"

// A storm is one run.
type storm struct {
	options
	world   *world.World
	forms   []string // of each workload, with its SVID
	sources []netip.Addr
	target  netip.AddrPort
	slots   chan struct{} // holds a value for each connection
	record  *record
}

// prepare signs an SVID for each workload.
func prepare(dir string, o options) (*storm, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	const others = 100
	if uint64(o.inFlight+others) > limit.Cur { // Go has raised it already, as far as it may
		return nil, fmt.Errorf("%d connections at once need a higher limit of open files than %d (ulimit -n)", o.inFlight, limit.Cur)
	}
	w, err := world.Make(filepath.Join(dir, "world"), 1)
	if err != nil {
		return nil, err
	}
	s := &storm{options: o, world: w, slots: make(chan struct{}, o.inFlight)}
	if s.forms, err = w.JWTForms(o.workloads, o.workloads, 1, 50*time.Minute); err != nil {
		return nil, err
	}
	s.sources, err = load.Sources(sources)
	return s, err
}

// start starts the server, the second time where it was before, with what it had
// left on disk.
func (s *storm) start(ctx context.Context) (*process.Process, error) {
	address := "127.0.0.1:0"
	if s.target.IsValid() {
		address = s.target.String()
	}
	var ready process.Ready
	server, err := process.Start(ctx, s.serverCore, ready.Parse, s.program, "-dir", s.world.Dir,
		"-clients", fmt.Sprint(s.workloads), "-public", address, "-token-life", s.tokenLife.String())
	if err != nil {
		return nil, err
	}
	s.target, err = load.Target(ready.Public)
	return server, err
}

// run is the storm from its beginning until the last workload has renewed its
// token, or it is clear that something went wrong.
func (s *storm) run(outer context.Context) error {
	server, err := s.start(outer)
	if err != nil {
		return err
	}
	defer func() { server.Stop() }() // last, so that it cuts nobody off
	ctx, cancel := context.WithCancel(outer)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()

	s.record = newRecord(s.workloads, server.Kill)
	for n := range s.workloads {
		w := &workload{storm: s, number: n, dialer: load.Dialer{
			Target: s.target, TLS: s.tls(), Source: s.sources[n%len(s.sources)], Timeout: timeout,
		}}
		working.Go(func() { w.run(ctx) })
	}
	select {
	case <-s.record.some:
	case <-time.After(s.within):
		return errors.New("before the server is killed, nobody is served")
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := sleep(ctx, s.down); err != nil {
		return err
	}
	again, err := s.start(outer)
	if err != nil {
		return err
	}
	server = again
	s.record.restarted(server.CameUp)
	if err := waitFor(ctx, s.record.all, 3*s.within); err != nil {
		return err
	}
	return waitFor(ctx, s.record.renewed, 2*s.tokenLife+s.within)
}

// waitFor waits for a channel to be closed, but not for ever: what did not come
// shows in the report.
func waitFor(ctx context.Context, done <-chan struct{}, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
