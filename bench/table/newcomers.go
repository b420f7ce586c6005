package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
)

var (
	firstUse = row{"first-use", "first use: each request is another workload's first; store on disk", allRight, "–",
		func(b *bench) (figure, error) {
			s, err := b.registry(b.world, registered, newcomersFlags...)
			if err != nil {
				return figure{}, err
			}
			defer s.Stop()
			var firsts, knowns []load.Result
			for round := range 1 + b.rounds {
				forms, err := b.newcomers(s, b.tokens/4+few)
				if err != nil {
					return figure{}, err
				}
				first, err := b.run(s, b.presenting(s, few, forms))
				if err != nil {
					return figure{}, err
				}
				j, err := fresh(b, s)
				if err != nil {
					return figure{}, err
				}
				known, err := b.run(s, j)
				if err != nil {
					return figure{}, err
				}
				if round > 0 {
					firsts, knowns = append(firsts, first), append(knowns, known)
				}
			}
			f := alone(firsts)
			f.beside += fmt.Sprintf("; CPU %s × that of known clients", ratios(each(firsts, cpu), each(knowns, cpu)).format("%.2f"))
			return f, nil
		}}

	growthFirstUse = row{"growth-first-use", "growth, 100 → 100,000 clients that registered on first use, in the store on disk", "tokens/s within 10 %", "p99 also",
		func(b *bench) (figure, error) {
			count := 100_000
			if b.quick {
				count = 5_000
			}
			some, err := b.registeredOn(100)
			if err != nil {
				return figure{}, err
			}
			defer some.Stop()
			many, err := b.registeredOn(count)
			if err != nil {
				return figure{}, err
			}
			defer many.Stop()
			ones, manies, err := b.pair(some.server, many.server, func(_ int, s *server) (load.Job, error) {
				r := some
				if s == many.server {
					r = many
				}
				return r.known(b, b.tokens)
			})
			if err != nil {
				return figure{}, err
			}
			rate, tail := ratios(each(manies, perCore), each(ones, perCore)), ratios(each(manies, p99), each(ones, p99))
			must := rate.median >= 0.9
			return judged(
				fmt.Sprintf("tokens per core-s × %s, p99 × %s", rate.format("%.2f"), tail.format("%.2f")),
				fmt.Sprintf("%s → %s per core-s, p99 %.1f → %.1f ms, RSS %.0f → %.0f MB; %s registered",
					perSecond(spreadOf(each(ones, perCore)).median), perSecond(spreadOf(each(manies, perCore)).median),
					spreadOf(each(ones, p99)).median, spreadOf(each(manies, p99)).median,
					spreadOf(each(ones, resident)).median/mega, spreadOf(each(manies, resident)).median/mega, perSecond(float64(count))),
				must, must && tail.median <= 1.1,
			), nil
		}}

	registering = row{"registering", "known clients, without and with 100 others a second that register; store on disk", "p50 and p99 within 20 %", "within 5 %",
		func(b *bench) (figure, error) {
			s, err := b.registry(b.world, registered, newcomersFlags...)
			if err != nil {
				return figure{}, err
			}
			defer s.Stop()
			var without, with []load.Result
			for round := range 1 + b.rounds {
				quiet, err := b.steady(s)
				if err != nil {
					return figure{}, err
				}
				busy, err := b.besides(s)
				if err != nil {
					return figure{}, err
				}
				if round > 0 {
					without, with = append(without, quiet), append(with, busy)
				}
			}
			middle, tail := ratios(each(with, p50), each(without, p50)), ratios(each(with, p99), each(without, p99))
			within := func(part float64) bool { return middle.median <= 1+part && tail.median <= 1+part }
			return judged(
				fmt.Sprintf("p50 × %s, p99 × %s", middle.format("%.2f"), tail.format("%.2f")),
				fmt.Sprintf("open loop of 300 a second; p50/p99 %.1f/%.1f → %.1f/%.1f ms",
					spreadOf(each(without, p50)).median, spreadOf(each(without, p99)).median, spreadOf(each(with, p50)).median, spreadOf(each(with, p99)).median),
				within(0.20), within(0.05),
			), nil
		}}
)

var newcomersFlags = []string{"-disk", "-first-use"}

// newcomers are forms of so many workloads that no server has seen.
func (b *bench) newcomers(s *server, n int) ([]string, error) {
	first, serial := b.newcomer, b.serials(n)
	b.newcomer += n
	return world.Many(n, func(i int) (string, error) { return s.world.NewcomerForm(first+i, serial+uint64(i), svidLife) })
}

// presenting is a job of these forms; the last ones are to warm up.
func (b *bench) presenting(s *server, connections int, forms []string) load.Job {
	j := b.job(len(forms) - connections)
	j.Connections = connections
	j.TLS = func(int) *tls.Config { return s.world.TLS() }
	j.Form = func(i int) (string, error) { return forms[i], nil }
	return j
}

// A register is a server with workloads that have registered.
type register struct {
	*server
	first, count int
}

// registeredOn starts a server and has so many workloads register.
func (b *bench) registeredOn(count int) (*register, error) {
	s, err := b.registry(b.world, 1, newcomersFlags...)
	if err != nil {
		return nil, err
	}
	r := &register{s, b.newcomer, count}
	forms, err := b.newcomers(s, count)
	if err == nil {
		_, err = b.run(s, b.presenting(s, min(64, count/2), forms))
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return r, nil
}

// known is a round of fresh JWT-SVIDs of those that have registered.
func (r *register) known(b *bench, n int) (load.Job, error) {
	serial := b.serials(n + few)
	forms, err := world.Many(n+few, func(i int) (string, error) {
		const stride = 61_803 // no divisor of a power of ten: neighbours never one after the other
		return r.world.NewcomerForm(r.first+i*stride%r.count, serial+uint64(i), svidLife)
	})
	return b.presenting(r.server, few, forms), err
}

const (
	steadyRate = 300 // requests a second of known clients
	newRate    = 100 // and of those that register
)

// steady is an open loop of known clients.
func (b *bench) steady(s *server) (load.Result, error) {
	j, err := fresh(b, s)
	if err != nil {
		return load.Result{}, err
	}
	j.Rate, j.Requests = steadyRate, b.tokens/8
	return b.run(s, j)
}

// besides is the same while others register.
func (b *bench) besides(s *server) (load.Result, error) {
	n := b.tokens / 8 * newRate / steadyRate
	forms, err := b.newcomers(s, n+4)
	if err != nil {
		return load.Result{}, err
	}
	j := b.presenting(s, 4, forms)
	j.Rate, j.Target = newRate, s.public
	over := make(chan error, 1)
	go func() {
		r, err := load.Run(b.ctx, j)
		if err == nil && len(r.Errors) > 0 {
			err = fmt.Errorf("those that register: %v", r.Errors)
		}
		over <- err
	}()
	r, err := b.steady(s)
	return r, errors.Join(err, <-over)
}
