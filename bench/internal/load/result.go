package load

import (
	"slices"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
)

// A Result is what a run measured. Times of latency are in milliseconds.
type Result struct {
	Connection      string         `json:"connection"`
	Connections     int            `json:"connections"`
	Rate            float64        `json:"rate_per_second"` // 0 in a closed loop
	Requests        int            `json:"requests"`
	Tokens          int            `json:"tokens"`
	Errors          map[string]int `json:"errors"` // by kind; {} without any
	Resumptions     int            `json:"resumptions"`
	Seconds         float64        `json:"seconds"`
	TokensPerSecond float64        `json:"tokens_per_second"`
	Latency         Latency        `json:"latency_ms"`
	LongestPause    float64        `json:"longest_pause_ms"` // between two tokens, of all connections together
	GeneratorCPU    float64        `json:"generator_cpu_seconds"`
	Server          *Server        `json:"server"` // null without the process
}

// Latency has the percentiles of those requests that got a token.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Server is what the process of the server used during the run.
type Server struct {
	CPUSeconds          float64 `json:"cpu_seconds"`
	ResolutionSeconds   float64 `json:"cpu_resolution_seconds"` // one tick of the kernel's count
	TokensPerCoreSecond float64 `json:"tokens_per_core_second"`
	MicrosecondsPer     float64 `json:"cpu_us_per_token"`
	RSSBytes            int64   `json:"rss_bytes"` // at the end
}

func (j *Job) result(slots []*slot, took time.Duration, before, after usages) Result {
	r := Result{
		Connection: j.Connection, Connections: j.Connections, Rate: j.Rate, Requests: j.Requests,
		Errors: map[string]int{}, Seconds: took.Seconds(),
	}
	var ends, latencies []time.Duration
	for _, s := range slots {
		r.Resumptions += s.resumed
		for kind, n := range s.errors {
			r.Errors[kind] += n
		}
		for _, sample := range s.samples {
			ends = append(ends, sample.end)
			latencies = append(latencies, sample.took)
		}
	}
	r.Tokens = len(latencies)
	r.TokensPerSecond = float64(r.Tokens) / r.Seconds
	r.Latency = latencyOf(latencies)
	r.LongestPause = milliseconds(longestPause(ends))
	r.GeneratorCPU = (after.own.CPU - before.own.CPU).Seconds()
	if j.PID != 0 {
		cpu := (after.server.CPU - before.server.CPU).Seconds()
		r.Server = &Server{CPUSeconds: cpu, ResolutionSeconds: process.Tick.Seconds(), RSSBytes: after.server.RSS}
		if cpu > 0 && r.Tokens > 0 {
			r.Server.TokensPerCoreSecond = float64(r.Tokens) / cpu
			r.Server.MicrosecondsPer = cpu * 1e6 / float64(r.Tokens)
		}
	}
	return r
}

func latencyOf(took []time.Duration) Latency {
	slices.Sort(took)
	return Latency{
		P50: milliseconds(Percentile(took, 50)), P90: milliseconds(Percentile(took, 90)), P99: milliseconds(Percentile(took, 99)),
		P999: milliseconds(Percentile(took, 99.9)), Max: milliseconds(Percentile(took, 100)),
	}
}

// Percentile is the smallest of the sorted values that p of a hundred are not
// above (the nearest rank); 0 of no values.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// The rank in exact arithmetic: 99.9 of 1,000 is 999 and not one more.
	perMille := int(p*10 + 0.5)
	rank := (len(sorted)*perMille + 999) / 1000
	return sorted[max(1, rank)-1]
}

// longestPause is the longest time without a token from the beginning on.
func longestPause(ends []time.Duration) time.Duration {
	slices.Sort(ends)
	var longest, last time.Duration
	for _, end := range ends {
		longest = max(longest, end-last)
		last = end
	}
	return longest
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
