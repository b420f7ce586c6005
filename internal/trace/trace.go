package trace

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// A Stage is a part of the way of a request.
type Stage string

// The stages of a token request, in their order.
const (
	Shape    Stage = "shape"
	Identity Stage = "identity"
	Client   Stage = "client"
	Grant    Stage = "grant"
	Decision Stage = "decision"
	Token    Stage = "token"
	Record   Stage = "record"
)

// maxStages is how many stages a request can come through.
const maxStages = 8

// A Span is the time that one stage took.
type Span struct {
	Stage  Stage
	Began  time.Time
	Ended  time.Time
	Reason string // code of the refusal that ended it; empty when it passed
	Rule   string
}

// Facts are what is told of a request besides its times. Whoever fills them puts
// in only what is configured, of a closed set, or proven.
type Facts struct {
	RequestID   string
	Txn         string // of the token, as APIs see it
	Endpoint    string
	Outcome     string
	Reason      string
	Rule        string
	TrustDomain string // a configured one
	ClientID    string // an authenticated client
	AuthMethod  string
	Failed      bool // by a fault of the server
}

// A Trace is a request that has been answered.
type Trace struct {
	Facts
	Began, Ended time.Time
	Link         Link // what the peer says it belongs to
	Stages       []Span
}

// A Tracer picks requests and follows them. Nil follows none.
type Tracer struct {
	// Sample is the share of requests that is followed, from 0 to 1.
	Sample float64
	// Export is handed each that was; it must not wait.
	Export func(*Trace)
	Now    func() time.Time
}

// Begin follows a request, or returns nil. What the peer says of tracing neither
// has a say in whether it is followed, nor becomes its parent: a stranger could
// make the server do work, and put its spans into the traces of others. It is
// kept as a link (W3C Trace Context section 4.4 lets a receiver restart a trace).
func (t *Tracer) Begin(header http.Header) *Request {
	if t == nil {
		return nil
	}
	return t.begin(header)
}

func (t *Tracer) begin(header http.Header) *Request {
	if t.Sample <= 0 || t.Sample < 1 && rand.Float64() >= t.Sample {
		return nil
	}
	r := &Request{tracer: t}
	r.trace.Began = t.Now()
	r.trace.Link = linkOf(header)
	r.trace.Stages = r.stages[:0]
	return r
}

// A Request is one that is followed. It is for one goroutine.
type Request struct {
	tracer *Tracer
	trace  Trace
	stages [maxStages]Span
}

// Stage says that a stage begins, which ends the one before it.
func (r *Request) Stage(s Stage) {
	if r != nil { // and so small that it costs nothing where it is called
		r.begin(s)
	}
}

// Refused ends the stage at hand, because of a rule.
func (r *Request) Refused(reason, rule string) {
	if r != nil {
		r.refuse(reason, rule)
	}
}

// End hands the request over. It is the last that is said of it.
func (r *Request) End(f Facts) {
	if r == nil {
		return
	}
	r.trace.Ended = r.tracer.Now()
	r.end(r.trace.Ended)
	r.trace.Facts = f
	r.tracer.Export(&r.trace)
}

func (r *Request) begin(s Stage) {
	now := r.tracer.Now()
	r.end(now)
	if len(r.trace.Stages) < maxStages {
		r.trace.Stages = append(r.trace.Stages, Span{Stage: s, Began: now})
	}
}

func (r *Request) refuse(reason, rule string) {
	if last := r.open(); last != nil {
		last.Reason, last.Rule = reason, rule
	}
	r.end(r.tracer.Now())
}

// open is the stage that has not ended.
func (r *Request) open() *Span {
	if n := len(r.trace.Stages); n > 0 && r.trace.Stages[n-1].Ended.IsZero() {
		return &r.trace.Stages[n-1]
	}
	return nil
}

func (r *Request) end(now time.Time) {
	if last := r.open(); last != nil {
		last.Ended = now
	}
}
