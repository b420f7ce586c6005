package proven

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
)

func TestWhatWasPutIsFound(t *testing.T) {
	m := New[string, int](100, 50)
	m.Put("a.test", "k", 1)
	if v, ok := m.Get("a.test", "k"); !ok || v != 1 {
		t.Errorf("%d, %t", v, ok)
	}
	if _, ok := m.Get("a.test", "other"); ok {
		t.Error("another key is found")
	}
	if _, ok := m.Get("b.test", "k"); ok {
		t.Error("F7: another owner finds it")
	}
	m.Put("a.test", "k", 2)
	if v, _ := m.Get("a.test", "k"); v != 2 || m.Held() != 1 {
		t.Errorf("put again: %d, %d held", v, m.Held())
	}
}

// What is in use stays, however much else comes and goes.
func TestWhatIsInUseStays(t *testing.T) {
	m := New[int, int](100, 20)
	m.Put("a.test", -1, 7)
	for i := range 1000 {
		m.Put("a.test", i, i)
		if v, ok := m.Get("a.test", -1); !ok || v != 7 {
			t.Fatalf("forgotten after %d others", i)
		}
	}
	if _, ok := m.Get("a.test", 0); ok {
		t.Error("what nobody asked for is still there")
	}
}

// One owner never has more than its share, and takes nothing from another.
func TestShare(t *testing.T) {
	m := New[int, int](1000, 20)
	m.Put("quiet.test", 1, 1)
	for i := range 10_000 {
		m.Put("loud.test", i, i)
		if held := m.Held(); held > 21 {
			t.Fatalf("%d held after %d", held, i)
		}
	}
	if _, ok := m.Get("quiet.test", 1); !ok {
		t.Error("the loud one pushed it out")
	}
}

// All owners together stay within the limit, and the count is exact.
func TestLimit(t *testing.T) {
	m := New[int, int](100, 50)
	for i := range 10_000 {
		m.Put(fmt.Sprintf("%d.test", i%37), i, i)
		if held := m.Held(); held > 100 {
			t.Fatalf("%d held after %d", held, i)
		}
	}
	count := 0
	m.owners.Range(func(_, o any) bool {
		count += len(o.(*owned[int, int]).young) + len(o.(*owned[int, int]).old)
		return true
	})
	if count != m.Held() {
		t.Errorf("%d are there, %d counted", count, m.Held())
	}
}

func TestConcurrentUse(t *testing.T) {
	m := New[int, int](200, 50)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			owner := fmt.Sprintf("%d.test", g%3)
			for i := range 2000 {
				m.Put(owner, i%300, i%300)
				if v, ok := m.Get(owner, i%300); ok && v != i%300 {
					t.Errorf("%d is %d", i%300, v)
				}
			}
		})
	}
	wg.Wait()
	if held := m.Held(); held < 1 || held > 200+8 {
		t.Errorf("%d held", held)
	}
}

func BenchmarkGet(b *testing.B) {
	type key [104]byte // as long as that of a signature
	keys := make([]key, 10_000)
	m := New[key, struct{}](1<<16, 1<<16)
	for i := range keys {
		binary.LittleEndian.PutUint64(keys[i][:], uint64(i))
		m.Put("a.test", keys[i], struct{}{})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := m.Get("a.test", keys[i%len(keys)]); !ok {
			b.Fatal("not found")
		}
	}
}

// A share is the memory's own, found once.
func TestShareOfAnOwner(t *testing.T) {
	m := New[string, int](100, 50)
	a, b := m.Share("a.test"), m.Share("b.test")
	a.Put("k", 1)
	if v, ok := m.Get("a.test", "k"); !ok || v != 1 {
		t.Errorf("put in a share: %d, %t", v, ok)
	}
	m.Put("a.test", "k", 2)
	if v, ok := a.Get("k"); !ok || v != 2 || m.Held() != 1 {
		t.Errorf("put in the memory: %d, %t, %d held", v, ok, m.Held())
	}
	if _, ok := b.Get("k"); ok {
		t.Error("F7: another owner finds it")
	}
	if v, ok := m.Share("a.test").Get("k"); !ok || v != 2 {
		t.Errorf("asked for again: %d, %t", v, ok)
	}
}
