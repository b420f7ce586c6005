package bundle

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keeping is a set that keeps documents in a folder and logs to a record.
func keeping(t *testing.T, folder string, record *recorder, domains ...TrustDomain) *Set {
	t.Helper()
	s, err := NewSet(Config{TrustDomains: domains, Folder: folder, Log: slog.New(slog.NewJSONHandler(record, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustLoad(t *testing.T, s *Set) {
	t.Helper()
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// lastYear is not in the future of a test that goes by the wall clock.
var lastYear = epoch.AddDate(-10, 0, 0)

// names are what a folder holds.
func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

// BE-15, LD-2: after a restart the bundle is there without its source, as old as it
// was, and its sequence still counts (F8, BU-14).
func TestKeepOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		folder := filepath.Join(t.TempDir(), "state", "bundles")
		seq := func(n int) map[string]any { return map[string]any{"spiffe_sequence": n} }
		source := holding(jwtDocument(t, seq(5), "a"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source, MaxAge: time.Hour}
		fetched := time.Now()
		mustLoad(t, keeping(t, folder, &record, td))
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("BE-15 the folder: %v, %v", info, err)
		}
		file := filepath.Join(folder, "td-example.org.bundle")
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("BE-15 the file: %v, %v", info, err)
		}

		// The source is gone, and two hours pass.
		time.Sleep(2 * time.Hour)
		gone := &memory{answer: failing}
		td.Source = gone
		s := keeping(t, folder, &record, td)
		if !hasKey(s, td, "a") {
			t.Fatal("BE-15 the bundle is not there after a restart")
		}
		if gone.count() != 0 {
			t.Error("NewSet fetched")
		}
		snapshot, _ := s.Bundle(td.Name)
		if !snapshot.FetchedAt().Equal(fetched) || snapshot.Generation() == 0 {
			t.Errorf("BE-15 the restart made it younger: %v, generation %d", snapshot.FetchedAt(), snapshot.Generation())
		}
		status := s.Status()[0]
		if !status.KeptFromDisk || !status.Ready || status.Age != 2*time.Hour || !status.LastSuccess.Equal(fetched) || status.Sequence != 5 {
			t.Errorf("status %+v", status)
		}
		if !raised(status, "older than 1h0m0s") {
			t.Errorf("BE-15 no alarm for its age: %q", status.Alarm)
		}
		if err := s.Load(t.Context()); !errors.Is(err, errSource) || !hasKey(s, td, "a") {
			t.Errorf("BE-15 with the source gone: %v", err)
		}

		// An older document is a roll-back, restart or not.
		gone.give(jwtDocument(t, seq(4), "old"))
		if err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "BU-14") || hasKey(s, td, "old") {
			t.Errorf("BU-14 F8 a roll-back over a restart: %v", err)
		}
		if status := s.Status()[0]; !status.KeptFromDisk || status.Age != 2*time.Hour {
			t.Errorf("BU-14 a refused document confirmed the bundle: %+v", status)
		}
		gone.give(jwtDocument(t, seq(6), "new"))
		mustLoad(t, s)
		if status := s.Status()[0]; status.KeptFromDisk || status.Age != 0 || !hasKey(s, td, "new") || len(status.Alarm) != 0 {
			t.Errorf("a newer document: %+v", status)
		}
		s = keeping(t, folder, &record, td)
		if !hasKey(s, td, "new") {
			t.Error("BE-15 the newer document was not kept")
		}
	})
}

// What lies in the folder is used only if it is whole, of this trust domain and
// origin, not from the future, and good by today's rules.
func TestKeepPutsAside(t *testing.T) {
	now := epoch
	document := jwtDocument(t, nil, "a")
	good := kept{TrustDomain: "example.org", Origin: "memory", Confirmed: now.Add(-time.Minute), document: document}
	with := func(change func(*kept)) []byte {
		k := good
		change(&k)
		data, err := k.encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	whole := with(func(*kept) {})
	flipped := func(at int) []byte {
		data := bytes.Clone(whole)
		data[at] ^= 1
		return data
	}
	// A document that does not go with its digest, though the file is whole.
	header, _, _ := bytes.Cut(whole[bytes.IndexByte(whole, '\n')+1:], []byte("\n"))
	rest := append(append(bytes.Clone(header), '\n'), jwtDocument(t, nil, "b")...)
	swapped := append(fmt.Appendf(nil, "svidgate-bundle 1 %x\n", sha256.Sum256(rest)), rest...)
	tests := []struct {
		name string
		data []byte
		why  string // in the log; empty: it is used
	}{
		{"whole", whole, ""},
		{"almost a minute in the future", with(func(k *kept) { k.Confirmed = now.Add(time.Minute) }), ""},
		{"of last year", with(func(k *kept) { k.Confirmed = now.AddDate(-1, 0, 0) }), ""},
		{"BU-3 with nothing usable", with(func(k *kept) { k.document = documentOf(t, nil) }), ""},
		{"more than a minute in the future", with(func(k *kept) { k.Confirmed = now.Add(time.Minute + 1) }), "future"},
		{"BU-18 another trust domain", with(func(k *kept) { k.TrustDomain = "other.test" }), "another trust domain"},
		{"BE-16 another origin", with(func(k *kept) { k.Origin = "https://elsewhere.test/" }), "another origin"},
		{"BU-2 not a bundle by today's rules", with(func(k *kept) { k.document = []byte(`{}`) }), "BU-2"},
		{"another version", []byte("svidgate-bundle 2 " + string(whole[len("svidgate-bundle 1 "):])), "version"},
		{"torn in the document", whole[:len(whole)-1], "damaged"},
		{"torn in the header", whole[:120], "damaged"},
		{"torn in the first line", whole[:30], "damaged"},
		{"nothing in it", nil, "not a bundle"},
		{"one byte more", append(bytes.Clone(whole), ' '), "damaged"},
		{"a flipped byte in the first line", flipped(30), "damaged"},
		{"a flipped byte in the header", flipped(120), "damaged"},
		{"a flipped byte in the document", flipped(len(whole) - 5), "damaged"},
		{"another document with a new checksum", swapped, "damaged"},
		{"a stranger's file", []byte("hello"), "not a bundle"},
		{"without an end", bytes.Repeat([]byte("svidgate-bundle 1 "), 1<<17), "damaged"},
	}
	for _, tt := range tests {
		t.Run("BE-15 "+tt.name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "td-example.org.bundle")
			if err := os.WriteFile(file, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			var record recorder
			td := TrustDomain{Name: trustDomain(t, "example.org"), Source: &memory{answer: failing}}
			s, err := NewSet(Config{
				TrustDomains: []TrustDomain{td}, Folder: folder,
				Log: slog.New(slog.NewJSONHandler(&record, nil)), Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatalf("a start error: %v", err)
			}
			_, err = s.Bundle(td.Name)
			if (err == nil) != (tt.why == "") {
				t.Fatalf("Bundle: %v", err)
			}
			if age := s.Status()[0].Age; age < 0 {
				t.Errorf("the age is %v", age)
			}
			lines := record.lines(t, "kept bundle put aside")
			if tt.why == "" {
				if len(lines) != 0 {
					t.Errorf("log %v", lines)
				}
				return
			}
			if len(lines) != 1 || !strings.Contains(lines[0]["why"].(string), tt.why) || lines[0]["kept_file"] != file {
				t.Errorf("log %v, want %q", lines, tt.why)
			}
			// The next good document takes its place.
			td.Source.(*memory).give(document)
			mustLoad(t, s)
			if data, err := os.ReadFile(file); err != nil {
				t.Error(err)
			} else if k, err := decodeKept(data); err != nil || !bytes.Equal(k.document, document) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A set reads what is kept, but changes nothing before it is put to work.
func TestKeepTidies(t *testing.T) {
	folder := t.TempDir()
	document := jwtDocument(t, nil, "a")
	write := func(name string, data []byte) string {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	keep := func(name, origin string) string {
		data, err := kept{TrustDomain: name, Origin: origin, Confirmed: lastYear, document: document}.encode()
		if err != nil {
			t.Fatal(err)
		}
		return write(keptName(trustDomain(t, name)), data)
	}
	long := strings.Repeat("a", 255)
	stays := []string{
		keep("example.org", "memory"), keep(long, "memory"),
		write("td-gone.test.bundle.bak", nil), write("notes.txt", []byte("mine")), write("td-mine.bundle", []byte("mine")),
		write("td-example.org.tmp-1", []byte("mine")),
		write("td-example.org.bundle.tmp-7", nil), // may be another process's that is writing it
	}
	goes := []string{
		keep("gone.test", "memory"), keep("moved.test", "elsewhere"), keep(strings.Repeat("b", 255), "memory"),
		write("td-example.org.bundle.tmp-123", document[:10]), write("td-gone.test.bundle.tmp-9", nil),
	}
	for _, name := range goes {
		old := time.Now().Add(-2 * tempAge)
		if err := os.Chtimes(filepath.Join(folder, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(folder, "td-example.org.bundle"), filepath.Join(folder, "td-link.test.bundle")); err != nil {
		t.Fatal(err)
	}
	stays = append(stays, "td-link.test.bundle")
	all := slices.Sorted(slices.Values(append(slices.Clone(stays), goes...)))
	var domains []TrustDomain
	for _, name := range []string{"example.org", long, "moved.test"} {
		domains = append(domains, TrustDomain{Name: trustDomain(t, name), Source: &memory{answer: failing}})
	}
	var record recorder
	s := keeping(t, folder, &record, domains...)
	if got := names(t, folder); !slices.Equal(got, all) {
		t.Errorf("NewSet changed the folder: %q", got)
	}
	if !hasKey(s, domains[0], "a") || !hasKey(s, domains[1], "a") || hasKey(s, domains[2], "a") {
		t.Error("BE-15 not those that are good were restored")
	}
	_ = s.Load(t.Context())
	slices.Sort(stays)
	if got := names(t, folder); !slices.Equal(got, stays) {
		t.Errorf("BE-16 left are %q, want %q", got, stays)
	}
	if lines := record.lines(t, "kept bundle deleted"); len(lines) != len(goes) {
		t.Errorf("BE-16 %d deletions are in the log", len(lines))
	}
}

// An unchanged document is written again at most every 30 s, a changed one at
// once.
func TestKeepWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		var record recorder
		first, second := jwtDocument(t, nil, "a"), jwtDocument(t, nil, "b")
		source := holding(first)
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := keeping(t, folder, &record, td)
		started := time.Now()
		for _, step := range []struct {
			name     string
			after    time.Duration
			document []byte
			written  time.Duration // since started
		}{
			{"BE-15 the first", 0, first, 0},
			{"BE-15 unchanged, just before 30 s", 30*time.Second - 1, first, 0},
			{"BE-15 unchanged, at 30 s", 1, first, 30 * time.Second},
			{"BE-15 changed, a second later", time.Second, second, 31 * time.Second},
			{"BE-15 changed back at once", 0, first, 31 * time.Second},
			{"BE-15 unchanged after an hour", time.Hour, first, time.Hour + 31*time.Second},
		} {
			time.Sleep(step.after)
			source.give(step.document)
			mustLoad(t, s)
			data, err := os.ReadFile(filepath.Join(folder, "td-example.org.bundle"))
			if err != nil {
				t.Fatal(err)
			}
			k, err := decodeKept(data)
			if err != nil || !k.Confirmed.Equal(started.Add(step.written)) || !bytes.Equal(k.document, step.document) {
				t.Errorf("%s: confirmed %v, %v", step.name, k.Confirmed.Sub(started), err)
			}
			if k.Origin != "memory" || k.TrustDomain != "example.org" {
				t.Errorf("%s: %+v", step.name, k)
			}
		}
		if got := names(t, folder); len(got) != 1 {
			t.Errorf("the folder holds %q", got)
		}
	})
}

// That nothing can be kept is told and refuses nothing; it is tried again.
func TestKeepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := t.TempDir()
		folder := filepath.Join(parent, "bundles")
		if err := os.WriteFile(folder, nil, 0o600); err != nil { // a file where the folder should be
			t.Fatal(err)
		}
		var record recorder
		source := holding(jwtDocument(t, nil, "a"))
		td := TrustDomain{Name: trustDomain(t, "example.org"), Source: source}
		s := keeping(t, folder, &record, td)
		mustLoad(t, s)
		if !hasKey(s, td, "a") || !raised(s.Status()[0], "kept on disk") {
			t.Fatalf("BE-15 %+v", s.Status()[0])
		}
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		mustLoad(t, s)
		if len(names(t, folder)) != 0 {
			t.Error("BE-15 it was tried again within 30 s")
		}
		time.Sleep(time.Second)
		mustLoad(t, s)
		if status := s.Status()[0]; len(names(t, folder)) != 1 || len(status.Alarm) != 0 {
			t.Errorf("BE-15 afterwards: %q", status.Alarm)
		}
		text := record.String()
		if strings.Count(text, `"bundle alarm"`) != 1 || strings.Count(text, `"bundle alarm is over"`) != 1 {
			t.Errorf("the log: %s", text)
		}
	})
}

// Who may write to the folder decides whom the server trusts.
func TestKeepFolderOfEverybody(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode fs.FileMode
		used bool
	}{
		{"of its owner", 0o700, true},
		{"that all may read", 0o755, true},
		{"of its group", 0o770, false},
		{"of everybody", 0o777, false},
		{"of everybody, sticky", 0o777 | fs.ModeSticky, false},
	} {
		t.Run("BE-15 "+tt.name, func(t *testing.T) {
			folder := t.TempDir()
			data, err := kept{TrustDomain: "example.org", Origin: "memory", Confirmed: lastYear, document: jwtDocument(t, nil, "a")}.encode()
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, "td-example.org.bundle"), data, 0o600)
			}
			if err := errors.Join(err, os.Chmod(folder, tt.mode)); err != nil {
				t.Fatal(err)
			}
			var record recorder
			td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "b"))}
			s := keeping(t, folder, &record, td)
			if hasKey(s, td, "a") != tt.used {
				t.Errorf("restored: %v", !tt.used)
			}
			mustLoad(t, s)
			if !hasKey(s, td, "b") || raised(s.Status()[0], "kept on disk") == tt.used {
				t.Errorf("afterwards: %q", s.Status()[0].Alarm)
			}
		})
	}
}

