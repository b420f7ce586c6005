package daemon

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/config"
	"github.com/svidgate/svidgate/internal/explain"
)

func (p *place) assertion(t *testing.T, path string) string {
	t.Helper()
	token, err := p.authority.JWTSVID(path, []string{"https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Files alone judge as far as they go, and say what is missing.
func TestExplainByConfig(t *testing.T) {
	p := newPlace(t)
	ask := func(cfg *config.Config, listener string) (explain.Report, error) {
		return ExplainByConfig(t.Context(), cfg, time.Now, explain.Question{Credential: p.assertion(t, "/a"), Listener: listener, Asked: time.Now()})
	}
	endpoint := "{spiffe_bundle_endpoint: {url: https://127.0.0.1:2/}}"
	for _, c := range []struct {
		name         string
		cfg          *config.Config
		reason, note string
		next         string
	}{
		{"accepted", p.config(t, anywhere), "", "nothing was fetched", "svidgate token "},
		{"no bundle file", p.config(t, anywhere, "bundle.json", "none.json"), "td_not_ready", "none.json", "svidgate bundle refresh example.org --socket "},
		{"nothing kept of an endpoint", p.config(t, anywhere, "{bundle_file: bundle.json}", endpoint), "td_not_ready", "nothing that this user can use is kept", "svidgate bundle refresh "},
		{"nothing kept of a Workload API", p.config(t, anywhere, "{bundle_file: bundle.json}", "{workload_api: {address: unix:///none.sock}}"), "td_not_ready", "nothing that", "spire-server federation refresh -id spiffe://example.org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ask(c.cfg, "")
			if err != nil || r.Reason != c.reason || !strings.Contains(strings.Join(r.Notes, "\n"), c.note) || !strings.HasPrefix(r.Next, c.next) {
				t.Errorf("%v: %s, notes %q, next %q", err, r.Reason, r.Notes, r.Next)
			}
		})
	}
	if left, err := os.ReadDir(p.dir); err != nil || len(left) != 3 {
		t.Errorf("%d files, %v: explaining left something behind", len(left), err)
	}
	// EC-4: the alias is known where its port is.
	if _, err := ask(p.config(t, anywhere), MTLS); err != errNoMTLS {
		t.Errorf("%v", err)
	}
	if r, err := ask(p.config(t, `{public: "127.0.0.1:0", mtls: "127.0.0.1:7"}`), MTLS); err != nil || r.Endpoint != "https://127.0.0.1:7/token" {
		t.Errorf("%v, %s", err, r.Endpoint)
	}
	if _, err := ask(p.config(t, anywhere), "status"); err != errListener {
		t.Errorf("%v", err)
	}
}

// A record that cannot be read again is not waited for.
func TestDecisionOfAStream(t *testing.T) {
	p := newPlace(t)
	if err := syscall.Mkfifo(p.path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, file := range []string{"fifo", "-"} {
		_, err := DecisionByConfig(ctx, p.config(t, anywhere, "audit.jsonl", `"`+file+`"`), "", "R")
		if err == nil || !strings.Contains(err.Error(), `"request_id":"R"`) {
			t.Errorf("%s: %v", file, err)
		}
	}
	p.write(t, "moved.jsonl", []byte(`{"version":1,"seq":1,"prev":"`+strings.Repeat("0", 64)+`","time":"2026-12-01T12:00:00.000000Z","event":"token","outcome":"refused","reason":"expired","rule":"CJ-5","request_id":"R"}`))
	d, err := DecisionByConfig(ctx, p.config(t, anywhere, "audit.jsonl", `"-"`), p.path("moved.jsonl"), "R")
	if err != nil || d.What != "it has not expired" {
		t.Errorf("%+v, %v", d, err)
	}
}

// Why the bundle is not there, the running server says, too.
func TestExplainTellsOfTheSource(t *testing.T) {
	p := newPlace(t)
	d := p.start(t, p.config(t, anywhere, "bundle.json", "none.json"))
	defer d.Stop()
	r, err := d.Explain(t.Context(), explain.Question{Credential: p.assertion(t, "/a")})
	if err != nil || r.Reason != "td_not_ready" || !strings.Contains(strings.Join(r.Notes, "\n"), "could not be fetched") {
		t.Errorf("%v, %s, %q", err, r.Reason, r.Notes)
	}
}
