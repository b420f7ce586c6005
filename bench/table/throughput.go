package main

import (
	"fmt"

	"github.com/svidgate/svidgate/bench/internal/load"
)

const (
	registered = 10_000 // clients of the product beside the floor
)

// The floor's bounds are ratios of CPU time per token.
var (
	jwtFirst = row{"jwt-first", "JWT-SVID, first sight of the SVID, audit on, 10,000 clients registered", "CPU ≤ 1.35 × floor", "≤ 1.10 ×",
		beside(fresh, func(_, ratio spread) (bool, bool) { return ratio.median <= 1.35, ratio.median <= 1.10 })}

	jwtRepeated = row{"jwt-repeated", "JWT-SVID presented again", "≥ 10,000 per core-s", "≥ 14,000",
		beside(repeated(), func(rate, _ spread) (bool, bool) { return rate.median >= 10_000, rate.median >= 14_000 }, "-remember")}

	x509Kept = row{"x509-kept", "X.509-SVID, kept connection", "≥ 9,000 per core-s", "≥ 12,500",
		beside(certificates(load.Kept), func(rate, _ spread) (bool, bool) { return rate.median >= 9_000, rate.median >= 12_500 })}

	x509New = row{"x509-new", "X.509-SVID, new connection", "CPU ≤ 1.15 × floor", "faster than the floor",
		beside(certificates(load.New), func(_, ratio spread) (bool, bool) { return ratio.median <= 1.15, ratio.median < 1 })}

	x509Resumed = row{"x509-resumed", "X.509-SVID, new connection with TLS 1.3 resumption", "CPU ≤ 1.15 × floor", "faster than the floor",
		beside(certificates(load.Resumed), func(_, ratio spread) (bool, bool) { return ratio.median <= 1.15, ratio.median < 1 })}
)

// beside measures a kind of load with the product and with the floor in turns.
func beside(k kind, judge func(rate, ratio spread) (must, goal bool), floorFlags ...string) func(*bench) (figure, error) {
	return func(b *bench) (figure, error) {
		product, err := b.registry(b.world, registered)
		if err != nil {
			return figure{}, err
		}
		defer product.Stop()
		floor, err := b.floor(product, floorFlags...)
		if err != nil {
			return figure{}, err
		}
		defer floor.Stop()
		ours, theirs, err := b.pair(product, floor, rounds(b, k))
		if err != nil {
			return figure{}, err
		}
		rate, ratio := spreadOf(each(ours, perCore)), ratios(each(ours, cpu), each(theirs, cpu))
		must, goal := judge(rate, ratio)
		return judged(
			fmt.Sprintf("%s per core-s, p50/p99 %.1f/%.1f ms", rate.perSecond(), spreadOf(each(ours, p50)).median, spreadOf(each(ours, p99)).median),
			fmt.Sprintf("floor %s; CPU %s × floor", spreadOf(each(theirs, perCore)).perSecond(), ratio.format("%.2f")),
			must, goal,
		), nil
	}
}

func p50(r load.Result) float64 { return r.Latency.P50 }

// rounds makes the load of each round once, for both servers of a pair that have
// the same clients.
func rounds(b *bench, k kind) func(round int, s *server) (load.Job, error) {
	made, job := -1, load.Job{}
	return func(round int, s *server) (load.Job, error) {
		if round == made {
			return job, nil
		}
		var err error
		job, err = k(b, s)
		made = round
		return job, err
	}
}
