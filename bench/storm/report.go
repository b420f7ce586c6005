package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// A report is what a storm came to. Seconds of its lists count from when the
// workloads began.
type report struct {
	Workloads    int            `json:"workloads"`
	Down         float64        `json:"down_seconds"`
	TokenLife    float64        `json:"token_life_seconds"`
	BeforeKill   int            `json:"served_before_kill"`
	Killed       float64        `json:"killed_at"`
	Ready        float64        `json:"ready_at"`
	Served       int            `json:"served"`
	Drained      float64        `json:"drained_seconds"` // from ready to the last workload's first token, or to the end without it
	ErrorsBefore map[string]int `json:"errors_before_ready"`
	ErrorsAfter  map[string]int `json:"errors_after_ready"`
	Tokens       []int          `json:"tokens_each_second"`
	Renewals     []int          `json:"renewals_due_each_second"`
	RenewalPeak  int            `json:"renewal_peak"`  // the most due in one second
	RenewalBound float64        `json:"renewal_bound"` // the most that a steady crowd has
	Late         int            `json:"late_renewals"`
	Echo         bool           `json:"echo"`
	Broken       []string       `json:"broken_rules"`
	Passed       bool           `json:"passed"`
}

func (s *storm) report() report {
	r := s.record
	r.mu.Lock()
	defer r.mu.Unlock()
	out := report{
		Workloads: s.workloads, Down: s.down.Seconds(), TokenLife: s.tokenLife.Seconds(), BeforeKill: r.beforeKill, Served: r.first,
		Killed: r.killed.Sub(r.begun).Seconds(), Ready: r.ready.Sub(r.begun).Seconds(), Drained: r.drained.Sub(r.ready).Seconds(),
		ErrorsBefore: r.before, ErrorsAfter: r.after, Tokens: r.tokens, Renewals: r.renewals, Late: r.late,
	}
	if len(r.renewals) > 0 {
		out.RenewalPeak = slices.Max(r.renewals)
	}
	out.RenewalBound = renewalBound(s.workloads, s.tokenLife)
	out.Echo = float64(out.RenewalPeak) > out.RenewalBound
	out.Broken = []string{}
	broken := func(is bool, rule string) {
		if is {
			out.Broken = append(out.Broken, rule)
		}
	}
	if r.drained.IsZero() {
		out.Drained = time.Since(r.ready).Seconds()
	}
	broken(r.drained.IsZero() || out.Drained > s.within.Seconds(), "everybody is served within "+s.within.String())
	broken(r.second < s.workloads, "everybody renews")
	broken(slices.ContainsFunc(kinds(r.before), func(k string) bool { return !allowed(k) }), "before the server is up, requests are refused or cut off and nothing else")
	broken(len(r.after) > 0, "once the server is up, no request fails")
	broken(out.Echo, "renewals are spread as far as the policy spreads them")
	broken(out.Late > 0, "no token ends before the next one is there")
	out.Passed = len(out.Broken) == 0
	return out
}

// renewalBound is the most renewals that may be due in one second. Even if all
// tokens had been issued in one moment, the clients spread their renewals evenly
// over 30 % of a token's life; so a second never has more than that, but for
// chance (three standard deviations) and the unevenness of the rest (a quarter).
// What comes together in time more than this is an echo.
func renewalBound(workloads int, life time.Duration) float64 {
	even := float64(workloads) / max(1, life.Seconds()*(renewTo-renewFrom))
	return 1 + 1.25*even + 3*math.Sqrt(even)
}

func kinds(errors map[string]int) []string {
	var all []string
	for k := range errors {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (r *report) write(w io.Writer) error {
	fmt.Fprintf(w, "%d workloads, tokens live %.0f s; %d served, then killed at %.1f s; ready again at %.1f s\n", r.Workloads, r.TokenLife, r.BeforeKill, r.Killed, r.Ready)
	fmt.Fprintf(w, "%d served %.1f s after that\n", r.Served, r.Drained)
	fmt.Fprintf(w, "failed before the server was up: %s\nfailed after: %s\n", listed(r.ErrorsBefore), listed(r.ErrorsAfter))
	fmt.Fprintf(w, "renewals: at most %d due in one second (a steady crowd: %.0f), %d too late\n\n", r.RenewalPeak, r.RenewalBound, r.Late)
	fmt.Fprintf(w, "%6s %8s %8s\n", "second", "tokens", "due")
	most := max(1, slices.Max(append(r.Tokens, 1)))
	for n := range max(len(r.Tokens), len(r.Renewals)) {
		tokens := at(r.Tokens, n)
		fmt.Fprintf(w, "%6d %8d %8d %s\n", n, tokens, at(r.Renewals, n), strings.Repeat("#", (tokens*60+most-1)/most))
	}
	if r.Passed {
		_, err := fmt.Fprintln(w, "\npassed")
		return err
	}
	_, err := fmt.Fprintf(w, "\nFAILED, not so: %s\n", strings.Join(r.Broken, "; "))
	return err
}

func at(seconds []int, n int) int {
	if n < len(seconds) {
		return seconds[n]
	}
	return 0
}

func listed(errors map[string]int) string {
	var parts []string
	for _, k := range kinds(errors) {
		parts = append(parts, fmt.Sprintf("%d %s", errors[k], k))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
