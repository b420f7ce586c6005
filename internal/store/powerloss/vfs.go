package powerloss

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A wrapped file is SQLite's file of the operating system, and before it, in the same
// piece of memory, what SQLite sees. Nothing here points into Go's memory.
type wrapped struct {
	methods uintptr // of sqlite3_file
	handle  uintptr // of opened
	real    uintptr // the operating system's sqlite3_file, right behind
}

const wrappedSize = unsafe.Sizeof(wrapped{})

// at is the thing of C at an address. The detour keeps the address what it is: a
// number that Go's garbage collector has nothing to do with.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function is how the library keeps a pointer to a function of Go in memory of C.
func function[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f})) }

// call is the function behind such a pointer.
func call[F any](pointer uintptr) F {
	return *(*F)(unsafe.Pointer(&struct{ p uintptr }{pointer}))
}

type (
	vfs     = sqlite3.Tsqlite3_vfs
	methods = sqlite3.Tsqlite3_io_methods
)

var (
	tables sync.Mutex
	disks  = map[uintptr]*Disk{}   // guarded by tables; by the number in pAppData
	open   = map[uintptr]*opened{} // guarded by tables; by handle
	number atomic.Uintptr
	// ours are the methods of all wrapped files, in memory of C.
	ours = sync.OnceValue(makeMethods)
)

// An opened file is one of those whose fate is noted, or any other.
type opened struct {
	disk  *Disk
	path  string
	noted bool
	made  bool // a journal or a log, maybe new, and its folder not synced since; guarded by Disk.mu
}

func openedOf(file uintptr) *opened {
	tables.Lock()
	defer tables.Unlock()
	return open[at[wrapped](file).handle]
}

// realOf is the operating system's file and its methods.
func realOf(file uintptr) (uintptr, *methods) {
	real := at[wrapped](file).real
	return real, at[methods](at[sqlite3.Tsqlite3_file](real).FpMethods)
}

// New registers a disk.
func New() (*Disk, error) {
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xsqlite3_initialize(tls)
	real := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if real == 0 {
		return nil, fmt.Errorf("powerloss: SQLite has no file system")
	}
	n := number.Add(1)
	d := &Disk{name: fmt.Sprintf("powerloss-%d", n), real: real, base: map[string][]byte{}}
	name, err := libc.CString(d.name)
	if err != nil {
		return nil, err
	}
	v := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(vfs{})))
	if v == 0 {
		return nil, fmt.Errorf("powerloss: no memory")
	}
	wrapper := at[vfs](v)
	*wrapper = *at[vfs](real)
	wrapper.FpNext, wrapper.FzName, wrapper.FpAppData = 0, name, n
	wrapper.FszOsFile += int32(wrappedSize)
	wrapper.FxOpen = function(xOpen)
	wrapper.FxDelete = function(xDelete)
	tables.Lock()
	disks[n] = d
	tables.Unlock()
	if rc := sqlite3.Xsqlite3_vfs_register(tls, v, 0); rc != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("powerloss: SQLite refused the file system: %d", rc)
	}
	d.close = func() {
		tls := libc.NewTLS()
		defer tls.Close()
		sqlite3.Xsqlite3_vfs_unregister(tls, v)
		tables.Lock()
		delete(disks, n)
		tables.Unlock()
	}
	return d, nil
}

func diskOf(v uintptr) *Disk {
	tables.Lock()
	defer tables.Unlock()
	return disks[at[vfs](v).FpAppData]
}

func xOpen(tls *libc.TLS, v, name, file uintptr, flags int32, outFlags uintptr) int32 {
	d := diskOf(v)
	w := at[wrapped](file)
	*w = wrapped{real: file + wrappedSize}
	at[sqlite3.Tsqlite3_file](w.real).FpMethods = 0
	o := &opened{disk: d}
	if name != 0 && flags&(sqlite3.SQLITE_OPEN_MAIN_DB|sqlite3.SQLITE_OPEN_WAL|sqlite3.SQLITE_OPEN_MAIN_JOURNAL) != 0 {
		o.path, o.noted = libc.GoString(name), true
		o.made = flags&sqlite3.SQLITE_OPEN_MAIN_DB == 0 && flags&sqlite3.SQLITE_OPEN_CREATE != 0
	}
	rc := d.opening(o, func() int32 {
		f := call[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](at[vfs](d.real).FxOpen)
		return f(tls, d.real, name, w.real, flags, outFlags)
	})
	if rc != sqlite3.SQLITE_OK {
		return rc
	}
	w.handle = number.Add(1)
	tables.Lock()
	open[w.handle] = o
	tables.Unlock()
	w.methods = ours()
	return rc
}

