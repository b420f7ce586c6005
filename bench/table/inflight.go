package main

import (
	"fmt"

	"github.com/svidgate/svidgate/bench/internal/load"
)

const (
	lots       = 2_000
	stallAfter = 1_000 // milliseconds without any token
)

var inFlight = row{"in-flight", "2,000 requests in flight on as many connections", "no stall, no error, p99 grows no faster than the queue", "–",
	func(b *bench) (figure, error) {
		s, err := b.registry(b.world, registered)
		if err != nil {
			return figure{}, err
		}
		defer s.Stop()
		measure := func(connections int) (load.Result, error) {
			j, err := freshOn(connections)(b, s)
			if err != nil {
				return load.Result{}, err
			}
			return b.run(s, j)
		}
		var short, long []load.Result
		for range b.rounds {
			a, err := measure(few)
			if err != nil {
				return figure{}, err
			}
			c, err := measure(lots)
			if err != nil { // an error of any request is one
				return figure{}, err
			}
			short, long = append(short, a), append(long, c)
		}
		growth := ratios(each(long, p99), each(short, p99))
		// Little's law: who is one of N on the way and sees X leave each second
		// waits N/X on average, whatever the server does.
		queue := ratios(each(long, p99), each(long, func(r load.Result) float64 { return lots / r.TokensPerSecond * 1000 }))
		pause := spreadOf(each(long, func(r load.Result) float64 { return r.LongestPause }))
		must := growth.median <= lots/few && pause.max < stallAfter
		return judged(
			fmt.Sprintf("no error, longest pause %.0f ms, p99 %.0f ms", pause.max, spreadOf(each(long, p99)).median),
			fmt.Sprintf("p99 × %s of that with %d, for %d × the queue; %s × the mean wait by Little's law", growth.format("%.0f"), few, lots/few, queue.format("%.1f")),
			must, must,
		), nil
	}}
