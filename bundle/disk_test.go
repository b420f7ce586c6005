package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hang makes the disk of a trust domain's file hang until back is called.
func hang(t *testing.T, s *Set, td TrustDomain) (back func()) {
	t.Helper()
	d, err := s.domain(td.Name)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	d.file.disk.add(diskRead, func() error { <-ended; return nil })
	return func() { close(ended) }
}

// A disk that hangs keeps no bundle from use, no other trust domain from changing
// and no Run from its end. What it does late neither comes after something newer nor
// brings back what is gone.
func TestKeepOnHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		folder := t.TempDir()
		source := holding(jwtDocument(t, nil, "a"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source, Refresh: Refresh{Min: time.Second, Max: time.Second}}
		gone := TrustDomain{Name: trustDomain(t, "gone.test"), Source: holding(jwtDocument(t, nil, "a"))}
		s := keeping(t, folder, &record, td, gone)
		mustLoad(t, s)
		back, backToo := hang(t, s, td), hang(t, s, gone)
		stop := run(t, s)
		source.give(jwtDocument(t, nil, "b"))
		started, asked := time.Now(), source.count()
		for !hasKey(s, td, "b") {
			time.Sleep(10 * time.Millisecond)
		}
		if waited := time.Since(started); waited > 3*time.Second {
			t.Errorf("BE-15 the new document was used after %v", waited)
		}
		if !raised(s.Status()[0], "the disk has not answered") {
			t.Errorf("BE-15 alarms %q", s.Status()[0].Alarm)
		}
		time.Sleep(time.Minute)
		if n := source.count() - asked; n < 50 {
			t.Errorf("BE-13 polled %d times in a minute at an interval of 1 s", n)
		}
		source.give(jwtDocument(t, nil, "c"))
		time.Sleep(2 * time.Second)
		started = time.Now()
		mustReplace(t, s, td)
		if took := time.Since(started); took > diskWait {
			t.Errorf("BE-16 Replace took %v", took)
		}
		// It comes back, and begins anew: what is to be deleted is not read again.
		mustReplace(t, s, td, gone)
		if snapshot, _ := s.Bundle(gone.Name); snapshot != nil && snapshot.Generation() <= 2 {
			t.Error("BE-16 the bundle of before is back")
		}
		mustReplace(t, s, td)
		started = time.Now()
		stop()
		if took := time.Since(started); took > diskWait {
			t.Errorf("the end of Run took %v", took)
		}
		back()
		backToo()
		synctest.Wait()
		d, _ := s.domain(td.Name)
		end := d.file.disk.add(diskRead, func() error { return nil })
		<-end.ended
		if got := names(t, folder); !slices.Equal(got, []string{"td-example.org.bundle"}) {
			t.Errorf("BE-16 the folder holds %q", got)
		}
		td.Source = &memory{answer: failing}
		again := keeping(t, folder, &record, td)
		if !hasKey(again, td, "c") || len(s.Status()[0].Alarm) != 0 {
			t.Errorf("BE-15 the late write was not that of the newest document; %q", s.Status()[0].Alarm)
		}
	})
}

// A disk that hangs from the start is waited for once.
func TestRestoreFromHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSet(Config{Folder: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		var domains []TrustDomain
		back := make(chan struct{})
		for _, name := range []string{"a", "b", "c", "d"} {
			td := TrustDomain{Name: trustDomain(t, name), Source: &memory{answer: failing}}
			s.file(keptName(td.Name)).disk.add(diskRead, func() error { <-back; return nil })
			domains = append(domains, td)
		}
		started := time.Now()
		mustReplace(t, s, domains...)
		if took := time.Since(started); took != diskWait {
			t.Errorf("BE-15 it took %v", took)
		}
		close(back)
	})
}

