// Package replay remembers what may be used only once, until it expires. It
// keeps digests in the memory of one process: nothing survives a restart, and
// two nodes know nothing of each other.
package replay
