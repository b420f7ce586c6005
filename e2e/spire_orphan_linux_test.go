//go:build spire || prometheus

package e2e

import "syscall"

// endsWithUs ends a child when we end without a chance to stop it.
func endsWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
