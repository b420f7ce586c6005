// Package spoken says lengths of time, and how many there are of a thing, as people
// say them, for output that is read and not parsed. It knows no clock.
package spoken
