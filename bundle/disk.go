package bundle

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// diskWait is how long anybody waits for the disk that bundles are kept on. One
// that hangs must keep no bundle from use, and no server from its end.
const diskWait = time.Second

var (
	errDiskHangs  = errors.New("the disk has not answered within " + diskWait.String())
	errSuperseded = errors.New("it was not written: what came after it counts")
)

type diskAction int

const (
	diskRead diskAction = iota
	diskWrite
	diskRemove
	diskSweep // removes what has no use, if it still has none
)

// A diskTask is one thing to do with one file.
type diskTask struct {
	action diskAction
	do     func() error
	clears bool // what was on its way before it must not come back, as for a removal
	ended  chan struct{}
	err    error // to be read once ended is closed
}

// A diskQueue does the tasks of one file in their order, in one goroutine that is
// there only while there are any. Nobody has to wait for it. A write or a removal
// takes the place of those that have not begun.
type diskQueue struct {
	mu      sync.Mutex // guards what follows; never held while the disk is asked
	waiting []*diskTask
	working bool
	late    bool // somebody waited in vain, and nothing has ended since
}

func (q *diskQueue) add(action diskAction, do func() error) *diskTask {
	task := &diskTask{action: action, do: do, clears: action == diskRemove, ended: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	if action == diskWrite || action == diskRemove {
		q.waiting = slices.DeleteFunc(q.waiting, func(t *diskTask) bool {
			if t.action != diskWrite && t.action != diskRemove {
				return false
			}
			task.clears = task.clears || t.clears
			t.err = errSuperseded
			close(t.ended)
			return true
		})
	}
	q.waiting = append(q.waiting, task)
	if !q.working {
		q.working = true
		go q.work()
	}
	return task
}

func (q *diskQueue) work() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.working = false
			q.mu.Unlock()
			return
		}
		task := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.mu.Unlock()
		task.err = task.do()
		q.mu.Lock()
		q.late = false
		q.mu.Unlock()
		close(task.ended)
	}
}

// wait returns what became of a task, or errDiskHangs when ctx ends before. Of a
// disk that hangs already nothing is expected.
func (q *diskQueue) wait(ctx context.Context, task *diskTask) error {
	q.mu.Lock()
	late := q.late
	q.mu.Unlock()
	if !late {
		select {
		case <-task.ended:
		case <-ctx.Done():
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-task.ended:
		return task.err
	default:
		q.late = true
		return errDiskHangs
	}
}

// removing reports whether the file was to be removed after the task under way
// began: what that is about to write must not come back (BE-16).
func (q *diskQueue) removing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.waiting, func(t *diskTask) bool { return t.clears })
}

func (q *diskQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.working
}

// waitForDisk is a context for those who wait for it.
func waitForDisk() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), diskWait)
}
