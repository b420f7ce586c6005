package login

import (
	"testing"
	"time"
)

// TestDecoy: what an unknown user's password is compared with is read as a hash, is
// nobody's, and takes no turn of those who sign in: a configuration comes into force
// while as many wait as may (GL-16).
func TestDecoy(t *testing.T) {
	for _, password := range []string{"", "correct horse battery staple"} {
		if right, err := matches(t.Context(), password, decoy()); right || err != nil {
			t.Errorf("AZ-12 %q: %t, %v", password, right, err)
		}
	}
	for range cap(waiting) {
		waiting <- struct{}{}
		defer func() { <-waiting }()
	}
	if _, err := hash(t.Context(), "correct horse battery staple"); err != errBusy {
		t.Errorf("one more than may wait: %v", err)
	}
	if _, err := New(Config{State: struct{ State }{}, Local: true, Now: time.Now}); err != nil {
		t.Errorf("a desk meanwhile: %v", err)
	}
}
