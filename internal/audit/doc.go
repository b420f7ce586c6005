// Package audit keeps the record of decisions: what an [Event] is, how it is
// written as one line of JSON, the [Log] that chains the lines and puts them
// into a file before an answer leaves, and [Verify], which finds the first line
// that was changed.
//
// Recorded means that write(2) returned. There is no queue in memory: a crash of
// the process loses no event whose answer was sent. A crash of the machine can
// lose what was written in its last second, unless every write is synced.
//
// The package decides nothing and knows no request: its callers fill plain
// strings. It does not rotate files, send them anywhere or sign checkpoints.
// The chain alone shows a change in the middle of a file; that somebody cut off
// the end, or wrote the whole file anew, shows only against a digest kept
// elsewhere.
//
// Rules AU-1, AU-2, AU-3 (the chain), AU-6 and AK-31 of docs/requirements.md;
// the record is described field by field in docs/audit-record.md.
package audit
