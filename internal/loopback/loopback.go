package loopback

import (
	"net/netip"
	"strings"
)

// Host reports whether host, without a port and without brackets, is localhost by
// that name, 127.0.0.0/8 or ::1. An address with a zone is not.
func Host(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}
