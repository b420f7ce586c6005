package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var b strings.Builder
	writeHeading(&b, heading...)
	for _, f := range []figure{
		{"1", "a|b", true, true, false}, {"2", "", true, false, false}, {"3", "", false, false, false},
		{"4", "", false, true, false}, {"5", "", false, false, true},
	} {
		writeRow(&b, "job", "must", "goal", f.measured, f.beside, f.met())
	}
	const want = `| job | must | goal | measured | beside it, in the same run | met |
|---|---|---|---|---|---|
| job | must | goal | 1 | a\|b | goal |
| job | must | goal | 2 |  | must |
| job | must | goal | 3 |  | **no** |
| job | must | goal | 4 |  | **no** |
| job | must | goal | 5 |  | – |
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

func TestSpread(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   string
	}{
		{[]float64{2}, "2.00 (2.00–2.00)"},
		{[]float64{3, 1, 2}, "2.00 (1.00–3.00)"},
		{[]float64{4, 1, 2, 3}, "2.50 (1.00–4.00)"},
	} {
		if got := spreadOf(row.values).format("%.2f"); got != row.want {
			t.Errorf("%v: %s, want %s", row.values, got, row.want)
		}
	}
	if got := spreadOf([]float64{999.6, 12345, 999}).perSecond(); got != "1,000 (999–12,345)" {
		t.Error(got)
	}
	if got := ratios([]float64{2, 9}, []float64{1, 3}); got != (spread{2.5, 2, 3}) { // of pairs, not of medians
		t.Error(got)
	}
}

// Each row can be asked for alone, and the rows that are extra exist.
func TestIDs(t *testing.T) {
	var all []string
	for _, r := range rows {
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(r.id) || slices.Contains(all, r.id) || r.job == "" || r.must == "" || r.goal == "" {
			t.Errorf("row %q", r.id)
		}
		all = append(all, r.id)
	}
	for _, id := range extra {
		if !slices.Contains(all, id) {
			t.Errorf("there is no row %q", id)
		}
	}
}
