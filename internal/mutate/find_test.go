package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// treeOf is a module of one file.
func treeOf(t *testing.T, text string) *tree {
	t.Helper()
	tr := &tree{module: "example.org/m", fset: token.NewFileSet()}
	syntax, err := parser.ParseFile(tr.fset, "a.go", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	tr.packages = []*goPackage{{files: []*goFile{{"a.go", []byte(text), syntax}}}}
	return tr
}

// TestSites finds places by their form. A row is the body of a file, and what is
// found in it, each as the line and its rules.
func TestSites(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"call in a return", `
func f() error {
	return oauth.Refuse(x, "AA-1", "y")
}
func g() error {
	if bad { return oauth.Refuse(x, "AA-2", "y") }
	return nil
}`, "9 AA-2"}, // f only makes a refusal, and nobody calls it
		{"maker", `
func f() error {
	return oauth.Refuse(x, "AA-1", "y")
}
func g() error {
	if bad { return f() }
	return nil
}`, "9 AA-1"},
		{"composite literal", `
func g() (int, *fault) {
	if bad { return 0, &fault{"AA-1", "why"} }
	return 0, nil
}`, "6 AA-1"},
		{"rule in a variable", `
func g() *fault {
	rule := "AA-1"
	if bad { rule = "AA-2" }
	if worse { return &fault{rule, "why"} }
	return nil
}`, "8 AA-1 AA-2"},
		{"bare id beside an error", `
func g() (string, error) {
	switch {
	case bad: return "AA-1", err
	case good: return "AA-2", nil
	}
	return "", nil
}`, "7 AA-1"},
		{"what an argument says", `
func g() {
	p.note(1, "AA-1", "why")
	p.leaveOut(1, &fault{"AA-2", "why"})
}`, "7 AA-2"},
		{"assignment to err", `
func g() {
	rule, err := "AA-1", errors.New("x")
	legacy = append(legacy, "AA-2")
}`, "6 AA-1"},
		{"rule's value", `
var rules = []rule{{ID: "AA-1", Judge: func(s *state) Reason {
	if bad { return ReasonBad }
	return ""
}, Expected: func(s *state) string { return "good" }}}`, "6 AA-1"},
		{"rule's value by position", `
var rules = []rule{{"AA-1", "source", func(p Parts) string {
	switch {
	case bad: return "it is bad"
	}
	return ""
}}, {"AA-2", "source", named}}
func named(p Parts) string {
	if bad { return "bad" }
	return ""
}`, "12 AA-2, 7 AA-1"},
		{"rule's function of another package", `
var r = Rule{ID: "AA-1", Broken: other.Rule.Broken}`, "5 AA-1"},
		{"rule that a method judges", `
var rules = []rule{{ID: "AA-1", Judge: func(s *state) Reason { return s.judge() }}}
func (s *state) judge() Reason {
	if bad { return ReasonBad }
	return ""
}`, "7 AA-1"},
		{"error with a directive", `
// ErrBad is bad.
//
//svidgate:rule AA-1 AA-2
var ErrBad = errors.New("bad")
func g() error {
	if errors.Is(err, ErrBad) { return nil }
	return fmt.Errorf("x: %w", ErrBad)
}`, "11 AA-1 AA-2"},
		{"statement with a directive", `
func g() bool {
	//svidgate:rule AA-1
	if bad { return false }
	//svidgate:rule AA-2
	return good
}`, "7 AA-1, 9 AA-2"},
		{"map of texts", `
var texts = map[string]string{"AA-1": "what it asks"}`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			tr := treeOf(t, "package a\n\n\n"+row.text)
			f, err := tr.sites()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range f.sites {
				got = append(got, fmt.Sprintf("%d %s", s.line, strings.Join(s.rules, " ")))
			}
			slices.Sort(got)
			if joined := strings.Join(got, ", "); joined != row.want {
				t.Errorf("found %q, want %q", joined, row.want)
			}
			for file, edits := range f.edits {
				text := tr.rewrite(file, edits)
				if _, err := parser.ParseFile(token.NewFileSet(), "b.go", text, parser.SkipObjectResolution); err != nil {
					t.Errorf("what was made switchable is no Go: %v\n%s", err, text)
				}
				if a, b := strings.Count(string(text), "\n"), strings.Count(string(file.text), "\n"); a != b {
					t.Errorf("lines got other numbers: %d, and were %d", a, b)
				}
			}
		})
	}
}

