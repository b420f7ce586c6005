package main

import (
	"maps"
	"strings"
	"testing"
)

// F42: a day of few tokens comes to its end with everything answered as it should be, and
// what is judged of it holds.
func TestF42Day(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds of the processor")
	}
	const tokens = 2_500
	d, err := begin(t.Context(), t.TempDir(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	defer d.end()
	began := d.clock.Now()
	if err := d.live(t.Context()); err != nil {
		t.Fatal(err)
	}
	if passed := d.clock.Now().Sub(began); passed != length {
		t.Errorf("%s passed", passed)
	}
	if faults := judge(d.looks, tokens, d.newcomers()); len(faults) > 0 {
		t.Errorf("the day is not flat:\n%s", strings.Join(faults, "\n"))
	}
	had, all := 0, [kinds]int{}
	for _, w := range d.workers {
		had += w.tokens
		for k, n := range w.done {
			all[k] += n
		}
	}
	for k, n := range all {
		if n == 0 {
			t.Errorf("no %s", kindNames[k])
		}
	}
	if had < tokens-workers || d.newcomers() == 0 {
		t.Errorf("%d tokens, %d newcomers", had, d.newcomers())
	}
	if n := len(d.looks); n != len(marks) {
		t.Errorf("%d looks", n)
	}
	for _, l := range d.looks {
		if l.rows["grants"] == 0 || l.store == 0 || l.audit == 0 || l.heap == 0 || l.rss == 0 || len(l.maps) == 0 {
			t.Errorf("nothing was seen at hour %d: %s", l.hour, l)
		}
	}
}

// Each thing that grows is a fault, beside a day in which nothing did.
func TestJudge(t *testing.T) {
	flat := func() []look {
		rows := map[string]float64{"grants": 1000, "revocations": 100, "login_users": 1, "login_consents": 64, "client_records": 50, "client_counts": 1}
		early := look{hour: 6, store: 10 << 20, heap: 40 << 20, rss: 100 << 20, goroutines: 30, rows: rows}
		late := early
		late.hour, late.rows = 24, maps.Clone(rows)
		return []look{early, late}
	}
	const newcomers = 50
	if faults := judge(flat(), fullDay, newcomers); len(faults) > 0 {
		t.Fatalf("a flat day has faults: %v", faults)
	}
	for _, row := range []struct {
		name   string
		change func(late *look)
		tokens int
		want   string
	}{
		{"F42 grants", func(l *look) { l.rows["grants"] = 1200 }, fullDay, "rows of grants"},
		{"F42 chance", func(l *look) { l.rows["grants"] = 1130 }, fullDay, ""},
		{"F42 revocations", func(l *look) { l.rows["revocations"] = 200 }, fullDay, "rows of revocations"},
		{"F42 consents", func(l *look) { l.rows["login_consents"] = 128 }, fullDay, "rows of login_consents"},
		{"F42 a table that nobody thought of", func(l *look) { l.rows["other"] = 1 }, fullDay, "table other"},
		{"F43 a client too many", func(l *look) { l.rows["client_records"] = 51 }, fullDay, "workloads came"},
		{"F43 a client too few", func(l *look) { l.rows["client_records"] = 49 }, fullDay, "workloads came"},
		{"F42 the file", func(l *look) { l.store *= 2 }, fullDay, "bytes of the store"},
		{"F42 heap", func(l *look) { l.heap *= 2 }, fullDay, "bytes of heap"},
		{"F42 resident memory", func(l *look) { l.rss *= 2 }, fullDay, "bytes of resident memory"},
		{"F42 goroutines", func(l *look) { l.goroutines = 100 }, 100, "goroutines"},
		{"memory of a short day", func(l *look) { l.heap, l.rss = l.heap*2, l.rss*2 }, 100, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			looks := flat()
			row.change(&looks[1])
			faults := judge(looks, row.tokens, newcomers)
			if row.want == "" && len(faults) > 0 || row.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], row.want)) {
				t.Errorf("the faults are %q, want %q", faults, row.want)
			}
		})
	}
	if faults := judge(flat()[:1], fullDay, newcomers); len(faults) != 1 {
		t.Errorf("a day without an end: %v", faults)
	}
}
