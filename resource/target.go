package resource

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// originOf is scheme, host and port of an https URL, in one spelling: lower case,
// and no port that is the usual one. Anything else has none: bound tokens are for
// TLS only.
func originOf(u *url.URL) (string, bool) {
	if u == nil || !strings.EqualFold(u.Scheme, "https") || u.Hostname() == "" || u.User != nil {
		return "", false
	}
	host := strings.ToLower(u.Host)
	if u.Port() == "443" || strings.HasSuffix(host, ":") {
		host = host[:strings.LastIndexByte(host, ':')]
	}
	return "https://" + host, true
}

// checkOrigin reads an origin of the configuration.
func checkOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New("is not a URL")
	}
	origin, ok := originOf(u)
	if !ok || !strings.EqualFold(strings.TrimSuffix(s, "/"), u.Scheme+"://"+u.Host) {
		return "", fmt.Errorf("is not an https URL of a host and nothing more: %q", oauth.Shown(s))
	}
	return origin, nil
}

// isTarget reports whether htu names a request with this path at one of our
// origins. Query and fragment do not count (RFC 9449 section 4.3), and two
// spellings of one URI are the same (RFC 3986 sections 6.2.2 and 6.2.3).
func (v *Verifier) isTarget(htu, path string) bool {
	for _, origin := range v.origins {
		if len(htu) == len(origin)+len(path) && htu[:len(origin)] == origin && htu[len(origin):] == path {
			return true
		}
	}
	u, err := url.Parse(htu)
	if err != nil {
		return false
	}
	origin, ok := originOf(u)
	if !ok || normalPath(u.EscapedPath()) != normalPath(path) {
		return false
	}
	for _, ours := range v.origins {
		if origin == ours {
			return true
		}
	}
	return false
}

// normalPath is the one spelling of a path: no needless escapes, the others in
// upper case, no dot segments, and never empty.
func normalPath(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		high, low := unhex(path[i+1]), unhex(path[i+2])
		if high < 0 || low < 0 {
			b.WriteByte(path[i])
			continue
		}
		if c := byte(high<<4 | low); unreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[high])
			b.WriteByte(upperHex[low])
		}
		i += 2
	}
	return withoutDots(b.String())
}

const upperHex = "0123456789ABCDEF"

func unhex(c byte) int {
	switch {
	case c >= 'a' && c <= 'f':
		c -= 'a' - 'A'
	}
	return strings.IndexByte(upperHex, c)
}

// unreserved are the characters that mean the same with and without an escape
// (RFC 3986 section 2.3).
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// withoutDots removes dot segments (RFC 3986 section 5.2.4). Empty segments stay.
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		if path == "" {
			return "/"
		}
		return path
	}
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".", "..":
			if segment == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/")
}
