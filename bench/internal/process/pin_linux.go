package process

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin keeps this process on one core from now on, with one thread that runs Go
// code at a time. Cores count from 0.
func Pin(core int) error {
	var set unix.CPUSet
	set.Set(core)
	runtime.GOMAXPROCS(1)
	// Affinity belongs to threads. New ones take that of their maker, so one that
	// is made meanwhile is seen by the second look at the latest.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH { // that one has ended
				return err
			}
		}
	}
	return nil
}

// pinned calls start on a thread that is pinned to a core, so that what it starts
// is, too. A Go program sees one CPU then and sets GOMAXPROCS by it.
func pinned(core int, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	return start()
}
