// Package powerloss is a disk that can fail, for tests of the store: it can lose its
// power, be full, and hang. It is a file system of SQLite (a VFS) between SQLite and
// the operating system's.
//
// It notes, in order, every write, truncation, sync and deletion of the database and
// its log, with what was written. So the disk at any moment can be made up afterwards,
// as a power cut would have left it: what was synced is there; of what was not, each
// sector may be there or not, in any combination, whatever the order of the writes; a
// file whose folder was not synced may be missing, and one that was deleted may be back.
//
// A file beside the database that is appended to, as the audit record is, can be on the
// same disk ([Disk.File]).
//
// What it takes for granted is what SQLite does (its "powersafe overwrite"): a write
// that is cut off changes no byte outside of it, and a sync that returned is true.
//
// Imported by tests only.
package powerloss
