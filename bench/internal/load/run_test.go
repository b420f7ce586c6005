package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/bench/internal/world"
)

// serve is a real server over TLS on loopback; answer is called with the number of
// each request, from 1.
func serve(t *testing.T, w *world.World, answer func(w http.ResponseWriter, n int64, form string)) (target string, connections *atomic.Int64) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(w.Certificate(), w.Key())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	connections = new(atomic.Int64)
	s := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != "/token" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
			answer(w, requests.Add(1), string(body))
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				connections.Add(1)
			}
		},
	}
	go s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}}))
	t.Cleanup(func() { s.Close() })
	return l.Addr().String(), connections
}

func job(t *testing.T, w *world.World, target string) Job {
	t.Helper()
	address, err := Target(target)
	if err != nil {
		t.Fatal(err)
	}
	return Job{
		Target: address, Path: "/token", Connection: Kept, Connections: 3, Requests: 30, Timeout: 30 * time.Second,
		TLS:  func(int) *tls.Config { return w.TLS() },
		Form: func(int) (string, error) { return "a=b", nil },
	}
}

func newWorld(t *testing.T) *world.World {
	t.Helper()
	w, err := world.Make(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// How many connections there are, and how they begin, is what the job says. Each
// slot sends one request before the measurement.
func TestConnections(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		connection           string
		connections, resumed int
	}{
		{Kept, 3, 0},
		{New, 33, 0},
		{Resumed, 33, 30},
	} {
		t.Run(row.connection, func(t *testing.T) {
			target, connections := serve(t, w, func(http.ResponseWriter, int64, string) {})
			j := job(t, w, target)
			j.Connection, j.PID = row.connection, os.Getpid()
			var err error
			if j.Sources, err = Sources("127.0.0.1,127.0.0.2"); err != nil {
				t.Fatal(err)
			}
			r, err := Run(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			if r.Tokens != 30 || len(r.Errors) != 0 || r.Resumptions != row.resumed || int(connections.Load()) != row.connections {
				t.Errorf("%d connections, %+v", connections.Load(), r)
			}
			if r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.Max || r.Server.RSSBytes == 0 {
				t.Errorf("%+v, %+v", r.Latency, r.Server)
			}
		})
	}
}

// Each request has a form of its own, and so has each warm-up.
func TestForms(t *testing.T) {
	w := newWorld(t)
	seen := make(chan string, 100)
	target, _ := serve(t, w, func(_ http.ResponseWriter, _ int64, form string) { seen <- form })
	j := job(t, w, target)
	j.Form = func(i int) (string, error) { return string(rune('A' + i)), nil }
	if _, err := Run(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	different := map[string]bool{}
	for range len(seen) {
		different[<-seen] = true
	}
	if len(different) != 33 {
		t.Errorf("%d different forms", len(different))
	}
}

// A job may send lines of the header with each request, look at the answers, and make
// what lives shortly when all connections are open. What it says of an answer counts.
func TestHeaderAnswersAndBegin(t *testing.T) {
	w := newWorld(t)
	var seen, begun atomic.Int64
	target, connections := serve(t, w, func(w http.ResponseWriter, _ int64, form string) { io.WriteString(w, form) })
	j := job(t, w, target)
	j.Form = func(i int) (string, error) { return strconv.Itoa(i), nil }
	j.Header = func(i int) ([]string, error) { return []string{"X-Number: " + strconv.Itoa(i), "X-Other: a"}, nil }
	j.Begin = func(context.Context) error { begun.Store(connections.Load()); return nil }
	j.Answered = func(i int, body []byte) error {
		seen.Add(1)
		if string(body) != strconv.Itoa(i) {
			t.Errorf("request %d is answered with %q", i, body)
		}
		if i == 7 {
			return errors.New("seven")
		}
		return nil
	}
	r, err := Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Load() != 33 || begun.Load() != 3 || r.Tokens != 29 || r.Errors["seven"] != 1 {
		t.Errorf("%d answers, begun with %d connections, %+v", seen.Load(), begun.Load(), r)
	}
	j.Begin = func(context.Context) error { return errors.New("no") }
	if _, err := Run(t.Context(), j); err == nil {
		t.Error("measured without what it needs")
	}
}

func TestSend(t *testing.T) {
	w := newWorld(t)
	pair, err := tls.LoadX509KeyPair(w.Certificate(), w.Key())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path+" "+r.Header.Get("A")+" "+r.Header.Get("B")+" "+r.PostFormValue("c"))
	})}
	go s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}}))
	t.Cleanup(func() { s.Close() })
	address, err := Target(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	config := w.TLS()
	config.ServerName = "127.0.0.1"
	d := Dialer{Target: address, TLS: config, Timeout: 30 * time.Second}
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for keep, want := range map[bool]string{true: "/a 1 2 3", false: ""} {
		answer, err := c.Send(Message{Path: "/a", Form: "c=3", Header: []string{"A: 1", "B: 2"}, Keep: keep}, 30*time.Second)
		if err != nil || string(answer.Body) != want {
			t.Errorf("keep %t: %q, %v", keep, answer.Body, err)
		}
	}
}

