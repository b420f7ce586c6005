package load

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/bench/internal/process"
)

func TestPercentile(t *testing.T) {
	upTo := func(n int) []time.Duration {
		var v []time.Duration
		for i := range n {
			v = append(v, time.Duration(i+1))
		}
		return v
	}
	for _, row := range []struct {
		values []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{upTo(1), 0, 1},
		{upTo(1), 99.9, 1},
		{upTo(2), 50, 1},
		{upTo(2), 50.1, 2},
		{upTo(100), 50, 50},
		{upTo(100), 99, 99},
		{upTo(100), 99.9, 100},
		{upTo(1000), 99.9, 999},
		{upTo(1000), 100, 1000},
		{upTo(1001), 99.9, 1000},
	} {
		if got := Percentile(row.values, row.p); got != row.want {
			t.Errorf("percentile %v of %d: %d, want %d", row.p, len(row.values), got, row.want)
		}
	}
}

func TestLongestPause(t *testing.T) {
	ms := time.Millisecond
	for _, row := range []struct {
		ends []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{[]time.Duration{5 * ms}, 5 * ms},
		{[]time.Duration{30 * ms, 1 * ms, 2 * ms}, 28 * ms}, // of several connections, in no order
	} {
		if got := longestPause(row.ends); got != row.want {
			t.Errorf("%v: %v, want %v", row.ends, got, row.want)
		}
	}
}

// What bench/load prints, member by member: others read it.
func TestJSON(t *testing.T) {
	j := Job{Connection: Kept, Connections: 2, Rate: 100, Requests: 3, PID: 1}
	slots := []*slot{
		{samples: []sample{{10 * time.Millisecond, 4 * time.Millisecond}}, errors: map[string]int{Refused: 1}, resumed: 1},
		{samples: []sample{{25 * time.Millisecond, 2 * time.Millisecond}}, errors: map[string]int{}},
	}
	const want = `{
  "connection": "kept",
  "connections": 2,
  "rate_per_second": 100,
  "requests": 3,
  "tokens": 2,
  "errors": {
    "connection refused": 1
  },
  "resumptions": 1,
  "seconds": 0.5,
  "tokens_per_second": 4,
  "latency_ms": {
    "p50": 2,
    "p90": 4,
    "p99": 4,
    "p999": 4,
    "max": 4
  },
  "longest_pause_ms": 15,
  "generator_cpu_seconds": 0.1,
  "server": {
    "cpu_seconds": 0.25,
    "cpu_resolution_seconds": 0.01,
    "tokens_per_core_second": 8,
    "cpu_us_per_token": 125000,
    "rss_bytes": 1024
  }
}`
	before := usages{own: process.Usage{CPU: time.Minute}, server: process.Usage{CPU: time.Second}}
	after := usages{own: process.Usage{CPU: time.Minute + time.Second/10}, server: process.Usage{CPU: 5 * time.Second / 4, RSS: 1024}}
	got, err := json.MarshalIndent(j.result(slots, time.Second/2, before, after), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	j.PID = 0
	if r := j.result(slots, time.Second, usages{}, usages{}); r.Server != nil {
		t.Errorf("without a process there is %+v", r.Server)
	}
}
