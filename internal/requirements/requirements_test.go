package requirements

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryRuleHasItsRow(t *testing.T) {
	rows, spans := tables(t)
	byRow, bySpan := map[id]bool{}, map[id]bool{}
	for _, r := range rows {
		parsed, ok := parseID(r.id)
		if !ok {
			t.Errorf("line %d: %q is no id", r.line, r.id)
		}
		if byRow[parsed] {
			t.Errorf("line %d: %s is there twice", r.line, r.id)
		}
		byRow[parsed] = true
	}
	for _, s := range spans {
		for n := s.from.number; n <= s.to.number; n++ {
			each := id{s.from.prefix, n}
			if bySpan[each] || byRow[each] {
				t.Errorf("line %d: %s is there twice", s.line, each)
			}
			bySpan[each] = true
		}
	}
	for _, c := range []struct {
		what      string
		got, want map[id]bool
	}{{"row", byRow, expand(inRows)}, {"range", bySpan, expand(inSpans)}} {
		for each := range c.want {
			if !c.got[each] {
				t.Errorf("%s has no %s", each, c.what)
			}
		}
		for each := range c.got {
			if !c.want[each] {
				t.Errorf("%s has a %s and is no rule of the checklists", each, c.what)
			}
		}
	}
}

func TestEveryRowIsTrueToTheSource(t *testing.T) {
	rows, _ := tables(t)
	all := allSources(t)
	for _, r := range rows {
		for _, fault := range judge(r, all) {
			t.Errorf("line %d: %s: %s", r.line, r.id, fault)
		}
	}
}

var (
	builtForm = regexp.MustCompile(`^built( \(.+\))?$`)
	saidForm  = regexp.MustCompile(`^(part|open|not ours): \S`)
)

// judge says what is wrong with a row.
func judge(r row, all map[string]*source) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if r.level == "" || r.asks == "" || !strings.HasSuffix(r.asks, ".") {
		fault("it has no level, or no sentence")
	}
	claims := builtForm.MatchString(r.status) || strings.HasPrefix(r.status, "part: ")
	switch {
	case !builtForm.MatchString(r.status) && !saidForm.MatchString(r.status):
		fault("the status %q is not built, or part, open or not ours with a colon and words", r.status)
	case claims && len(r.code) == 0:
		fault("it claims to be built and names no code")
	case claims && len(r.tests) == 0:
		fault("it claims to be built and names no test")
	case !claims && len(r.code)+len(r.tests) > 0:
		fault("it is not built and names code or tests all the same")
	}
	for _, ref := range r.code {
		file := all[ref.file]
		if file == nil || strings.HasSuffix(ref.file, "_test.go") {
			fault("there is no code in %s", ref.file)
			continue
		}
		for _, name := range ref.names {
			text := strings.Trim(name, `"`)
			_, isRule := parseID(name)
			switch {
			case (isRule || text != name) && !file.has(text):
				fault("%s has no text %s", ref.file, name)
			case !isRule && text == name && !file.declared[name]:
				fault("%s does not declare %s", ref.file, name)
			}
		}
	}
	for _, ref := range r.tests {
		file := all[ref.file]
		if file == nil || !strings.HasSuffix(ref.file, "_test.go") {
			fault("there are no tests in %s", ref.file)
			continue
		}
		for _, name := range ref.names {
			function, row, _ := strings.Cut(name, " ")
			if !testForm.MatchString(function) || !file.declared[function] {
				fault("%s has no test %s", ref.file, function)
			}
			if row != "" && !file.mentions(row) {
				fault("%s has no row %s", ref.file, row)
			}
		}
	}
	return faults
}

// Whoever searches for an id of the checklists finds it where its row leads: in a
// file that the row names, or in a vector where the vectors are named. Tables that
// are numbered here only are cited by nobody.
func TestEveryRowLeadsToItsID(t *testing.T) {
	rows, _ := tables(t)
	all := allSources(t)
	vectors := vectorText(t)
	for _, r := range rows {
		refs := slices.Concat(r.code, r.tests)
		if len(refs) == 0 || !citation.MatchString(r.id) {
			continue
		}
		cited := slices.ContainsFunc(refs, func(ref reference) bool {
			return all[ref.file].cites(r.id) || slices.Contains(ref.names, "TestVectors") && mentions(vectors, r.id)
		})
		if !cited {
			t.Errorf("line %d: no file of %s has that id", r.line, r.id)
		}
	}
}

func TestCites(t *testing.T) {
	s := snippet(t, "package a\n\n// AT-3 and CJ-4 to\n// CJ-8, of CX-1 to MD-9.\nvar v = \"SI-1 something\"\n")
	for id, want := range map[string]bool{
		"SI-1": true, "AT-3": true, "CJ-4": true, "CJ-6": true, "CJ-8": true,
		"SI-10": false, "AT-30": false, "CJ-3": false, "CJ-9": false, "CX-5": false, "MD-5": false,
	} {
		if s.cites(id) != want {
			t.Errorf("%s: %v, want %v", id, !want, want)
		}
	}
	if (*source)(nil).cites("SI-1") {
		t.Error("no file cites something")
	}
}

var testForm = regexp.MustCompile(`^(Test|Fuzz|Example)([A-Z_0-9]\w*)?$`)

