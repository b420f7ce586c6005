package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/store"
)

// documentOf is the content and version of the signing keys, whatever they are.
func documentOf(t *testing.T, d keys.Document) (string, int64) {
	t.Helper()
	content, version, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(content), version
}

func replace(t *testing.T, d keys.Document, version int64, content string) bool {
	t.Helper()
	ok, err := d.Replace(t.Context(), version, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestDocuments is what [keys.Document] promises.
func TestDocuments(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	d := s.SigningKeys()
	if content, version := documentOf(t, d); content != "" || version != 0 {
		t.Errorf("a new store has %q, version %d", content, version)
	}

	// Contention: of any number that replace one version, one does.
	for round := range 5 {
		_, version := documentOf(t, d)
		won := AtOnce(t, func(i int) (bool, error) {
			return d.Replace(t.Context(), version, fmt.Appendf(nil, "round %d caller %d", round, i))
		})
		if _, after := documentOf(t, d); won != 1 || after != version+1 {
			t.Errorf("round %d: %d replaced version %d, and it is %d", round, won, version, after)
		}
	}
	content, version := documentOf(t, d)
	for _, wrong := range []int64{0, version - 1, version + 1, -1} {
		if replace(t, d, wrong, "x") {
			t.Errorf("version %d was replaced and is not there", wrong)
		}
	}

	// Who no longer waits changes nothing.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := d.Replace(ended, version, []byte("x")); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", ok, err)
	}

	// Full disk: a plain error, nothing half written, and all is well when there is room.
	mend := place.Fill()
	large := bytes.Repeat([]byte("x"), 100<<10)
	if ok, err := d.Replace(t.Context(), version, large); ok || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("on a full disk: %v, %v", ok, err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("on a full disk it is healthy: %v", err)
	}
	if now, v := documentOf(t, d); now != content || v != version {
		t.Errorf("it is %.40q, version %d", now, v)
	}
	mend()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if !replace(t, d, version, content) {
		t.Error("there is room again, and it was not replaced")
	}
	version++

	// Restart: what was kept is there.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // closed, it is no more there for anybody
		if _, _, err := d.Read(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("closed, it says %v", err)
		}
		if _, err := d.Replace(t.Context(), version, nil); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("closed, it says %v", err)
		}
	}
	s = place.Open(t, clock.Now)
	d = s.SigningKeys()
	if now, v := documentOf(t, d); now != content || v != version {
		t.Errorf("after a restart it is %q, version %d; it was %q, version %d", now, v, content, version)
	}

	// Restored from yesterday: what was kept then is there, whole, and the store works.
	place.Keep(t)
	clock.Advance(24 * time.Hour)
	if !replace(t, d, version, "of today") {
		t.Error("it was not replaced")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	place.Restore(t)
	s = place.Open(t, clock.Now)
	defer s.Close()
	d = s.SigningKeys()
	if now, v := documentOf(t, d); now != content || v != version {
		t.Errorf("restored, it is %q, version %d", now, v)
	}
	if replace(t, d, version+1, "x") || !replace(t, d, version, "of today, again") {
		t.Error("restored, it does not take changes")
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
