package storetest

import (
	"errors"
	"testing"

	"github.com/svidgate/svidgate/internal/store"
)

// TestSchema has a store refused whose schema is ahead, and left as it is.
func TestSchema(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	if !replace(t, s.SigningKeys(), 0, "kept") {
		t.Fatal("it was not kept")
	}
	if err := s.Expire(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := place.Later(t); !errors.Is(err, store.ErrNewer) {
		t.Errorf("one schema ahead: %v", err)
	}
	s = place.Open(t, clock.Now)
	defer s.Close()
	if content, version := documentOf(t, s.SigningKeys()); content != "kept" || version != 1 {
		t.Errorf("it is %q, version %d", content, version)
	}
}
