package config_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestGuesses: a few slips are answered with what was meant, and a file full of
// them is still reported whole.
func TestGuesses(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "profil%d: seed\n", i)
	}
	got := strings.Split(faults(t, server+b.String()), "\n")
	if len(got) != 100 {
		t.Fatalf("%d faults, want 100", len(got))
	}
	for i, want := range map[int]string{
		0:  `4:1: unknown key "profil0"; did you mean "profile"?`,
		49: `53:1: unknown key "profil49"; did you mean "profile"?`,
		50: `54:1: unknown key "profil50"`,
		99: `103:1: unknown key "profil99"`,
	} {
		if got[i] != want {
			t.Errorf("%s, want %s", got[i], want)
		}
	}
}
