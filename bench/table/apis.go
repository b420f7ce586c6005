package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// An apiSeries and an apiReport are what bench/resource prints.
type apiSeries struct {
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	Allocations  float64 `json:"allocations_per_token"`
	NetworkCalls int64   `json:"network_calls"`
}

type apiReport struct {
	First    []apiSeries `json:"first_sight"`
	Repeated []apiSeries `json:"repeated"`
}

var (
	resourceFirst = row{"resource-first", "resource server, first sight of a token", "p99 < 300 µs, 0 network calls", "p99 < 120 µs",
		func(b *bench) (figure, error) {
			r, err := b.resource()
			if err != nil {
				return figure{}, err
			}
			return apiFigure(r.First, 300, 120, false), nil
		}}

	resourceRepeated = row{"resource-repeated", "resource server, a token seen before", "p99 < 10 µs, 0 network calls", "p99 < 2 µs, ≤ 2 allocations",
		func(b *bench) (figure, error) {
			r, err := b.resource()
			if err != nil {
				return figure{}, err
			}
			return apiFigure(r.Repeated, 10, 2, true), nil
		}}
)

// apiFigure judges the median of the passes. Frugal ones make two allocations at
// the most.
func apiFigure(passes []apiSeries, must, goal float64, frugal bool) figure {
	pick := func(of func(apiSeries) float64) spread {
		var v []float64
		for _, s := range passes {
			v = append(v, of(s))
		}
		return spreadOf(v)
	}
	median := pick(func(s apiSeries) float64 { return s.P50 })
	tail := pick(func(s apiSeries) float64 { return s.P99 })
	allocations := pick(func(s apiSeries) float64 { return s.Allocations })
	calls := pick(func(s apiSeries) float64 { return float64(s.NetworkCalls) })
	f := figure{
		measured: fmt.Sprintf("p50 %.1f µs, p99 %s µs, %.0f allocations, %.0f network calls", median.median, tail.format("%.1f"), allocations.median, calls.max),
		beside:   fmt.Sprintf("single calls, one after the other, on one core; %d passes", len(passes)),
		must:     tail.median < must && calls.max == 0,
	}
	f.goal = tail.median < goal && (!frugal || allocations.median <= 2)
	return f
}

// resource measures for both rows at once.
func (b *bench) resource() (*apiReport, error) {
	if b.apis != nil {
		return b.apis, nil
	}
	bin, err := b.build("bench/resource")
	if err != nil {
		return nil, err
	}
	args := []string{"-core", strconv.Itoa(b.serverCore)}
	if b.quick {
		args = append(args, "-tokens", "2000", "-passes", "3")
	}
	cmd := exec.CommandContext(b.ctx, bin, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	r := new(apiReport)
	if err := json.Unmarshal(out, r); err != nil {
		return nil, err
	}
	b.apis = r
	return r, nil
}