// A write that is late is not put in place once the file is to be removed, and one
// that has not begun is dropped for what comes after it.
func TestDiskQueue(t *testing.T) {
	var q diskQueue
	begun, back := make(chan struct{}), make(chan struct{})
	var done []string
	note := func(what string) func() error {
		return func() error { done = append(done, what); return nil }
	}
	late := q.add(diskWrite, func() error {
		close(begun)
		<-back
		if q.removing() {
			return errSuperseded
		}
		return nil
	})
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.wait(ended, late); !errors.Is(err, errDiskHangs) {
		t.Errorf("of a disk that hangs: %v", err)
	}
	if err := q.wait(t.Context(), q.add(diskSweep, note("sweep"))); !errors.Is(err, errDiskHangs) {
		t.Errorf("of a disk that hung before: %v", err)
	}
	second := q.add(diskWrite, note("second"))
	if q.removing() {
		t.Error("a write counts as a removal")
	}
	removal := q.add(diskRemove, note("removal"))
	last := q.add(diskWrite, note("last"))
	close(back)
	<-last.ended
	for name, task := range map[string]*diskTask{"BE-16 the late one": late, "the second": second, "the removal": removal} {
		if err := q.wait(t.Context(), task); !errors.Is(err, errSuperseded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := q.wait(t.Context(), last); err != nil || !slices.Equal(done, []string{"sweep", "last"}) {
		t.Errorf("done: %q, %v", done, err)
	}
}

// A document that cannot be written leaves none before it: no crash leads back to
// a key that was withdrawn (BU-14).
func TestKeepFailsOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		folder := t.TempDir()
		source := holding(jwtDocument(t, map[string]any{"spiffe_sequence": 5}, "withdrawn"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := keeping(t, folder, &record, td)
		mustLoad(t, s)
		// No more documents can be written: a folder of which others could write is
		// not written to, and root is stopped by that, too.
		if err := os.Chmod(folder, 0o770); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mustLoad(t, s) // unchanged: what is there is still right
		if !raised(s.Status()[0], "kept on disk") || len(names(t, folder)) != 1 {
			t.Errorf("BE-15 unchanged: %q, %q", s.Status()[0].Alarm, names(t, folder))
		}
		source.give(jwtDocument(t, map[string]any{"spiffe_sequence": 6}, "new"))
		mustLoad(t, s)
		if !raised(s.Status()[0], "kept on disk") || !hasKey(s, td, "new") {
			t.Errorf("BE-15 %q", s.Status()[0].Alarm)
		}
		if got := names(t, folder); len(got) != 0 {
			t.Errorf("BU-14 left is %q", got)
		}
		if err := os.Chmod(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		gone := td
		gone.Source = &memory{answer: failing}
		if again := keeping(t, folder, &record, gone); hasKey(again, td, "withdrawn") {
			t.Error("BU-14 a key whose withdrawal was seen is trusted again after a restart")
		}
		time.Sleep(time.Minute)
		mustLoad(t, s)
		if len(s.Status()[0].Alarm) != 0 || !hasKey(keeping(t, folder, &record, gone), td, "new") {
			t.Errorf("BE-15 afterwards: %q", s.Status()[0].Alarm)
		}
	})
}

// Without the file before it, there may be room for the new one.
func TestKeepFailsOnceOnChange(t *testing.T) {
	dir := folder(t.TempDir())
	name := keptName(trustDomain(t, "example.org"))
	if err := os.Mkdir(dir.path(name), 0o700); err != nil { // no file replaces a folder
		t.Fatal(err)
	}
	k := &keptFile{folder: dir, name: name}
	if on, err := k.replace([32]byte{1}, []byte("text")); err != nil || on != [32]byte{1} {
		t.Errorf("BU-14 %x, %v", on, err)
	}
	if data, err := os.ReadFile(dir.path(name)); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
}

// Nobody but this user and root may have written what is trusted after a restart.
func TestKeepOfOthers(t *testing.T) {
	const file = "td-example.org.bundle"
	give := func(name string) func(string) error {
		return func(folder string) error { return os.Chown(filepath.Join(folder, name), 65534, 65534) }
	}
	mode := func(name string, mode os.FileMode) func(string) error {
		return func(folder string) error { return os.Chmod(filepath.Join(folder, name), mode) }
	}
	for _, tt := range []struct {
		name   string
		change func(folder string) error
		root   bool   // only root can do it
		why    string // empty: it is used
	}{
		{"BE-15 nothing", mode(file, 0o600), false, ""},
		{"BE-15 all may read the file", mode(file, 0o644), false, ""},
		{"BE-15 the group may write the file", mode(file, 0o620), false, "may write"},
		{"BE-15 everybody may write the file", mode(file, 0o602), false, "may write"},
		{"BE-15 the file of another user", give(file), true, "belongs neither"},
		{"BE-15 the folder of another user", give("."), true, "belongs neither"},
		{"BE-15 a link", func(folder string) error {
			return errors.Join(os.Rename(filepath.Join(folder, file), filepath.Join(folder, "other")), os.Symlink("other", filepath.Join(folder, file)))
		}, false, "regular"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			var record recorder
			dir := t.TempDir()
			td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "a"))}
			mustLoad(t, keeping(t, dir, &record, td))
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			td.Source = &memory{answer: failing}
			for _, at := range []string{dir, link} {
				record := recorder{}
				if s := keeping(t, at, &record, td); hasKey(s, td, "a") != (tt.why == "") {
					t.Errorf("%s: restored: %v", filepath.Base(at), tt.why != "")
				}
				if tt.why != "" && !strings.Contains(record.String(), tt.why) {
					t.Errorf("the log: %s", record.String())
				}
			}
		})
	}
}

