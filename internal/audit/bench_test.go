package audit

import (
	"context"
	"path/filepath"
	"testing"
)

// As many callers as the figures have connections; BenchmarkRecord has one and
// many more.
func BenchmarkRecord16(b *testing.B) {
	l := open(b, Config{File: filepath.Join(b.TempDir(), "audit.jsonl")})
	e := granted("01JD8Q6N3V6S9W1Y5T2R7K4M0C")
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Record(context.Background(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
