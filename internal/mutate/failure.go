package main

import (
	"regexp"
	"slices"
	"strings"
)

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
