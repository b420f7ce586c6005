package main

import (
	"fmt"

	"github.com/svidgate/svidgate/bench/internal/load"
)

// inBudget judges a 99th percentile in milliseconds (TK-10).
func inBudget(p99 float64) bool { return p99 < 10 }

// budget is the one row with an open loop: the rate does not follow the server, so
// that what a stall holds up counts.
var budget = row{"budget", "JWT-SVID, first sight, 500 requests a second (TK-10)", "p99 < 10 ms", "–",
	func(b *bench) (figure, error) {
		s, err := b.registry(b.world, registered)
		if err != nil {
			return figure{}, err
		}
		defer s.Stop()
		var results []load.Result
		for round := range 1 + b.rounds {
			j, err := fresh(b, s)
			if err != nil {
				return figure{}, err
			}
			j.Rate, j.Requests = 500, b.tokens/8
			r, err := b.run(s, j)
			if err != nil {
				return figure{}, err
			}
			if round > 0 {
				results = append(results, r)
			}
		}
		tail := spreadOf(each(results, p99))
		met := inBudget(tail.median)
		return judged(
			fmt.Sprintf("p50 %.1f ms, p99 %s ms", spreadOf(each(results, p50)).median, tail.format("%.1f")),
			"open loop; latency counts from when a request was due", met, met,
		), nil
	}}
