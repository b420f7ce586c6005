// Package otlp sends traces to a collector by OTLP over HTTP, and is the only
// importer of OpenTelemetry.
//
// Nothing waits for a collector: what it does not take in time is dropped, and
// the log tells once a minute at most. Its answers are read as far as the exporter
// of OpenTelemetry bounds them, redirects are not followed, and no proxy of the
// environment is used. A collector that wants headers, such as a key, gets those of
// OTEL_EXPORTER_OTLP_HEADERS, and OTEL_RESOURCE_ATTRIBUTES adds what tells servers
// apart; both are OpenTelemetry's own.
package otlp
