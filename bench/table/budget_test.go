package main

import "testing"

// TK-10: what `-check` fails at.
func TestInBudget(t *testing.T) {
	for p99, want := range map[float64]bool{0.4: true, 9.99: true, 10: false, 250: false} {
		if got := inBudget(p99); got != want {
			t.Errorf("%v ms: %t", p99, got)
		}
	}
}
