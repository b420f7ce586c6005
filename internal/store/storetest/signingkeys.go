package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/keys"
)

// TestSigningKeys has several processes share their signing keys (KR-2, KR-3).
func TestSigningKeys(t *testing.T, place Place) {
	clock := NewClock()
	s := place.Open(t, clock.Now)
	secret := make([]byte, 32)
	rand.Read(secret)
	encryption, err := keys.ParseEncryptionKeys(base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	open := func(s Store) *keys.Ring {
		t.Helper()
		ring, err := keys.Open(keys.Config{Document: s.SigningKeys(), Encryption: encryption, PublishAhead: 3 * time.Second, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}

	// Contention: of many that start at once, one makes the key.
	var mu sync.Mutex
	var rings []*keys.Ring
	AtOnce(t, func(int) (bool, error) {
		ring := open(s)
		mu.Lock()
		defer mu.Unlock()
		rings = append(rings, ring)
		return true, nil
	})
	for _, ring := range rings {
		if ring.Signer().KeyID != rings[0].Signer().KeyID || len(ring.List()) != 1 {
			t.Fatalf("%v, not %v", ring, rings[0])
		}
	}

	// One removes the key; the others take that over.
	a, b := rings[0], rings[1]
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	leaked := a.Signer().KeyID
	if _, err := a.Remove(leaked); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); b.Signer().KeyID == leaked && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	running.Wait()
	if b.Signer().KeyID != a.Signer().KeyID || bytes.Contains(b.JWKS(), []byte(leaked)) {
		t.Errorf("the other process has %v, not %v", b, a)
	}

	// All rotate at once: nobody's change is lost, and one key comes of it.
	before := a.Signer().KeyID
	AtOnce(t, func(i int) (bool, error) {
		_, err := rings[i].Rotate(false)
		return err == nil, err
	})
	fresh := open(s)
	if all := fresh.List(); len(all) != 2 || fresh.Signer().KeyID != before {
		t.Errorf("there are %v", all)
	}

	// Restart, and at rest nothing is readable.
	want := fresh.JWKS()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = place.Open(t, clock.Now)
	defer s.Close()
	if got := open(s).JWKS(); !bytes.Equal(got, want) {
		t.Errorf("after a restart there are %s, not %s", got, want)
	}
	content, _ := documentOf(t, s.SigningKeys())
	for _, plain := range []string{"private_key", "ES256", before} {
		if bytes.Contains([]byte(content), []byte(plain)) {
			t.Errorf("the store holds %q in the clear", plain)
		}
	}
}
