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

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", time.Second: "1s", 59 * time.Second: "59s", time.Minute: "1m",
		90 * time.Second: "1m30s", time.Hour: "1h", 61 * time.Minute: "1h1m", time.Hour + time.Second: "1h",
		24 * time.Hour: "1d", 25*time.Hour + time.Minute: "1d1h", 720 * time.Hour: "30d",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 keys", 1: "1 key", 2: "2 keys"} {
		if got := Count(n, "key"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
