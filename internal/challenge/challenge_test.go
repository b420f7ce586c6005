package challenge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/challenge"
)

// EC-11, PP-12: a challenge is good in its slot of 5 minutes and in the next, at every
// server with the key, and nowhere else.
func TestCurrent(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) // where a slot begins
	clock := func() time.Time { return now }
	ours, twin := challenge.New([32]byte{1}, clock), challenge.New([32]byte{1}, clock)
	other := challenge.New([32]byte{2}, clock)
	given := ours.Fresh()
	for _, step := range []struct {
		after time.Duration
		good  bool
	}{{0, true}, {5*time.Minute - time.Second, true}, {5 * time.Minute, true}, {10*time.Minute - time.Second, true}, {10 * time.Minute, false}, {-time.Second, false}, {time.Hour, false}} {
		now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC).Add(step.after)
		for name, c := range map[string]*challenge.Challenges{"the same": ours, "another with its key": twin} {
			if got := c.Current(given); got != step.good {
				t.Errorf("PP-12 after %s, asked of %s: %t, want %t", step.after, name, got, step.good)
			}
		}
		if other.Current(given) {
			t.Errorf("PP-12 after %s a server with another key takes it", step.after)
		}
	}
	now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, wrong := range []string{"", given[1:], given + "A", strings.ToUpper(given), given + "="} {
		if ours.Current(wrong) {
			t.Errorf("PP-12 %q is taken for %q", wrong, given)
		}
	}
	if again := ours.Fresh(); again != given {
		t.Errorf("PP-13 two challenges in one slot: %s, %s", given, again)
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	c := challenge.New([32]byte{'c', 'a', 'n', 'a', 'r', 'y'}, time.Now)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, c); got != "challenges" {
			t.Errorf("AU-2 %s: %s", verb, got)
		}
	}
}
