// Command table measures what the goals of this project name, in one run, and
// prints the table as Markdown.
//
//	go run ./bench/table              # all of it, about twenty minutes on two cores
//	go run ./bench/table -quick       # a look, in four or five
//	go run ./bench/table -only jwt    # rows by their id, a regular expression
//
// Servers and the generator get a core each. What is compared is measured in
// turns. It talks to nothing but the processes it starts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/bench/internal/world"
)

// rows are in the order of the table.
var rows = []row{
	jwtFirst, jwtRepeated, x509Kept, x509New, x509Resumed, witFirst, witRepeated, resourceFirst, resourceRepeated,
	firstUse, code, refresh, introspectFirst, introspectRepeated,
	growthClients, growthDomains, growthFirstUse, registering,
	inFlight, inFlightFirstUse, inFlightCode, inFlightRefresh,
	budget, startFile, startRegistry, memory, binary, storm, peer,
}

// A bench is one run.
type bench struct {
	ctx                     context.Context
	dir                     string
	command, size           string // for the reader of the table
	serverCore, loadCore    int
	rounds, tokens, million int
	cores                   int
	quick                   bool

	world     *world.World // with one trust domain
	built     map[string]string
	states    int    // folders handed out
	stateless int    // and removed again
	serial    uint64 // of the next SVID
	newcomer  int    // of the next workload that no server has seen
	apis      *apiReport
}

func main() {
	b := &bench{built: map[string]string{}}
	only := flag.String("only", "", "measure rows whose id matches this regular expression; ids are "+ids())
	flag.BoolVar(&b.quick, "quick", false, "fewer and shorter rounds: a look, no figure to quote")
	all := flag.Bool("all", false, "the rows "+strings.Join(extra, " and ")+", too; they take some minutes more")
	check := flag.Bool("check", false, "exit with status 1 if a must is not met")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of each pair, besides one to warm up")
	flag.IntVar(&b.tokens, "tokens", 12000, "tokens of each round")
	flag.Parse()
	missed, err := b.main(*only, *all)
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(2)
	}
	if *check && len(missed) > 0 {
		fmt.Fprintln(os.Stderr, "table: not met:", strings.Join(missed, ", "))
		os.Exit(1)
	}
}

// commandLine is what to type to get the same.
func commandLine() string {
	line := "go run ./bench/table"
	for _, a := range os.Args[1:] {
		if strings.ContainsAny(a, "|()*? ") {
			a = "'" + a + "'"
		}
		line += " " + a
	}
	return line
}

func ids() string {
	var all []string
	for _, r := range rows {
		all = append(all, r.id)
	}
	return strings.Join(all, ", ")
}

// main measures the rows that are asked for, and returns those whose must is not
// met.
func (b *bench) main(only string, all bool) (missed []string, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return wanted.MatchString(r.id) }) {
		return nil, fmt.Errorf("no row has an id that %q matches; they are %s", only, ids())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	b.command = commandLine()
	b.million = 1_000_000
	if b.quick {
		b.rounds, b.tokens, b.million = 2, 3000, 50_000
	}
	b.size = fmt.Sprintf("%d rounds of %d tokens, 16 connections, figures are the median with the smallest and largest", b.rounds, b.tokens)
	if b.dir, err = os.MkdirTemp("", "svidgate-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)
	if b.world, err = world.Make(filepath.Join(b.dir, "world"), 1); err != nil {
		return nil, err
	}
	for _, pkg := range []string{"cmd/svidgate", "bench/server", "bench/floor", "bench/resource"} { // while there are all cores
		if _, err := b.build(pkg); err != nil {
			return nil, err
		}
	}
	b.serverCore, b.loadCore = process.AnyCore, process.AnyCore
	b.cores = runtime.NumCPU()
	if b.cores > 1 {
		b.serverCore, b.loadCore = 0, 1
		if err := process.Pin(b.loadCore); err != nil {
			return nil, err
		}
	}
	started := time.Now()
	if err := b.writeCircumstances(os.Stdout, started); err != nil {
		return nil, err
	}
	writeHeading(os.Stdout, heading...)
	for _, r := range rows {
		if !wanted.MatchString(r.id) || slices.Contains(extra, r.id) && only == "" && !all {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", r.id)
		f, err := r.measure(b)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil { // the others are still worth knowing
			f = figure{measured: "failed: " + strings.Join(strings.Fields(err.Error()), " ")}
		}
		if err := b.forgetStates(); err != nil {
			return nil, err
		}
		if !f.must && !f.unjudged {
			missed = append(missed, r.id)
		}
		writeRow(os.Stdout, r.job, r.must, r.goal, f.measured, f.beside, f.met())
	}
	fmt.Printf("\nIn %s.\n", time.Since(started).Round(time.Second))
	return missed, nil
}
