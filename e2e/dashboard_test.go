package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/oauth"
)

// watched is a server after traffic of every kind that a metric tells of.
func watched(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.granted(t, w.billing(t))
	w.granted(t, w.orders(t))
	w.granted(t, withJWT(w.td.id("/billing"), w.td.jwt(t, "/billing", tokenURL)))
	w.refused(t, withJWT(w.td.id("/billing"), w.td.jwt(t, "/billing", "https://else.example")), refusal{"invalid_client", oauth.ReasonAudMismatch, "CJ-6"})
	stranger := must(devca.New("example.org", devca.Options{}))
	w.refused(t, withJWT("", secrets.jwt(must(stranger.JWTSVID("/billing", []string{issuer})))), refusal{"invalid_client", oauth.ReasonKIDUnknownAfterRefresh, "JS-15"})
	return w
}

// Every query of the dashboard and of the alerts is about metrics and labels that
// the server really has, and every metric of ours is in one of them and in the
// manual.
func TestQueriesFitTheMetrics(t *testing.T) {
	w := watched(t)
	_, body := w.status(t, "/metrics")
	exposed := scraped(body)
	used := map[string]bool{}
	panels := dashboardQueries(t)
	for i, q := range append(panels, alertQueries(t)...) {
		selectors, groups := q.taken()
		if len(selectors) == 0 {
			t.Errorf("%s asks for no metric: %s", q.where, q.expr)
		}
		result := groups
		for _, s := range selectors {
			has, ok := exposed[s.metric]
			if !ok {
				t.Errorf("%s: there is no metric %s", q.where, s.metric)
				continue
			}
			used[family(s.metric)] = true
			if i < len(panels) && !strings.HasPrefix(q.where, "variable ") && slices.Contains(has, "trust_domain") && !slices.Contains(s.labels, "trust_domain") {
				t.Errorf("%s: %s does not follow the choice of trust domains", q.where, s.metric)
			}
			for _, label := range append(slices.Clone(s.labels), groups...) {
				if !slices.Contains(has, label) {
					t.Errorf("%s: %s has no label %s", q.where, s.metric, label)
				}
			}
			if len(groups) == 0 || strings.Contains(q.expr, "unless on") {
				result = append(slices.Clone(result), has...)
			}
		}
		for _, label := range q.labels {
			if !slices.Contains(result, label) {
				t.Errorf("%s names the label %s, which its result has not: %s", q.where, label, q.expr)
			}
		}
	}
	manual := string(must(os.ReadFile("../docs/metrics.md")))
	for name := range exposed {
		switch name := family(name); {
		case !strings.HasPrefix(name, "svidgate_"):
		case !used[name]:
			t.Errorf("%s is in no panel and no alert", name)
		case !strings.Contains(manual, "\n| `"+name+"` |"):
			t.Errorf("%s is not in the manual", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(svidgate_[a-z_]+)` \\|").FindAllStringSubmatch(manual, -1) {
		if exposed[m[1]] == nil && exposed[m[1]+"_bucket"] == nil {
			t.Errorf("the manual has %s, which the server has not", m[1])
		}
	}
}

// family is the name that a histogram's series share.
func family(series string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if name, ok := strings.CutSuffix(series, suffix); ok {
			return name
		}
	}
	return series
}

// units are those that Grafana knows and the dashboard uses.
var units = []string{"reqps", "percentunit", "s", "none", "bytes"}

// The dashboard can be looked at: every panel says what it is in a unit, none
// lies over another, and the data source is a variable.
func TestDashboardLayout(t *testing.T) {
	d := readDashboard(t)
	if d.UID != "svidgate" || d.Title == "" {
		t.Errorf("uid %q, title %q", d.UID, d.Title)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		// Requests that named no trust domain of ours are refusals too.
		if v.Name == "trust_domain" && v.AllValue != ".*" {
			t.Errorf("all trust domains are %q", v.AllValue)
		}
	}
	if !slices.Equal(variables, []string{"datasource", "job", "instance", "trust_domain"}) {
		t.Errorf("variables %v", variables)
	}
	ids, titles, cells := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	rows, bottom := 0, 0
	for _, p := range d.Panels {
		if ids[p.ID] || titles[p.Type+p.Title] || p.Title == "" {
			t.Errorf("panel %q: its id or title is missing or not its own", p.Title)
		}
		ids[p.ID], titles[p.Type+p.Title] = true, true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q lies outside: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" {
					t.Fatalf("panel %q lies over %q", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if g.Y > bottom {
			t.Errorf("panel %q leaves a gap above it", p.Title)
		}
		bottom = max(bottom, g.Y+g.H)
		if p.Type == "row" {
			rows++
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || !slices.Contains(units, p.FieldConfig.Defaults.Unit) || p.Datasource["uid"] != "${datasource}" {
			t.Errorf("panel %q: description %q, %d queries, unit %q, data source %v", p.Title, p.Description, len(p.Targets), p.FieldConfig.Defaults.Unit, p.Datasource)
		}
	}
	if rows != 9 {
		t.Errorf("%d rows", rows)
	}
}

// Every alert says what is wrong, what it means and what to run, and what is to be
// run exists.
func TestAlertTexts(t *testing.T) {
	names := map[string]bool{}
	for _, a := range readAlerts(t) {
		if names[a.Alert] || !strings.HasPrefix(a.Alert, "Svidgate") {
			t.Errorf("alert %q: its name is not its own", a.Alert)
		}
		names[a.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) || len(a.Labels) != 1 {
			t.Errorf("%s: labels %v", a.Alert, a.Labels)
		}
		if a.For != "" {
			if _, err := time.ParseDuration(a.For); err != nil {
				t.Errorf("%s: for: %v", a.Alert, err)
			}
		}
		for _, name := range []string{"summary", "description", "runbook"} {
			if a.Annotations[name] == "" {
				t.Errorf("%s has no %s", a.Alert, name)
			}
		}
		commands := regexp.MustCompile("`svidgate ([^`]+)`").FindAllStringSubmatch(a.Annotations["runbook"], -1)
		if len(commands) == 0 {
			t.Errorf("%s: its runbook names no command", a.Alert)
		}
		for _, c := range commands {
			exists(t, a.Alert, strings.Fields(c[1]))
		}
	}
}

// exists runs a command's help, which must know the flags.
func exists(t *testing.T, where string, words []string) {
	t.Helper()
	var path, flags []string
	for _, w := range words {
		switch {
		case strings.HasPrefix(w, "--"):
			flags = append(flags, w)
		case len(flags) == 0 && regexp.MustCompile(`^[a-z-]+$`).MatchString(w):
			path = append(path, w)
		}
	}
	out, errs, code := command(t, "..", append(path, "--help")...)
	if code != 0 || !strings.Contains(out, "svidgate "+strings.Join(path, " ")) {
		t.Errorf("%s: there is no `svidgate %s`: %s", where, strings.Join(path, " "), errs)
	}
	for _, f := range flags {
		if !strings.Contains(out, f) {
			t.Errorf("%s: `svidgate %s` has no %s", where, strings.Join(path, " "), f)
		}
	}
}
