package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// widest is the package whose tests send requests to the whole server. They are
// tried on a rule before those of other packages that import one of its places.
const widest = "internal/server"

// timeLimit is what one run of the tests of one package may take.
const timeLimit = 2 * time.Minute

// A testedPackage is a package of the module that has tests.
type testedPackage struct {
	path    string          // from the module's root
	imports map[string]bool // packages that it or its tests import, likewise
}

// readPackages lists the packages of the module that have tests, without the two
// that are about this program and its vectors.
func readPackages(ctx context.Context, t *tree) ([]testedPackage, error) {
	type listed struct {
		ImportPath                         string
		TestGoFiles, XTestGoFiles          []string
		Imports, TestImports, XTestImports []string
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-json=ImportPath,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir, cmd.Stderr = t.root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []testedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		p := testedPackage{t.inModule(l.ImportPath), map[string]bool{}}
		if len(l.TestGoFiles)+len(l.XTestGoFiles) == 0 || p.path == runner || p.path == "internal/mutate" {
			continue
		}
		for _, i := range slices.Concat(l.Imports, l.TestImports, l.XTestImports) {
			p.imports[t.inModule(i)] = true
		}
		all = append(all, p)
	}
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

// A failure is a test that failed, and what it complained of.
type failure struct {
	test  string // with its subtests, separated by slashes
	lines []string
}

// top is the test function.
func (f failure) top() string { return strings.SplitN(f.test, "/", 2)[0] }

// names reports whether the test's name or its complaint carries the rule's id.
func (f failure) names(rule string) bool {
	id := regexp.MustCompile(`(^|[^A-Za-z0-9])` + rule + `($|[^0-9])`)
	return id.MatchString(f.test) || slices.ContainsFunc(f.lines, id.MatchString)
}

var failed = regexp.MustCompile(`^( *)--- FAIL: (\S+) \(`)

// failures reads what the tests of a package print. A test that failed because
// one of its subtests did is not among them.
func failures(output []byte) []failure {
	type open struct {
		indent  int
		failure failure
		outer   bool // of a subtest that failed
	}
	var done []failure
	var stack []open
	leave := func(indent int) {
		for len(stack) > 0 && stack[len(stack)-1].indent >= indent {
			if o := stack[len(stack)-1]; !o.outer || len(o.failure.lines) > 0 {
				done = append(done, o.failure)
			}
			stack = stack[:len(stack)-1]
		}
	}
	for line := range strings.Lines(string(output)) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if line == "" {
			continue
		}
		leave(indent)
		if m := failed.FindStringSubmatch(line); m != nil {
			if len(stack) > 0 {
				stack[len(stack)-1].outer = true
			}
			stack = append(stack, open{indent: indent, failure: failure{test: m[2]}})
		} else if len(stack) > 0 {
			o := &stack[len(stack)-1].failure
			o.lines = append(o.lines, line)
		}
	}
	leave(0)
	return done
}

// A suite is the compiled tests of one package. It was seen to pass with nothing
// off.
type suite struct{ pkg, binary, folder string }

// An ending is how a run of tests came to an end.
type ending int

const (
	passed ending = iota
	testsFailed
	broke // the process stopped, or its time was over
)

// run runs tests in a process of their own with these places off. No names mean
// all tests. When the process broke, what is returned is what broke it, if that can
// be told.
func (s *suite) run(ctx context.Context, off []*site, tests ...string) ([]failure, ending, error) {
	ctx, cancel := context.WithTimeout(ctx, timeLimit+30*time.Second)
	defer cancel()
	args := []string{"-test.short", "-test.count", "1", "-test.timeout", timeLimit.String()}
	if len(tests) > 0 {
		args = append(args, "-test.run", "^("+strings.Join(tests, "|")+")$")
	}
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "SVIDGATE_OFF="+switches(off))
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, passed, nil
	case !errors.As(err, &exit):
		return nil, broke, err
	case len(off) == 0:
		return nil, broke, fmt.Errorf("with nothing switched off tests of %s fail:\n%s%s", s.pkg, out.Bytes(), complaint.Next(2000))
	case exit.ExitCode() == 1:
		return failures(out.Bytes()), testsFailed, nil
	case bytes.Contains(complaint.Bytes(), []byte("panic: test timed out")):
		return nil, broke, nil
	}
	return failures(out.Bytes()), broke, nil
}

// tests are the names of the suite's tests.
func (s *suite) tests(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, s.binary, "-test.list", "^Test")
	cmd.Dir = s.folder
	out, err := cmd.Output()
	return strings.Fields(string(out)), err
}

// failing are the tests that fail with these places off, and those that break the
// process. When one does, each test is run in a process of its own.
func (s *suite) failing(ctx context.Context, off []*site, tests ...string) (fail, stop []failure, err error) {
	fail, end, err := s.run(ctx, off, tests...)
	if err != nil || end != broke {
		return fail, nil, err
	}
	fail = nil
	if len(tests) == 0 {
		if tests, err = s.tests(ctx); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range tests {
		some, end, err := s.run(ctx, off, name)
		switch {
		case err != nil:
			return nil, nil, err
		case end == testsFailed:
			fail = append(fail, some...)
		case end == broke:
			stop = append(stop, some...)
		}
	}
	return fail, stop, nil
}

// again reports whether a test that failed passes alone with nothing off, and
// fails alone with these places off.
func (s *suite) again(ctx context.Context, off []*site, f failure) (bool, error) {
	if _, _, err := s.run(ctx, nil, f.top()); err != nil {
		return false, err
	}
	some, end, err := s.run(ctx, off, f.top())
	return end == testsFailed && slices.ContainsFunc(some, func(g failure) bool { return g.test == f.test }), err
}

func switches(off []*site) string {
	numbers := make([]int, 0, len(off))
	for _, s := range off {
		numbers = append(numbers, s.number)
	}
	slices.Sort(numbers)
	var texts []string
	for _, n := range slices.Compact(numbers) {
		texts = append(texts, strconv.Itoa(n))
	}
	return strings.Join(texts, ",")
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
			_, _, err = s.run(ctx, nil, "")
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
	errs := make([]error, len(open))
	inParallel(len(open), func(i int) { errs[i] = t.rule(ctx, open[i]) })
	return errors.Join(errs...)
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

// worth is how much a failure says of the rule. A complaint says more than the name
// of a test, and most when it wanted the rule: what is accepted beside what is
// refused has the rule's id in its name, too.
func worth(f failure, rule string) int {
	n := 0
	wanted := regexp.MustCompile(`want .*[^A-Za-z0-9]` + rule + `($|[^0-9])`)
	if slices.ContainsFunc(f.lines, wanted.MatchString) {
		n += 4
	}
	if (failure{lines: f.lines}).names(rule) {
		n += 2
	}
	if (failure{test: f.test}).names(rule) {
		n++
	}
	return n
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
	errs := make([]error, len(open))
	inParallel(len(open), func(i int) { errs[i] = t.place(ctx, open[i]) })
	return errors.Join(errs...)
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
