package main

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
)

const (
	svidLife = 50 * time.Minute
	few      = 16 // connections, unless a row is about how many
)

// serials returns the first of n serial numbers that no SVID has had.
func (b *bench) serials(n int) uint64 {
	first := b.serial
	b.serial += uint64(n)
	return first
}

// A kind makes the load of one round for any server that has the clients.
type kind func(b *bench, s *server) (load.Job, error)

func (b *bench) job(requests int) load.Job {
	return load.Job{Path: "/token", Connection: load.Kept, Connections: few, Requests: requests, Timeout: 30 * time.Second}
}

// fresh is a round of JWT-SVIDs that no server has seen. Two servers of one pair
// get the same, as they know nothing of each other.
func fresh(b *bench, s *server) (load.Job, error) { return freshOn(few)(b, s) }

// freshOn is the same on so many connections.
func freshOn(connections int) kind {
	return func(b *bench, s *server) (load.Job, error) {
		j := b.job(b.tokens)
		j.Connections = connections
		n := j.Requests + j.Connections // some to warm up
		forms, err := s.world.JWTForms(n, s.clients, b.serials(n), svidLife)
		j.TLS = func(int) *tls.Config { return s.world.TLS() }
		j.Form = func(i int) (string, error) { return forms[i], nil }
		return j, err
	}
}

// repeated is a thousand JWT-SVIDs, each presented again and again; the first
// time is before the rounds.
func repeated() kind {
	const different = 1000
	var forms []string
	return func(b *bench, s *server) (load.Job, error) {
		var err error
		if forms == nil {
			forms, err = s.world.JWTForms(different, s.clients, b.serials(different), svidLife)
		}
		j := b.job(b.tokens)
		j.TLS = func(int) *tls.Config { return s.world.TLS() }
		j.Form = func(i int) (string, error) { return forms[i%different], nil }
		return j, err
	}
}

// certificates is a round of X.509-SVIDs.
func certificates(connection string) kind {
	return func(b *bench, s *server) (load.Job, error) {
		n := b.tokens
		if connection != load.Kept {
			n /= 4 // a handshake costs as much as several tokens
		}
		j := b.job(n)
		j.Connection, j.Fixed, j.TLS = connection, true, s.world.MutualTLS
		j.Form = func(i int) (string, error) { return world.X509Form(i), nil }
		return j, nil
	}
}

// run sends a job to a server. Anything but tokens is an error: a server that
// refuses is quick.
func (b *bench) run(s *server, j load.Job) (load.Result, error) {
	j.PID, j.Target = s.PID, s.public
	if j.Fixed {
		j.Target = s.mtls
	}
	r, err := load.Run(b.ctx, j)
	if err == nil && len(r.Errors) > 0 {
		err = fmt.Errorf("not every request got a token: %v", r.Errors)
	}
	return r, err
}

// pair measures two servers in turns, with the same load in each round, and the
// one that is not measured paused.
func (b *bench) pair(one, two *server, jobFor func(round int, s *server) (load.Job, error)) (ones, twos []load.Result, err error) {
	servers := []*server{one, two}
	for _, s := range servers {
		if err := s.Pause(); err != nil {
			return nil, nil, err
		}
	}
	measure := func(round int, s *server) (r load.Result, err error) {
		if err := s.Continue(); err != nil {
			return r, err
		}
		defer func() {
			if pauseErr := s.Pause(); err == nil {
				err = pauseErr
			}
		}()
		j, err := jobFor(round, s)
		if err != nil {
			return r, err
		}
		return b.run(s, j)
	}
	for round := range 1 + b.rounds {
		var results [2]load.Result
		first := round % 2 // nobody is always the first
		for _, i := range []int{first, 1 - first} {
			if results[i], err = measure(round, servers[i]); err != nil {
				return nil, nil, err
			}
		}
		if round > 0 { // the first is to warm up
			ones, twos = append(ones, results[0]), append(twos, results[1])
		}
	}
	return ones, twos, nil
}

// each picks a number from every result.
func each(results []load.Result, pick func(load.Result) float64) []float64 {
	var v []float64
	for _, r := range results {
		v = append(v, pick(r))
	}
	return v
}

// ratios divides pairwise: what belongs to one round was measured next to each
// other.
func ratios(a, b []float64) spread {
	var v []float64
	for i := range a {
		v = append(v, a[i]/b[i])
	}
	return spreadOf(v)
}

func perCore(r load.Result) float64  { return r.Server.TokensPerCoreSecond }
func cpu(r load.Result) float64      { return r.Server.MicrosecondsPer }
func p50(r load.Result) float64      { return r.Latency.P50 }
func p99(r load.Result) float64      { return r.Latency.P99 }
func resident(r load.Result) float64 { return float64(r.Server.RSSBytes) }
