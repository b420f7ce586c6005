// Package redirecturi judges redirect URIs: which may be registered, and whether
// one that a request names is a registered one. Rules RD-1 to RD-4 live here.
//
// Nothing is ever normalised: what is compared is what was written (GL-14).
package redirecturi

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// MaxLength bounds a redirect URI, in bytes.
const MaxLength = 2048

// The loopback addresses whose port a request may choose (RD-2). The name localhost
// is none: it is whatever a resolver says (RD-3).
var loopback = []string{"http://127.0.0.1", "http://[::1]"}

// Check says why a URI may not be registered (RD-4); nil when it may.
func Check(uri string) error {
	switch {
	case uri == "" || len(uri) > MaxLength:
		return errors.New("it must have 1 to " + strconv.Itoa(MaxLength) + " characters")
	case strings.ContainsFunc(uri, func(c rune) bool { return c <= 0x20 || c > 0x7e || c == '"' || c == '<' || c == '>' || c == '\\' }):
		return errors.New("it must be printable ASCII without spaces, quotes, angle brackets and backslashes")
	case strings.Contains(uri, "#"):
		return errors.New("it must have no fragment (RD-4)")
	case strings.Contains(uri, "*"):
		return errors.New("there are no wildcards in it (RD-1)")
	}
	u, err := url.Parse(uri)
	if err != nil || !u.IsAbs() {
		return errors.New("it must be an absolute URI")
	}
	if u.User != nil {
		return errors.New("it must have no user information (RD-4)")
	}
	scheme, _, _ := strings.Cut(uri, ":") // as it was written
	switch scheme {
	case "https":
		if u.Hostname() == "" {
			return errors.New("it must have a host")
		}
		return nil
	case "http":
		for _, prefix := range loopback {
			if _, _, ok := cutPort(uri, prefix); ok {
				return nil
			}
		}
		if _, _, ok := cutPort(uri, "http://localhost"); ok {
			return nil
		}
		return errors.New("http is for http://127.0.0.1, http://[::1] and http://localhost only (RD-4)")
	}
	if !strings.Contains(scheme, ".") {
		return errors.New("its scheme must be https, or a private one with a period in it, such as com.example.app (RD-4)")
	}
	return nil
}

// Match reports whether a URI that a request names is the registered one: byte for
// byte (RD-1), but for the port of a loopback address (RD-2).
func Match(registered, named string) bool {
	if named == registered {
		return named != ""
	}
	for _, prefix := range loopback {
		if _, rest, ok := cutPort(registered, prefix); ok {
			_, other, same := cutPort(named, prefix)
			return same && other == rest
		}
	}
	return false
}

// cutPort takes apart a URI that begins with scheme and host, and then goes on with
// a port, a path, a query, or nothing.
func cutPort(uri, prefix string) (port, rest string, ok bool) {
	rest, ok = strings.CutPrefix(uri, prefix)
	if !ok {
		return "", "", false
	}
	if after, there := strings.CutPrefix(rest, ":"); there {
		end := strings.IndexFunc(after, func(c rune) bool { return c < '0' || c > '9' })
		if end < 0 {
			end = len(after)
		}
		port, rest = after[:end], after[end:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return "", "", false
		}
	}
	if rest != "" && rest[0] != '/' && rest[0] != '?' {
		return "", "", false
	}
	return port, rest, true
}
