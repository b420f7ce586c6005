package powerloss

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// A Disk is a file system of SQLite. Any number of stores may be on it.
type Disk struct {
	name  string
	real  uintptr
	close func()

	mu   sync.Mutex        // held during each operation, so that the notes are in their order
	base map[string][]byte // guarded by mu; what was there before the first operation
	done []operation       // guarded by mu

	full bool          // guarded by mu
	hang chan struct{} // guarded by mu; a sync waits until it is closed
}

// An operation is what was done to one file.
type operation struct {
	kind   kind
	path   string
	data   []byte // of a write or what was appended
	offset int64  // of a write, or the size after a truncation
}

type kind int

const (
	created kind = iota
	written
	appended
	truncated
	synced
	deleted
	folderSynced // of the one folder that there is
)

// VFS is the name under which SQLite knows the disk.
func (d *Disk) VFS() string { return d.name }

// Close takes it away from SQLite, which has no file on it any more.
func (d *Disk) Close() { d.close() }

// Position is how many operations there were.
func (d *Disk) Position() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.done)
}

// Fill has every write fail halfway, as on a full disk that overwrites nothing in
// place, until mend is called.
func (d *Disk) Fill() (mend func()) {
	set := func(full bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.full = full
	}
	set(true)
	return func() { set(false) }
}

// Hang has every sync wait until goOn is called.
func (d *Disk) Hang() (goOn func()) {
	gate := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hang = gate
	return func() {
		d.mu.Lock()
		d.hang = nil
		d.mu.Unlock()
		close(gate)
	}
}

func (d *Disk) opening(o *opened, do func() int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !o.noted {
		return do()
	}
	_, errBefore := os.Stat(o.path)
	if _, known := d.base[o.path]; errBefore == nil && !known && !d.touched(o.path) {
		content, err := os.ReadFile(o.path)
		if err != nil {
			return sqlite3.SQLITE_CANTOPEN
		}
		d.base[o.path] = content
	}
	rc := do()
	if _, errAfter := os.Stat(o.path); errBefore != nil && errAfter == nil {
		d.done = append(d.done, operation{kind: created, path: o.path})
	}
	return rc
}

func (d *Disk) touched(path string) bool {
	return slices.ContainsFunc(d.done, func(o operation) bool { return o.path == path })
}

func (d *Disk) deleting(path string, folder bool, do func() int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	rc := do()
	if rc == sqlite3.SQLITE_OK {
		d.done = append(d.done, operation{kind: deleted, path: path})
		if folder {
			d.done = append(d.done, operation{kind: folderSynced})
		}
	}
	return rc
}

func (o *opened) write(data []byte, offset int64, do func(n int32) int32) int32 {
	d := o.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if !o.noted {
		return do(int32(len(data)))
	}
	if d.full {
		data = data[:len(data)/2]
	}
	rc := do(int32(len(data)))
	if rc == sqlite3.SQLITE_OK {
		d.done = append(d.done, operation{kind: written, path: o.path, data: slices.Clone(data), offset: offset})
	}
	if d.full {
		return sqlite3.SQLITE_FULL
	}
	return rc
}

func (o *opened) truncate(size int64, do func() int32) int32 {
	o.disk.mu.Lock()
	defer o.disk.mu.Unlock()
	rc := do()
	if rc == sqlite3.SQLITE_OK && o.noted {
		o.disk.done = append(o.disk.done, operation{kind: truncated, path: o.path, offset: size})
	}
	return rc
}

// sync notes only: nothing need be on the real disk. The first sync of a journal or a
// log that may have been made when it was opened syncs its folder, too: SQLite's file
// system for Unix does so, for each one that opened it.
func (o *opened) sync() int32 {
	d := o.disk
	d.mu.Lock()
	gate := d.hang
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.noted {
		d.done = append(d.done, operation{kind: synced, path: o.path})
		if o.made {
			o.made = false
			d.done = append(d.done, operation{kind: folderSynced})
		}
	}
	return sqlite3.SQLITE_OK
}

// A state is a file as it may be after a power cut.
type state struct {
	exists  bool
	content []byte
	// other says that what the name stands for is an older file than the one that
	// operations go to.
	other bool
}

func (s state) with(o operation) state {
	switch o.kind {
	case created:
		return state{exists: true}
	case deleted:
		return state{}
	}
	if !s.exists || s.other {
		return s
	}
	switch o.kind {
	case truncated:
		s.content = resized(s.content, o.offset)
	case appended:
		s.content = append(s.content, o.data...)
	case written:
		s.content = resized(s.content, max(int64(len(s.content)), o.offset+int64(len(o.data))))
		copy(s.content[o.offset:], o.data)
	}
	return s
}

// resized changes content where that is possible: a state is nobody else's.
func resized(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size]
	}
	return append(content, make([]byte, size-int64(len(content)))...)
}

// Cut makes up the disk as a power cut after so many operations may have left it, and
// writes its files into a folder. Chance decides about all that was not synced.
func (d *Disk) Cut(position int, chance *rand.Rand, folder string) error {
	d.mu.Lock()
	done := slices.Clone(d.done[:position])
	base := maps.Clone(d.base)
	d.mu.Unlock()
	paths := map[string]bool{}
	for path := range base {
		paths[path] = true
	}
	for _, o := range done {
		if o.path != "" {
			paths[o.path] = true
		}
	}
	for path := range paths {
		var s state
		if content, ok := base[path]; ok {
			s = state{exists: true, content: slices.Clone(content)}
		}
		s = cut(s, slices.DeleteFunc(slices.Clone(done), func(o operation) bool { return o.path != path && o.path != "" }), chance)
		to := filepath.Join(folder, filepath.Base(path))
		if !s.exists {
			if err := os.Remove(to); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		if err := os.WriteFile(to, s.content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cut is one file after its operations: its name is sure up to the last sync of the
// folder, its content up to its own.
func cut(s state, done []operation, chance *rand.Rand) state {
	last := func(k kind) int {
		for i, o := range slices.Backward(done) {
			if o.kind == k {
				return i
			}
		}
		return -1
	}
	names, contents := last(folderSynced), last(synced)
	if last(appended) >= 0 {
		return cutInOrder(s, done, contents, chance)
	}
	// How likely it is that something got to the disk differs from cut to cut: most
	// interesting are all but one, and none but one.
	likely := []float64{0, 0.1, 0.5, 0.9, 1}[chance.IntN(5)]
	happened := func() bool { return chance.Float64() < likely }
	for i, o := range done {
		switch o.kind {
		case created, deleted:
			if i < names || happened() {
				s = s.with(o)
			} else {
				s.other = o.kind == created
			}
		case truncated:
			if i < contents || happened() {
				s = s.with(o)
			}
		case written:
			if i < contents {
				s = s.with(o)
				continue
			}
			for from := 0; from < len(o.data); {
				to := min(len(o.data), from+sector-int((o.offset+int64(from))%sector))
				if happened() {
					s = s.with(operation{kind: written, data: o.data[from:to], offset: o.offset + int64(from)})
				}
				from = to
			}
		}
	}
	return s
}
