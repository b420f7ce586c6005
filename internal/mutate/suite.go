package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// timeLimit is what one run of the tests of one package may take with something off,
// and longest with nothing off: that must come to its end on a busy machine, too.
const (
	timeLimit = 2 * time.Minute
	longest   = 10 * time.Minute
)

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
	limit := timeLimit
	if len(off) == 0 {
		limit = longest
	}
	ctx, cancel := context.WithTimeout(ctx, limit+30*time.Second)
	defer cancel()
	args := []string{"-test.short", "-test.count", "1", "-test.timeout", limit.String()}
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
	var numbers []int
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
