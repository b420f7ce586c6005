package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
)

// None of these has a floor or a goal that was set before: what must be is that every
// answer is right.
const allRight = "every answer right"

var (
	code = row{"code", "authorization code and PKCE with a JWT-SVID presented again → tokens for a person; store on disk", allRight, "–",
		attended((*town).codes)}
	refresh = row{"refresh", "refresh token, replaced at each use, with a JWT-SVID presented again; store on disk", allRight, "–",
		attended((*town).refreshes)}
	introspectFirst = row{"introspect-first", "introspection, first question about a token; store on disk", allRight, "–",
		attended((*town).questions)}
	introspectRepeated = row{"introspect-repeated", "introspection, 1,000 tokens asked about again and again", allRight, "–",
		attended((*town).repeatedQuestions)}
)

var peoplesFlags = []string{"-disk", "-people"}

// A town is a server with a person who has signed in.
type town struct {
	*bench
	*server
	person *world.Person
	webs   []world.Web // with the JWT-SVIDs that they present again and again
	api    world.Web
}

func (b *bench) town() (*town, error) {
	s, err := b.registry(b.world, registered, peoplesFlags...)
	if err != nil {
		return nil, err
	}
	t := &town{bench: b, server: s, person: b.world.Person(s.public)}
	if err := t.moveIn(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *town) moveIn() (err error) {
	for n := range world.WebClients {
		web, err := t.world().Web(n, t.serials(1), svidLife)
		if err != nil {
			return err
		}
		t.webs = append(t.webs, web)
	}
	if t.api, err = t.world().API(t.serials(1), svidLife); err != nil {
		return err
	}
	if err := t.person.SignIn(t.ctx); err != nil {
		return err
	}
	return t.person.Agree(t.ctx)
}

func (t *town) world() *world.World { return t.server.world }

func (t *town) close() {
	t.person.Close()
	t.Stop()
}

func (t *town) web(i int) world.Web { return t.webs[i%len(t.webs)] }

// attended measures what makes a job for each round, with no other server beside.
func attended(round func(t *town, connections, requests int) (load.Job, error)) func(b *bench) (figure, error) {
	return func(b *bench) (figure, error) {
		t, err := b.town()
		if err != nil {
			return figure{}, err
		}
		defer t.close()
		var results []load.Result
		for n := range 1 + b.rounds {
			j, err := round(t, few, b.tokens/4)
			if err != nil {
				return figure{}, err
			}
			r, err := b.run(t.server, j)
			if err != nil {
				return figure{}, err
			}
			if n > 0 {
				results = append(results, r)
			}
		}
		return alone(results), nil
	}
}

// alone says what was measured where every answer was right and nothing is beside it.
func alone(results []load.Result) figure {
	return judged(
		fmt.Sprintf("%s per core-s, p50/p99 %.1f/%.1f ms", spreadOf(each(results, perCore)).perSecond(), spreadOf(each(results, p50)).median, spreadOf(each(results, p99)).median),
		fmt.Sprintf("%d rounds of %d; %s a second, whoever was waited for", len(results), results[0].Requests, spreadOf(each(results, func(r load.Result) float64 { return r.TokensPerSecond })).perSecond()),
		true, true,
	)
}

// job is one of web clients; those requests that warm up ask for the client itself.
func (t *town) job(path string, connections, requests int) load.Job {
	j := t.bench.job(requests)
	j.Path, j.Connections = path, connections
	j.TLS = func(int) *tls.Config { return t.world().TLS() }
	return j
}

// codes is a round of codes, each redeemed once. They live for half a minute, so they
// are made when all connections are open.
func (t *town) codes(connections, requests int) (load.Job, error) {
	var codes []string
	j := t.job("/token", connections, requests)
	j.Begin = func(ctx context.Context) (err error) {
		codes, err = t.grant(ctx, requests)
		return err
	}
	j.Form = func(i int) (string, error) {
		if i >= requests {
			return t.web(i).Own(), nil
		}
		return t.web(i).Redeem(codes[i]), nil
	}
	j.Answered = func(i int, body []byte) error {
		_, err := world.ReadTokens(body, i < requests)
		return err
	}
	return j, nil
}

// grant has the person give so many codes, the n-th to the client n.
func (t *town) grant(ctx context.Context, n int) ([]string, error) {
	codes := make([]string, n)
	var (
		next   atomic.Int64
		asking sync.WaitGroup
		errs   [few]error
	)
	for worker := range errs {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[worker] == nil; i = int(next.Add(1)) - 1 {
				codes[i], errs[worker] = t.person.Code(ctx, i)
			}
		})
	}
	asking.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// grants redeems so many codes and returns what they were redeemed for.
func (t *town) grants(n int) ([]world.Tokens, error) {
	all := make([]world.Tokens, n)
	// In parts, as codes do not live long.
	const part = 8 * world.WebClients // so that the n-th belongs to web(n)
	for from := 0; from < n; from += part {
		count := min(part, n-from)
		j, err := t.codes(few, count)
		if err != nil {
			return nil, err
		}
		j.Answered = func(i int, body []byte) (err error) {
			if i < count {
				all[from+i], err = world.ReadTokens(body, true)
			}
			return err
		}
		if _, err := t.run(t.server, j); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// refreshes is a round of refresh tokens; each connection has a grant of its own and
// presents what it got before.
func (t *town) refreshes(connections, requests int) (load.Job, error) {
	chains, err := t.grants(connections)
	if err != nil {
		return load.Job{}, err
	}
	j := t.job("/token", connections, requests)
	j.Fixed = true
	j.Form = func(slot int) (string, error) { return t.web(slot).Refresh(chains[slot].Refresh), nil }
	j.Answered = func(slot int, body []byte) error {
		next, err := world.ReadTokens(body, true)
		if err == nil && next.Refresh == chains[slot].Refresh {
			err = fmt.Errorf("a refresh token was not replaced")
		}
		if err == nil {
			chains[slot] = next
		}
		return err
	}
	return j, nil
}

// tokens are so many access tokens, of clients in their own name.
func (t *town) tokens(n int) ([]string, error) {
	tokens := make([]string, n)
	j := t.job("/token", few, n)
	j.Form = func(i int) (string, error) { return t.web(i).Own(), nil }
	j.Answered = func(i int, body []byte) error {
		got, err := world.ReadTokens(body, false)
		if i < n {
			tokens[i] = strings.Clone(got.Access)
		}
		return err
	}
	_, err := t.run(t.server, j)
	return tokens, err
}

func (t *town) about(connections, requests int, token func(i int) string) load.Job {
	j := t.job("/introspect", connections, requests)
	j.Form = func(i int) (string, error) { return t.api.About(token(i)), nil }
	j.Answered = func(_ int, body []byte) error { return world.ReadActive(body, true) }
	return j
}

// questions is a round of introspection, of tokens that were not asked about before.
func (t *town) questions(connections, requests int) (load.Job, error) {
	tokens, err := t.tokens(requests + connections)
	return t.about(connections, requests, func(i int) string { return tokens[i] }), err
}

// repeatedQuestions is a round of a thousand tokens, again and again. They are new in
// each round: access tokens live for minutes.
func (t *town) repeatedQuestions(connections, requests int) (load.Job, error) {
	const different = 1000
	tokens, err := t.tokens(different)
	if err != nil {
		return load.Job{}, err
	}
	before := t.about(connections, different, func(i int) string { return tokens[i%different] })
	if _, err := t.run(t.server, before); err != nil {
		return load.Job{}, err
	}
	return t.about(connections, requests*4, func(i int) string { return tokens[i%different] }), nil
}
