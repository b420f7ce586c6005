//go:build !unix

package regularfile

import "io/fs"

const noFollow = 0 // there is no such flag; Lstat has to do

const hasOwners = false

// Owner is the user that a file belongs to; false where that is not known.
func Owner(fs.FileInfo) (uid int, known bool) { return 0, false }
