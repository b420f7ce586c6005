package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/store/powerloss"
)

func newDisk(t *testing.T) *powerloss.Disk {
	t.Helper()
	d, err := powerloss.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

var errRefused = errors.New("refused")

// A unit of the load writes a row and its twin, of some pages, or fails and must leave
// nothing.
func unitOf(name string, fails bool, size int) func(*writing) error {
	return func(w *writing) error {
		for _, table := range []string{"left", "right"} {
			if _, err := w.exec(`INSERT INTO pair_`+table+` VALUES (?, zeroblob(?))`, name, size); err != nil {
				return err
			}
		}
		if fails {
			return errRefused
		}
		return nil
	}
}

// found are the names of a table.
func found(t *testing.T, s *Store, table string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := s.read(t.Context(), func(r *reading) error {
		return r.rows(`SELECT name FROM `+table, nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			names[name] = true
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPowerLoss cuts the power at a random moment of a load, again and again, also
// while the store recovers from the cut before: what was acknowledged is there, what
// was refused is not, nothing is there by half, and the file is sound.
func TestPowerLoss(t *testing.T) {
	runs := 200
	if testing.Short() {
		runs = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	var before, after string
	var promised map[string]bool // what was there, or acknowledged, at the last cut
	cuts, kept := 0, 0
	for run := range runs {
		if run%10 == 0 { // also a store that is just made
			before, promised = "", map[string]bool{}
		}
		if before == "" {
			before = filepath.Join(t.TempDir(), "x.db")
		}
		disk := newDisk(t)
		s, err := Open(t.Context(), Config{Address: "sqlite:" + before, VFS: disk.VFS()})
		if err != nil {
			t.Fatalf("run %d: it does not open: %v", run, err)
		}
		acknowledged, refused := load(t, s, disk, run, chance.Uint64())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		end := disk.Position()
		at := chance.IntN(end + 1)
		if chance.IntN(4) == 0 { // the last moments have everything to lose
			at = end - chance.IntN(min(end, 40))
		}
		after = filepath.Join(t.TempDir(), "x.db")
		if err := disk.Cut(at, chance, filepath.Dir(after)); err != nil {
			t.Fatal(err)
		}
		cuts++
		for name, position := range acknowledged {
			if position <= at {
				promised[name] = true
			}
		}
		promised = inspect(t, after, promised, refused, fmt.Sprintf("run %d, cut at %d of %d", run, at, end))
		kept = max(kept, len(promised))
		if t.Failed() {
			return
		}
		before = after
	}
	t.Logf("%d cuts, up to %d units kept", cuts, kept)
	if kept < 20 {
		t.Error("hardly anything was at stake")
	}
}

// load has 8 callers write, and returns what was acknowledged, with the position of
// the disk after that, and what was refused.
func load(t *testing.T, s *Store, disk *powerloss.Disk, run int, seed uint64) (acknowledged map[string]int, refused map[string]bool) {
	acknowledged, refused = map[string]int{}, map[string]bool{}
	err := s.write(t.Context(), func(w *writing) error {
		for _, table := range []string{"left", "right"} {
			if _, err := w.exec(`CREATE TABLE IF NOT EXISTS pair_` + table + ` (name TEXT PRIMARY KEY, load BLOB NOT NULL) STRICT`); err != nil {
				return err
			}
		}
		var pages int
		return w.row(`PRAGMA wal_autocheckpoint = 20`, nil, &pages) // many checkpoints
	})
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu     sync.Mutex
		group  sync.WaitGroup
		caller = func(i int) {
			chance := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range 6 {
				name := fmt.Sprintf("%d/%d/%d", run, i, n)
				fails := chance.IntN(6) == 0
				err := s.write(context.Background(), unitOf(name, fails, chance.IntN(9000)))
				mu.Lock()
				switch {
				case fails && errors.Is(err, errRefused):
					refused[name] = true
				case !fails && err == nil:
					acknowledged[name] = disk.Position()
				default:
					t.Errorf("%s: %v", name, err)
				}
				mu.Unlock()
			}
		}
	)
	for i := range 8 {
		group.Go(func() { caller(i) })
	}
	group.Wait()
	return acknowledged, refused
}

// inspect opens what a power cut left, on a disk without faults, and returns what is
// there. What is opened is a copy: the next run recovers by itself.
func inspect(t *testing.T, path string, promised, refused map[string]bool, what string) map[string]bool {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "x.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(copied+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), Config{Address: "sqlite:" + copied})
	if err != nil {
		t.Fatalf("%s: it does not open: %v", what, err)
	}
	defer s.Close()
	var sound string
	var tables int
	err = s.read(t.Context(), func(r *reading) error {
		return errors.Join(r.row(`PRAGMA integrity_check`, nil, &sound), r.row(`SELECT count(*) FROM sqlite_schema WHERE name IN ('pair_left', 'pair_right')`, nil, &tables))
	})
	if err != nil || sound != "ok" || tables == 1 {
		t.Errorf("%s: %v, %q, %d tables", what, err, sound, tables)
	}
	if tables == 0 {
		if len(promised) > 0 {
			t.Errorf("%s: all is gone", what)
		}
		return map[string]bool{}
	}
	left, right := found(t, s, "pair_left"), found(t, s, "pair_right")
	for name := range left {
		if !right[name] {
			t.Errorf("%s: half of %s is there", what, name)
		}
		if refused[name] {
			t.Errorf("%s: %s was refused and is there", what, name)
		}
	}
	if len(left) != len(right) {
		t.Errorf("%s: %d rows and %d twins", what, len(left), len(right))
	}
	for name := range promised {
		if !left[name] {
			t.Errorf("%s: %s was acknowledged and is gone", what, name)
		}
	}
	return left
}

// A full disk: a plain error for whoever writes, nothing by half, reads go on, and
// writes go on when there is room.
func TestFullDisk(t *testing.T) {
	disk := newDisk(t)
	s := opened(t, Config{Address: "sqlite:" + filepath.Join(t.TempDir(), "x.db"), VFS: disk.VFS()})
	do(t, s, insert("before", 1))
	mend := disk.Fill()
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			err := s.write(context.Background(), insert(fmt.Sprint(i), 1))
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	group.Wait()
	if got := things(t, s); got != "before=1" {
		t.Errorf("there is %s", got)
	}
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("it is healthy: %v", err)
	}
	mend()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	do(t, s, insert("after", 1))
	if got := things(t, s); got != "after=1 before=1" {
		t.Errorf("there is %s", got)
	}
}

// A unit that refuses because of what another of the same commit did is not heard if
// the commit fails: what it refuses for is not there (GL-15).
func TestRefusedOnAFullDisk(t *testing.T) {
	disk := newDisk(t)
	s := opened(t, Config{Address: "sqlite:" + storeFile(t), VFS: disk.VFS()})
	once := func(w *writing) error { // what a second one of is refused
		var n int
		if err := w.row(`SELECT count(*) FROM things`, nil, &n); err != nil {
			return err
		}
		if n > 0 {
			return errRefused
		}
		return insert("the one", 1)(w)
	}
	both := func() (first, second error) {
		goOn := stopped(s)
		a, b := queued(t, s, t.Context(), once), queued(t, s, t.Context(), once)
		goOn()
		return <-a, <-b
	}
	mend := disk.Fill()
	if first, second := both(); !errors.Is(first, store.ErrUnavailable) || !errors.Is(second, store.ErrUnavailable) {
		t.Errorf("on a full disk: %v; %v", first, second)
	}
	mend()
	if first, second := both(); first != nil || second != errRefused {
		t.Errorf("with room: %v; %v", first, second)
	}
}

// A disk that hangs: who waits may give up, reads are answered, and what was accepted
// is done in the end.
func TestHangingDisk(t *testing.T) {
	disk := newDisk(t)
	s := opened(t, Config{Address: "sqlite:" + filepath.Join(t.TempDir(), "x.db"), VFS: disk.VFS()})
	goOn := disk.Hang()
	accepted, begun := make(chan error, 1), make(chan struct{})
	go func() {
		accepted <- s.write(context.Background(), func(w *writing) error { close(begun); return insert("accepted", 1)(w) })
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	waiting := queued(t, s, ctx, insert("gave up", 1))
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if got := things(t, s); got != "" {
		t.Errorf("there is %s", got)
	}
	goOn()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if got := things(t, s); got != "accepted=1" {
		t.Errorf("there is %s", got)
	}
}
