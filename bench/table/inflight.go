package main

import (
	"fmt"

	"github.com/svidgate/svidgate/bench/internal/load"
)

const (
	lots       = 2_000
	stallAfter = 1_000 // milliseconds without any token
)

const queueMust = "no stall, no error, p99 grows no faster than the queue"

var (
	inFlight = row{"in-flight", "2,000 requests in flight on as many connections", queueMust, "–",
		func(b *bench) (figure, error) {
			s, err := b.registry(b.world, registered)
			if err != nil {
				return figure{}, err
			}
			defer s.Stop()
			return b.queues(func(connections int) (load.Result, error) {
				j, err := freshOn(connections)(b, s)
				if err != nil {
					return load.Result{}, err
				}
				return b.run(s, j)
			})
		}}

	inFlightFirstUse = row{"in-flight-first-use", "2,000 in flight, each the first of another workload; store on disk", queueMust, "–",
		func(b *bench) (figure, error) {
			s, err := b.registry(b.world, registered, newcomersFlags...)
			if err != nil {
				return figure{}, err
			}
			defer s.Stop()
			return b.queues(func(connections int) (load.Result, error) {
				forms, err := b.newcomers(s, queued+connections)
				if err != nil {
					return load.Result{}, err
				}
				return b.run(s, b.presenting(s, connections, forms))
			})
		}}

	inFlightCode    = row{"in-flight-code", "2,000 in flight, each with another code; store on disk", queueMust, "–", queuing((*town).codes)}
	inFlightRefresh = row{"in-flight-refresh", "2,000 in flight, each with another refresh token; store on disk", queueMust, "–", queuing((*town).refreshes)}
)

// queued is how many requests of a round write to the store. Codes do not live long, and
// a person has only so many grants for a client.
const queued = 4_000

func queuing(round func(t *town, connections, requests int) (load.Job, error)) func(b *bench) (figure, error) {
	return func(b *bench) (figure, error) {
		t, err := b.town()
		if err != nil {
			return figure{}, err
		}
		defer t.close()
		return b.queues(func(connections int) (load.Result, error) {
			j, err := round(t, connections, queued)
			if err != nil {
				return load.Result{}, err
			}
			return b.run(t.server, j)
		})
	}
}

// queues compares few requests in flight with lots. An error of any request is one.
func (b *bench) queues(measure func(connections int) (load.Result, error)) (figure, error) {
	var short, long []load.Result
	for range b.rounds {
		a, err := measure(few)
		if err != nil {
			return figure{}, err
		}
		c, err := measure(lots)
		if err != nil {
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
}