// A document that the operator keeps on this machine is not kept a second time.
func TestKeepNotLocal(t *testing.T) {
	for _, local := range []bool{true, false} {
		var record recorder
		folder := t.TempDir()
		source := &memory{answer: always(Document{Bytes: jwtDocument(t, nil, "a"), Local: local})}
		mustLoad(t, keeping(t, folder, &record, TrustDomain{Name: trustDomain(t, "example.org"), Source: source}))
		if n := len(names(t, folder)); (n == 0) != local {
			t.Errorf("BE-15 local %v: %d files", local, n)
		}
	}
}

// BE-16: who does not own the file any more cannot bring it back, even if its
// write was about to begin.
func TestKeptFileOwner(t *testing.T) {
	dir := folder(t.TempDir())
	source := holding(nil)
	first := newDomain(TrustDomain{Name: trustDomain(t, "example.org"), Source: source})
	second := newDomain(TrustDomain{Name: first.name, Source: source})
	file := &keptFile{folder: dir, name: keptName(first.name), owner: first}
	write := func(d *domain, text string) bool {
		f := &fetched{document: Document{Bytes: []byte(text)}, sum: sha256.Sum256([]byte(text)), started: epoch}
		tried, err := file.write(d, f)
		if err != nil {
			t.Error(err)
		}
		return tried
	}
	if !write(first, "a") || len(names(t, string(dir))) != 1 {
		t.Fatal("BE-15 the owner cannot write")
	}
	handOver := func(next *domain, sameOrigin bool) error {
		task := file.handOver(next, sameOrigin)
		if task == nil {
			return nil
		}
		return file.disk.wait(t.Context(), task)
	}
	if err := handOver(second, true); err != nil || len(names(t, string(dir))) != 1 {
		t.Errorf("BE-16 the same origin: %v", err)
	}
	if write(first, "b") || !write(second, "b") {
		t.Error("BE-16 not the owner wrote")
	}
	for _, next := range []*domain{first, nil} {
		if err := handOver(next, false); err != nil || len(names(t, string(dir))) != 0 {
			t.Errorf("BE-16 another origin, or gone: %v", err)
		}
		if write(second, "c") {
			t.Error("BE-16 it came back")
		}
		if next != nil && !write(next, "b") {
			t.Error("BE-15 the next owner cannot write what was there before")
		}
	}
	if len(names(t, string(dir))) != 0 {
		t.Error("BE-16 it came back")
	}
}

