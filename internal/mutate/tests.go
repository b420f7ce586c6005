package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// widest is the package whose tests send requests to the whole server. They are
// tried on a rule before those of other packages that import one of its places.
const widest = "internal/server"

// A testedPackage is a package of the module that has tests.
type testedPackage struct {
	path    string          // from the module's root
	imports map[string]bool // packages that it or its tests import, likewise
}

// readPackages lists the packages of the module that have tests, without the two
// that are about this program and its vectors.
func readPackages(ctx context.Context, t *tree) ([]testedPackage, error) {
	const withTests = `{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}{{end}}`
	cmd := exec.CommandContext(ctx, "go", "list", "-f", withTests, "./...")
	cmd.Dir, cmd.Stderr = t.root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []testedPackage
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		p := testedPackage{t.inModule(words[0]), map[string]bool{}}
		if p.path == runner || p.path == "internal/mutate" {
			continue
		}
		for _, i := range words[1:] {
			p.imports[t.inModule(i)] = true
		}
		all = append(all, p)
	}
	return all, nil
}

// inModule is an import path from the module's root, and "." is the root itself.
func (t *tree) inModule(importPath string) string {
	if importPath == t.module {
		return "."
	}
	return strings.TrimPrefix(importPath, t.module+"/")
}

// candidates are the packages whose tests are tried on these places, in this
// order: those that have the places, the one that has it all, and those that
// import one of the first and refuse by rules themselves. The others that import
// them (the store, the commands, the tests from end to end) show other things, or
// run a program that has no switches.
func candidates(places []*site, packages []testedPackage, refusing map[string]bool) []string {
	home := map[string]bool{}
	for _, s := range places {
		home[path.Dir(s.file)] = true
	}
	var own, server, importers []string
	for _, p := range packages {
		switch {
		case home[p.path]:
			own = append(own, p.path)
		case p.path == widest:
			server = append(server, p.path)
		case refusing[p.path] && slices.ContainsFunc(slices.Collect(maps.Keys(home)), func(h string) bool { return p.imports[h] }):
			importers = append(importers, p.path)
		}
	}
	return slices.Concat(own, server, importers)
}

// A testTrial tries the product's own tests on rules that no vector kills.
type testTrial struct {
	mutant   *mutant
	packages []testedPackage
	refusing map[string]bool // packages that have places
	found    *found

	mu     sync.Mutex
	suites map[string]func() (*suite, error) // guarded by mu
	shown  map[string]map[string][]string    // by rule and package, the tests that fail without it; guarded by mu
}

func newTestTrial(m *mutant, packages []testedPackage, f *found) *testTrial {
	t := &testTrial{mutant: m, packages: packages, refusing: map[string]bool{}, found: f, suites: map[string]func() (*suite, error){}, shown: map[string]map[string][]string{}}
	for _, s := range f.sites {
		t.refusing[path.Dir(s.file)] = true
	}
	return t
}

// suite compiles the tests of a package when they are first asked for, and runs
// them with nothing off. They must pass, else nothing that follows would mean
// anything.
func (t *testTrial) suite(ctx context.Context, pkg string) (*suite, error) {
	t.mu.Lock()
	get, ok := t.suites[pkg]
	if !ok {
		get = sync.OnceValues(func() (*suite, error) {
			binary, err := t.mutant.compile(ctx, pkg)
			if err != nil {
				return nil, err
			}
			s := &suite{pkg, binary, filepath.Join(t.mutant.root, filepath.FromSlash(pkg))}
			_, _, err = s.run(ctx, nil)
			return s, err
		})
		t.suites[pkg] = get
	}
	t.mu.Unlock()
	return get()
}

// rules goes on with the verdicts on rules that no vector kills.
func (t *testTrial) rules(ctx context.Context, verdicts []verdict) error {
	var open []*verdict
	for i := range verdicts {
		if c := verdicts[i].class; c == survives || c == guard {
			open = append(open, &verdicts[i])
		}
	}
	return inParallel(len(open), func(i int) error { return t.rule(ctx, open[i]) })
}

func (t *testTrial) rule(ctx context.Context, v *verdict) error {
	stopped := ""
	for _, pkg := range candidates(v.sites, t.packages, t.refusing) {
		s, err := t.suite(ctx, pkg)
		if err != nil {
			return err
		}
		fail, stop, err := s.failing(ctx, v.sites)
		if err != nil {
			return err
		}
		t.show(v.rule, pkg, slices.Concat(fail, stop))
		slices.SortStableFunc(fail, func(a, b failure) int { return worth(b, v.rule) - worth(a, v.rule) })
		for _, f := range fail {
			if !f.names(v.rule) && v.class == unnamedByTest {
				break
			}
			if ok, err := s.again(ctx, v.sites, f); err != nil {
				return err
			} else if !ok {
				continue
			}
			v.class, v.by = unnamedByTest, pkg+" "+f.test
			if f.names(v.rule) {
				v.class = namedByTest
				return nil
			}
			break
		}
		for _, f := range stop {
			if stopped == "" && f.names(v.rule) {
				stopped = pkg + " " + f.test
			}
		}
	}
	if stopped != "" {
		v.class, v.by = closed, stopped
	}
	return nil
}

func (t *testTrial) show(rule, pkg string, all []failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shown[rule] == nil {
		t.shown[rule] = map[string][]string{}
	}
	for _, f := range all {
		if !slices.Contains(t.shown[rule][pkg], f.top()) {
			t.shown[rule][pkg] = append(t.shown[rule][pkg], f.top())
		}
	}
}

// places switches off alone each place that no vector kills, of the rules that were
// tried on tests. Tried are the tests that fail without the rule, and those of the
// package that has the place.
func (t *testTrial) places(ctx context.Context) error {
	var open []*site
	for _, s := range t.found.sites {
		if s.killedBy == "" && slices.ContainsFunc(s.rules, func(id string) bool { return t.shown[id] != nil }) {
			open = append(open, s)
		}
	}
	return inParallel(len(open), func(i int) error { return t.place(ctx, open[i]) })
}

func (t *testTrial) place(ctx context.Context, p *site) error {
	own := path.Dir(p.file)
	tests := map[string][]string{}
	for _, id := range p.rules {
		for pkg, some := range t.shown[id] {
			tests[pkg] = append(tests[pkg], some...)
		}
	}
	if tests[own] == nil && slices.ContainsFunc(t.packages, func(q testedPackage) bool { return q.path == own }) {
		tests[own] = nil // all
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		s, err := t.suite(ctx, pkg)
		if err != nil {
			return err
		}
		fail, stop, err := s.failing(ctx, []*site{p}, tests[pkg]...)
		if err != nil {
			return err
		}
		for _, f := range fail {
			if ok, err := s.again(ctx, []*site{p}, f); err != nil {
				return err
			} else if ok {
				p.killedBy, p.closed = pkg+" "+f.test, false
				return nil
			}
		}
		p.closed = p.closed || len(stop) > 0
	}
	return nil
}
