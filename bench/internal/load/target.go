package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

var errNotLoopback = errors.New("load goes to loopback only, so the target is an address of 127.0.0.0/8 or [::1] with its port")

// Target takes the address and port of a server on this machine's loopback, as
// numbers. A name is refused, since it could mean any machine; so are 0.0.0.0,
// which is the machine's way of saying "me" in some places only, and an address
// with a zone.
func Target(s string) (netip.AddrPort, error) {
	target, err := netip.ParseAddrPort(s)
	if err != nil || target.Addr().Zone() != "" || target.Addr().Is4In6() || !target.Addr().IsLoopback() || target.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", s, errNotLoopback)
	}
	return target, nil
}

// Sources takes a list of loopback addresses with commas between them. Connections
// come from them in turn, so that there are ports enough for all.
func Sources(list string) ([]netip.Addr, error) {
	var sources []netip.Addr
	for s := range strings.SplitSeq(list, ",") {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || !a.IsLoopback() {
			return nil, fmt.Errorf("%q: a source is a loopback address", s)
		}
		sources = append(sources, a)
	}
	return sources, nil
}
