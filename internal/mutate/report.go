package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// table prints the verdicts and returns how many rules are left over.
func table(w io.Writer, verdicts []verdict) (left int) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "rule\tplaces\tswitched off\tvector or test")
	for _, v := range verdicts {
		if v.class == survives {
			left++
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", v.rule, len(v.sites), v.class.text(v.along), v.by)
	}
	table.Flush()
	return left
}

// report prints what came of it and returns how many rules are left over.
func report(w io.Writer, verdicts []verdict, f *found, built []requirement, verbose bool) (left int) {
	left = table(w, verdicts)
	count := map[class]int{}
	for _, v := range verdicts {
		count[v.class]++
	}
	byVectors := count[alone] + count[firstOfSeveral] + count[behindOthers]
	byTests := count[namedByTest] + count[unnamedByTest]
	total := len(verdicts) - count[closed] - count[guard]
	fmt.Fprintf(w, "\nrules killed: %d of %d\n", byVectors+byTests, total)
	fmt.Fprintf(w, "  by vectors: %d (%d alone, %d with others behind them, %d only behind others%s)\n",
		byVectors, count[alone], count[firstOfSeveral], count[behindOthers], named(verdicts, behindOthers))
	fmt.Fprintf(w, "  by tests: %d (%d by tests that name them, %d only by tests that do not%s)\n",
		byTests, count[namedByTest], count[unnamedByTest], named(verdicts, unnamedByTest))
	fmt.Fprintf(w, "not counted: %d closed%s; %d guards%s\n", count[closed], named(verdicts, closed), count[guard], named(verdicts, guard))
	places(w, f, verbose)
	obeyedElsewhere(w, verdicts, built)
	for _, v := range verdicts {
		if v.class == survives {
			fmt.Fprintf(w, "LEFT OVER: %s, which refuses at %s\n", v.rule, list(v.sites))
		}
	}
	return left
}

func (c class) text(along []string) string {
	switch c {
	case alone:
		return "accepted"
	case firstOfSeveral:
		return "accepted, with " + strings.Join(along, " ")
	case behindOthers:
		return "accepted, behind " + strings.Join(along, " ")
	case namedByTest:
		return "a test fails"
	case unnamedByTest:
		return "a test fails that does not name it"
	case closed:
		return "cannot go on"
	case guard:
		return "(guard)"
	}
	return "LEFT OVER"
}

func named(verdicts []verdict, c class) string {
	var ids []string
	for _, v := range verdicts {
		if v.class == c {
			ids = append(ids, v.rule)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return ": " + strings.Join(ids, " ")
}

func list(sites []*site) string {
	var all []string
	for _, s := range sites {
		all = append(all, s.String())
	}
	return strings.Join(all, ", ")
}

// places says how many places are killed alone, and with verbose which are not.
func places(w io.Writer, f *found, verbose bool) {
	killed, last, stopped, guards := 0, 0, 0, 0
	for _, s := range f.sites {
		switch {
		case s.last:
			last++
		case s.killedBy != "":
			killed++
		case s.closed:
			stopped++
		case s.guard:
			guards++
		}
	}
	fmt.Fprintf(w, "places killed, parts of conditions among them: %d of %d (%d alone, %d as one of several), besides %d closed and %d guards; -v lists the others\n",
		killed+last, len(f.sites)-stopped-guards, killed, last, stopped, guards)
	if !verbose {
		return
	}
	for _, s := range f.sites {
		if s.killedBy == "" {
			kind := ""
			switch {
			case s.closed:
				kind = " (closed)"
			case s.guard:
				kind = " (guard)"
			}
			fmt.Fprintf(w, "  %s %s%s\n", s, strings.Join(s.rules, " "), kind)
		}
	}
}

// obeyedElsewhere says of which built rules no place refuses: what they ask for is
// done by construction, or held by tests that are no vectors.
func obeyedElsewhere(w io.Writer, verdicts []verdict, built []requirement) {
	var without []string
	for _, r := range built {
		if !slices.ContainsFunc(verdicts, func(v verdict) bool { return v.rule == r.id }) {
			without = append(without, r.id)
		}
	}
	fmt.Fprintf(w, "built rules with no place to switch off: %d of %d: %s\n", len(without), len(built), strings.Join(without, " "))
}
