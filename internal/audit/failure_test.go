package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// A weakFile is a real file with a disk that fails as told.
type weakFile struct {
	*os.File
	writes  atomic.Int64 // calls of Write
	syncs   atomic.Int64
	mu      sync.Mutex
	room    int   // bytes it still takes; negative is no bound
	sync    error // what Sync says
	noCut   error // what Truncate says
	blocked chan struct{}
}

func (f *weakFile) set(change func(*weakFile)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *weakFile) Write(b []byte) (int, error) {
	f.writes.Add(1)
	f.mu.Lock()
	blocked := f.blocked
	f.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room >= 0 && len(b) > f.room {
		n, _ := f.File.Write(b[:f.room])
		f.room = 0
		return n, syscall.ENOSPC
	}
	if f.room >= 0 {
		f.room -= len(b)
	}
	return f.File.Write(b)
}

func (f *weakFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.syncs.Add(1)
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

func (f *weakFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noCut != nil {
		return f.noCut
	}
	return f.File.Truncate(size)
}

// weakLog is a Log on a weakFile, and the file's path.
func weakLog(t *testing.T, cfg Config) (*Log, *weakFile, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	weak := &weakFile{File: f, room: -1}
	l := newLog(cfg, weak, true)
	l.start()
	t.Cleanup(func() { l.Close() })
	return l, weak, path
}

func events(lines []map[string]any) string {
	var names []string
	for _, line := range lines {
		names = append(names, line["event"].(string))
	}
	return strings.Join(names, " ")
}

func TestAU6FullDisk(t *testing.T) {
	// How much of the failing line still fits.
	for name, room := range map[string]int{"nothing fits": 0, "one byte fits": 1, "half fits": 90} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, said := newLogger()
				l, weak, path := weakLog(t, Config{Log: logger})
				record(t, l, granted("before"))
				weak.set(func(f *weakFile) { f.room = room })
				for range 3 {
					_, err := l.Record(t.Context(), granted("lost"))
					unavailable(t, err)
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("the cause is missing in %v", err)
					}
					if err := l.Healthy(); !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("Healthy says %v", err)
					}
					if lines := linesOf(t, path); len(lines) != 1 {
						t.Fatalf("part of a line was left: %v", lines)
					}
				}
				// Probed at most once a second.
				tried := weak.writes.Load()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := weak.writes.Load() - tried; n < 5 || n > 10 {
					t.Errorf("%d probes in 10 s", n)
				}
				if l.Healthy() == nil {
					t.Error("healthy on a full disk")
				}
				// With room again it recovers without a request.
				weak.set(func(f *weakFile) { f.room = -1 })
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if err := l.Healthy(); err != nil {
					t.Fatal(err)
				}
				record(t, l, granted("after"))
				closed(t, l)
				lines := linesOf(t, path)
				if got := events(lines); got != "token resumed token" || lines[1]["failed_events"] != 3.0 || lines[2]["seq"] != 3.0 {
					t.Errorf("lines %v", lines)
				}
				verified(t, path)
				if n := strings.Count(said.String(), "cannot be recorded"); n != 1 {
					t.Errorf("the failure is logged %d times", n)
				}
			})
		})
	}
}

func TestAU6TheNextEventTriesAtOnce(t *testing.T) {
	l, weak, path := weakLog(t, Config{})
	weak.set(func(f *weakFile) { f.room = 10 })
	_, err := l.Record(t.Context(), granted("lost"))
	unavailable(t, err)
	weak.set(func(f *weakFile) { f.room = -1 })
	record(t, l, granted("next"))
	if err := l.Healthy(); err != nil {
		t.Error(err)
	}
	lines := linesOf(t, path)
	if events(lines) != "resumed token" || lines[0]["failed_events"] != 1.0 {
		t.Errorf("lines %v", lines)
	}
	verified(t, path)
}

func TestAU6APartOfALineThatCannotBeCutOffYet(t *testing.T) {
	l, weak, path := weakLog(t, Config{})
	record(t, l, granted("before"))
	weak.set(func(f *weakFile) { f.room, f.noCut = 50, syscall.EIO })
	_, err := l.Record(t.Context(), granted("lost"))
	unavailable(t, err)
	weak.set(func(f *weakFile) { f.room = -1 }) // takes bytes again, but behind the part of a line
	_, err = l.Record(t.Context(), granted("lost"))
	unavailable(t, err)
	weak.set(func(f *weakFile) { f.noCut = nil })
	record(t, l, granted("after"))
	if lines := linesOf(t, path); events(lines) != "token resumed token" || lines[1]["failed_events"] != 2.0 {
		t.Errorf("lines %v", lines)
	}
	verified(t, path)
}

func TestOneWritePerEvent(t *testing.T) {
	l, weak, _ := weakLog(t, Config{})
	for range 20 {
		record(t, l, granted("r"))
	}
	if n := weak.writes.Load(); n != 20 {
		t.Errorf("%d writes for 20 events", n)
	}
}

func TestSyncedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, weak, _ := weakLog(t, Config{})
		record(t, l, granted("r"))
		time.Sleep(time.Second)
		synctest.Wait()
		if n := weak.syncs.Load(); n != 1 {
			t.Errorf("%d syncs in the second after a write", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := weak.syncs.Load(); n != 1 {
			t.Errorf("%d syncs without another write", n)
		}
		record(t, l, granted("r"))
		closed(t, l)
		if n := weak.syncs.Load(); n != 2 {
			t.Errorf("Close made it %d syncs", n)
		}
	})
}

