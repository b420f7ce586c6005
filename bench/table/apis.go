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
	First    apiSeries `json:"first_sight"`
	Repeated apiSeries `json:"repeated"`
}

var (
	resourceFirst = row{"resource-first", "resource server, first sight of a token", "p99 < 300 µs, 0 network calls", "p99 < 120 µs",
		func(b *bench) (figure, error) {
			r, err := b.resource()
			if err != nil {
				return figure{}, err
			}
			return r.First.figure(300, 120, false), nil
		}}

	resourceRepeated = row{"resource-repeated", "resource server, a token seen before", "p99 < 10 µs, 0 network calls", "p99 < 2 µs, ≤ 2 allocations",
		func(b *bench) (figure, error) {
			r, err := b.resource()
			if err != nil {
				return figure{}, err
			}
			return r.Repeated.figure(10, 2, true), nil
		}}
)

func (s apiSeries) figure(must, goal float64, frugal bool) figure {
	f := figure{
		measured: fmt.Sprintf("p50/p99 %.1f/%.1f µs, %.0f allocations, %d network calls", s.P50, s.P99, s.Allocations, s.NetworkCalls),
		floor:    "single calls, one after the other, on one core",
		must:     s.P99 < must && s.NetworkCalls == 0,
	}
	f.goal = s.P99 < goal && (!frugal || s.Allocations <= 2)
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
	cmd := exec.CommandContext(b.ctx, bin, "-core", strconv.Itoa(b.serverCore))
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