func xDelete(tls *libc.TLS, v, name uintptr, syncFolder int32) int32 {
	d := diskOf(v)
	f := call[func(*libc.TLS, uintptr, uintptr, int32) int32](at[vfs](d.real).FxDelete)
	return d.deleting(libc.GoString(name), syncFolder != 0, func() int32 { return f(tls, d.real, name, 0) })
}

func makeMethods() uintptr {
	tls := libc.NewTLS()
	defer tls.Close()
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(methods{})))
	*at[methods](p) = methods{
		FiVersion: 2, // without memory mapping, which would write behind our back
		FxClose:   function(xClose),
		FxRead: function(func(tls *libc.TLS, file, to uintptr, n int32, offset int64) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](m.FxRead)(tls, real, to, n, offset)
		}),
		FxWrite:    function(xWrite),
		FxTruncate: function(xTruncate),
		FxSync:     function(xSync),
		FxFileSize: function(func(tls *libc.TLS, file, size uintptr) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, uintptr) int32](m.FxFileSize)(tls, real, size)
		}),
		FxLock: function(func(tls *libc.TLS, file uintptr, level int32) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, int32) int32](m.FxLock)(tls, real, level)
		}),
		FxUnlock: function(func(tls *libc.TLS, file uintptr, level int32) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, int32) int32](m.FxUnlock)(tls, real, level)
		}),
		FxCheckReservedLock: function(func(tls *libc.TLS, file, result uintptr) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, uintptr) int32](m.FxCheckReservedLock)(tls, real, result)
		}),
		FxFileControl: function(xFileControl),
		FxSectorSize: function(func(tls *libc.TLS, file uintptr) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr) int32](m.FxSectorSize)(tls, real)
		}),
		FxDeviceCharacteristics: function(func(tls *libc.TLS, file uintptr) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr) int32](m.FxDeviceCharacteristics)(tls, real)
		}),
		FxShmMap: function(func(tls *libc.TLS, file uintptr, region, size, extend int32, to uintptr) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, int32, int32, int32, uintptr) int32](m.FxShmMap)(tls, real, region, size, extend, to)
		}),
		FxShmLock: function(func(tls *libc.TLS, file uintptr, offset, n, flags int32) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, int32, int32, int32) int32](m.FxShmLock)(tls, real, offset, n, flags)
		}),
		FxShmBarrier: function(func(tls *libc.TLS, file uintptr) {
			real, m := realOf(file)
			call[func(*libc.TLS, uintptr)](m.FxShmBarrier)(tls, real)
		}),
		FxShmUnmap: function(func(tls *libc.TLS, file uintptr, remove int32) int32 {
			real, m := realOf(file)
			return call[func(*libc.TLS, uintptr, int32) int32](m.FxShmUnmap)(tls, real, remove)
		}),
	}
	return p
}

func xClose(tls *libc.TLS, file uintptr) int32 {
	real, m := realOf(file)
	rc := call[func(*libc.TLS, uintptr) int32](m.FxClose)(tls, real)
	tables.Lock()
	defer tables.Unlock()
	delete(open, at[wrapped](file).handle)
	return rc
}

func xWrite(tls *libc.TLS, file, from uintptr, n int32, offset int64) int32 {
	real, m := realOf(file)
	data := unsafe.Slice(at[byte](from), n)
	return openedOf(file).write(data, offset, func(n int32) int32 {
		return call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](m.FxWrite)(tls, real, from, n, offset)
	})
}

func xTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	real, m := realOf(file)
	return openedOf(file).truncate(size, func() int32 {
		return call[func(*libc.TLS, uintptr, int64) int32](m.FxTruncate)(tls, real, size)
	})
}

func xSync(tls *libc.TLS, file uintptr, flags int32) int32 { return openedOf(file).sync() }

// xFileControl passes on all but the hint of how large the file will be, by which the
// operating system's would write to it.
func xFileControl(tls *libc.TLS, file uintptr, op int32, argument uintptr) int32 {
	if op == sqlite3.SQLITE_FCNTL_SIZE_HINT {
		return sqlite3.SQLITE_OK
	}
	real, m := realOf(file)
	return call[func(*libc.TLS, uintptr, int32, uintptr) int32](m.FxFileControl)(tls, real, op, argument)
}
