package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A span is what a duration may be.
type span struct {
	otherwise, min, max time.Duration
	orZero              bool // 0 is allowed although it is below min
}

// duration reads a whole number of seconds, minutes and hours, such as 60s or
// 1h30m. A number without a unit is refused, but for 0.
func (t *table) duration(key string, s span) time.Duration {
	const want = "a duration in whole seconds such as 60s, 5m or 1h"
	m, there := t.members[key]
	if !there {
		return s.otherwise
	}
	zero := m.value.kind == number && m.value.text == "0"
	if m.value.kind != text && !zero {
		t.mustBe(key, want, withUnit(m.value))
		return s.otherwise
	}
	d, err := time.ParseDuration(m.value.text)
	if err != nil || d%time.Second != 0 || strings.Trim(m.value.text, "0123456789hms") != "" || strings.Contains(m.value.text, "ms") {
		t.mustBe(key, want, inHours(m.value.text))
		return s.otherwise
	}
	if (d < s.min || d > s.max) && (d != 0 || !s.orZero) {
		zeroOr := ""
		if s.orZero {
			zeroOr = "0 or "
		}
		t.mustBe(key, zeroOr+"from "+short(s.min)+" to "+short(s.max))
		return s.otherwise
	}
	return d
}

// withUnit says how a number would be a duration.
func withUnit(n *node) string {
	if _, err := strconv.ParseUint(n.text, 10, 31); n.kind != number || err != nil {
		return ""
	}
	return "; write " + n.text + "s, " + n.text + "m or " + n.text + "h"
}

// inHours says how a number of days or weeks is written.
func inHours(s string) string {
	hours := map[string]uint64{"d": 24, "w": 7 * 24}
	unit := s[max(len(s)-1, 0):]
	n, err := strconv.ParseUint(strings.TrimSuffix(s, unit), 10, 31)
	if err != nil || hours[unit] == 0 {
		return ""
	}
	return "; write " + strconv.FormatUint(n*hours[unit], 10) + "h"
}

// short writes a duration as an operator would: 5m, not 5m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// A Rate is so many events per second or minute. The zero value is no limit.
type Rate struct {
	Events int
	Per    time.Duration // time.Second or time.Minute
}

// Unlimited reports whether the rate sets no limit.
func (r Rate) Unlimited() bool { return r.Events == 0 }

// PerSecond is the rate in events per second.
func (r Rate) PerSecond() float64 {
	if r.Unlimited() {
		return 0
	}
	return float64(r.Events) / r.Per.Seconds()
}

const maxRate = 1_000_000

// rate reads N/s or N/m, or 0 for no limit.
func (t *table) rate(key string, otherwise Rate) Rate {
	m, there := t.members[key]
	if !there {
		return otherwise
	}
	v := m.value
	if (v.kind == number || v.kind == text) && v.text == "0" {
		return Rate{}
	}
	digits, unit, _ := strings.Cut(v.text, "/")
	n, err := strconv.ParseUint(digits, 10, 32)
	if v.kind != text || err != nil || n < 1 || n > maxRate || unit != "s" && unit != "m" {
		t.mustBe(key, "0 for no limit, or a rate such as 200/s or 6000/m (at most 1000000)")
		return otherwise
	}
	if unit == "m" {
		return Rate{int(n), time.Minute}
	}
	return Rate{int(n), time.Second}
}

// address reads host:port. An empty host is every address of the machine.
func (t *table) address(key string) string {
	const want = "an address such as 127.0.0.1:8443 (port 0 takes a free one)"
	if m, there := t.members[key]; there && m.value.kind == number {
		t.mustBe(key, want, withColon(m.value.text))
		return ""
	}
	s, ok := t.text(key, want)
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if _, tooLarge := strconv.ParseUint(port, 10, 16); err == nil && errors.Is(tooLarge, strconv.ErrRange) {
		t.mustBe(key, want, "; ports end at 65535")
		return ""
	}
	if err != nil || !goodHost(host) || !goodPort(port) {
		t.mustBe(key, want)
		return ""
	}
	return s
}

// withColon says how a port alone is an address.
func withColon(port string) string {
	if !goodPort(port) {
		return ""
	}
	return "; for every address of the machine write " + quoted(":"+port)
}