// Errors are counted by kind, and connections are opened again after them.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	target, _ := serve(t, w, func(w http.ResponseWriter, n int64, _ string) {
		switch {
		case n == 10:
			panic(http.ErrAbortHandler)
		case n == 20:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"invalid_client"}`)
		case n == 21:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"<what nobody should repeat>"}`)
		}
	})
	r, err := Run(t.Context(), job(t, w, target))
	if err != nil {
		t.Fatal(err)
	}
	if r.Tokens != 27 || r.Errors[CutOff] != 1 || r.Errors["status 400 invalid_client"] != 1 || r.Errors["status 400"] != 1 {
		t.Errorf("%d tokens, %v", r.Tokens, r.Errors)
	}
}

// In an open loop, the time that a request waits for its connection counts.
func TestOpenLoopCountsFromWhenRequestsWereDue(t *testing.T) {
	w := newWorld(t)
	const held = 200 * time.Millisecond
	target, _ := serve(t, w, func(_ http.ResponseWriter, n int64, _ string) {
		if n == 2 { // the first after the warm-up
			<-time.After(held)
		}
	})
	j := job(t, w, target)
	j.Connections, j.Requests = 1, 20
	closed, err := Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	target, _ = serve(t, w, func(_ http.ResponseWriter, n int64, _ string) {
		if n == 2 {
			<-time.After(held)
		}
	})
	if j.Target, err = Target(target); err != nil {
		t.Fatal(err)
	}
	j.Rate = 1e6 // all are due at once
	open, err := Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	least := func(r Result) float64 { return r.Latency.P50 }
	if least(open) < milliseconds(held) || closed.Latency.Max < milliseconds(held) || least(closed) >= least(open) {
		t.Errorf("open: %+v, closed: %+v", open.Latency, closed.Latency)
	}
}

// What cannot be measured is an error, not a figure.
func TestNothingToMeasure(t *testing.T) {
	w := newWorld(t)
	target, _ := serve(t, w, func(http.ResponseWriter, int64, string) {})
	for name, change := range map[string]func(*Job){
		"no such connection": func(j *Job) { j.Connection = "borrowed" },
		"no connection":      func(j *Job) { j.Connections = 0 },
		"no request":         func(j *Job) { j.Requests = 0 },
		"no timeout":         func(j *Job) { j.Timeout = 0 },
		"nobody listens": func(j *Job) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			j.Target, _ = Target(l.Addr().String())
		},
		"an unknown certificate": func(j *Job) { j.TLS = func(int) *tls.Config { return &tls.Config{} } },
		"no such process":        func(j *Job) { j.PID = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			j := job(t, w, target)
			if _, err := Run(t.Context(), j); err != nil {
				t.Fatalf("unchanged: %v", err)
			}
			change(&j)
			if r, err := Run(t.Context(), j); err == nil {
				t.Errorf("measured %+v", r)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, job(t, w, target)); err == nil {
		t.Error("measured without time")
	}
}
