package replay

import (
	"testing"
	"time"
)

func BenchmarkUse(b *testing.B) {
	var c clock
	m := New(1<<21, c.Now)
	owners := make([]string, 64)
	for i := range owners {
		owners[i] = "spiffe://example.org/" + owner(i)
	}
	const each = 20 * time.Microsecond
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := c.now.Add(int64(each))
			if _, err := m.Use(owners[n/int64(each)%64], digest(int(n)), c.Now().Add(time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
