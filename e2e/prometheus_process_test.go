//go:build prometheus

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prometheusProgram is prometheus or promtool.
func prometheusProgram(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("SVIDGATE_PROMETHEUS_BIN")
	if folder == "" {
		t.Fatal("SVIDGATE_PROMETHEUS_BIN must name the folder with prometheus and promtool; ./test fetches them and sets it")
	}
	path, err := filepath.Abs(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("SVIDGATE_PROMETHEUS_BIN: %v", err)
	}
	return path
}

// promtool runs it to its end, which must be a good one.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, prometheusProgram(t, "promtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// A prometheus scrapes servers every second and judges our alert rules as often.
type prometheus struct{ url string }

// startPrometheus runs one until the end of the test.
func startPrometheus(t *testing.T, servers ...*server) *prometheus {
	t.Helper()
	dir := t.TempDir()
	var targets []string
	for _, s := range servers {
		targets = append(targets, strconv.Quote(s.addresses["status"]))
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: svidgate
    static_configs: [{targets: [%s]}]
`, must(filepath.Abs(alertsFile)), strings.Join(targets, ", ")), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "config", config)
	p := &prometheus{}
	// It cannot take a socket of ours, so its port is one that was free just now.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	p.url = "http://" + address
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(prometheusProgram(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, endsWithUs()
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // see endsWithUs: the thread lives as long as the child
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // how it ended is nobody's concern
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("prometheus said:\n%s", said[max(0, len(said)-4000):])
		}
	})
	until(t, "prometheus has scraped every server", func() bool {
		found, err := p.query("svidgate_build_info")
		return err == nil && len(found) == len(servers)
	})
	return p
}

// A sample is one series of an answer.
type sample struct {
	labels map[string]string
	value  float64
}

// get asks the HTTP API, and is an error for whatever is not a success.
func (p *prometheus) get(path string, form url.Values, data any) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(p.url + path + "?" + form.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%w: %.200s", err, body)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return nil
}

// query asks for the value of now.
func (p *prometheus) query(expr string) ([]sample, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var all []sample
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, sample{r.Metric, v})
	}
	return all, nil
}

// queryRange asks as a panel does, for the last minute, and reports how many
// values are numbers.
func (p *prometheus) queryRange(expr string) (numbers int, err error) {
	var data struct {
		Result []struct{ Values [][2]any }
	}
	now := time.Now()
	err = p.get("/api/v1/query_range", url.Values{
		"query": {expr}, "step": {"1s"}, "start": {now.Add(-time.Minute).Format(time.RFC3339)}, "end": {now.Format(time.RFC3339)},
	}, &data)
	for _, r := range data.Result {
		for _, v := range r.Values {
			text, _ := v[1].(string)
			if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) {
				numbers++
			}
		}
	}
	return numbers, err
}
