package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Fault is one thing that is wrong with a configuration, or worth a warning.
type Fault struct {
	File    string // as the caller named it; for a trust-domain table, the file that holds it
	Line    int    // from 1
	Column  int    // from 1, counted in characters; a tab is one
	Message string // a sentence: what is wrong, what is expected, what was written
}

// String is the form that `check-config` prints: FILE:LINE:COL: message.
func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Faults are all faults of a configuration, ordered by file, line and column.
type Faults []Fault

// Error has one line per fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	slices.SortFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return f
}

// A position is where something stands in a file.
type position struct {
	file         string
	line, column int
}

func (p position) fault(format string, args ...any) Fault {
	return Fault{File: p.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)}
}
