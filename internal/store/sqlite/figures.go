package sqlite

import (
	"sync/atomic"
	"time"
)

// figures are what is told of the store.
type figures struct {
	failing    atomic.Bool  // the last commit failed
	overflowed atomic.Int64 // writes that found no room
	expired    atomic.Int64 // rows deleted
}

func (f *figures) observe(took time.Duration, units int) {}
