package admin

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// peer says who is at the other end of a connection, and whether it may be: the
// server's own user or root. The file's mode says the same; this holds also where
// somebody changed that.
func peer(conn net.Conn) (who string, allowed bool) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return "unknown", false
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return "unknown", false
	}
	var (
		cred   *syscall.Ucred
		failed error
	)
	err = raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || failed != nil {
		return "unknown", false
	}
	return fmt.Sprintf("uid %d", cred.Uid), cred.Uid == 0 || int(cred.Uid) == os.Geteuid()
}
