// Package process builds and starts the programs that are measured, pins them to
// a core, and reads what they use from /proc. It is for Linux.
package process
