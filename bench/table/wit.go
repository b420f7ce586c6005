package main

import (
	"crypto/tls"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
)

var (
	witFirst = row{"wit-first", "WIT-SVID and proof, first sight of both", "CPU ≤ 1.35 × its floor", "≤ 1.15 ×",
		comparison{kind: freshWITs, flags: witClients, judge: ratioBelow(1.35, 1.15), floorFlags: []string{"-wit"}}.measure}

	witRepeated = row{"wit-repeated", "WIT-SVID presented again, each time with another proof", "CPU ≤ 1.35 × its floor", "≤ 1.15 ×",
		comparison{kind: repeatedWITs(), flags: witClients, judge: ratioBelow(1.35, 1.15), floorFlags: []string{"-wit", "-remember"}}.measure}

	witClients = []string{"-method", "spiffe_wit"}
)

// freshWITs is a round of WIT-SVIDs that no server has seen.
func freshWITs(b *bench, s *server) (load.Job, error) {
	j := b.job(b.tokens)
	first := int(b.serials(j.Requests + j.Connections))
	wits, err := world.Many(j.Requests+j.Connections, func(i int) (world.WIT, error) { return s.world.WIT((first+i)%s.clients, svidLife) })
	if err != nil {
		return j, err
	}
	return proven(j, s, func(i int) world.WIT { return wits[i] })
}

// repeatedWITs is a thousand WIT-SVIDs, each presented again and again; the first
// time is before the rounds.
func repeatedWITs() kind {
	const different = 1000
	var wits []world.WIT
	return func(b *bench, s *server) (load.Job, error) {
		var err error
		if wits == nil {
			if wits, err = world.Many(different, func(i int) (world.WIT, error) { return s.world.WIT(i%s.clients, svidLife) }); err != nil {
				return load.Job{}, err
			}
		}
		return proven(b.job(b.tokens), s, func(i int) world.WIT { return wits[i%different] })
	}
}

// proven makes a job of WIT-SVIDs, with a proof for each request. They are made
// ahead, as SVIDs are, and are good for a minute: long enough for the round of one
// server and then of the other.
func proven(j load.Job, s *server, wit func(i int) world.WIT) (load.Job, error) {
	now := time.Now()
	headers, err := world.Many(j.Requests+j.Connections, func(i int) ([]string, error) { return wit(i).Header(now) })
	j.TLS = func(int) *tls.Config { return s.world.TLS() }
	j.Form = func(i int) (string, error) { return wit(i).Form(), nil }
	j.Header = func(i int) ([]string, error) { return headers[i], nil }
	return j, err
}
