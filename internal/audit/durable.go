package audit

import (
	"sync"
	"sync/atomic"
)

// durable knows which writes have reached the disk. Each write has a ticket;
// one sync serves every writer that wrote before it began.
type durable struct {
	tickets atomic.Uint64 // of the last write

	mu     sync.Mutex
	synced uint64 // every ticket up to here is on disk
	doubt  uint64 // no ticket up to here may be called so any more
	err    error  // why
}

// wrote gives the write that has just returned its ticket.
func (d *durable) wrote() uint64 { return d.tickets.Add(1) }

// sync returns when the write with this ticket is on disk.
//
// After a failed sync the kernel may drop what it could not write and report
// success the next time. So everything written up to a failure stays in doubt,
// also for writers that come to sync later.
func (d *durable) sync(f file, ticket uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ticket <= d.synced {
		return nil
	}
	if ticket <= d.doubt {
		return d.err
	}
	upTo := d.tickets.Load()
	if err := f.Sync(); err != nil {
		d.doubt, d.err = d.tickets.Load(), err
		return err
	}
	d.synced = upTo
	return nil
}
