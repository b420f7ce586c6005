// Package storetest holds every store to the same behaviour. A store has a test that
// calls Test with its [Place]; a user of state adds its interface to [Store] and a
// file with what is to hold of it, run by [Test].
//
// Imported by tests only.
package storetest

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/revocation"
)

// A Store is what all stores are.
type Store interface {
	// Run deletes what has expired until ctx ends, Expire what has expired now.
	Run(ctx context.Context) error
	Expire(ctx context.Context) error
	Check(ctx context.Context) error
	io.Closer

	SigningKeys() keys.Document
	Authorizations() authorization.Records
	People() login.State
	revocation.Store
	registration.Records
}

// A Place keeps the store of one test, empty at first.
type Place interface {
	// Open opens it with a clock. What was kept is there again after Close.
	Open(t *testing.T, now func() time.Time) Store
	// Keep remembers what the place holds, as a backup does while the store is open,
	// and Restore brings it back while it is closed.
	Keep(t *testing.T)
	Restore(t *testing.T)
	// Later is the error of opening it while it is closed and a later version of this
	// program has changed its schema, which is undone afterwards.
	Later(t *testing.T) error
	// Fill has the disk be full until mend is called: every write fails.
	Fill() (mend func())
}

// A Clock stands still until it is set forward.
type Clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// NewClock is a clock that shows noon of a summer's day.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)} }

func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance sets it forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// callers is how many goroutines contend.
const callers = 64

// AtOnce has so many goroutines call at once and returns how many said that they had
// won. An error fails the test.
func AtOnce(t *testing.T, call func(i int) (won bool, err error)) int {
	t.Helper()
	var (
		group sync.WaitGroup
		start = make(chan struct{})
		won   = make([]bool, callers)
		errs  = make([]error, callers)
	)
	for i := range callers {
		group.Go(func() {
			<-start
			won[i], errs[i] = call(i)
		})
	}
	close(start)
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	return n
}

// Test runs everything there is. Each test gets a place of its own.
func Test(t *testing.T, place func(t *testing.T) Place) {
	for _, one := range []struct {
		name string
		test func(t *testing.T, place Place)
	}{
		{"Schema", TestSchema},
		{"Documents", TestDocuments},
		{"SigningKeys", TestSigningKeys},
		{"Authorizations", TestAuthorizations},
		{"Revocations", TestRevocations},
		{"Records", TestRecords},
		{"People", TestPeople},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, place(t)) })
	}
}
