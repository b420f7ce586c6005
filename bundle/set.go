package bundle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

var (
	errNoTrustDomain  = errors.New("the trust domain is missing")
	errAlreadyRunning = errors.New("bundle: the set is running already")
)

// maxLoading is how many trust domains Load fetches at the same time.
const maxLoading = 32

// A Config says which trust domains there are.
type Config struct {
	TrustDomains []TrustDomain
	// Log takes one line for each request to an endpoint, and one for each
	// change of a file; nil means none.
	Log *slog.Logger
	// Now dates snapshots and attempts; nil means time.Now. Waiting is not
	// measured with it but with timers.
	Now func() time.Time
}

// A TrustDomain is one configured trust domain. Name and Source are the
// operator's choice, and neither follows from the other (BE-1, BU-18).
type TrustDomain struct {
	Name    spiffeid.TrustDomain
	Source  Source
	Refresh Refresh
}

// Refresh bounds the time between two polls (BU-16).
type Refresh struct {
	Min time.Duration // 0 means 30 s, or Max when that is shorter; at least 1 s
	Max time.Duration // 0 means 1 h, or Min when that is longer; at least Min
}

// A Set keeps the newest good bundle of each configured trust domain. Bundle is
// for the path of a request: it takes no lock and never waits. Trust domains
// share nothing, neither keys (BU-19) nor waiting.
type Set struct {
	domains    map[spiffeid.TrustDomain]*domain // not changed after NewSet
	generation atomic.Uint64                    // the last one given out
	running    atomic.Bool
	log        *slog.Logger
	now        func() time.Time
}

// NewSet checks the configuration and reports every fault at once. It fetches
// nothing: [Set.Load] and [Set.Run] do.
func NewSet(c Config) (*Set, error) {
	s := &Set{domains: make(map[spiffeid.TrustDomain]*domain, len(c.TrustDomains)), log: c.Log, now: c.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	var faults []error
	for i, td := range c.TrustDomains {
		if td.Name.IsZero() {
			faults = append(faults, fmt.Errorf("trust domain %d: %w", i, errNoTrustDomain))
			continue
		}
		if _, ok := s.domains[td.Name]; ok {
			faults = append(faults, fmt.Errorf("trust domain %s: it is configured twice", td.Name))
		}
		if td.Source == nil {
			faults = append(faults, fmt.Errorf("trust domain %s: it has no source", td.Name))
		}
		refresh, err := td.Refresh.checked()
		if err != nil {
			faults = append(faults, fmt.Errorf("trust domain %s: %w", td.Name, err))
		}
		s.domains[td.Name] = newDomain(td.Name, td.Source, refresh)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return s, nil
}

// Bundle returns the newest good bundle of a trust domain, however old it is:
// see [Snapshot.FetchedAt]. The error is ErrUnknownTrustDomain or ErrNotReady;
// a bundle without any key is not an error (BU-3).
func (s *Set) Bundle(td spiffeid.TrustDomain) (*Snapshot, error) {
	d, ok := s.domains[td]
	if !ok {
		return nil, ErrUnknownTrustDomain
	}
	if snapshot := d.current.Load(); snapshot != nil {
		return snapshot, nil
	}
	return nil, ErrNotReady
}

// Load asks every source once, many at the same time, and returns when all have
// answered or ctx has ended. No source takes longer than ten seconds. The error
// joins those of the trust domains whose document was not obtained; the others
// are ready all the same, and Run goes on where Load ended.
func (s *Set) Load(ctx context.Context) error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		faults []error // guarded by mu
		slots  = make(chan struct{}, maxLoading)
	)
	for name, d := range s.domains {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := s.attempt(ctx, d); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, fmt.Errorf("trust domain %s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}

// Run polls every trust domain until ctx ends, and then returns nil. Each has a
// goroutine of its own, so that a slow one holds up no other. One Run at a time:
// a second one fails at once.
func (s *Set) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errAlreadyRunning
	}
	defer s.running.Store(false)
	var wg sync.WaitGroup
	for _, d := range s.domains {
		wg.Go(func() { s.poll(ctx, d) })
	}
	// Also with nothing to poll, Run lasts as long as its caller expects.
	<-ctx.Done()
	wg.Wait()
	return nil
}

// poll asks one source again and again.
func (s *Set) poll(ctx context.Context, d *domain) {
	wait := d.untilPoll(s.now())
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		_ = s.attempt(ctx, d) // it is in the log and in the status
		wait = d.untilPoll(s.now())
	}
}

// attempt is one poll: it fetches, and plans the next one.
func (s *Set) attempt(ctx context.Context, d *domain) error {
	err := s.fetch(ctx, d)
	d.plan(s.now())
	return err
}
