//go:build unix

package regularfile

import (
	"io/fs"
	"os"
	"syscall"
)

// noFollow makes opening a symbolic link an error.
const noFollow = syscall.O_NOFOLLOW

const hasOwners = true

// OwnedByUs reports whether a file belongs to the user this process runs as, or
// to root, who can do as that user anyway. It is true where the system has no
// owners.
func OwnedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}