// workloadEndpoint reads the address of a Workload API in one of the two forms
// of SPIFFE Workload Endpoint section 4. What is not on this machine is refused:
// nothing there would prove who answers.
func (t *table) workloadEndpoint(key string) string {
	const (
		unix = "unix:// and the absolute path of a socket, such as unix:///run/spire/agent.sock"
		tcp  = "tcp:// with a loopback IP address and a port, such as tcp://127.0.0.1:8081"
	)
	s, ok := t.text(key, unix)
	if !ok {
		return ""
	}
	path, isUnix := strings.CutPrefix(s, "unix://")
	hostPort, isTCP := strings.CutPrefix(s, "tcp://")
	switch {
	case strings.Contains(authority(s), "@"): // not repeated: it may be a password
		t.r.fault(t.place(key), "%s must be an address without user information", t.name(key))
	case isUnix && printable(s) && strings.HasPrefix(path, "/") && !badPath(path) && !strings.ContainsAny(path, "?#%"),
		isTCP && loopbackPort(hostPort):
		return s
	case isUnix:
		t.mustBe(key, unix)
	case isTCP:
		t.mustBe(key, tcp)
	case strings.HasPrefix(s, "/"):
		t.mustBe(key, unix, "; put unix:// before it")
	default:
		t.mustBe(key, unix+", or "+tcp)
	}
	return ""
}

// loopbackPort reports whether s is an IP address of this machine alone and a
// port, with nothing after it.
func loopbackPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && notIP == nil && ip.Zone() == "" && ip.Unmap().IsLoopback() && goodPort(port) && strings.Trim(port, "0") != ""
}

func goodHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	return len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	})
}

func goodPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil && len(port) <= 5
}

// maxURI is the longest URI and client identifier read from a configuration.
const maxURI = 2048

// printable reports whether s is 1 to 2048 printable ASCII characters without a
// space (VSCHAR of RFC 6749 appendix A, less the space).
func printable(s string) bool {
	return s != "" && len(s) <= maxURI && !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r > 0x7e })
}

// A urlForm says what an https URL may have besides a host, a port and a path.
type urlForm struct {
	query     bool
	plainPath bool // no percent-encoding, dot or empty segments
}

// httpsURL reads an https URL and returns it as it is written, since what is
// compared later is compared byte for byte. The query, fragment and user
// information are looked for in the bytes: an empty one is there, too.
func (t *table) httpsURL(key string, form urlForm) (raw string, u *url.URL) {
	const want = "an https URL"
	raw, ok := t.text(key, want)
	if !ok {
		return "", nil
	}
	if strings.Contains(authority(raw), "@") {
		// Not repeated: what stands there may be a password.
		t.r.fault(t.place(key), "%s must be %s without user information before the host", t.name(key), want)
		return "", nil
	}
	u, err := url.Parse(raw)
	switch {
	case !printable(raw) || !strings.HasPrefix(raw, "https://") || err != nil || badAuthority(u):
		t.mustBe(key, want)
	case strings.Contains(raw, "#"):
		t.mustBe(key, want+" without a fragment")
	case !form.query && strings.Contains(raw, "?"):
		t.mustBe(key, want+" without a query")
	case form.plainPath && oddPath(u, raw):
		t.mustBe(key, want+" whose path has no dot segment, no empty segment, no percent-encoding and no brace")
	default:
		return raw, u
	}
	return "", nil
}

// authority is what stands between the scheme and the path; of a text without
// a scheme, everything.
func authority(raw string) string {
	if _, rest, ok := strings.Cut(raw, "//"); ok {
		raw = rest
	}
	if i := strings.IndexAny(raw, "/?#"); i >= 0 {
		raw = raw[:i]
	}
	return raw
}

func badAuthority(u *url.URL) bool {
	return u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Port() != "" && !goodPort(u.Port())
}

// oddPath reports a path that HTTP libraries rewrite on the way, so that the
// endpoints below it would not be found where the metadata says they are.
func oddPath(u *url.URL, raw string) bool {
	// Also not what the server's router would take for a pattern, or what has
	// another form on the wire.
	if strings.ContainsAny(raw, `%\{}`) || (&url.URL{Path: u.Path}).EscapedPath() != u.Path {
		return true
	}
	path := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	if path == "" {
		return u.Path != "" && u.Path != "/"
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// badResource reports whether s is not the absolute URI without a fragment that
// RFC 8707 section 2 wants.
func badResource(s string) bool {
	u, err := url.Parse(s)
	if err != nil || !printable(s) || !u.IsAbs() || strings.Contains(s, "#") {
		return true
	}
	if u.Scheme == "https" || u.Scheme == "http" {
		return badAuthority(u)
	}
	return u.Opaque == "" && u.Host == "" && u.Path == ""
}

// badScope reports whether s is not a scope token of RFC 6749 section 3.3.
func badScope(s string) bool {
	return s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= 0x20 || r > 0x7e || r == '"' || r == '\\'
	})
}
