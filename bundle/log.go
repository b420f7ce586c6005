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
	keyKept        = "kept_file"
	keyOrigin      = "origin"
	keyConfirmed   = "confirmed"
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
	keyAlarm       = "alarm"
)

// logFetch writes what an operator needs afterwards to see who was asked, and
// what for (BE-18). A file is looked at all the time, so of a file only what is
// new is logged.
func (s *Set) logFetch(ctx context.Context, d *domain, f *fetched, repeated bool) {
	if f.document.Local && repeated && f.after != nil && f.before != nil && f.warning == "" && !f.changed() {
		return // as nearly every time
	}
	log := s.logOf(d, f)
	if !f.document.Local || !repeated {
		s.logOutcome(ctx, log, f)
	}
	if f.after == nil {
		return
	}
	if f.warning != "" {
		log.WarnContext(ctx, "bundle accepted with a warning", keyWhy, f.warning)
	}
	if f.changed() && f.after.empty() {
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

// logOf is a log that names the trust domain and where its source asks.
func (s *Set) logOf(d *domain, f *fetched) *slog.Logger {
	where := keyURL
	if f.document.Local {
		where = keyFile
	}
	return s.log.With(keyTrustDomain, d.name.Name(), where, d.origin)
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
