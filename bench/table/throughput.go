package main

import (
	"fmt"

	"github.com/svidgate/svidgate/bench/internal/load"
)

const registered = 10_000 // clients of the product beside the floor

// What the floor made, in median, when the goals that are rates were set. A
// machine that is shared may be half as fast today; the ratio to the floor is what
// stays, so it is also told what it would have been then.
const (
	floorRepeated = 14_700
	floorX509     = 12_700
)

var (
	jwtFirst = row{"jwt-first", "JWT-SVID, first sight of the SVID, audit on, 10,000 clients registered", "CPU ≤ 1.35 × floor", "≤ 1.10 ×",
		comparison{kind: fresh, judge: ratioBelow(1.35, 1.10)}.measure}

	jwtRepeated = row{"jwt-repeated", "JWT-SVID presented again", "≥ 10,000 per core-s", "≥ 14,000",
		comparison{kind: repeated(), judge: rateAbove(10_000, 14_000), floorThen: floorRepeated, floorFlags: []string{"-remember"}}.measure}

	x509Kept = row{"x509-kept", "X.509-SVID, kept connection", "≥ 9,000 per core-s", "≥ 12,500",
		comparison{kind: certificates(load.Kept), judge: rateAbove(9_000, 12_500), floorThen: floorX509}.measure}

	x509New = row{"x509-new", "X.509-SVID, new connection", "CPU ≤ 1.15 × floor", "faster than the floor",
		comparison{kind: certificates(load.New), judge: ratioBelow(1.15, 1)}.measure}

	x509Resumed = row{"x509-resumed", "X.509-SVID, new connection with TLS 1.3 resumption", "CPU ≤ 1.15 × floor", "faster than the floor",
		comparison{kind: certificates(load.Resumed), judge: ratioBelow(1.15, 1)}.measure}
)

// A comparison measures a kind of load with the product and with the floor in
// turns.
type comparison struct {
	kind       kind
	flags      []string // of the product
	judge      func(rate, ratio spread) (must, goal bool)
	floorThen  float64 // where the goal is a rate
	floorFlags []string
}

func ratioBelow(must, goal float64) func(rate, ratio spread) (bool, bool) {
	return func(_, ratio spread) (bool, bool) { return ratio.median <= must, ratio.median <= goal }
}

func rateAbove(must, goal float64) func(rate, ratio spread) (bool, bool) {
	return func(rate, _ spread) (bool, bool) { return rate.median >= must, rate.median >= goal }
}

func (c comparison) measure(b *bench) (figure, error) {
	product, err := b.registry(b.world, registered, c.flags...)
	if err != nil {
		return figure{}, err
	}
	defer product.Stop()
	floor, err := b.floor(product, c.floorFlags...)
	if err != nil {
		return figure{}, err
	}
	defer floor.Stop()
	ours, theirs, err := b.pair(product, floor, rounds(b, c.kind))
	if err != nil {
		return figure{}, err
	}
	rate, ratio := spreadOf(each(ours, perCore)), ratios(each(ours, cpu), each(theirs, cpu))
	beside := fmt.Sprintf("floor %s; CPU %s × floor", spreadOf(each(theirs, perCore)).perSecond(), ratio.format("%.2f"))
	if c.floorThen > 0 {
		beside += fmt.Sprintf(", which is %s where the floor makes %s", perSecond(c.floorThen/ratio.median), perSecond(c.floorThen))
	}
	must, goal := c.judge(rate, ratio)
	return judged(
		fmt.Sprintf("%s per core-s, p50/p99 %.1f/%.1f ms", rate.perSecond(), spreadOf(each(ours, p50)).median, spreadOf(each(ours, p99)).median),
		beside, must, goal,
	), nil
}

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
