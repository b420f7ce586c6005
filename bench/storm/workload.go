package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
)

// A workload wants a token, and before it ends the next one.
type workload struct {
	storm   *storm
	number  int
	dialer  load.Dialer
	backoff backoff
	tokens  int
	ends    time.Time // of the token it has
}

// tls is the client's side of a handshake, always a full one: there is no cache
// of sessions.
func (s *storm) tls() *tls.Config {
	c := s.world.TLS()
	c.MinVersion, c.NextProtos, c.ServerName = tls.VersionTLS13, []string{"http/1.1"}, s.target.Addr().String()
	return c
}

func (w *workload) run(ctx context.Context) {
	due := time.Now()
	for sleep(ctx, time.Until(due)) == nil {
		select {
		case w.storm.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		due = w.ask(ctx, due)
		<-w.storm.slots
	}
}

// ask asks once and returns when the next time is due.
func (w *workload) ask(ctx context.Context, due time.Time) time.Time {
	begun := time.Now()
	kind, asked := w.exchange(ctx)
	if kind == load.CutOff && ctx.Err() == nil { // an idle connection may have ended just then: package client tries that once more, at once
		w.storm.record.failed(kind, begun)
		begun = time.Now()
		kind, asked = w.exchange(ctx)
	}
	now := time.Now()
	if ctx.Err() != nil {
		return now // the storm is over; what was cut off by that does not count
	}
	if kind != "" {
		w.storm.record.failed(kind, begun)
		return w.backoff.after(now, asked)
	}
	w.tokens++
	w.backoff = backoff{}
	late := w.tokens > 1 && now.After(w.ends)
	w.ends = begun.Add(w.storm.tokenLife)
	w.storm.record.served(w.tokens, due, now, late)
	return begun.Add(jitter(w.storm.tokenLife, renewFrom, renewTo))
}

// exchange gets a token over a new connection and returns what went wrong, if
// anything did, and how long the server asked to wait.
func (w *workload) exchange(ctx context.Context) (kind string, asked time.Duration) {
	conn, err := w.dialer.Dial(ctx)
	if err != nil {
		return load.Kind(err), 0
	}
	defer conn.Close()
	answer, err := conn.Post("/token", w.storm.forms[w.number], timeout)
	switch {
	case err != nil:
		return load.Kind(err), 0
	case answer.Status != http.StatusOK:
		return answer.Kind(), answer.RetryAfter
	}
	return "", 0
}
