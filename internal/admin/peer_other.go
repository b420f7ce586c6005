//go:build !linux

package admin

import "net"

// peer relies on the mode of the socket's file where the system does not tell who
// is at the other end.
func peer(net.Conn) (who string, allowed bool) { return "the owner of the socket", true }
