// Command load sends token requests to a server on loopback and prints what it
// measured as JSON.
//
//	go run ./bench/server -dir DIR &
//	go run ./bench/load -dir DIR -target 127.0.0.1:PORT -pid PID
//
// DIR is the folder of bench/server. The floor can be loaded as well. Any target
// but loopback is refused.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/bench/internal/world"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

type options struct {
	dir, target, method, sources string
	clients, core                int
	repeated                     bool
	job                          load.Job
}

func run() error {
	var o options
	flag.StringVar(&o.dir, "dir", "", "folder of bench/server")
	flag.StringVar(&o.target, "target", "", "address and port of the server; for x509 those of its listener mtls")
	flag.StringVar(&o.method, "method", "jwt", "jwt, x509, wit (a WIT-SVID and a proof; the server with -method spiffe_wit) or first-use (another workload each time; the server with -first-use)")
	flag.BoolVar(&o.repeated, "repeated", false, "jwt and wit: one SVID for each client, again and again, in place of a new one each time; proofs are always new")
	flag.IntVar(&o.clients, "clients", 1000, "jwt and wit: clients that ask in turn; the server must know as many")
	flag.StringVar(&o.job.Path, "path", "/token", "path of the token endpoint")
	flag.StringVar(&o.job.Connection, "connection", load.Kept, "kept, new (a full handshake each time) or resumed (with a ticket each time)")
	flag.IntVar(&o.job.Connections, "connections", 16, "requests on their way at once")
	flag.IntVar(&o.job.Requests, "requests", 20000, "requests")
	flag.Float64Var(&o.job.Rate, "rate", 0, "requests a second that are due, whether or not the ones before were answered; 0 is a closed loop")
	flag.DurationVar(&o.job.Timeout, "timeout", 10*time.Second, "how long a connection or an answer may take")
	flag.StringVar(&o.sources, "sources", "", "loopback addresses that connections come from in turn, with commas")
	flag.IntVar(&o.job.PID, "pid", 0, "process of the server, to count its CPU time")
	flag.IntVar(&o.core, "core", process.AnyCore, "core that the generator is kept on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.complete(); err != nil {
		return err
	}
	if o.core != process.AnyCore {
		if err := process.Pin(o.core); err != nil {
			return err
		}
	}
	result, err := load.Run(ctx, o.job)
	if err != nil {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(result)
}

// complete makes the job of the flags, and signs what it needs.
func (o *options) complete() error {
	var err error
	if o.job.Target, err = load.Target(o.target); err != nil {
		return err
	}
	if o.job.Sources, err = load.Sources(o.sources); err != nil {
		return err
	}
	w, err := world.Open(o.dir)
	if err != nil {
		return fmt.Errorf("%w; -dir is the folder that bench/server has made", err)
	}
	switch o.method {
	case "x509":
		o.job.TLS, o.job.Fixed = w.MutualTLS, true
		o.job.Form = func(i int) (string, error) { return world.X509Form(i), nil }
		return nil
	case "jwt":
		n := o.job.Requests + o.job.Connections
		if o.repeated {
			n = min(n, o.clients)
		}
		// Serials begin at the clock, so that another run has other SVIDs.
		forms, err := w.JWTForms(n, o.clients, uint64(time.Now().UnixNano()), time.Hour-time.Minute)
		o.job.TLS = func(int) *tls.Config { return w.TLS() }
		o.job.Form = func(i int) (string, error) { return forms[i%n], nil }
		return err
	case "wit":
		return o.wits(w)
	case "first-use":
		n := o.job.Requests + o.job.Connections
		// Another run has other workloads, too.
		first, serial := int(time.Now().UnixMicro()), uint64(time.Now().UnixNano())
		forms, err := world.Many(n, func(i int) (string, error) {
			return w.NewcomerForm(first+i, serial+uint64(i), time.Hour-time.Minute)
		})
		o.job.TLS = func(int) *tls.Config { return w.TLS() }
		o.job.Form = func(i int) (string, error) { return forms[i], nil }
		return err
	}
	return fmt.Errorf("the method is jwt, x509, wit or first-use, not %q", o.method)
}

// wits signs WIT-SVIDs ahead. Proofs, which are good for a minute, are made on the way.
func (o *options) wits(w *world.World) error {
	n := o.job.Requests + o.job.Connections
	if o.repeated {
		n = min(n, o.clients)
	}
	wits, err := world.Many(n, func(i int) (world.WIT, error) { return w.WIT(i%o.clients, time.Hour-time.Minute) })
	o.job.TLS = func(int) *tls.Config { return w.TLS() }
	o.job.Form = func(i int) (string, error) { return wits[i%n].Form(), nil }
	o.job.Header = func(i int) ([]string, error) { return wits[i%n].Header(time.Now()) }
	return err
}
