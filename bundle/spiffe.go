package bundle

import (
	"context"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// judgedBy is the trust domain whose bundle judges the endpoint that a source asks, and
// the endpoint; it is nil where there is none with the profile https_spiffe.
func judgedBy(s Source) (spiffeid.TrustDomain, *Endpoint) {
	if e, ok := s.(*Endpoint); ok && !e.spiffe.ID.IsZero() {
		return e.spiffe.ID.TrustDomain(), e
	}
	return spiffeid.TrustDomain{}, nil
}

// Ask asks a source that is not in use, or not yet: nothing is taken, and the status
// tells nothing of it. An endpoint with the profile https_spiffe in a trust domain other
// than td is judged by the bundle in use of that one (BE-8), any other one by its
// initial bundle (BE-7).
func (s *Set) Ask(ctx context.Context, td spiffeid.TrustDomain, source Source) (Document, error) {
	return s.ask(ctx, td, source, nil)
}

// ask asks a source of the bundle of a trust domain, which is nil while there is none.
func (s *Set) ask(ctx context.Context, td spiffeid.TrustDomain, source Source, current *Snapshot) (Document, error) {
	by, e := judgedBy(source)
	switch {
	case e == nil || by == td && current == nil:
		return source.Fetch(ctx)
	case by == td:
		return e.fetch(ctx, current)
	}
	snapshot, err := s.trusted(by)
	if err != nil {
		return Document{}, fmt.Errorf("bundle: endpoint %s: its X.509-SVID is judged by the bundle of %s (BE-8): %w", shownURL(e.url), by, err)
	}
	return e.fetch(ctx, snapshot)
}

var errTooOld = errors.New("that bundle is older than max_stale (BE-15)")

// trusted is the bundle of a trust domain, as long as it is good for anything.
func (s *Set) trusted(td spiffeid.TrustDomain) (*Snapshot, error) {
	d, err := s.domain(td)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	current := d.current.Load()
	switch {
	case current == nil:
		return nil, ErrNotReady
	case d.maxAge > 0 && current.Age(s.now()) > d.maxAge:
		//svidgate:rule BE-15
		return nil, errTooOld
	}
	return current, nil
}

// checkJudges reports what an endpoint with the profile https_spiffe lacks to be judged
// by: its initial bundle, the trust domain that it is in, or a beginning, where trust
// domains wait for each other in a circle.
func checkJudges(all []TrustDomain) (faults []error) {
	needs := map[spiffeid.TrustDomain]spiffeid.TrustDomain{}
	there := map[spiffeid.TrustDomain]bool{}
	for _, td := range all {
		there[td.Name] = true
		if by, e := judgedBy(td.Source); e != nil && by != td.Name {
			needs[td.Name] = by
		}
	}
	for _, td := range all {
		by, ok := needs[td.Name]
		if !ok {
			if _, e := judgedBy(td.Source); e != nil && e.spiffe.Initial == nil {
				//svidgate:rule BE-7
				faults = append(faults, fmt.Errorf("trust domain %s: its own endpoint needs an initial bundle (BE-7)", td.Name))
			}
			continue
		}
		if !there[by] {
			//svidgate:rule BE-8
			faults = append(faults, fmt.Errorf("trust domain %s: its endpoint is in %s, which is not configured (BE-8)", td.Name, by))
			continue
		}
		for range all {
			if by, ok = needs[by]; !ok || by == td.Name {
				break
			}
		}
		if ok {
			//svidgate:rule BE-8
			faults = append(faults, fmt.Errorf("trust domain %s: its endpoint is known by a bundle that comes from an endpoint which is known by this one (BE-8)", td.Name))
		}
	}
	return faults
}
