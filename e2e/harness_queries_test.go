package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	dashboardFile = "../deploy/grafana/svidgate.json"
	alertsFile    = "../deploy/prometheus/alerts.yaml"
)

// A query is one that we ship, for a panel or an alert.
type query struct {
	where  string // the title of the panel, or the name of the alert
	expr   string
	labels []string // that its texts name
}

// A panel is what we look at of one.
type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  map[string]string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		Expr         string
		LegendFormat string
		RefID        string
	}
	FieldConfig struct{ Defaults struct{ Unit string } }
}

type dashboard struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition, AllValue string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	data, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func readAlerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	data, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || file.Groups[0].Name != "svidgate" {
		t.Fatalf("%s has the groups %+v", alertsFile, file.Groups)
	}
	return file.Groups[0].Rules
}

var (
	legendLabel   = regexp.MustCompile(`\{\{\s*([a-z_]+)\s*\}\}`)
	templateLabel = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	variableQuery = regexp.MustCompile(`^label_values\((.*), ([a-z_]+)\)$`)
)

func firstGroups(all [][]string) (groups []string) {
	for _, m := range all {
		groups = append(groups, m[1])
	}
	return groups
}

// dashboardQueries are those of panels and variables. What Grafana puts in for a
// variable is put in: every value, and an interval of one minute.
func dashboardQueries(t *testing.T) (queries []query) {
	t.Helper()
	d := readDashboard(t)
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", ".+", "$instance", ".+", "$trust_domain", ".+")
	add := func(where, expr string, labels []string) {
		if expr = fill.Replace(expr); strings.Contains(expr, "$") {
			t.Errorf("%s: a variable that the dashboard has not: %s", where, expr)
		}
		queries = append(queries, query{where, expr, labels})
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			add(p.Title, target.Expr, firstGroups(legendLabel.FindAllStringSubmatch(target.LegendFormat, -1)))
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "datasource" {
			continue
		}
		m := variableQuery.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		add("variable "+v.Name, m[1], []string{m[2]})
	}
	return queries
}

func alertQueries(t *testing.T) (queries []query) {
	t.Helper()
	for _, a := range readAlerts(t) {
		texts := strings.Join(slices.Collect(maps.Values(a.Annotations)), "\n")
		queries = append(queries, query{a.Alert, a.Expr, firstGroups(templateLabel.FindAllStringSubmatch(texts, -1))})
	}
	return queries
}

// A selector is one metric in a query, with the labels that pick series of it.
type selector struct {
	metric string
	labels []string
}

// notMetrics are the words of PromQL that stand where a metric could.
var notMetrics = []string{"and", "or", "unless", "bool", "offset", "group_left", "group_right", "atan2", "inf", "nan"}

var (
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	grouping  = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([a-z_, ]*)\)`)
	ranges    = regexp.MustCompile(`\[[^\]]*\]`)
	metric    = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_:]*)\s*(\{[^}]*\}|\()?`)
	labelName = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
)

// taken takes a query apart as far as names go. Whether it is PromQL, promtool
// and Prometheus say.
func (q query) taken() (selectors []selector, groups []string) {
	expr := ranges.ReplaceAllString(quoted.ReplaceAllString(q.expr, `""`), "")
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			groups = append(groups, strings.TrimSpace(label))
		}
	}
	for _, m := range metric.FindAllStringSubmatch(grouping.ReplaceAllString(expr, " "), -1) {
		if m[2] == "(" || slices.Contains(notMetrics, strings.ToLower(m[1])) {
			continue
		}
		selectors = append(selectors, selector{m[1], firstGroups(labelName.FindAllStringSubmatch(m[2], -1))})
	}
	return selectors, groups
}

// scraped are the label names of every metric in a /metrics body. Prometheus adds
// job and instance.
func scraped(body []byte) map[string][]string {
	names := map[string][]string{}
	for l := range strings.Lines(string(body)) {
		m := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? `).FindStringSubmatch(l)
		if m == nil {
			continue
		}
		labels := append(names[m[1]], "job", "instance")
		labels = append(labels, firstGroups(labelName.FindAllStringSubmatch(quoted.ReplaceAllString(m[2], `""`), -1))...)
		slices.Sort(labels)
		names[m[1]] = slices.Compact(labels)
	}
	return names
}
