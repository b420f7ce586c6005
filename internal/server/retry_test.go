package server

import (
	"testing"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// GL-16: a caller over its rate is told the wait that is left, in whole seconds.
func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "1", time.Millisecond: "1", time.Second: "1", time.Second + 1: "2", 59 * time.Second: "59",
	} {
		if got := retryAfter(&oauth.Error{RetryAfter: wait}); got != want {
			t.Errorf("a wait of %s is told as %s, want %s", wait, got, want)
		}
	}
}
