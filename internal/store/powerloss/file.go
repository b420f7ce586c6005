package powerloss

import (
	"math/rand/v2"
	"os"
	"slices"
)

// A File is a file that is appended to, on the disk beside what SQLite has there: all
// of it is one order of operations. After a cut there is what was synced, and of what
// came later a beginning, which may end within a write, and then in zeros.
type File struct {
	*os.File
	disk *Disk
}

// File notes what is done to f from now on. What it holds by now, and its name, are
// taken to be on the disk.
func (d *Disk) File(f *os.File) (*File, error) {
	content, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base[f.Name()] = content
	return &File{f, d}, nil
}

func (f *File) Write(data []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.File.Write(data)
	f.note(operation{kind: appended, data: slices.Clone(data[:n])})
	return n, err
}

func (f *File) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.File.Truncate(size)
	if err == nil {
		f.note(operation{kind: truncated, offset: size})
	}
	return err
}

// Sync notes only: nothing need be on the real disk.
func (f *File) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.note(operation{kind: synced})
	return nil
}

// note is called with the lock of the disk.
func (f *File) note(o operation) {
	o.path = f.Name()
	f.disk.done = append(f.disk.done, o)
}

// cutInOrder is a file that is appended to after its operations, of which those up to
// synced are sure.
func cutInOrder(s state, done []operation, synced int, chance *rand.Rand) state {
	for i, o := range done {
		if o.kind != appended && o.kind != truncated {
			continue
		}
		if i < synced || chance.IntN(2) == 0 {
			s = s.with(o)
			continue
		}
		if o.kind == appended {
			n := chance.IntN(len(o.data) + 1)
			if whole := slices.Clone(o.data); chance.IntN(4) == 0 { // it grew, and not all of its data is there
				clear(whole[n:])
				o.data = whole
			} else {
				o.data = whole[:n]
			}
			s = s.with(o)
		}
		break
	}
	return s
}