// What is put aside though it is of this trust domain and origin still guards
// against a roll-back; the operator may lift that.
func TestF8PutAsideSequenceCounts(t *testing.T) {
	seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
	for _, tt := range []struct {
		name      string
		confirmed time.Duration
		document  []byte
		origin    string
		counts    bool
	}{
		{"BU-14 from the future", time.Hour, jwtDocument(t, seq(9), "a"), "memory", true},
		{"BU-14 refused by today's rules", 0, []byte(`{"spiffe_sequence":9}`), "memory", true},
		{"BU-14 without a sequence", time.Hour, jwtDocument(t, nil, "a"), "memory", false},
		{"BU-14 no document at all", 0, []byte(`x`), "memory", false},
		{"BE-16 of another origin", time.Hour, jwtDocument(t, seq(9), "a"), "elsewhere", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var record recorder
			dir := t.TempDir()
			data, err := kept{TrustDomain: "example.org", Origin: tt.origin, Confirmed: time.Now().Add(tt.confirmed), document: tt.document}.encode()
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "td-example.org.bundle"), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			source := holding(jwtDocument(t, seq(4), "withdrawn"))
			td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
			s := keeping(t, dir, &record, td)
			err = s.Load(t.Context())
			if hasKey(s, td, "withdrawn") == tt.counts || tt.counts && (err == nil || !strings.Contains(err.Error(), "lower than the 9 of the bundle that was kept")) {
				t.Fatalf("a roll-back over a restart: %v", err)
			}
			if !tt.counts {
				return
			}
			if !raised(s.Status()[0], "BU-14") {
				t.Errorf("alarms %q", s.Status()[0].Alarm)
			}
			// Another source of the same origin, and a first bundle, are bound as well.
			next := holding(jwtDocument(t, seq(8), "older"))
			td.Source = next
			if td.First, err = Parse(td.Name, jwtDocument(t, seq(8), "first"), time.Now()); err != nil {
				t.Fatal(err)
			}
			mustReplace(t, s, td)
			if _ = s.Load(t.Context()); hasKey(s, td, "older") || hasKey(s, td, "first") {
				t.Error("BU-14 another source of the same origin rolled it back")
			}
			if _, err := s.Fetch(t.Context(), td.Name, FetchOptions{AcceptOlder: true}); err != nil || !hasKey(s, td, "older") {
				t.Errorf("BU-14 the operator cannot lift it: %v", err)
			}
			// From now on that one counts.
			next.give(jwtDocument(t, seq(7), "oldest"))
			if _ = s.Load(t.Context()); hasKey(s, td, "oldest") {
				t.Error("BU-14 a lower one afterwards")
			}
			s = keeping(t, dir, &record, td)
			if !hasKey(s, td, "older") {
				t.Error("BE-15 it is not on disk")
			}
		})
	}
	t.Run("BU-14 the same sequence, and a higher one", func(t *testing.T) {
		for _, n := range []int{9, 10} {
			var record recorder
			dir := t.TempDir()
			data, err := kept{TrustDomain: "example.org", Origin: "memory", Confirmed: time.Now().Add(time.Hour), document: jwtDocument(t, seq(9), "a")}.encode()
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "td-example.org.bundle"), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, seq(n), "a"))}
			s := keeping(t, dir, &record, td)
			if mustLoad(t, s); !hasKey(s, td, "a") {
				t.Errorf("%d was refused", n)
			}
		}
	})
}
