package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svidgate/svidgate/internal/store"
)

// addresses are those that every test of the core runs at.
func addresses(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("file", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "a b%?#.db")) })
	t.Run("memory", func(t *testing.T) { test(t, "memory:") })
}

// opened is an open store with a table of this test.
func opened(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	do(t, s, func(w *writing) error {
		_, err := w.exec(`CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, n INTEGER NOT NULL CHECK (n < 1000)) STRICT`)
		return err
	})
	return s
}

func do(t *testing.T, s *Store, work func(*writing) error) {
	t.Helper()
	if err := s.write(t.Context(), work); err != nil {
		t.Fatal(err)
	}
}

func things(t *testing.T, s *Store) string {
	t.Helper()
	var out []string
	err := s.read(t.Context(), func(r *reading) error {
		return r.rows(`SELECT name, n FROM things ORDER BY name`, nil, func(scan func(...any) error) error {
			var name string
			var n int
			err := scan(&name, &n)
			out = append(out, fmt.Sprintf("%s=%d", name, n))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func insert(name string, n int) func(w *writing) error {
	return func(w *writing) error {
		_, err := w.exec(`INSERT INTO things VALUES (?, ?)`, name, n)
		return err
	}
}

// stopped has the writer wait, so that what is put in the queue until then is one
// batch.
func stopped(s *Store) (goOn func()) {
	hold, held := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		s.write(context.Background(), func(*writing) error { close(held); <-hold; return nil })
	})
	<-held
	return func() { close(hold); done.Wait() }
}

// queued has a unit wait for its turn and returns where its result comes.
func queued(t *testing.T, s *Store, ctx context.Context, work func(*writing) error) <-chan error {
	t.Helper()
	before, result := len(s.queue), make(chan error, 1)
	go func() { result <- s.write(ctx, work) }()
	for len(s.queue) == before {
		select {
		case err := <-result:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	return result
}

// A unit that fails undoes itself and nothing else of its commit.
func TestUnitFailsAlone(t *testing.T) {
	addresses(t, func(t *testing.T, address string) {
		s := opened(t, Config{Address: address})
		errMine := errors.New("mine")
		accepted := func(err error) bool { return err == nil }
		rows := []struct {
			name string
			work func(*writing) error
			want func(error) bool
		}{
			{"accepted", insert("a", 1), accepted},
			{"an error of its own", func(w *writing) error { return errors.Join(insert("b", 1)(w), errMine) }, func(err error) bool { return errors.Is(err, errMine) }},
			{"a constraint", func(w *writing) error { return errors.Join(insert("c", 1)(w), insert("c", 2)(w)) }, func(err error) bool { return strings.Contains(err.Error(), "UNIQUE") }},
			{"a panic", func(w *writing) error { insert("d", 1)(w); panic("x") }, func(err error) bool { return errors.Is(err, errPanic) }},
			{"goes on after a constraint", func(w *writing) error {
				if err := insert("e", 1000)(w); !isConstraint(err) {
					return fmt.Errorf("the constraint says %v", err)
				}
				return insert("e", 5)(w)
			}, accepted},
		}
		goOn := stopped(s)
		var results []<-chan error
		for _, row := range rows {
			results = append(results, queued(t, s, t.Context(), row.work))
		}
		goOn()
		for i, row := range rows {
			if err := <-results[i]; !row.want(err) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: the error is %v", row.name, err)
			}
		}
		if got := things(t, s); got != "a=1 e=5" {
			t.Errorf("there is %s", got)
		}
	})
}

// Who waits may give up; what has begun is finished.
func TestContextOfAUnit(t *testing.T) {
	s := opened(t, Config{Address: "memory:"})
	ctx, cancel := context.WithCancel(t.Context())
	goOn := stopped(s)
	waiting := queued(t, s, ctx, insert("waiting", 1))
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	goOn()
	ctx, cancel = context.WithCancel(t.Context())
	if err := s.write(ctx, func(w *writing) error { cancel(); return insert("begun", 1)(w) }); err != nil {
		t.Error(err)
	}
	if err := s.write(ctx, insert("late", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if err := s.read(ctx, func(*reading) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if got := things(t, s); got != "begun=1" {
		t.Errorf("there is %s", got)
	}
}

// Nobody waits longer than five seconds for a turn, with whatever context; what has
// begun by then is finished.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, Config{Address: "memory:"})
		start := time.Now()
		hold := make(chan struct{})
		begun := make(chan error, 1)
		go func() {
			begun <- s.write(context.Background(), func(w *writing) error { <-hold; return insert("begun", 1)(w) })
		}()
		synctest.Wait()
		if err := s.write(context.Background(), insert("late", 1)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the error is %v", err)
		}
		if waited := time.Since(start); waited != patience {
			t.Errorf("it waited %v", waited)
		}
		time.Sleep(time.Minute)
		close(hold)
		if err := <-begun; err != nil {
			t.Error(err)
		}
		if got := things(t, s); got != "begun=1" {
			t.Errorf("there is %s", got)
		}
		if n := told(t, s)["svidgate_store_writes_refused_total"]; n != 1 {
			t.Errorf("%v refused writes are counted", n)
		}
		do(t, s, func(*writing) error { return nil }) // nothing is left in the queue: a writer that waits for readers is not at rest
		var held sync.WaitGroup
		hold = make(chan struct{})
		for range readers {
			held.Go(func() { s.read(context.Background(), func(*reading) error { <-hold; return nil }) })
		}
		synctest.Wait()
		start = time.Now()
		if err := s.read(context.Background(), func(*reading) error { return nil }); !errors.Is(err, store.ErrUnavailable) || time.Since(start) != patience {
			t.Errorf("after %v the error is %v", time.Since(start), err)
		}
		close(hold)
		held.Wait()
		if got := things(t, s); got != "begun=1" {
			t.Errorf("there is %s", got)
		}
		s.Close()
	})
}

// GL-15: a commit that hangs is known to readiness when others would be refused for it,
// although reads go on.
func TestGL15CheckKnowsThatAWriteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, Config{Address: "sqlite:" + storeFile(t)})
		check := func(when string, ready bool) {
			t.Helper()
			if err := s.Check(t.Context()); (err == nil) != ready || err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v", when, err)
			}
		}
		goOn := stopped(s)
		time.Sleep(patience - time.Millisecond)
		check("a commit takes its time", true)
		time.Sleep(time.Millisecond)
		check("it takes too long", false)
		if got := things(t, s); got != "" {
			t.Errorf("there is %s", got)
		}
		goOn()
		do(t, s, func(*writing) error { return nil })
		check("afterwards", true)
		s.Close()
	})
}

