package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// One durable row and one read of it, for so many callers, beside an append and a
// sync of each, one after the other, on the same disk: rows/s of the first over rows/s
// of the second is what grouping commits is worth.
func BenchmarkDurableRow(b *testing.B) {
	for _, callers := range []int{16, 64} {
		b.Run(fmt.Sprintf("store/%d", callers), func(b *testing.B) {
			s, err := Open(b.Context(), Config{Address: "sqlite:" + filepath.Join(b.TempDir(), "x.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			err = s.write(b.Context(), func(w *writing) error {
				_, err := w.exec(`CREATE TABLE rows (digest BLOB PRIMARY KEY, client TEXT NOT NULL, expires INTEGER NOT NULL) STRICT`)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			concurrently(b, callers, func(ctx context.Context, n int64) error {
				digest := fmt.Appendf(nil, "%032x", n)
				if err := s.write(ctx, func(w *writing) error {
					_, err := w.exec(`INSERT INTO rows VALUES (?, 'spiffe://example.org/ns/ci/sa/build', ?)`, digest, n)
					return err
				}); err != nil {
					return err
				}
				return s.read(ctx, func(r *reading) error {
					var expires int64
					return r.row(`SELECT expires FROM rows WHERE digest = ?`, []any{digest}, &expires)
				})
			})
		})
	}
	b.Run("append", func(b *testing.B) {
		f, err := os.OpenFile(filepath.Join(b.TempDir(), "x"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		row := make([]byte, 80)
		for b.Loop() {
			if _, err := f.Write(row); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

// concurrently has exactly so many goroutines call.
func concurrently(b *testing.B, callers int, call func(ctx context.Context, n int64) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	ended := make(chan error, callers)
	for range callers {
		go func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					ended <- nil
					return
				}
				if err := call(context.Background(), n); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	for range callers {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
