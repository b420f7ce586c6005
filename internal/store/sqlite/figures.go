package sqlite

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// countEvery is how old the number of rows may be that is told: to count them is to
// read a whole index.
const countEvery = time.Minute

// figures are what is told of the store.
type figures struct {
	failing atomic.Bool               // the last commit failed
	unready atomic.Bool               // the last look found it so
	begun   atomic.Pointer[time.Time] // when the commit under way began, or nil
	commits prometheus.Histogram
	units   prometheus.Histogram
	refused prometheus.Counter
	expired prometheus.Counter

	mu      sync.Mutex
	rows    map[string]int64 // guarded by mu; by table
	counted time.Time        // guarded by mu
}

func newFigures() figures {
	return figures{
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "svidgate_store_commit_duration_seconds", Help: "Time to do and commit what was waiting, or to find that it could not be.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
		}),
		units: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "svidgate_store_commit_writes", Help: "Writes that one commit held.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, maxBatch},
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "svidgate_store_writes_refused_total", Help: "Writes that were refused because too many waited, or because they had waited too long.",
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "svidgate_store_expired_rows_total", Help: "Rows that were deleted because they had expired.",
		}),
	}
}

func (f *figures) observe(took time.Duration, units int) {
	f.commits.Observe(took.Seconds())
	f.units.Observe(float64(units))
}

var (
	healthyDesc = prometheus.NewDesc("svidgate_store_healthy", "1 while the store takes writes, as far as it is known.", nil, nil)
	bytesDesc   = prometheus.NewDesc("svidgate_store_bytes", "Size of the file of the store and of its write-ahead log; 0 in memory.", nil, nil)
	rowsDesc    = prometheus.NewDesc("svidgate_store_rows", "Rows that the store holds, with those that have expired and are not deleted yet.", []string{"table"}, nil)
)

// Describe is [prometheus.Collector].
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	f := &s.figures
	for _, c := range []prometheus.Collector{f.commits, f.units, f.refused, f.expired} {
		c.Describe(ch)
	}
	ch <- healthyDesc
	ch <- bytesDesc
	ch <- rowsDesc
}

// Collect is [prometheus.Collector].
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	f := &s.figures
	for _, c := range []prometheus.Collector{f.commits, f.units, f.refused, f.expired} {
		c.Collect(ch)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	healthy := 1.0
	if f.failing.Load() {
		healthy = 0
	}
	gauge(healthyDesc, healthy)
	gauge(bytesDesc, float64(s.size()))
	for table, n := range s.count() {
		gauge(rowsDesc, float64(n), table)
	}
}

func (s *Store) size() int64 {
	var all int64
	if s.path != "" {
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(s.path + suffix); err == nil {
				all += info.Size()
			}
		}
	}
	return all
}

// count is the rows of each table, as of a minute ago at most; of none where the store
// cannot be read.
func (s *Store) count() map[string]int64 {
	f := &s.figures
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := s.config.Now(); f.rows == nil || now.Sub(f.counted) >= countEvery || now.Before(f.counted) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		f.counted, f.rows = now, map[string]int64{}
		for _, table := range s.tables(ctx) {
			err := s.read(ctx, func(r *reading) error { // each by itself: a long snapshot holds up checkpoints
				var n int64
				err := r.row(fmt.Sprintf(`SELECT count(*) FROM %s`, table), nil, &n)
				f.rows[table] = n
				return err
			})
			if err != nil {
				delete(f.rows, table)
			}
		}
	}
	return f.rows
}

// tables are those of the users of state.
func (s *Store) tables(ctx context.Context) (names []string) {
	s.read(ctx, func(r *reading) error {
		return r.rows(`SELECT name FROM sqlite_schema WHERE type = 'table'`, nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			if !strings.HasPrefix(name, "store_") && !strings.HasPrefix(name, "sqlite_") && name != versionTable {
				names = append(names, name)
			}
			return err
		})
	})
	return names
}