func TestFsyncEverySyncsFirst(t *testing.T) {
	l, weak, _ := weakLog(t, Config{Fsync: FsyncEvery})
	for i := range int64(5) {
		record(t, l, granted("r"))
		if n := weak.syncs.Load(); n != i+1 {
			t.Fatalf("%d syncs after %d events", n, i+1)
		}
	}
}

func TestAU6FailedSync(t *testing.T) {
	t.Run("in the background", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, weak, path := weakLog(t, Config{})
			record(t, l, granted("r"))
			weak.set(func(f *weakFile) { f.sync = syscall.EIO })
			time.Sleep(time.Second)
			synctest.Wait()
			if err := l.Healthy(); !errors.Is(err, syscall.EIO) {
				t.Fatalf("Healthy says %v", err)
			}
			for range 3 {
				_, err := l.Record(t.Context(), granted("lost"))
				unavailable(t, err)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if lines := linesOf(t, path); events(lines) != "token" {
				t.Fatalf("a line that could not be synced says all is well: %v", lines)
			}
			weak.set(func(f *weakFile) { f.sync = nil })
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if err := l.Healthy(); err != nil {
				t.Fatal(err)
			}
			closed(t, l)
			if lines := linesOf(t, path); events(lines) != "token resumed" || lines[1]["failed_events"] != 3.0 {
				t.Errorf("lines %v", lines)
			}
			verified(t, path)
		})
	})
	t.Run("before the answer", func(t *testing.T) {
		l, weak, path := weakLog(t, Config{Fsync: FsyncEvery})
		record(t, l, granted("r"))
		weak.set(func(f *weakFile) { f.sync = syscall.EIO })
		_, err := l.Record(t.Context(), granted("written, not synced"))
		unavailable(t, err)
		if err := l.Healthy(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Healthy says %v", err)
		}
		weak.set(func(f *weakFile) { f.sync = nil })
		record(t, l, granted("r"))
		if lines := linesOf(t, path); events(lines) != "token token resumed token" || lines[2]["failed_events"] != 1.0 {
			t.Errorf("lines %v", lines)
		}
		verified(t, path)
	})
}

// After a failed sync the kernel reports success the next time, whatever became
// of the pages.
func TestAWriteInDoubtStaysSo(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	weak := &weakFile{File: f, room: -1, sync: syscall.EIO}
	var d durable
	first, second := d.wrote(), d.wrote()
	if err := d.sync(weak, first); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	weak.sync = nil
	if err := d.sync(weak, second); !errors.Is(err, syscall.EIO) {
		t.Errorf("written before the failed sync, and called durable: %v", err)
	}
	if err := d.sync(weak, d.wrote()); err != nil {
		t.Errorf("written after it: %v", err)
	}
}

func TestAHungDiskDoesNotCollectRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, weak, path := weakLog(t, Config{})
		record(t, l, granted("before"))
		release := make(chan struct{})
		weak.set(func(f *weakFile) { f.blocked = release })
		stuck := make(chan error)
		go func() {
			_, err := l.Record(t.Context(), granted("stuck"))
			stuck <- err
		}()
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Record(ctx, granted("waits"))
		unavailable(t, err)
		if l.Healthy() == nil {
			t.Error("healthy while the disk hangs")
		}
		close(release)
		if err := <-stuck; err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if err := l.Healthy(); err != nil {
			t.Error(err)
		}
		closed(t, l)
		if lines := linesOf(t, path); events(lines) != "token token resumed" || lines[2]["failed_events"] != 1.0 {
			t.Errorf("lines %v", lines)
		}
	})
}

// A caller that goes away while it waits must not make the server unready.
func TestACancelledWaitIsNoFailure(t *testing.T) {
	l, _, _ := weakLog(t, Config{})
	if err := l.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.Record(ctx, granted("gone"))
	unavailable(t, err)
	if err := l.Healthy(); err != nil {
		t.Error(err)
	}
	l.release()
	record(t, l, granted("r"))
}

func TestAFileChangedUnderTheServer(t *testing.T) {
	rows := []struct {
		name   string
		change func(path string) error
		want   error
	}{
		{"nothing changed", func(string) error { return nil }, nil},
		{"renamed", func(path string) error { return os.Rename(path, path+".1") }, nil},
		{"deleted", os.Remove, errDeleted},
		{"cut off", func(path string) error { return os.Truncate(path, 10) }, errAltered},
		{"emptied", func(path string) error { return os.Truncate(path, 0) }, errAltered},
		{"written by somebody else", func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("a line of somebody else\n")
			return err
		}, errAltered},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _, path := weakLog(t, Config{})
				record(t, l, granted("r"))
				if err := row.change(path); err != nil {
					t.Fatal(err)
				}
				record(t, l, granted("r")) // not noticed yet: one look a second, not one an event
				time.Sleep(time.Second)
				synctest.Wait()
				if err := l.Healthy(); !errors.Is(err, row.want) {
					t.Fatalf("Healthy says %v, want %v", err, row.want)
				}
				if row.want == nil {
					record(t, l, granted("r"))
					return
				}
				_, err := l.Record(t.Context(), granted("r"))
				unavailable(t, err)
				if !errors.Is(err, row.want) || !errors.Is(err, oauth.Unavailable) {
					t.Errorf("Record says %v", err)
				}
			})
		})
	}
}
