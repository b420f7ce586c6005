package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// printed is what tests print, with logs of a test, of its subtest, and of a test
// beside them.
const printed = `--- FAIL: TestA (0.10s)
    --- FAIL: TestA/AA-1_the_first (0.00s)
        a_test.go:3: got none, want invalid by AA-1: x
            and more of AA-22
    --- FAIL: TestA/another (0.00s)
    a_test.go:9: TestA says so itself
--- FAIL: TestB (0.00s)
    --- FAIL: TestB/deep (0.00s)
        --- FAIL: TestB/deep/er (0.00s)
            b_test.go:4: broken
FAIL
`

func TestFailures(t *testing.T) {
	var got []string
	for _, f := range failures([]byte(printed)) {
		got = append(got, fmt.Sprintf("%s %d", f.test, len(f.lines)))
	}
	want := "TestA/AA-1_the_first 2, TestA/another 0, TestA 1, TestB/deep/er 1"
	if joined := strings.Join(got, ", "); joined != want {
		t.Errorf("read %q, want %q", joined, want)
	}
}

// TestNames: an id is named whole, and by the test or by its complaint.
func TestNames(t *testing.T) {
	all := failures([]byte(printed))
	for _, row := range []struct {
		rule  string
		named string // which of them name it
		worth int    // of the first
	}{
		{"AA-1", "TestA/AA-1_the_first", 7}, {"AA-22", "TestA/AA-1_the_first", 2}, {"AA-2", "", 0}, {"A-1", "", 0},
	} {
		var named []string
		for _, f := range all {
			if f.names(row.rule) {
				named = append(named, f.test)
			}
		}
		if got := strings.Join(named, " "); got != row.named || worth(all[0], row.rule) != row.worth {
			t.Errorf("%s is named by %q, and the first is worth %d", row.rule, got, worth(all[0], row.rule))
		}
	}
}

// TestCandidates: the packages of the places come first, then the whole server, then
// those that import them and refuse by rules.
func TestCandidates(t *testing.T) {
	imports := func(all ...string) map[string]bool {
		m := map[string]bool{}
		for _, p := range all {
			m[p] = true
		}
		return m
	}
	packages := []testedPackage{
		{"a", imports("home")}, {"e2e", imports("home")}, {"far", imports("a")}, {"home", nil}, {"internal/server", imports("home")},
	}
	got := candidates([]*site{{file: "home/x.go"}, {file: "untested/y.go"}}, packages, imports("a", "far", "home", "untested"))
	if want := []string{"home", "internal/server", "a"}; !slices.Equal(got, want) {
		t.Errorf("tried are %v, want %v", got, want)
	}
}

// TestTestTrial runs the second stage on a module of its own. Each rule of it is
// another case of what tests can show.
func TestTestTrial(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.org/m\n\ngo 1.26\n",
		"a/a.go": `package a

type refusal struct{ rule string }

func judge(n int) *refusal {
	if n == 1 {
		return &refusal{"AA-1"}
	}
	if n == 2 {
		return &refusal{"AA-2"}
	}
	if n == 3 {
		return &refusal{"AA-3"}
	}
	var m map[string]int
	if n == 4 {
		return &refusal{"AA-4"}
	}
	if n >= 4 {
		m["x"] = n
	}
	return nil
}
`,
		"a/a_test.go": `package a

import "testing"

func TestNamed(t *testing.T) {
	for n, rule := range map[int]string{0: "", 1: "AA-1"} {
		t.Run(rule, func(t *testing.T) {
			if got := judge(n); (got != nil) != (rule != "") {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestUnnamed(t *testing.T) {
	if judge(2) == nil || judge(0) != nil {
		t.Error("not refused")
	}
}

func TestNothing(t *testing.T) {
	judge(3)
}

func TestBreaks(t *testing.T) {
	t.Run("AA-4", func(t *testing.T) { judge(4) })
}
`,
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "a", "a.go"))
	if err != nil {
		t.Fatal(err)
	}
	tr := treeOf(t, string(text))
	tr.root = root
	tr.packages[0].files[0].path = "a/a.go"
	f, err := tr.sites()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMutant(tr, f)
	if err != nil {
		t.Fatal(err)
	}
	defer m.remove()
	packages, err := readPackages(t.Context(), tr)
	if err != nil {
		t.Fatal(err)
	}
	var verdicts []verdict
	for _, s := range f.sites {
		verdicts = append(verdicts, verdict{rule: s.rules[0], sites: []*site{s}})
	}
	trial := newTestTrial(m, packages, f)
	if err := trial.rules(t.Context(), verdicts); err != nil {
		t.Fatal(err)
	}
	for i, want := range []verdict{
		{rule: "AA-1", class: namedByTest, by: "a TestNamed/AA-1"},
		{rule: "AA-2", class: unnamedByTest, by: "a TestUnnamed"},
		{rule: "AA-3", class: survives},
		{rule: "AA-4", class: closed, by: "a TestBreaks/AA-4"},
	} {
		if got := verdicts[i]; got.rule != want.rule || got.class != want.class || got.by != want.by {
			t.Errorf("%s is %q by %q, want %q by %q", got.rule, got.class.text(nil), got.by, want.class.text(nil), want.by)
		}
	}
	if err := trial.places(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a TestNamed/AA-1", "a TestUnnamed", "", ""} {
		if got := f.sites[i].killedBy; got != want || f.sites[i].closed != (i == 3) {
			t.Errorf("%s is killed by %q, want %q; closed: %t", f.sites[i], got, want, f.sites[i].closed)
		}
	}

	// Tests that fail, or break the process, with nothing off show nothing, and that is
	// an error.
	for _, bad := range []string{
		`func TestBad(t *testing.T) { t.Error("AA-3") }`,
		`func TestBad(t *testing.T) { t.Run("AA-3", func(*testing.T) { panic("always") }) }`,
	} {
		if err := os.WriteFile(filepath.Join(root, "a", "b_test.go"), []byte("package a\n\nimport \"testing\"\n\n"+bad+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		open := []verdict{{rule: "AA-3", sites: f.sites[2:3]}}
		if err := newTestTrial(m, packages, f).rules(t.Context(), open); err == nil {
			t.Errorf("no error though tests fail with nothing off: %s; the rule is %q", bad, open[0].class.text(nil))
		}
	}
}
