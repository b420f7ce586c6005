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
	// Folder is where the last good document of each trust domain is kept, so
	// that a restart does not need the sources (BE-15); empty means that none is.
	// It is made if it is missing. Who can write to it decides whom the server
	// trusts: the folder and each file in it have to belong to the user the server
	// runs as, or to root, and nobody else may write to them. What is otherwise is
	// not used. One folder per server: a Set deletes what was kept of trust domains
	// that are not its own.
	Folder string
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
	// MaxAge is how old the verifier lets the bundle become; 0 means for ever.
	// Nothing here refuses an old bundle: the Status tells of it early.
	MaxAge time.Duration
	// First is a bundle that Source gave just now, for [Set.Replace]: a trust
	// domain that begins anew begins with it and is ready at once. Nil is none.
	First *Snapshot
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
	domains    atomic.Pointer[map[spiffeid.TrustDomain]*domain] // the map itself never changes
	generation atomic.Uint64                                    // the last one given out
	running    atomic.Bool
	folder     folder
	log        *slog.Logger
	now        func() time.Time

	flights flights // the fetches on demand

	changing sync.Mutex           // held by whoever changes domains or what follows
	start    func(*domain)        // begins to poll; nil while Run does not run
	tidied   bool                 // whether the folder was rid of what has no use
	files    map[string]*keptFile // by name: one for each, as long as it has something to do
	hangs    bool                 // a kept file could not be read in time: the next are not waited for
}

// NewSet checks the configuration and reports every fault at once. It reads the
// documents that were kept, and changes none of them. It fetches nothing:
// [Set.Load] and [Set.Run] do.
func NewSet(c Config) (*Set, error) {
	s := &Set{folder: folder(c.Folder), log: c.Log, now: c.Now, files: map[string]*keptFile{}}
	s.flights.over = make(chan struct{})
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	configured, err := checked(c.TrustDomains)
	if err != nil {
		return nil, err
	}
	domains := make(map[spiffeid.TrustDomain]*domain, len(configured))
	for _, td := range configured {
		domains[td.Name] = s.newKeptDomain(td)
	}
	s.domains.Store(&domains)
	return s, nil
}

// checked fills in the defaults of trust domains, or reports every fault.
func checked(trustDomains []TrustDomain) ([]TrustDomain, error) {
	var faults []error
	seen := make(map[spiffeid.TrustDomain]bool, len(trustDomains))
	configured := make([]TrustDomain, 0, len(trustDomains))
	for i, td := range trustDomains {
		if td.Name.IsZero() {
			faults = append(faults, fmt.Errorf("trust domain %d: %w", i, errNoTrustDomain))
			continue
		}
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("trust domain %s: %w", td.Name, fmt.Errorf(format, args...)))
		}
		if seen[td.Name] {
			fault("it is configured twice")
		}
		seen[td.Name] = true
		if td.Source == nil {
			fault("it has no source")
		}
		if td.First != nil && td.First.trustDomain != td.Name {
			fault("its first bundle is that of another trust domain (BU-18)")
		}
		if td.MaxAge < 0 {
			fault("its greatest age is %v, less than 0 (BE-15)", td.MaxAge)
		}
		var err error
		if td.Refresh, err = td.Refresh.checked(); err != nil {
			fault("%w", err)
		}
		configured = append(configured, td)
	}
	if err := errors.Join(append(faults, checkJudges(configured)...)...); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return configured, nil
}

// domain is the one in use for a trust domain. The error is
// ErrUnknownTrustDomain.
func (s *Set) domain(td spiffeid.TrustDomain) (*domain, error) {
	if d, ok := (*s.domains.Load())[td]; ok {
		return d, nil
	}
	return nil, ErrUnknownTrustDomain
}

