package requirements

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const document = "../../docs/requirements.md"

// A row is one rule of the document.
type row struct {
	line   int
	id     string
	level  string
	asks   string
	status string
	code   []reference
	tests  []reference
}

// A reference is one file and what is named of it.
type reference struct {
	file  string
	names []string
}

// A span is a range of rules that are open as a whole.
type span struct {
	line     int
	from, to id
}

// An id is a rule's: a prefix, which for the tables without ids of their own is
// the number of their section, and a number.
type id struct {
	prefix string
	number int
}

var idForm = regexp.MustCompile(`^(A|[A-Z]{2}|\d+(?:\.\d+)?)-(\d+)$`)

func parseID(s string) (id, bool) {
	m := idForm.FindStringSubmatch(s)
	if m == nil {
		return id{}, false
	}
	n, err := strconv.Atoi(m[2])
	return id{m[1], n}, err == nil
}

func (i id) String() string { return i.prefix + "-" + strconv.Itoa(i.number) }

// tables are the rows and ranges of the document.
func tables(t *testing.T) ([]row, []span) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	rows, spans, faults := parse(string(text))
	for _, f := range faults {
		t.Error(f)
	}
	if len(rows) == 0 || len(spans) == 0 {
		t.Fatal("the document has no rows")
	}
	return rows, spans
}

const (
	rowHead  = "| id | level | what it asks | status | code | tests |"
	spanHead = "| section | rules | topic | what is there already |"
)

// parse reads the tables of a document. Every fault names its line.
func parse(text string) (rows []row, spans []span, faults []string) {
	head := ""
	for i, line := range strings.Split(text, "\n") {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("line %d: ", i+1)+fmt.Sprintf(format, args...))
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			head = ""
			continue
		case head == "":
			if head = line; head != rowHead && head != spanHead {
				fault("a table with other columns: %s", line)
			}
			continue
		case strings.Trim(line, "|- ") == "":
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		for c := range cells {
			cells[c] = strings.TrimSpace(cells[c])
		}
		if len(cells) != strings.Count(head, "|")-1 {
			fault("%d cells: %s", len(cells), line)
			continue
		}
		switch head {
		case rowHead:
		case spanHead:
			spans = append(spans, parseSpans(i+1, cells[1], fault)...)
			continue
		default: // told of at its head
			continue
		}
		r := row{line: i + 1, id: cells[0], level: cells[1], asks: cells[2], status: cells[3]}
		r.code = parseReferences(cells[4], fault)
		r.tests = parseReferences(cells[5], fault)
		rows = append(rows, r)
	}
	return rows, spans, faults
}

// parseSpans reads "WS-1 … WS-20, PP-1 … PP-15".
func parseSpans(line int, cell string, fault func(string, ...any)) []span {
	var spans []span
	for part := range strings.SplitSeq(cell, ", ") {
		a, b, _ := strings.Cut(part, " … ")
		from, ok := parseID(a)
		to, also := parseID(b)
		if !ok || !also || from.prefix != to.prefix || from.number > to.number {
			fault("%q is no range of rules", part)
			continue
		}
		spans = append(spans, span{line, from, to})
	}
	return spans
}

// parseReferences reads "`file`: name, name; `file`: name".
func parseReferences(cell string, fault func(string, ...any)) []reference {
	if cell == "" {
		return nil
	}
	var found []reference
	for part := range strings.SplitSeq(cell, "; ") {
		quoted, names, ok := strings.Cut(part, ": ")
		file := strings.Trim(quoted, "`")
		if !ok || quoted != "`"+file+"`" || file == "" || names == "" {
			fault("%q is not a file in backticks, a colon and names", part)
			continue
		}
		found = append(found, reference{file, strings.Split(names, ", ")})
	}
	return found
}

func TestParse(t *testing.T) {
	const rowTable = rowHead + "\n|---|---|---|---|---|---|\n"
	const spanTable = spanHead + "\n|---|---|---|---|\n"
	for _, c := range []struct{ name, text, want string }{
		{"a row", rowTable + "| SI-1 | MUST | Something. | built | `a.go`: F, T.M; `b.go`: SI-1 | `a_test.go`: TestF SI-1 |", ""},
		{"an open row", rowTable + "| SI-1 | MUST | Something. | open: first use | | |", ""},
		{"a range", spanTable + "| 4 | WS-1 … WS-20, PP-1 … PP-3 | WIT-SVID | |", ""},
		{"another table", "| a | b |\n|---|---|\n| 1 | 2 |", "other columns"},
		{"a cell too few", rowTable + "| SI-1 | MUST | Something. | built | `a.go`: F |", "5 cells"},
		{"a bar in a cell", rowTable + "| SI-1 | MUST | Some|thing. | built | `a.go`: F | |", "7 cells"},
		{"a file without backticks", rowTable + "| SI-1 | MUST | Something. | built | a.go: F | |", "backticks"},
		{"a file without names", rowTable + "| SI-1 | MUST | Something. | built | `a.go` | |", "backticks"},
		{"a range without its end", spanTable + "| 4 | WS-1 | WIT-SVID | |", "no range"},
		{"a range over two prefixes", spanTable + "| 4 | WS-1 … PP-20 | WIT-SVID | |", "no range"},
		{"a range backwards", spanTable + "| 4 | WS-20 … WS-1 | WIT-SVID | |", "no range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, faults := parse(c.text)
			if got := strings.Join(faults, "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	rows, _, _ := parse(rowTable + "| SI-1 | MUST | Something. | built | `a.go`: F, T.M; `b.go`: SI-1 | `a_test.go`: TestF SI-1 |")
	if len(rows) != 1 || len(rows[0].code) != 2 || len(rows[0].code[0].names) != 2 || len(rows[0].tests) != 1 || rows[0].line != 3 {
		t.Errorf("got %+v", rows)
	}
}
