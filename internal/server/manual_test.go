package server

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The manual names every metric with its labels, and no other.
func TestMetricsManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	quoted := regexp.MustCompile("`([a-z_]+)`")
	for _, row := range regexp.MustCompile("(?m)^\\| `(svidgate_[a-z_]+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		name := row[1]
		want, known := labelNames[name]
		if !known || named[name] {
			t.Errorf("the manual has %s, which is no metric or stands twice", name)
		}
		named[name] = true
		var labels []string
		for _, label := range quoted.FindAllStringSubmatch(row[2], -1) {
			labels = append(labels, label[1])
		}
		if slices.Sort(labels); !slices.Equal(labels, want) {
			t.Errorf("the manual gives %s the labels %v, want %v", name, labels, want)
		}
	}
	for name := range labelNames {
		if !named[name] {
			t.Errorf("the manual does not name %s", name)
		}
	}
}
