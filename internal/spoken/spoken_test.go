package spoken

import (
	"math"
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	for _, row := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s ago"},
		{499 * time.Millisecond, "0s ago"},
		{500 * time.Millisecond, "1s ago"},
		{59*time.Minute + 59*time.Second, "59m59s ago"},
		{time.Hour, "1h ago"},
		{25*time.Hour + 10*time.Minute, "1d1h ago"},
		{-2 * time.Minute, "in 2m"},
		{math.MaxInt64, "106751d23h ago"},
		{math.MinInt64, "in 106751d23h"},
	} {
		if got := Since(row.d); got != row.want {
			t.Errorf("%d: %q, want %q", row.d, got, row.want)
		}
	}
	if got := Duration(-time.Minute); got != "-1m" {
		t.Errorf("%q", got)
	}
}
