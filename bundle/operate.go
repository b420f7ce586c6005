package bundle

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// FetchOptions are an operator's wishes for one fetch.
type FetchOptions struct {
	// AcceptOlder takes a document even if its sequence is lower than that of the
	// bundle in use, and so resets the comparison (BU-14). It is for a publisher
	// who lost count.
	AcceptOlder bool
}

// A Change is what became of a fetch.
type Change struct {
	Before  *Snapshot // nil if there was none
	After   *Snapshot // nil after an error; Before then goes on
	Changed bool      // the anchors or keys are other ones
	Warning string    // what to look into though the document was taken
}

// Fetch asks the source of a trust domain now, by an operator's order: neither
// the plan nor the allowance of [Set.Refresh] stands in its way, but it waits for
// its turn while the source is being asked. It ends with ctx. The error is
// ErrUnknownTrustDomain or why nothing was taken.
func (s *Set) Fetch(ctx context.Context, td spiffeid.TrustDomain, options FetchOptions) (Change, error) {
	d, err := s.domain(td)
	if err != nil {
		return Change{}, err
	}
	f, err := s.attempt(ctx, d, options)
	if err != nil {
		return Change{Before: f.before}, err
	}
	return Change{Before: f.before, After: f.after, Changed: f.changed(), Warning: f.warning}, nil
}

// Peek asks the source of a trust domain and tells what its document holds. It
// takes nothing: the bundle in use and the status stay as they are.
func (s *Set) Peek(ctx context.Context, td spiffeid.TrustDomain) (*Snapshot, error) {
	d, err := s.domain(td)
	if err != nil {
		return nil, err
	}
	limited, done, err := d.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	f := fetched{started: s.now().Round(0)}
	f.document, f.err = s.ask(limited, d.name, d.source, d.current.Load())
	if f.err == nil {
		f.after, f.err = Parse(d.name, f.document.Bytes, f.started)
	}
	s.logPeek(ctx, d, &f) // BE-18
	return f.after, f.err
}

// logPeek writes that a source was asked though nothing was to be taken.
func (s *Set) logPeek(ctx context.Context, d *domain, f *fetched) {
	level, outcome := slog.LevelInfo, "shown"
	attrs := []slog.Attr{slog.Duration(keyDuration, s.now().Sub(f.started))}
	if f.err != nil {
		level, outcome = slog.LevelWarn, "failed"
		if _, ok := errors.AsType[*DocumentError](f.err); ok {
			outcome = "refused"
		}
		attrs = append(attrs, slog.String(keyError, f.err.Error()))
	}
	attrs = append(attrs, slog.String(keyOutcome, outcome))
	s.logOf(d, f).LogAttrs(ctx, level, "bundle looked at", attrs...)
}