// Who is done does not wait for long units of others: a commit ends with them.
func TestLongUnitsEndACommit(t *testing.T) {
	for name, row := range map[string]struct {
		takes time.Duration
		want  string
	}{
		"short": {0, "nobody"},
		"long":  {maxUnits, "a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, Config{Address: "memory:"})
			goOn := stopped(s)
			unitOf := func(work func(*writing) error) *unit {
				u := &unit{work: work, result: make(chan error, 1)}
				if err := s.put(u); err != nil {
					t.Fatal(err)
				}
				return u
			}
			a := unitOf(func(w *writing) error { time.Sleep(row.takes); return insert("a", 1)(w) })
			answered := "nobody" // when b begins
			b := unitOf(func(w *writing) error {
				if len(a.result) > 0 {
					answered = "a"
				}
				return insert("b", 1)(w)
			})
			goOn()
			if err := errors.Join(<-b.result, <-a.result); err != nil || answered != row.want {
				t.Errorf("%s: %s was answered before b began, %v", name, answered, err)
			}
			if got := things(t, s); got != "a=1 b=1" {
				t.Errorf("%s: there is %s", name, got)
			}
			s.Close()
		})
	}
}

// A queue that is full answers at once.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, Config{Address: "memory:"})
		goOn := stopped(s)
		var waiting sync.WaitGroup
		for i := range maxQueue {
			waiting.Go(func() {
				if err := s.write(context.Background(), insert(fmt.Sprint(i), 1)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := s.write(t.Context(), insert("more", 1)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the error is %v", err)
		}
		goOn()
		waiting.Wait()
		do(t, s, insert("more", 1))
		s.Close()
	})
}

// What was accepted before Close is there after it; what comes later is refused.
func TestCloseAndOpenAgain(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	s := opened(t, Config{Address: address})
	goOn := stopped(s)
	accepted := queued(t, s, t.Context(), insert("accepted", 1))
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for late := error(nil); !errors.Is(late, store.ErrUnavailable); { // until Close has begun
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if late = s.put(&unit{result: make(chan error, 1), work: func(*writing) error { return ctx.Err() }}); late == nil {
			time.Sleep(time.Millisecond)
		}
	}
	goOn()
	if err := errors.Join(<-accepted, <-closed, s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.read(t.Context(), func(*reading) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if left, _ := filepath.Glob(strings.TrimPrefix(address, "sqlite:") + "-*"); left != nil {
		t.Errorf("beside the file are %v", left)
	}
	if got := things(t, opened(t, Config{Address: address})); got != "accepted=1" {
		t.Errorf("there is %s", got)
	}
}

// A time keeps its microsecond, and is never later than it was.
func TestStamp(t *testing.T) {
	for _, row := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Date(2026, 7, 1, 12, 0, 0, 1999, time.UTC), time.Date(2026, 7, 1, 12, 0, 0, 1000, time.UTC)},
		{time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 3600)), time.Date(2026, 7, 1, 11, 0, 0, 0, time.UTC)},
	} {
		if got := when(stamp(row.in)); got != row.want {
			t.Errorf("%v becomes %v", row.in, got)
		}
	}
}

// A store that others could read is refused, and so is what is none of ours.
func TestWhatIsRefused(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string){
		"readable for the group": func(t *testing.T, path string) {
			opened(t, Config{Address: "sqlite:" + path}).Close()
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"a folder": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"no database": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("something else", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		path := filepath.Join(t.TempDir(), "x.db")
		make(t, path)
		if _, err := Open(t.Context(), Config{Address: "sqlite:" + path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	for _, address := range []string{"", "sqlite:", "x.db", "postgres://localhost/x"} {
		if _, err := Open(t.Context(), Config{Address: address}); err == nil {
			t.Errorf("%q is opened", address)
		}
	}
	path := filepath.Join(t.TempDir(), "x.db")
	opened(t, Config{Address: "sqlite:" + path})
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if info, err := os.Stat(path + suffix); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info.Mode(), err)
		}
	}
}
