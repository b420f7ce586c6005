package bundle

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A watched source tells the test that it is being watched.
type watched struct {
	*memory
	changed chan func()   // gets the callback when watching begins
	ended   chan struct{} // closed when it ends
}

func (w *watched) Watch(ctx context.Context, changed func()) {
	w.changed <- changed
	<-ctx.Done()
	close(w.ended)
}

func watching(document []byte) *watched {
	return &watched{holding(document), make(chan func(), 1), make(chan struct{})}
}

// A source that tells of a change is asked at once; tells that come together are
// taken for one, and one that comes during an answer is not lost.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := watching(jwtDocument(t, nil, "one"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		stop := run(t, s)
		changed := <-source.changed
		time.Sleep(time.Minute)
		synctest.Wait()
		if source.count() != 1 {
			t.Fatalf("BE-13 %d polls", source.count())
		}
		source.give(jwtDocument(t, nil, "two"))
		changed()
		synctest.Wait()
		if !hasKey(s, td, "two") || source.count() != 2 {
			t.Errorf("%d polls after a change", source.count())
		}

		// During an answer, many times.
		next := jwtDocument(t, nil, "three")
		source.set(func(context.Context) (Document, error) {
			time.Sleep(time.Second)
			return Document{Bytes: next}, nil
		})
		changed()
		synctest.Wait()
		for range 100 {
			changed()
		}
		time.Sleep(10 * time.Second)
		if n := source.count(); n != 4 {
			t.Errorf("%d polls after 100 changes in one answer, want 2", n-2)
		}
		if all := gaps(source.times()); all[len(all)-1] != time.Second {
			t.Errorf("BE-17 two at the same time: %v", all)
		}

		// Polling goes on by its plan as well.
		before := source.count()
		time.Sleep(time.Hour)
		if n := source.count() - before; n < 10 || n > 14 {
			t.Errorf("BE-13 %d polls in an hour", n)
		}
		stop()
		<-source.ended
		changed() // too late, and does no harm
	})
}

// A change is a reason to ask even while nothing was obtained.
func TestWatchFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := watching(nil)
		source.fail()
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := newSet(t, td)
		stop := run(t, s)
		defer stop()
		changed := <-source.changed
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		source.give(jwtDocument(t, nil, "a"))
		changed()
		synctest.Wait()
		if !hasKey(s, td, "a") {
			t.Error("BE-14 it waits for the end of its back-off")
		}
	})
}

// BE-16: watching ends with the trust domain, and begins with it.
func TestWatchReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := watching(jwtDocument(t, nil, "a")), watching(jwtDocument(t, nil, "b"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: first}
		s := newSet(t, td)
		stop := run(t, s)
		<-first.changed
		td.Source = second
		mustReplace(t, s, td)
		<-first.ended
		changed := <-second.changed
		synctest.Wait()
		if !hasKey(s, td, "b") {
			t.Fatal("the second source was not asked")
		}
		asked := second.count()
		changed()
		synctest.Wait()
		if second.count() != asked+1 || first.count() != 1 {
			t.Errorf("%d and %d polls", first.count(), second.count())
		}
		stop()
		<-second.ended
	})
}
