package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
)

// Tick is the unit in which the kernel counts CPU time for /proc: USER_HZ is 100
// on every architecture that Go runs on. A run must take many of them.
const Tick = 10 * time.Millisecond

// Usage is what a process has used.
type Usage struct {
	CPU time.Duration // user and system, of all its threads, also those that ended
	RSS int64         // bytes, now
}

var errStat = errors.New("unexpected process statistics")

// UsageOf reads /proc/PID/stat.
func UsageOf(pid int) (Usage, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	return parseStat(raw)
}

// parseStat takes fields 14, 15 and 24 of proc(5). The second is the name of the
// program in parentheses, which may hold anything, so counting begins after it.
func parseStat(raw []byte) (Usage, error) {
	end := bytes.LastIndexByte(raw, ')')
	fields := bytes.Fields(raw[end+1:])
	if end < 0 || len(fields) < 22 {
		return Usage{}, errStat
	}
	var user, system, pages int64
	if _, err := fmt.Sscan(fmt.Sprintf("%s %s %s", fields[11], fields[12], fields[21]), &user, &system, &pages); err != nil {
		return Usage{}, errStat
	}
	return Usage{CPU: time.Duration(user+system) * Tick, RSS: pages * int64(os.Getpagesize())}, nil
}
