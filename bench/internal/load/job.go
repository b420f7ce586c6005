package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// What becomes of a connection after an answer.
const (
	Kept    = "kept"    // used again
	New     = "new"     // closed; the next request makes a full handshake
	Resumed = "resumed" // closed; the next request resumes with a ticket of TLS 1.3
)

// A Job is a load.
type Job struct {
	Target netip.AddrPort // from the function Target
	Path   string         // of the endpoint

	// TLS is the configuration of the n-th connection slot. A certificate in it
	// is presented.
	TLS func(slot int) *tls.Config
	// Form is the body of the i-th request. The warm-up sends one on each
	// connection, too; these count on from Requests.
	Form func(i int) (string, error)
	// Header is more lines of the header of the i-th request; nil is none.
	Header func(i int) ([]string, error)
	// Answered is called with the body of the answer with status 200 to the i-th
	// request, or to that of a slot where Fixed is set. Its error is a kind of error
	// of the result. nil throws bodies away.
	Answered func(i int, body []byte) error
	// Begin is called when all connections are open, right before the measurement,
	// for what does not live long; nil is nothing.
	Begin func(context.Context) error
	// Fixed says that each slot asks for its own form always, Form(slot): an SVID
	// belongs to the connection that presents it, and a chain of refresh tokens to
	// the slot that follows it.
	Fixed bool

	Connection  string       // Kept, New or Resumed
	Connections int          // slots: how many requests are on their way at once
	Sources     []netip.Addr // of connections, in turn; none leaves it to the system
	Requests    int
	Rate        float64 // requests that are due each second; 0 is a closed loop
	Timeout     time.Duration
	PID         int // whose CPU time and memory are read; 0 is nobody's
}

func (j *Job) check() error {
	var faults []error
	if j.Connection != Kept && j.Connection != New && j.Connection != Resumed {
		faults = append(faults, fmt.Errorf("connections are %s, %s or %s, not %q", Kept, New, Resumed, j.Connection))
	}
	if j.Connections < 1 || j.Requests < 1 {
		faults = append(faults, errors.New("there is at least one connection and one request"))
	}
	if j.Rate < 0 || j.Timeout <= 0 {
		faults = append(faults, errors.New("the rate is not negative and there is a timeout"))
	}
	// Once more, for a job that was put together by hand.
	if _, err := Target(j.Target.String()); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// slot makes what one connection needs.
func (j *Job) slot(n int) *slot {
	config := j.TLS(n).Clone()
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{"http/1.1"}
	config.ServerName = j.Target.Addr().String()
	if j.Connection == Resumed {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	s := &slot{job: j, number: n, errors: map[string]int{}, dialer: Dialer{Target: j.Target, TLS: config, Timeout: j.Timeout}}
	if len(j.Sources) > 0 {
		s.dialer.Source = j.Sources[n%len(j.Sources)]
	}
	return s
}
