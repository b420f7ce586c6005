//go:build (spire || prometheus) && !linux

package e2e

import "syscall"

// endsWithUs can do nothing where a child is not told of our end; an interrupt
// from the terminal reaches it all the same.
func endsWithUs() *syscall.SysProcAttr { return nil }
