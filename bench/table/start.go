package main

import "time"

var (
	startFile = row{"start-file", "ready after start, 1,000 clients in the YAML file", "< 300 ms", "< 100 ms",
		func(b *bench) (figure, error) {
			return b.starts("from exec to ready", func() (*server, error) { return b.program(b.world, 1_000) })
		}}

	startRegistry = row{"start-registry", "ready after start, 100,000 clients in the registry", "< 300 ms", "< 100 ms",
		func(b *bench) (figure, error) {
			return b.starts("from the configuration, as a value, to ready", func() (*server, error) { return b.registry(b.world, 100_000) })
		}}
)

func (b *bench) starts(what string, start func() (*server, error)) (figure, error) {
	var took []float64
	for range max(3, b.rounds) {
		s, err := start()
		if err != nil {
			return figure{}, err
		}
		s.Stop()
		took = append(took, float64(s.readyIn)/float64(time.Millisecond))
	}
	all := spreadOf(took)
	return judged(all.format("%.0f")+" ms", what, all.median < 300, all.median < 100), nil
}