func TestJudge(t *testing.T) {
	all := map[string]*source{
		"a.go":      snippet(t, "package a\n\nfunc F() {}\n\ntype T struct{}\n\nfunc (t *T) M() {}\n\nconst C = 1\n\nvar list = []string{\"SI-1\"}\n"),
		"a_test.go": snippet(t, "package a\n\nfunc TestF() { _ = \"SI-1 something\" }\n\nfunc helper() {}\n"),
	}
	code, tests := []reference{{"a.go", []string{"F", "T", "T.M", "C", "SI-1", `"SI-1"`}}}, []reference{{"a_test.go", []string{"TestF", "TestF SI-1"}}}
	good := row{id: "SI-1", level: "MUST", asks: "Something.", status: "built", code: code, tests: tests}
	change := func(f func(*row)) row {
		r := good
		f(&r)
		return r
	}
	names := func(n ...string) []reference { return []reference{{"a.go", n}} }
	for _, c := range []struct {
		name string
		row  row
		want string
	}{
		{"built", good, ""},
		{"built with a word", change(func(r *row) { r.status = "built (by the library)" }), ""},
		{"part", change(func(r *row) { r.status = "part: no options" }), ""},
		{"open", change(func(r *row) { r.status, r.code, r.tests = "open: first use", nil, nil }), ""},
		{"not ours", change(func(r *row) { r.status, r.code, r.tests = "not ours: by decision", nil, nil }), ""},
		{"no level", change(func(r *row) { r.level = "" }), "no level"},
		{"no sentence", change(func(r *row) { r.asks = "Something" }), "no sentence"},
		{"no status", change(func(r *row) { r.status = "" }), "status"},
		{"another status", change(func(r *row) { r.status = "done" }), "status"},
		{"part of what", change(func(r *row) { r.status = "part" }), "status"},
		{"open without a topic", change(func(r *row) { r.status, r.code, r.tests = "open", nil, nil }), "status"},
		{"built without code", change(func(r *row) { r.code = nil }), "no code"},
		{"built without a test", change(func(r *row) { r.tests = nil }), "no test"},
		{"open with code", change(func(r *row) { r.status, r.tests = "open: first use", nil }), "all the same"},
		{"no such file", change(func(r *row) { r.code = []reference{{"b.go", []string{"F"}}} }), "no code in b.go"},
		{"a test for code", change(func(r *row) { r.code = []reference{{"a_test.go", []string{"TestF"}}} }), "no code in a_test.go"},
		{"no such function", change(func(r *row) { r.code = names("G") }), "does not declare G"},
		{"a method without its type", change(func(r *row) { r.code = names("M") }), "does not declare M"},
		{"no such rule value", change(func(r *row) { r.code = names("SI-2") }), "no text SI-2"},
		{"no such text", change(func(r *row) { r.code = names(`"SI"`) }), "no text"},
		{"no such test file", change(func(r *row) { r.tests = []reference{{"b_test.go", []string{"TestF"}}} }), "no tests in b_test.go"},
		{"code for a test", change(func(r *row) { r.tests = []reference{{"a.go", []string{"F"}}} }), "no tests in a.go"},
		{"no such test", change(func(r *row) { r.tests = []reference{{"a_test.go", []string{"TestG"}}} }), "no test TestG"},
		{"a helper for a test", change(func(r *row) { r.tests = []reference{{"a_test.go", []string{"helper"}}} }), "no test helper"},
		{"no such row", change(func(r *row) { r.tests = []reference{{"a_test.go", []string{"TestF SI-10"}}} }), "no row SI-10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(judge(c.row, all), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A rule that code refuses by and that nobody can look up would be a riddle. Any
// text that is nothing but an id counts as a rule value.
func TestEveryRuleValueIsInTheTable(t *testing.T) {
	rows, _ := tables(t)
	known := map[string]bool{}
	for _, r := range rows {
		known[r.id] = true
	}
	found := 0
	for file, s := range allSources(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, text := range s.texts {
			if _, ok := parseID(text); ok && !strings.ContainsAny(text[:1], "0123456789") {
				found++
				if !known[text] {
					t.Errorf("%s: the rule %s has no row", file, text)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no rule value was found")
	}
}

var citation = regexp.MustCompile(`\b[A-Z]{2}-\d+\b`)

// An id in a comment, or at the head of a test's row, leads to a rule.
func TestEveryCitationIsARule(t *testing.T) {
	known := expand(inRows)
	maps.Copy(known, expand(inSpans))
	found := 0
	for file, s := range allSources(t) {
		cited := citation.FindAllString(strings.Join(s.comments, "\n"), -1)
		if strings.HasSuffix(file, "_test.go") {
			for _, text := range s.texts {
				head, _, _ := strings.Cut(text, " ")
				if head != text && citation.FindString(head) == head && head != "" {
					cited = append(cited, head)
				}
			}
		}
		for _, c := range slices.Compact(slices.Sorted(slices.Values(cited))) {
			each, ok := parseID(c)
			found++
			if !ok || !known[each] {
				t.Errorf("%s cites %s, which is no rule", file, c)
			}
		}
	}
	if found == 0 {
		t.Error("nothing is cited")
	}
}