// Bundle returns the newest good bundle of a trust domain, however old it is:
// see [Snapshot.Age]. The error is ErrUnknownTrustDomain or ErrNotReady;
// a bundle without any key is not an error (BU-3).
func (s *Set) Bundle(td spiffeid.TrustDomain) (*Snapshot, error) {
	d, err := s.domain(td)
	if err != nil {
		return nil, err
	}
	if snapshot := d.current.Load(); snapshot != nil {
		return snapshot, nil
	}
	return nil, ErrNotReady
}

// Load asks every source once, many at the same time, and returns when all have
// answered or ctx has ended. No source takes longer than ten seconds. The error
// joins those of the trust domains whose document was not obtained; the others
// are ready all the same, and Run goes on where Load ended. One that was kept on
// disk is ready as well, whatever its source says.
func (s *Set) Load(ctx context.Context) error {
	s.tidy()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		faults  []error // guarded by mu
		slots   = make(chan struct{}, maxLoading)
		domains = *s.domains.Load()
		asked   = make(map[spiffeid.TrustDomain]chan struct{}, len(domains)) // closed then
	)
	for name := range domains {
		asked[name] = make(chan struct{})
	}
	for name, d := range domains {
		wg.Go(func() {
			defer close(asked[name])
			if by, e := judgedBy(d.source); e != nil && by != name {
				<-asked[by] // whose bundle is needed; there is no circle
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			if _, err := s.attempt(ctx, d, FetchOptions{}); err != nil && !errors.Is(err, errEnded) {
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
//
// Fetches on demand end with it, and none begins before the next Run: whatever is
// stored or written afterwards, somebody else has asked for. Only a disk that does
// not answer may end a write later.
func (s *Set) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errAlreadyRunning
	}
	defer s.running.Store(false)
	s.flights.open()
	defer s.flights.close()
	s.tidy()
	var wg sync.WaitGroup
	s.setStart(func(d *domain) {
		wg.Go(func() { s.poll(ctx, d) })
		if w, ok := d.source.(Watcher); ok {
			wg.Go(func() { watch(ctx, d, w) })
		}
	})
	// Also with nothing to poll, Run lasts as long as its caller expects.
	<-ctx.Done()
	s.setStart(nil) // from here on nothing is added to wg
	wg.Wait()
	return nil
}

// setStart says how trust domains are polled, from now on and those that there
// are; nil ends it.
func (s *Set) setStart(start func(*domain)) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.start = start; start == nil {
		return
	}
	for _, d := range *s.domains.Load() {
		start(d)
	}
}

// poll asks one source again and again.
func (s *Set) poll(ctx context.Context, d *domain) {
	for s.waitForTurn(ctx, d) {
		_, _ = s.attempt(ctx, d, FetchOptions{}) // it is in the log and in the status
	}
}

// waitForTurn returns true when the source is to be asked, and false when it is
// not to be asked any more. An alarm that is raised by nothing but time is raised
// here.
func (s *Set) waitForTurn(ctx context.Context, d *domain) bool {
	poll := time.NewTimer(d.untilPoll(s.now()))
	defer poll.Stop()
	for {
		alarm := time.NewTimer(d.untilAlarm(s.now()))
		select {
		case <-ctx.Done():
		case <-d.ended:
		case <-poll.C:
			alarm.Stop()
			return true
		case <-d.wake:
			alarm.Stop()
			s.review(ctx, d) // its greatest age may be another one
			poll.Reset(d.untilPoll(s.now()))
			continue
		case <-alarm.C:
			s.review(ctx, d)
			continue
		}
		alarm.Stop()
		return false
	}
}

// attempt is one poll: it fetches, and plans the next one. An attempt that was
// given up taught nothing and puts off nothing.
func (s *Set) attempt(ctx context.Context, d *domain, options FetchOptions) (fetched, error) {
	f, err := s.fetch(ctx, d, options)
	if f.recorded {
		d.plan(s.now(), s.localInterval())
	}
	return f, err
}

// watch lets a source say that its document changed, for as long as it is
// polled.
func watch(ctx context.Context, d *domain, w Watcher) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-d.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Watch(ctx, d.changed)
}
