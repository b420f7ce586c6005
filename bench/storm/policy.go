package main

import (
	"math/rand/v2"
	"time"
)

// The behaviour of package client, value by value; a test compares them.
const (
	firstDelay   = 500 * time.Millisecond
	maxDelay     = 30 * time.Second
	longestPause = time.Hour
	timeout      = 10 * time.Second

	renewFrom, renewTo = 0.5, 0.8 // of a token's life
)

// A backoff spaces out attempts after failures.
type backoff struct{ failures int }

// after is when to try again after a failure; asked is what the server said in
// Retry-After.
func (b *backoff) after(now time.Time, asked time.Duration) time.Time {
	delay := min(firstDelay<<min(b.failures, 10), maxDelay)
	b.failures++
	until := now.Add(jitter(delay, 0.8, 1.2))
	if asked > 0 {
		if later := now.Add(jitter(min(asked, longestPause), 1, 1.2)); later.After(until) {
			until = later
		}
	}
	return until
}

func jitter(d time.Duration, low, high float64) time.Duration {
	return time.Duration(float64(d) * (low + (high-low)*rand.Float64()))
}
