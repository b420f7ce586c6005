package main

import (
	"sync/atomic"
	"time"
)

// A clock stands still until it is set forward. It begins at the hour of the machine,
// because the certificates of this run do.
type clock struct {
	began time.Time
	past  atomic.Int64 // nanoseconds since began
}

func newClock() *clock { return &clock{began: time.Now().Truncate(time.Second)} }

// Now is what it shows.
func (c *clock) Now() time.Time { return c.began.Add(c.elapsed()).Round(0) }

func (c *clock) elapsed() time.Duration { return time.Duration(c.past.Load()) }

func (c *clock) set(elapsed time.Duration) { c.past.Store(int64(elapsed)) }
