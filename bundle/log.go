package bundle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// Keys of the log lines.
const (
	keyTrustDomain = "trust_domain"
	keyURL         = "url"
	keyFile        = "file"
	keyRedirects   = "redirects"
	keyOutcome     = "outcome"
	keySequence    = "sequence"
	keyGeneration  = "generation"
	keyDuration    = "duration"
	keyError       = "error"
	keyRule        = "rule"
	keyIndex       = "index"
	keyUse         = "use"
	keyWhy         = "why"
)

// logFetch writes what an operator needs afterwards to see who was asked, and
// what for (BE-18). A file is looked at every second, so of a file only what is
// new is logged.
func (s *Set) logFetch(ctx context.Context, d *domain, f *fetched, repeated bool) {
	where := keyURL
	if f.document.Local {
		where = keyFile
	}
	log := s.log.With(keyTrustDomain, d.name.Name(), where, f.document.Origin)
	if !f.document.Local || !repeated {
		s.logOutcome(ctx, log, f)
	}
	if f.after == nil {
		return
	}
	if f.warning != "" {
		log.WarnContext(ctx, "bundle accepted with a warning", keyWhy, f.warning)
	}
	if f.changed() && len(f.after.anchors) == 0 && len(f.after.keys) == 0 {
		log.WarnContext(ctx, "bundle has nothing usable: every SVID of the trust domain is refused", keyRule, "BU-3")
	}
	if f.before == nil || !slices.Equal(f.before.leftOut, f.after.leftOut) {
		for _, l := range f.after.leftOut {
			log.WarnContext(ctx, "bundle entry left out", keyIndex, l.Index, keyUse, l.Use, keyRule, l.Rule, keyWhy, l.Why)
		}
	}
	if f.before == nil || !slices.Equal(f.before.notes, f.after.notes) {
		for _, n := range f.after.notes {
			log.WarnContext(ctx, "bundle note", keyIndex, n.Index, keyUse, n.Use, keyRule, n.Rule, keyWhy, n.Why)
		}
	}
}

func (s *Set) logOutcome(ctx context.Context, log *slog.Logger, f *fetched) {
	level, outcome := slog.LevelInfo, "unchanged"
	attrs := []slog.Attr{slog.Duration(keyDuration, s.now().Sub(f.started))}
	if len(f.document.Redirects) > 0 {
		attrs = append(attrs, slog.Any(keyRedirects, f.document.Redirects))
	}
	switch {
	case f.err != nil:
		level, outcome = slog.LevelWarn, "failed"
		if refused, ok := errors.AsType[*DocumentError](f.err); ok {
			outcome = "refused"
			attrs = append(attrs, slog.String(keyRule, refused.Rule))
		}
		attrs = append(attrs, slog.String(keyError, f.err.Error()))
	case f.changed():
		outcome = "changed"
	}
	if f.after != nil {
		if sequence, ok := f.after.Sequence(); ok {
			attrs = append(attrs, slog.Uint64(keySequence, sequence))
		}
		attrs = append(attrs, slog.Uint64(keyGeneration, f.after.generation))
	}
	attrs = append(attrs, slog.String(keyOutcome, outcome))
	log.LogAttrs(ctx, level, "bundle fetched", attrs...)
}
