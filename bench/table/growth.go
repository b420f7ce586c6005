package main

import (
	"fmt"
	"path/filepath"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
)

var (
	growthClients = row{"growth-clients", "growth, 1 → 100,000 clients in the registry", "tokens/s and p99 within 20 %", "within 5 %",
		func(b *bench) (figure, error) {
			one, err := b.registry(b.world, 1)
			if err != nil {
				return figure{}, err
			}
			defer one.Stop()
			many, err := b.registry(b.world, 100_000)
			if err != nil {
				return figure{}, err
			}
			defer many.Stop()
			return b.growth(one, many)
		}}

	growthDomains = row{"growth-domains", "growth, 1 → 1,000 trust domains, each with its bundle file; 10,000 clients", "tokens/s and p99 within 20 %", "within 5 %",
		func(b *bench) (figure, error) {
			one, err := b.registry(b.world, registered)
			if err != nil {
				return figure{}, err
			}
			defer one.Stop()
			w, err := world.Make(filepath.Join(b.dir, "domains"), 1_000)
			if err != nil {
				return figure{}, err
			}
			many, err := b.registry(w, registered)
			if err != nil {
				return figure{}, err
			}
			defer many.Stop()
			return b.growth(one, many)
		}}
)

// growth compares the product with little and with much of something, by fresh
// JWT-SVIDs.
func (b *bench) growth(one, many *server) (figure, error) {
	ones, manies, err := b.pair(one, many, func(_ int, s *server) (load.Job, error) { return fresh(b, s) })
	if err != nil {
		return figure{}, err
	}
	rate := ratios(each(manies, perCore), each(ones, perCore))
	tail := ratios(each(manies, p99), each(ones, p99))
	within := func(part float64) bool { return rate.median >= 1-part && tail.median <= 1+part }
	return judged(
		fmt.Sprintf("tokens per core-s × %s, p99 × %s", rate.format("%.2f"), tail.format("%.2f")),
		fmt.Sprintf("%s → %s per core-s, p99 %.1f → %.1f ms",
			perSecond(spreadOf(each(ones, perCore)).median), perSecond(spreadOf(each(manies, perCore)).median),
			spreadOf(each(ones, p99)).median, spreadOf(each(manies, p99)).median),
		within(0.20), within(0.05),
	), nil
}
