package load

import (
	"net"
	"testing"
)

// Whatever is accepted as a target is on loopback, by the reading of another
// parser, too.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"127.0.0.1:8443", "[::1]:1", "10.0.0.1:1", "127.0.0.1.example.com:443", "[::ffff:127.0.0.1]:1", "0.0.0.0:80", "[::1%eth0]:1", "127.0.0.1:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := Target(s)
		if err != nil {
			return
		}
		host, _, err := net.SplitHostPort(s)
		if err != nil || !net.ParseIP(host).IsLoopback() || !target.Addr().IsLoopback() {
			t.Errorf("%q is accepted", s)
		}
	})
}
