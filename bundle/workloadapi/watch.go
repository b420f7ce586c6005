package workloadapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Keys of the log lines.
const (
	keyTrustDomain = "trust_domain"
	keyURL         = "url"
	keyError       = "error"
)

const (
	firstDelay = time.Second
	maxDelay   = 30 * time.Second
)

// errNever is the cause when asking again is of no use (CL-3).
var errNever = errors.New("it is not asked again; the bundle is only polled")

// Watch follows both bundles until ctx ends or the source is closed. It calls
// changed when the bundle of the trust domain has become another one than the
// last Fetch or the message before had, and when the Workload API is back after
// it was away. What the agent says of other trust domains does not count, except
// that it has any where it lacks this one.
//
// changed is never called twice at a time. It says only that a Fetch is worth
// its while: what was received here is not used further.
func (s *Source) Watch(ctx context.Context, changed func()) {
	ctx, cancel := s.during(ctx)
	defer cancel()
	w := watch{source: s, news: make(chan struct{}, 1)}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { w.run(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.news:
			changed()
		}
	}
}

// A watch is one Watch.
type watch struct {
	source *Source
	news   chan struct{} // holds at most one
	away   bool          // and that it is was logged; only run uses it
}

func (w *watch) tell() {
	select {
	case w.news <- struct{}{}:
	default: // changed will be called anyway, and after this
	}
}

// run connects again and again.
func (w *watch) run(ctx context.Context) {
	for failures := 0; ; failures++ {
		lasted, err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		w.lost(err)
		if errors.Is(err, errNever) {
			return
		}
		if lasted >= maxDelay { // an agent that ends every stream at once gets no storm
			failures = 0
		}
		timer := time.NewTimer(delay(failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (w *watch) lost(err error) {
	if !w.away {
		w.source.log.Warn("the Workload API is away", keyTrustDomain, w.source.td.Name(), keyURL, w.source.address, keyError, err)
	}
	w.away = true
}

// An answer is what a stream said, or why it ended.
type answer struct {
	profile profile
	entry   entry
	err     error
}

// follow reads both streams of one connection until one of them ends, and tells
// for how long both had worked. A profile that the Workload API does not have
// counts as one without a bundle.
func (w *watch) follow(ctx context.Context) (lasted time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	c, err := w.source.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	said := make(chan answer)
	for p := range profiles {
		reading.Go(func() { read(ctx, p, c.ask(ctx, p), said) })
	}
	var (
		last  [profiles]*sum // nil before the first answer
		began time.Time      // when both had answered
		lacks int
	)
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case a := <-said:
			switch {
			case notImplemented(a.err):
				if lacks++; lacks == int(profiles) {
					return 0, fmt.Errorf("%w; %w", a.err, errNever)
				}
			case status.Code(a.err) == codes.InvalidArgument:
				return 0, fmt.Errorf("%w; %w", a.err, errNever)
			case a.err != nil && began.IsZero():
				return 0, a.err
			case a.err != nil:
				return time.Since(began), a.err
			}
			before, now := last[a.profile], a.entry.sum()
			last[a.profile] = &now
			switch {
			case !began.IsZero():
				if *before != now {
					w.tell()
				}
			case last[x509Profile] != nil && last[jwtProfile] != nil:
				began = time.Now()
				w.begun([profiles]sum{*last[x509Profile], *last[jwtProfile]})
			}
		}
	}
}

// begun is called when both streams have answered for the first time on a
// connection. On the very first one that is news only if it is not what Fetch
// was told.
func (w *watch) begun(first [profiles]sum) {
	s := w.source
	s.mu.Lock()
	known := first == s.fetched
	s.mu.Unlock()
	if w.away {
		s.log.Info("the Workload API is back", keyTrustDomain, s.td.Name(), keyURL, s.address)
	}
	if w.away || !known {
		w.tell()
	}
	w.away = false
}

// read passes on what a stream says until it ends.
func read(ctx context.Context, p profile, next answers, said chan<- answer) {
	for {
		entry, err := next()
		select {
		case said <- answer{p, entry, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// delay is how long to wait after so many failures, up to a quarter shorter by
// chance: all servers of a node lose their agent in the same moment.
func delay(failures int) time.Duration {
	d := min(firstDelay<<min(failures, 10), maxDelay)
	return time.Duration(float64(d) * (0.75 + 0.25*rand.Float64()))
}
