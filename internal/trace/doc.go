// Package trace notes where the time of a request goes, stage by stage, for some
// of the requests. A [Tracer] that is nil, and a [Request] that is nil, do
// nothing, so whoever calls them need not ask.
//
// What can be in a trace is what the fields of [Trace] can hold: times, stages,
// and facts that stand in the audit record, too. There is no field for a header, a
// query, a token or an assertion.
//
// Nothing is sent here. Package otlp makes spans of what it is handed.
package trace