// TestRewrite shows each form once as it becomes.
func TestRewrite(t *testing.T) {
	for _, row := range []struct{ name, before, after string }{
		{"return", `func g() error { if bad { return &fault{"AA-1"} }; return nil }`,
			`func g() error { if bad { if !mutationswitch.Off(0) { return &fault{"AA-1"} } }; return nil ; return *new(error) }`},
		{"case", `func g() error { switch { case bad: return &fault{"AA-1"} }; return nil }`,
			`func g() error { switch { case !mutationswitch.Off(0) && (bad): return &fault{"AA-1"} }; return nil ; return *new(error) }`},
		{"define", `func g() (int, error) { if bad { err := refuse("AA-1"); return 1, err }; return 0, nil }`,
			`func g() (int, error) { if !mutationswitch.Off(0) && (bad) { err := refuse("AA-1"); return 1, err }; return 0, nil ; return *new(int), *new(error) }`},
		{"function elsewhere", `var r = Rule{ID: "AA-1", Broken: other.Broken}`,
			`var r = Rule{ID: "AA-1", Broken: mutationswitch.Wrap(0, other.Broken)}`},
		{"bool", "func g() bool {\n//svidgate:rule AA-1\nreturn good }",
			"func g() bool {\n//svidgate:rule AA-1\nreturn mutationswitch.Off(0) || (good) ; return *new(bool) }"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tr := treeOf(t, "package a\n"+row.before)
			f, err := tr.sites()
			if err != nil {
				t.Fatal(err)
			}
			file := tr.packages[0].files[0]
			want := `package a; import "example.org/m/internal/mutationswitch"` + "\n" + row.after
			if got := string(tr.rewrite(file, f.edits[file])); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestGuards are places that no request comes to.
func TestGuards(t *testing.T) {
	f, err := treeOf(t, `package a
func g(c Caller) error {
	if !c.Authenticated() { return refuse("AA-1") }
	if bad { return refuse(ReasonInternal, "AA-2") }
	if !c.Allowed("x") { return refuse("AA-3") }
	return nil
}`).sites()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if f.sites[i].guard != want {
			t.Errorf("%v: guard is %t", f.sites[i].rules, f.sites[i].guard)
		}
	}
}

// TestDirectives that name nothing must not go unnoticed.
func TestDirectives(t *testing.T) {
	for _, text := range []string{
		"//svidgate:rule\nvar ErrBad = 1",
		"//svidgate:rules AA-1\nvar ErrBad = 1",
		"//svidgate:rule AA-1\n\nvar ErrBad = 1",
		"//svidgate:rule AA-1\ntype T int",
	} {
		if _, err := treeOf(t, "package a\n"+text).sites(); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

// TestReport counts what is left over, and only that.
func TestReport(t *testing.T) {
	places := []*site{{file: "a.go", line: 3}}
	var out strings.Builder
	left := report(&out, []verdict{
		{rule: "AA-1", sites: places, class: alone, by: "x/1"},
		{rule: "AA-2", sites: places, class: firstOfSeveral, by: "x/2", along: []string{"AA-1"}},
		{rule: "AA-3", sites: places, class: closed, by: "x/3"},
		{rule: "AA-4", sites: places, class: guard},
		{rule: "AA-5", sites: places},
		{rule: "AA-6", sites: places, class: namedByTest, by: "a TestA/AA-6"},
		{rule: "AA-7", sites: places, class: unnamedByTest, by: "a TestB"},
	}, &found{sites: places}, []requirement{{"AA-1", "1"}, {"AA-9", "1"}}, false)
	if left != 1 {
		t.Errorf("%d are left over", left)
	}
	for _, want := range []string{"rules killed: 4 of 5", "by vectors: 2 (1 alone, 1 with", "by tests: 2 (1 by tests that name them, 1 only by tests that do not: AA-7)", "1 closed: AA-3", "1 guards: AA-4", "LEFT OVER: AA-5, which refuses at a.go:3", "1 of 2: AA-9"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
}
