// Command mutate shows that each rule is what refuses (./test mutate). It makes
// every place of the product that refuses by a rule switchable, in a copy that
// only the compiler sees, and switches them off: a vector of testdata/vectors
// that carries the rule's id must then be accepted, or a test must fail.
//
// A rule is switched off at all of its places together. It counts as killed
//   - alone, when with nothing else off some negative vector that carries its id
//     is accepted;
//   - together with others, when a vector that breaks several rules and names
//     them all is still refused by this one with the others off, and accepted
//     with this one off as well. The rule works, and others stand behind it. Of a
//     rule that is never the first of several to refuse it is said that it stands
//     behind others.
//
// A vector that is merely refused for another reason kills nothing.
//
// Rules that need state (codes, refresh tokens, sessions, registrations on first
// use) are in no vector. What no vector kills is tried on the tests of the
// packages that have its places, on those of internal/server, and then on those
// of the packages that import them, with -test.short. It counts as killed by a
// test when all of these tests pass with nothing off, and some test fails with the
// rule off, and does both once more when it is run alone. A test is looked for
// whose complaint or name carries the rule's id; when there is none, a test that
// fails without naming the rule still kills it, and the report says so. A process
// that breaks, or has used up its time, kills nothing.
//
// Two kinds of rules are counted apart, by what is found and not by a list. A rule
// is closed when without it its vectors cannot be judged to an end: there is no
// key, no certificate, no grant to go on with, and the program stops with an
// internal error, or a test that names it breaks the whole process. A guard refuses a zero value that no request can bring about.
//
// The exit status is 1 when a rule is left over, and 2 when the run itself failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	verbose := flag.Bool("v", false, "list every place, too")
	only := flag.String("rules", "", "judge only these rules (ids, separated by commas), and no single places")
	flag.Parse()
	switch err := run(ctx, *only, *verbose); {
	case errors.Is(err, errSurvivors):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
}

var errSurvivors = errors.New("rules are left over")

func run(ctx context.Context, only string, verbose bool) error {
	tree, err := findTree(ctx)
	if err != nil {
		return err
	}
	found, err := tree.sites()
	if err != nil {
		return err
	}
	vectors, err := readVectors(tree.root)
	if err != nil {
		return err
	}
	m, err := newMutant(tree, found)
	if err != nil {
		return err
	}
	defer m.remove()
	binary, err := m.compile(ctx, runner)
	if err != nil {
		return err
	}
	t, err := newTrial(ctx, binary, tree.root, found, vectors)
	if err != nil {
		return err
	}
	verdicts, err := t.rules(ctx, func(id string) bool {
		return only == "" || slices.Contains(strings.Split(only, ","), id)
	})
	if err != nil {
		return err
	}
	packages, err := readPackages(ctx, tree)
	if err != nil {
		return err
	}
	tests := newTestTrial(m, packages, found)
	if err := tests.rules(ctx, verdicts); err != nil {
		return err
	}
	if only != "" {
		if len(verdicts) == 0 {
			return fmt.Errorf("no place refuses by any of %s", only)
		}
		if table(os.Stdout, verdicts) > 0 {
			return errSurvivors
		}
		return nil
	}
	if err := t.places(ctx); err != nil {
		return err
	}
	if err := tests.places(ctx); err != nil {
		return err
	}
	built, err := readRequirements(tree.root)
	if err != nil {
		return err
	}
	if left := report(os.Stdout, verdicts, found, built, verbose); left > 0 {
		return errSurvivors
	}
	return nil
}
