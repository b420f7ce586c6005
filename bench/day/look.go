package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bench/internal/process"
	"github.com/svidgate/svidgate/bench/internal/world"
	"github.com/svidgate/svidgate/internal/daemon"
)

// A look is what there is at an hour.
type look struct {
	hour       int
	store      int64 // bytes, with the write-ahead log
	audit      int64 // bytes
	heap, rss  int64 // bytes, of the daemon and of those who ask it
	goroutines int
	rows       map[string]float64 // of the store, by table
	maps       map[string]float64 // in memory, by metric and labels
}

// look looks after all that has expired is gone and the garbage is collected.
func (d *day) look(ctx context.Context, hour int) (look, error) {
	if err := d.node.Expire(ctx); err != nil {
		return look{}, err
	}
	runtime.GC()
	runtime.GC() // what has a finalizer goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	usage, err := process.UsageOf(os.Getpid())
	if err != nil {
		return look{}, err
	}
	l := look{
		hour: hour, heap: int64(m.HeapAlloc), rss: usage.RSS, goroutines: runtime.NumGoroutine(), rows: map[string]float64{}, maps: map[string]float64{},
		audit: size(filepath.Join(d.state, "audit.jsonl")),
	}
	for _, suffix := range []string{"", "-wal"} {
		l.store += size(world.StoreFile(d.state) + suffix)
	}
	return l, d.metrics(ctx, &l)
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// inMemory are the metrics that say how many of something there are in memory.
var inMemory = []string{"svidgate_clients{", "svidgate_revocations{", "svidgate_signing_keys", "svidgate_http_requests_in_flight"}

// metrics asks the daemon.
func (d *day) metrics(ctx context.Context, l *look) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.daemon.Addresses()[daemon.Status]+"/metrics", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 4<<20))
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			continue
		}
		if table, ok := strings.CutPrefix(name, `svidgate_store_rows{table="`); ok {
			l.rows[strings.TrimSuffix(table, `"}`)] = value
		}
		if slices.ContainsFunc(inMemory, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) && value != 0 {
			l.maps[name] = value
		}
	}
	return lines.Err()
}

const mega = 1e6

// String is what is printed of it.
func (l look) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "hour %d: store %.1f MB, heap %.1f MB, RSS %.1f MB, %d goroutines, audit record %.1f MB\n",
		l.hour, float64(l.store)/mega, float64(l.heap)/mega, float64(l.rss)/mega, l.goroutines, float64(l.audit)/mega)
	for _, part := range []struct {
		title string
		of    map[string]float64
	}{{"rows", l.rows}, {"in memory", l.maps}} {
		fmt.Fprintf(&b, "  %s:", part.title)
		for _, name := range slices.Sorted(maps.Keys(part.of)) {
			fmt.Fprintf(&b, " %s %.0f", strings.TrimPrefix(name, "svidgate_"), part.of[name])
		}
		b.WriteString("\n")
	}
	return b.String()
}
