package otlp

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/svidgate/svidgate/internal/trace"
)

// Export makes spans of a request: one for all of it, and below that one for each
// stage. It does not wait; the sending is somebody else's.
func (e *Exporter) Export(t *trace.Trace) {
	options := []oteltrace.SpanStartOption{
		oteltrace.WithTimestamp(t.Began),
		oteltrace.WithSpanKind(oteltrace.SpanKindServer),
		oteltrace.WithAttributes(facts(&t.Facts)...),
	}
	if link, ok := linkTo(t.Link); ok {
		options = append(options, oteltrace.WithLinks(link))
	}
	ctx, whole := e.tracer.Start(context.Background(), t.Endpoint, options...)
	for _, s := range t.Stages {
		_, span := e.tracer.Start(ctx, string(s.Stage), oteltrace.WithTimestamp(s.Began))
		if s.Reason != "" {
			span.SetAttributes(said(nil, "reason", s.Reason, "rule", s.Rule)...)
			span.SetStatus(codes.Error, s.Reason)
		}
		span.End(oteltrace.WithTimestamp(s.Ended))
	}
	if t.Failed { // a refusal is an answer; only what is our own fault is an error
		whole.SetStatus(codes.Error, t.Reason)
	}
	whole.End(oteltrace.WithTimestamp(t.Ended))
}

func facts(f *trace.Facts) []attribute.KeyValue {
	return said(nil,
		"request_id", f.RequestID, "txn", f.Txn, "outcome", f.Outcome, "reason", f.Reason, "rule", f.Rule,
		"trust_domain", f.TrustDomain, "client_id", f.ClientID, "auth_method", f.AuthMethod)
}

// said appends those pairs of name and value that have a value.
func said(all []attribute.KeyValue, pairs ...string) []attribute.KeyValue {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all = append(all, attribute.String(pairs[i], pairs[i+1]))
		}
	}
	return all
}

func linkTo(l trace.Link) (oteltrace.Link, bool) {
	if l == (trace.Link{}) {
		return oteltrace.Link{}, false
	}
	c := oteltrace.SpanContextConfig{TraceID: l.TraceID, SpanID: l.SpanID, Remote: true}
	if l.Sampled {
		c.TraceFlags = oteltrace.FlagsSampled
	}
	return oteltrace.Link{SpanContext: oteltrace.NewSpanContext(c)}, true
}
