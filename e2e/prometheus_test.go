//go:build prometheus

package e2e

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

// The rules are right in themselves, and fire and do not fire as their own tests
// say, also where nobody can wait for it here.
func TestAlertRules(t *testing.T) {
	promtool(t, "check", "rules", alertsFile)
	promtool(t, "test", "rules", filepath.Join(filepath.Dir(alertsFile), "alerts.test.yaml"))
}

// A real Prometheus scrapes the real program: every query of the dashboard gives
// data, and every alert is silent while all is well and fires for what was done.
func TestPrometheus(t *testing.T) {
	td := newDomain(t, "example.org", devca.Options{})
	td.more = `, registration: {mode: first_use, allow: ["/new/*"], resources: ["https://api.example.com/"], scope: read, max_clients: 10}`
	stale := newDomain(t, "stale.test", devca.Options{})
	stale.more = ", max_stale: 1m"
	s := start(t, worldConfig, td, stale)
	full := start(t, worldConfig+"audit: {file: /dev/full}\n", td)
	p := startPrometheus(t, s, full)

	good := func() {
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
		s.granted(t, s.ordersOf(t, td))
		s.granted(t, withJWT(td.id("/new/one"), td.jwt(t, "/new/one", issuer)))
	}
	alerts := alertQueries(t)
	// between goes on with a server's day, a step for each tick, until there is enough.
	between := func(what string, step func(), enough func() bool) {
		t.Helper()
		until(t, what, func() bool { step(); return enough() })
	}
	scrapes := func() float64 {
		found, err := p.query(`min(count_over_time(svidgate_build_info[5m]))`)
		if err != nil || len(found) != 1 {
			return 0
		}
		return found[0].value
	}
	between("some scrapes", good, func() bool { return scrapes() >= 5 })
	for _, a := range alerts {
		if found, err := p.query(a.expr); err != nil || len(found) > 0 {
			t.Errorf("%s while all is well: %v %v", a.where, found, err)
		}
	}

	// What each alert is about, as far as a minute is enough for it.
	stale.status.Store(&answers{http.StatusServiceUnavailable})
	s.replace(t, "svidgate.yaml", []byte("isuer: nobody\n"))
	full.do(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
	stranger := must(devca.New("example.org", devca.Options{}))
	bad := func() {
		ahead := inClaims("iat", time.Now().Add(30*time.Second).Unix())
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer, ahead)))
		s.granted(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", tokenURL)))
		s.do(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", "https://else.example")))
		s.do(t, withJWT("", secrets.jwt(must(stranger.JWTSVID("/billing", []string{issuer})))))
		full.do(t, withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer)))
		good()
	}
	provoked := []string{"SvidgateAuditNotHealthy", "SvidgateBundleAlarm", "SvidgateBundleHalfAged", "SvidgateClockSkew", "SvidgateConfigRefused",
		"SvidgateLegacyUse", "SvidgateRefusals", "SvidgateServerErrors"}
	mayBe := []string{"SvidgateBundleTooOld"} // on a slow machine
	for _, a := range alerts {
		if !slices.Contains(provoked, a.where) {
			continue
		}
		for range 2 { // a bundle needs as long as one wait may take to be half aged
			found := false
			end := time.Now().Add(patience * 2 / 3)
			between(a.where+" fires", bad, func() bool {
				samples, err := p.query(a.expr)
				if err != nil {
					t.Fatalf("%s: %v", a.where, err)
				}
				found = len(samples) > 0
				return found || time.Now().After(end)
			})
			if found {
				break
			}
		}
	}
	for _, a := range alerts {
		found, err := p.query(a.expr)
		if fires := len(found) > 0; err != nil || fires != slices.Contains(provoked, a.where) && !slices.Contains(mayBe, a.where) {
			t.Errorf("%s fires %v, error %v", a.where, fires, err)
		}
	}

	// The panels, while all that is going on.
	for _, q := range dashboardQueries(t) {
		if numbers, err := p.queryRange(q.expr); err != nil || numbers == 0 {
			t.Errorf("panel %q: %d numbers, error %v: %s", q.where, numbers, err, q.expr)
		}
	}
	p.rulesAreWell(t, len(alerts))
}

// rulesAreWell looks at what Prometheus itself thinks of the rules.
func (p *prometheus) rulesAreWell(t *testing.T, want int) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.get("/api/v1/rules", url.Values{}, &data); err != nil || len(data.Groups) != 1 {
		t.Fatalf("rules: %v %+v", err, data)
	}
	for _, r := range data.Groups[0].Rules {
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
		}
	}
	if n := len(data.Groups[0].Rules); n != want {
		t.Errorf("%d rules, want %d", n, want)
	}
}
