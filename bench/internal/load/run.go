package load

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
)

// A slot is one connection, or the place that connections take in turn.
type slot struct {
	job     *Job
	number  int
	dialer  Dialer
	conn    *Conn // nil while there is none
	samples []sample
	errors  map[string]int
	resumed int
}

// A sample is one token, or another answer with status 200.
type sample struct {
	end  time.Duration // since the beginning of the run
	took time.Duration
}

// Run does a job. It returns an error where nothing was measured; requests that
// failed are in the result. Connections are open and have had one answer before
// the measurement begins.
func Run(ctx context.Context, j Job) (Result, error) {
	if err := j.check(); err != nil {
		return Result{}, err
	}
	slots := make([]*slot, j.Connections)
	for n := range slots {
		slots[n] = j.slot(n)
	}
	warm(ctx, slots)
	for _, s := range slots {
		for kind := range s.errors {
			return Result{}, fmt.Errorf("before the measurement: %s", kind)
		}
	}
	if j.Begin != nil {
		if err := j.Begin(ctx); err != nil {
			return Result{}, err
		}
	}

	before, err := usagesOf(j.PID)
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	var next atomic.Int64
	var running sync.WaitGroup
	for _, s := range slots {
		running.Go(func() { s.run(ctx, start, &next) })
	}
	running.Wait()
	took := time.Since(start)
	after, err := usagesOf(j.PID)
	if err != nil {
		return Result{}, err
	}
	for _, s := range slots {
		s.close()
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	return j.result(slots, took, before, after), nil
}

// warm readies the slots, some at a time: servers give a handshake a few seconds,
// and thousands of them at once take longer.
func warm(ctx context.Context, slots []*slot) {
	var next atomic.Int64
	var warming sync.WaitGroup
	for range 64 {
		warming.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(slots); i = int(next.Add(1)) - 1 {
				slots[i].warm(ctx)
			}
		})
	}
	warming.Wait()
}

// warm opens the connection, or gets the ticket that the first resumption needs.
func (s *slot) warm(ctx context.Context) {
	r, err := s.request(s.job.Requests + s.number)
	if err != nil {
		s.errors[err.Error()]++
		return
	}
	if kind := s.send(ctx, r); kind != "" {
		s.errors[kind]++
	}
	s.resumed = 0
}

// A request is one of a job.
type request struct {
	Message
	number int
}

func (s *slot) request(i int) (r request, err error) {
	if s.job.Fixed {
		i = s.number
	}
	r = request{Message{Path: s.job.Path, Keep: s.job.Answered != nil}, i}
	if r.Form, err = s.job.Form(i); err == nil && s.job.Header != nil {
		r.Header, err = s.job.Header(i)
	}
	return r, err
}

// run takes the next request until none is left.
func (s *slot) run(ctx context.Context, start time.Time, next *atomic.Int64) {
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= s.job.Requests {
			return
		}
		r, err := s.request(i)
		if err != nil {
			s.errors[err.Error()]++
			continue
		}
		// In an open loop a request that leaves late has waited already: latency
		// counts from when it was due, or a server that stalls would look good.
		begin := time.Now()
		if s.job.Rate > 0 {
			due := start.Add(time.Duration(float64(i) / s.job.Rate * float64(time.Second)))
			time.Sleep(due.Sub(begin))
			begin = due
		}
		if kind := s.send(ctx, r); kind != "" {
			s.errors[kind]++
			continue
		}
		end := time.Now()
		s.samples = append(s.samples, sample{end.Sub(start), end.Sub(begin)})
	}
}

// send sends one request and returns what went wrong, if anything did.
func (s *slot) send(ctx context.Context, r request) string {
	if s.conn == nil {
		var err error
		if s.conn, err = s.dialer.Dial(ctx); err != nil {
			return Kind(err)
		}
		if s.conn.Resumed() {
			s.resumed++
		}
	}
	answer, err := s.conn.Send(r.Message, s.job.Timeout)
	if err != nil || answer.Closed || s.job.Connection != Kept {
		s.close()
	}
	switch {
	case err != nil:
		return Kind(err)
	case answer.Status != http.StatusOK:
		return answer.Kind()
	case s.job.Answered != nil:
		if err := s.job.Answered(r.number, answer.Body); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (s *slot) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// usages are what both ends have used.
type usages struct{ own, server process.Usage }

// usagesOf reads them; without a server process there is nothing of it.
func usagesOf(server int) (u usages, err error) {
	if u.own, err = process.UsageOf(os.Getpid()); err != nil || server == 0 {
		return u, err
	}
	u.server, err = process.UsageOf(server)
	return u, err
}
