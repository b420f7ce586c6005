// Package spoken says lengths of time as people say them, for output that is read
// and not parsed. It knows no clock.
package spoken
