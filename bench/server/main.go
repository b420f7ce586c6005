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
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/bench/internal/world"
	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/daemon"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/oauth"
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
	method := flag.String("method", string(l.Method), "of the clients: spiffe_jwt or spiffe_wit")
	flag.BoolVar(&l.OnDisk, "disk", false, "keep the store in a file of the folder for the server's own files")
	flag.BoolVar(&l.FirstUse, "first-use", false, "let workloads register that are no clients")
	flag.BoolVar(&l.People, "people", false, "have a person who signs in, and clients that ask in its name; needs -disk")
	flag.Parse()
	l.Method = oauth.AuthMethod(*method)
	if err := run(*dir, cmp.Or(*state, filepath.Join(*dir, "state")), *clients, *domains, l); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(dir, state string, clients, domains int, l world.Server) error {
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
	if l.People {
		if err := addPerson(ctx, cfg); err != nil {
			return err
		}
	}
	return daemon.Run(ctx, cfg, daemon.Options{Log: log})
}

// addPerson adds the person to the store before the server opens it.
func addPerson(ctx context.Context, cfg *config.Config) error {
	s, err := sqlite.Open(ctx, sqlite.Config{Address: cfg.Store.Address(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	err = world.AddPerson(ctx, s.People(), time.Now)
	if errors.Is(err, login.ErrExists) {
		err = nil
	}
	return errors.Join(err, s.Close())
}

func openWorld(dir string, domains int) (*world.World, error) {
	if _, err := os.Stat(filepath.Join(dir, "domains")); err == nil {
		return world.Open(dir)
	}
	return world.Make(dir, domains)
}
