package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

// unpolled is a world whose bundle is polled once an hour, so that each other
// request to its endpoint was asked for by a caller. It logs as in production.
func unpolled(t *testing.T, more string) *world {
	t.Helper()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig+more+"log: {level: info}\ntrust_domains:\n  example.org: {spiffe_bundle_endpoint: {url: \""+td.url+"\", ca_file: ca.pem}, refresh: {min: 1h, max: 1h}}\n")
	return &world{s, td}
}

// AK-18, BE-17, F1: as many requests with invented key ids as a few connections
// carry. The endpoint is asked once and then at most every 30 s, memory stays
// bounded, and who has a good SVID gets a token each time.
func TestFloodOfUnknownKIDs(t *testing.T) {
	w := unpolled(t, "")
	good := w.billing(t)
	w.granted(t, good)
	claims := claimsOf(w.td, "")
	fetched, begun := w.td.fetches.Load(), time.Now()
	w.beside(t, good, func() {
		answers, before := flood{connections: 4, batch: 16, last: 4 * time.Second, want: []int{401}, call: func() call {
			return withJWT(w.td.id("/billing"), forged(`{"alg":"ES256","kid":"`+rand.Text()+`"}`, claims))
		}}.run(t, w.server)
		w.held(t, before)
		if answers[401] < 100 {
			t.Errorf("only %d answers: that is no flood", answers[401])
		}
	})
	asked, allowed := w.td.fetches.Load()-fetched, 1+int64(time.Since(begun)/(30*time.Second))
	if asked > allowed || asked == 0 {
		t.Errorf("BE-17 %d requests to the bundle endpoint in %v, want at most %d", asked, time.Since(begun), allowed)
	}
	t.Logf("%d request to the bundle endpoint", asked)
	// The old one is as good as before.
	w.granted(t, good)
}

// AK-18, GL-16: one address floods and is told to wait; another is served. The limit is
// one that each machine can exceed.
func TestFloodFromOneAddress(t *testing.T) {
	w := unpolled(t, "limits: {failures_per_source: 10/s}\n")
	good := w.billing(t)
	claims := claimsOf(w.td, "")
	w.beside(t, good, func() {
		answers, before := flood{connections: 4, batch: 16, source: "127.0.0.2", last: 2 * time.Second, want: []int{401, 429}, call: func() call {
			return withJWT(w.td.id("/billing"), forged(`{"alg":"ES256","kid":"`+rand.Text()+`"}`, claims))
		}}.run(t, w.server)
		w.held(t, before)
		if answers[429] == 0 {
			t.Errorf("GL-16 nobody was told to wait: %v", answers)
		}
	})
	if n := w.metric(t, `svidgate_refusals_total{endpoint="token",reason="rate_limited",trust_domain=""}`); n == 0 {
		t.Error("GL-16 the metric has no refusal")
	}
}

// AK-18: everything else that is made to cost much: large bodies, deep and long
// JSON, names that nobody has, certificates' worth of dots. Each for a second or
// two, all at one server, whose memory is that of a quiet one in the end.
func TestFloodOfAllKinds(t *testing.T) {
	w := unpolled(t, "")
	good := w.billing(t)
	claims, header := claimsOf(w.td, ""), headerOf(w.td, "")
	jwt := func(assertion func() string) func() call {
		return func() call { return withJWT(w.td.id("/billing"), assertion()) }
	}
	large := strings.Repeat("A", 1<<20)
	long := claimsOf(w.td, members(1000))
	series := w.series(t)
	for _, kind := range []struct {
		name string
		flood
	}{
		{"GL-8 assertions of a megabyte", flood{connections: 2, batch: 1, reconnect: true, want: []int{413}, call: jwt(func() string { return large })}},
		{"GL-8 the same in chunks", flood{connections: 2, batch: 1, reconnect: true, want: []int{413}, call: func() call {
			c := withJWT(w.td.id("/billing"), large)
			c.chunks = true
			return c
		}}},
		{"GL-11 deep JSON", flood{connections: 4, batch: 8, want: []int{401}, call: jwt(func() string { return forged(header, claimsOf(w.td, `"x":`+nested(5000)+`,`)) })}},
		{"GL-11 a thousand members", flood{connections: 4, batch: 8, want: []int{401}, call: jwt(func() string { return forged(header, long) })}},
		{"JS-13 trust domains of nobody", flood{connections: 4, batch: 16, want: []int{401}, call: jwt(func() string {
			return forged(header, strings.ReplaceAll(claims, "example.org", strings.ToLower(rand.Text())+".test"))
		})}},
		{"CA-2 clients of nobody", flood{connections: 4, batch: 16, want: []int{401}, call: func() call { return withJWT(rand.Text(), "a.b.c") }}},
		{"GL-8 a form of thirty thousand names", flood{connections: 2, batch: 4, want: []int{400}, call: func() call {
			return call{body: strings.Repeat("a&", 32<<10)}
		}}},
		{"JS-12 signatures of nobody under a good key id", flood{connections: 4, batch: 16, want: []int{401}, call: jwt(func() string { return forged(header, claims) })}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			kind.last = time.Second
			w.beside(t, good, func() {
				_, before := kind.run(t, w.server)
				w.held(t, before)
			})
		})
	}
	if more := w.series(t) - series; more > 150 {
		t.Errorf("AK-18 %d more series in the metrics", more)
	}
}

// series is how many lines the metrics have.
func (s *server) series(t *testing.T) int {
	t.Helper()
	_, body := s.status(t, "/metrics")
	return bytes.Count(body, []byte("\n"))
}

// AK-18, BE-9, FX-1: a bundle endpoint that went mad sends a hundred megabytes,
// ten thousand keys, or a document that is all brackets. The bundle before it
// stays, and memory is bounded.
func TestMadBundleEndpoint(t *testing.T) {
	t.Parallel()
	td := newDomain(t, "example.org", devca.Options{})
	s := start(t, worldConfig, td)
	good := withJWT(td.id("/billing"), td.jwt(t, "/billing", issuer))
	s.granted(t, good)
	before, _, _ := s.memory(t)
	var many strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&many, `{"kty":"EC","use":"jwt-svid","kid":"%d","crv":"P-256","x":"AA","y":"AA"},`, i)
	}
	for name, document := range map[string]string{
		"a hundred megabytes":    `{"keys":[],"x":"` + strings.Repeat("A", 100<<20) + `"}`,
		"ten thousand keys":      `{"keys":[` + many.String() + `{}]}`,
		"a megabyte of brackets": `{"keys":` + strings.Repeat("[", 1<<20-100),
		"a page of the Web":      "<html>" + strings.Repeat("<p>", 10000),
	} {
		t.Run("AK-18 "+name, func(t *testing.T) {
			failed := s.failures(t)
			td.serve(t, document)
			until(t, "a refused bundle", func() bool { return s.failures(t) > failed })
			s.granted(t, good)
		})
	}
	s.held(t, before)
}

// failures are the polls that the log tells of as refused or failed.
func (s *server) failures(t *testing.T) int {
	t.Helper()
	return len(s.log.find(t, "outcome", "refused")) + len(s.log.find(t, "outcome", "failed"))
}

// members are so many members of an object, each with a comma behind it.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":1,`, i)
	}
	return b.String()
}
