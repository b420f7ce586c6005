package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/bench/internal/world"
)

// A server is a process that answers token requests.
type server struct {
	*process.Process
	world        *world.World
	clients      int
	public, mtls netip.AddrPort
	readyIn      time.Duration // since it had its configuration
}

// build builds a program once.
func (b *bench) build(pkg string) (string, error) {
	if bin, ok := b.built[pkg]; ok {
		return bin, nil
	}
	bin, err := process.Build(b.ctx, b.dir, pkg)
	if err == nil {
		b.built[pkg] = bin
	}
	return bin, err
}

// state is a folder that no server has used.
func (b *bench) state() string {
	b.states++
	return filepath.Join(b.dir, fmt.Sprint("state-", b.states))
}

// forgetStates removes the folders: the audit record of a million tokens is large.
func (b *bench) forgetStates() error {
	for ; b.stateless < b.states; b.stateless++ {
		if err := os.RemoveAll(filepath.Join(b.dir, fmt.Sprint("state-", b.stateless+1))); err != nil {
			return err
		}
	}
	return nil
}

// registry starts the product with so many clients, dealt out to all trust
// domains of a world, and with more flags of bench/server.
func (b *bench) registry(w *world.World, clients int, flags ...string) (*server, error) {
	s := &server{world: w, clients: clients}
	var configured time.Time
	mark := func(line []byte) {
		if bytes.Contains(line, []byte(`"msg":"configured"`)) {
			configured = time.Now()
		}
	}
	args := []string{"-dir", w.Dir, "-state", b.state(), "-clients", fmt.Sprint(clients), "-domains", fmt.Sprint(len(w.Domains))}
	err := b.start(s, mark, "bench/server", append(args, flags...)...)
	if err != nil {
		return nil, err
	}
	s.readyIn = s.CameUp.Sub(configured)
	return s, nil
}

// program starts the product as it is delivered, with so many clients in its
// configuration file.
func (b *bench) program(w *world.World, clients int) (*server, error) {
	file, err := w.WriteYAML(b.state(), clients, world.Anywhere)
	if err != nil {
		return nil, err
	}
	s := &server{world: w, clients: clients}
	if err := b.start(s, nil, "cmd/svidgate", "serve", "--config", file); err != nil {
		return nil, err
	}
	s.readyIn = s.CameUp.Sub(s.Began)
	return s, nil
}

// floor starts the floor for the clients of another server.
func (b *bench) floor(of *server, flags ...string) (*server, error) {
	w := of.world
	s := &server{world: w, clients: of.clients}
	args := append([]string{"-issuer", world.Issuer, "-bundle", w.Bundle(0), "-cert", w.Certificate(), "-key", w.Key()}, flags...)
	if err := b.start(s, nil, "bench/floor", args...); err != nil {
		return nil, err
	}
	return s, nil
}

func (b *bench) start(s *server, mark func(line []byte), pkg string, args ...string) error {
	bin, err := b.build(pkg)
	if err != nil {
		return err
	}
	return b.startProgram(s, mark, bin, args...)
}

// startProgram starts what is built already. Mark, if there is one, is called with
// each line that it logs before it is ready.
func (b *bench) startProgram(s *server, mark func(line []byte), bin string, args ...string) error {
	var (
		ready process.Ready
		err   error
	)
	s.Process, err = process.Start(b.ctx, b.serverCore, func(line []byte) bool {
		if mark != nil {
			mark(line)
		}
		return ready.Parse(line)
	}, bin, args...)
	if err != nil {
		return err
	}
	for _, a := range []struct {
		to   *netip.AddrPort
		text string
	}{{&s.public, ready.Public}, {&s.mtls, ready.MTLS}} {
		if *a.to, err = load.Target(a.text); err != nil {
			s.Stop()
			return fmt.Errorf("%s: %w", filepath.Base(bin), err)
		}
	}
	return nil
}
