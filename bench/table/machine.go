package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
)

// writeCircumstances says when, where and how: figures mean nothing without.
func (b *bench) writeCircumstances(w io.Writer, started time.Time) {
	placing := fmt.Sprintf("Servers on core %d with GOMAXPROCS 1, the generator on core %d", b.serverCore, b.loadCore)
	if b.serverCore == process.AnyCore {
		placing = "Servers and generator on the same core or wherever the system put them"
	}
	fmt.Fprintf(w, "%s, %s, %d cores, %s, Linux %s. `%s`: %s; TLS 1.3 and HTTP/1.1 on loopback, audit on, profile `latest`. %s.\n\n",
		started.UTC().Format("2006-01-02 15:04 MST"), cpuModel(), runtime.NumCPU(), runtime.Version(), kernel(), b.command, b.size, placing)
}

func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range bytes.Lines(raw) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	raw, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(raw))
}
