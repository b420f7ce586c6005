package requirements

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A list is a document whose rows say what happened to others, or what an
// attacker may try, and which tests show that it does not work here.
type list struct {
	file string
	head string
	ids  []string // each with one row
}

var lists = []list{
	{"../../docs/attacks.md", "| id | attack | tests | result |", numbered("AK-", 1, 32)},
	{"../../docs/field-failures.md", "| id | what we do | tests | result |", slices.Concat(
		numbered("F", 1, 28), numbered("F", 35, 35), numbered("F", 42, 44), numbered("F", 46, 46), numbered("F", 48, 50))},
}

func numbered(prefix string, from, to int) []string {
	var ids []string
	for n := from; n <= to; n++ {
		ids = append(ids, fmt.Sprint(prefix, n))
	}
	return ids
}

var (
	heldForm  = regexp.MustCompile(`^held( \(.+\))?$`)
	partForm  = regexp.MustCompile(`^part: \S`)
	otherForm = regexp.MustCompile(`^(later|not ours): \S`)
)

func TestListsNameTestsThatExist(t *testing.T) {
	all := allSources(t)
	for _, l := range lists {
		text, err := os.ReadFile(l.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range l.judge(string(text), all) {
			t.Errorf("%s: %s", l.file, fault)
		}
	}
}

// judge says what is wrong with a list.
func (l list) judge(text string, all map[string]*source) []string {
	var faults []string
	seen := map[string]bool{}
	inTable := false
	for i, line := range strings.Split(text, "\n") {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("line %d: ", i+1)+fmt.Sprintf(format, args...))
		}
		switch {
		case line == l.head:
			inTable = true
			continue
		case !strings.HasPrefix(line, "|"):
			inTable = false
			continue
		case !inTable || strings.Trim(line, "|- ") == "": // another table, whose rows would be missed below
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		if len(cells) != 4 {
			fault("%d cells: %s", len(cells), line)
			continue
		}
		for c := range cells {
			cells[c] = strings.TrimSpace(cells[c])
		}
		id, says, result := cells[0], cells[1], cells[3]
		tests := parseReferences(cells[2], fault)
		switch {
		case !slices.Contains(l.ids, id):
			fault("%s has no place here", id)
		case seen[id]:
			fault("%s is there twice", id)
		case !strings.HasSuffix(says, "."):
			fault("%s has no sentence", id)
		case !heldForm.MatchString(result) && !partForm.MatchString(result) && !otherForm.MatchString(result):
			fault("%s: the result %q is not held, or part, later or not ours with a colon and words", id, result)
		case len(tests) == 0 && !otherForm.MatchString(result):
			fault("%s is %s and names no test", id, result)
		}
		seen[id] = true
		for _, f := range judgeTests(tests, all) {
			fault("%s: %s", id, f)
		}
	}
	for _, id := range l.ids {
		if !seen[id] {
			faults = append(faults, id+" has no row")
		}
	}
	return faults
}

// judgeTests says which of the tests that are named do not exist.
func judgeTests(tests []reference, all map[string]*source) []string {
	var faults []string
	for _, ref := range tests {
		file := all[ref.file]
		if file == nil || !strings.HasSuffix(ref.file, "_test.go") {
			faults = append(faults, "there are no tests in "+ref.file)
			continue
		}
		for _, name := range ref.names {
			function, row, _ := strings.Cut(name, " ")
			if !testForm.MatchString(function) || !file.declared[function] {
				faults = append(faults, ref.file+" has no test "+function)
			}
			if row != "" && !file.mentions(row) {
				faults = append(faults, ref.file+" has no row "+row)
			}
		}
	}
	return faults
}

func TestListsAreJudged(t *testing.T) {
	all := map[string]*source{"a_test.go": snippet(t, "package a\n\nfunc TestF() { _ = \"SI-1 something\" }\n\nfunc helper() {}\n")}
	l := list{head: "| id | attack | tests | result |", ids: []string{"AK-1", "AK-2"}}
	const two = "\n| AK-2 | Something. | | later: proxies |\n"
	for _, c := range []struct{ name, text, want string }{
		{"held", "| AK-1 | Something. | `a_test.go`: TestF, TestF SI-1 | held |" + two, ""},
		{"held, with a word", "| AK-1 | Something. | `a_test.go`: TestF | held (twice) |" + two, ""},
		{"part", "| AK-1 | Something. | `a_test.go`: TestF | part: no metric |" + two, ""},
		{"not ours", "| AK-1 | Something. | | not ours: by decision |" + two, ""},
		{"no row", "| AK-2 | Something. | | later: proxies |", "AK-1 has no row"},
		{"twice", "| AK-2 | Something. | | later: proxies |" + two, "AK-2 is there twice"},
		{"a stranger", "| AK-3 | Something. | | later: proxies |" + two, "no place here"},
		{"no sentence", "| AK-1 | Something | `a_test.go`: TestF | held |" + two, "no sentence"},
		{"held by nothing", "| AK-1 | Something. | | held |" + two, "names no test"},
		{"another result", "| AK-1 | Something. | `a_test.go`: TestF | fine |" + two, "the result"},
		{"later, of what", "| AK-1 | Something. | | later |" + two, "the result"},
		{"no such file", "| AK-1 | Something. | `b_test.go`: TestF | held |" + two, "no tests in b_test.go"},
		{"no such test", "| AK-1 | Something. | `a_test.go`: TestG | held |" + two, "no test TestG"},
		{"a helper for a test", "| AK-1 | Something. | `a_test.go`: helper | held |" + two, "no test helper"},
		{"no such row", "| AK-1 | Something. | `a_test.go`: TestF SI-2 | held |" + two, "no row SI-2"},
		{"a test that a later row has is there, too", "| AK-1 | Something. | `a_test.go`: TestG | later: proxies |" + two, "no test TestG"},
		{"a cell too few", "| AK-1 | Something. | held |" + two, "3 cells"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(l.judge(l.head+"\n|---|---|---|---|\n"+c.text, all), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := l.judge("| id | attack | result |\n|---|---|---|\n| AK-1 | Something. | held |\n", all); len(got) != 2 {
		t.Errorf("a table with other columns: %q", got)
	}
}
