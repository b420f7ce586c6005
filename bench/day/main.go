// Command day runs the product for a simulated day and looks whether anything grows
// that should not.
//
//	go run ./bench/day                  # 864,000 tokens, ten a second for 24 hours
//	go run ./bench/day -tokens 50000    # the same day with fewer
//
// The daemon runs in this process, with its store and audit record in files, by a
// clock that is moved on in small steps while requests come in over TLS: 24 hours in
// some minutes. SVIDs, proofs and tokens are real, and good or expired by that clock.
// It exits with status 1 if something failed, or at hour 24 there is more than at
// hour 6 of what should not grow.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	tokens := flag.Int("tokens", 864_000, "access tokens of the day")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *tokens); err != nil {
		fmt.Fprintln(os.Stderr, "day:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, tokens int) error {
	dir, err := os.MkdirTemp("", "svidgate-day-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	d, err := begin(ctx, dir, tokens)
	if err != nil {
		return err
	}
	defer d.end()
	d.seen = func(l look) { fmt.Print(l) }
	if err := d.live(ctx); err != nil {
		return err
	}
	fmt.Printf("%s, in %s\n", d.sum(), time.Since(began).Round(time.Second))
	if faults := judge(d.looks, tokens, d.newcomers()); len(faults) > 0 {
		return fmt.Errorf("not flat:\n  %s", strings.Join(faults, "\n  "))
	}
	if tokens < enough {
		fmt.Println("memory was not judged: too few tokens")
	}
	fmt.Println("passed")
	return nil
}
