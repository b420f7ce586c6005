package main

import (
	"testing"
	"time"
)

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", time.Second: "1s", 59 * time.Second: "59s", time.Minute: "1m",
		90 * time.Second: "1m30s", time.Hour: "1h", 61 * time.Minute: "1h1m", time.Hour + time.Second: "1h",
		24 * time.Hour: "1d", 25*time.Hour + time.Minute: "1d1h", 720 * time.Hour: "30d",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
