// Command server is the product with a registry of any size: the same daemon and
// listeners with the audit record on, configured by a value in place of a file.
//
//	go run ./bench/server -dir DIR -clients 100000 -domains 1000
//
// It makes DIR's content unless it is there, and logs as svidgate serve does; the
// line with msg "ready" names its addresses. DIR is then what bench/load needs.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/svidgate/svidgate/bench/internal/world"
	"github.com/svidgate/svidgate/internal/daemon"
)

func main() {
	dir := flag.String("dir", "", "folder with keys and bundles; made unless it is there")
	state := flag.String("state", "", "folder for the server's own files, one for each server at a time; DIR/state if empty")
	clients := flag.Int("clients", 10000, "clients with a JWT-SVID")
	domains := flag.Int("domains", 1, "trust domains that the clients are dealt out to")
	l := world.Anywhere
	flag.StringVar(&l.Public, "public", l.Public, "where it listens")
	flag.StringVar(&l.MTLS, "mtls", l.MTLS, "where it listens and asks for certificates")
	flag.DurationVar(&l.TokenLife, "token-life", l.TokenLife, "life of access tokens")
	flag.Parse()
	if err := run(*dir, cmp.Or(*state, filepath.Join(*dir, "state")), *clients, *domains, l); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(dir, state string, clients, domains int, l world.Listen) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, err := openWorld(dir, domains)
	if err != nil {
		return err
	}
	if domains > len(w.Domains) {
		return fmt.Errorf("%s has %d trust domains only", dir, len(w.Domains))
	}
	cfg, err := w.Config(state, clients, domains, l)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	log.Info("configured", "clients", clients, "trust_domains", domains)
	return daemon.Run(ctx, cfg, daemon.Options{Log: log})
}

func openWorld(dir string, domains int) (*world.World, error) {
	if _, err := os.Stat(filepath.Join(dir, "domains")); err == nil {
		return world.Open(dir)
	}
	return world.Make(dir, domains)
}
