package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A row is one line of the table of goals.
type row struct {
	id         string // for -only
	job        string
	must, goal string
	measure    func(*bench) (figure, error)
}

// extra are ids of rows that are measured only with -all, or when -only names
// them: they take long, or need what is not there everywhere.
var extra = []string{"storm", "peer"}

// A figure is what was measured for a row.
type figure struct {
	measured string
	beside   string // the ratio to the floor, or what else stands beside it
	must     bool   // met
	goal     bool   // met
	unjudged bool   // there is no must
}

func judged(measured, beside string, must, goal bool) figure {
	return figure{measured: measured, beside: beside, must: must, goal: goal}
}

func (f figure) met() string {
	switch {
	case f.unjudged:
		return "–"
	case f.goal && f.must:
		return "goal"
	case f.must:
		return "must"
	}
	return "**no**"
}

var heading = []string{"job", "must", "goal", "measured", "beside it, in the same run", "met"}

// writeRow writes one line of a Markdown table.
func writeRow(w io.Writer, cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

func writeHeading(w io.Writer, cells ...string) {
	writeRow(w, slices.Clone(cells)...)
	fmt.Fprintln(w, strings.Repeat("|---", len(cells))+"|")
}

// A spread is the median of several rounds with the smallest and the largest.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// format prints all three with the same verb.
func (s spread) format(verb string) string {
	return fmt.Sprintf(verb+" ("+verb+"–"+verb+")", s.median, s.min, s.max)
}

// perSecond is a rate with a comma at the thousands.
func perSecond(v float64) string {
	n := int64(v + 0.5)
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func (s spread) perSecond() string {
	return fmt.Sprintf("%s (%s–%s)", perSecond(s.median), perSecond(s.min), perSecond(s.max))
}