// Without a folder nothing is read or written.
func TestKeepNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	td := TrustDomain{Name: trustDomain(t, "example.org"), Source: holding(jwtDocument(t, nil, "a"))}
	s := newSet(t, td)
	mustLoad(t, s)
	if err := s.Replace(nil); err != nil {
		t.Error(err)
	}
	if got := names(t, "."); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

func TestKeptName(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{
		".", "..", "-", "_", "a", "example.org", "a.bundle", "a.bundle.tmp-1", strings.Repeat("a", 200),
		strings.Repeat("a", 201), strings.Repeat("a", 255), strings.Repeat("a", 254) + "b", strings.Repeat(".", 255),
	} {
		file := keptName(trustDomain(t, name))
		if other, ok := seen[file]; ok {
			t.Errorf("%q and %q share %q", name, other, file)
		}
		seen[file] = name
		if len(file)+len(".tmp-1234567890") > 255 || filepath.Base(file) != file || !isKeptName(file) || isTempName(file) {
			t.Errorf("BE-15 %q has the file name %q", name, file)
		}
		if !isTempName(file + ".tmp-42") {
			t.Errorf("a leftover of %q is not known", file)
		}
	}
}

// F9: with its source down from the start, a trust domain is not ready; others
// serve, and one whose bundle was kept is among them.
func TestF9ColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var record recorder
		folder := t.TempDir()
		keptTD := TrustDomain{Name: trustDomain(t, "kept.test"), Source: holding(jwtDocument(t, nil, "a"))}
		mustLoad(t, keeping(t, folder, &record, keptTD))
		keptTD.Source = &memory{answer: failing}
		cold := &memory{answer: failing}
		coldTD := TrustDomain{Name: trustDomain(t, "cold.test"), Source: cold}
		goodTD := TrustDomain{Name: trustDomain(t, "good.test"), Source: holding(jwtDocument(t, nil, "a"))}
		s := keeping(t, folder, &record, keptTD, coldTD, goodTD)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := s.Load(ctx); !errors.Is(err, errSource) {
			t.Errorf("F9 Load: %v", err)
		}
		stop := run(t, s)
		defer stop()
		if !hasKey(s, keptTD, "a") || !hasKey(s, goodTD, "a") {
			t.Error("F9 the others do not serve")
		}
		if _, err := s.Bundle(coldTD.Name); !errors.Is(err, ErrNotReady) {
			t.Errorf("F9 the cold one: %v", err)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if status := s.Status()[0]; !raised(status, "no bundle was obtained") || status.Failures < 5 {
			t.Errorf("F9 status after a minute: %+v", status)
		}
		cold.give(jwtDocument(t, nil, "late"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if status := s.Status()[0]; !hasKey(s, coldTD, "late") || len(status.Alarm) != 0 || status.Failures != 0 {
			t.Errorf("F9 after the source came up: %+v", status)
		}
	})
}

func FuzzDecodeKept(f *testing.F) {
	document := documentOf(f, nil, keyEntry(f, UseJWT, "a", ecKey(f, elliptic.P256()).Public()))
	data, err := kept{TrustDomain: "example.org", Origin: "https://h/\"\n", Confirmed: epoch, document: document}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, 0, byte(0))
	f.Add(data, 40, byte(1))
	f.Add([]byte("svidgate-bundle 1 \n\n"), 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		k, err := decodeKept(data)
		if err != nil {
			return
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(k.document)); sum != k.SHA256 {
			t.Errorf("the document has the SHA-256 %s, not %s", sum, k.SHA256)
		}
		if flip == 0 || at < 0 || at >= len(data) {
			return
		}
		damaged := bytes.Clone(data)
		damaged[at] ^= flip
		if _, err := decodeKept(damaged); err == nil {
			t.Errorf("byte %d was changed and nobody noticed", at)
		}
	})
}
