package client

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// originOf is scheme, host and port of an https URL, in one spelling. Tokens are
// sent over TLS only (RFC 6750 section 5.3), so no other URL has one.
func originOf(u *url.URL) (string, bool) {
	if u == nil || u.Scheme != "https" || u.Hostname() == "" {
		return "", false
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return strings.ToLower(u.Hostname()) + " " + port, true
}

// origins collects where tokens of a resource may go: to the resource itself, if
// it is an https URL, and to those named besides.
func origins(resource string, more []string) (map[string]bool, error) {
	allowed := map[string]bool{}
	if u, err := url.Parse(resource); err == nil {
		if origin, ok := originOf(u); ok {
			allowed[origin] = true
		}
	}
	for _, s := range more {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("origin %q is not a URL", oauth.Shown(s))
		}
		origin, ok := originOf(u)
		if !ok || u.User != nil || strings.TrimSuffix(s, "/") != u.Scheme+"://"+u.Host {
			return nil, fmt.Errorf("origin %q is not an https URL of a host and nothing more", oauth.Shown(s))
		}
		allowed[origin] = true
	}
	if len(allowed) == 0 {
		return nil, fmt.Errorf("resource %q is no https URL: name the origins its tokens may be sent to", oauth.Shown(resource))
	}
	return allowed, nil
}

// trusted reports whether every step that led to this request was at an allowed
// origin. A redirect through elsewhere and back is not: its target was chosen by
// a stranger.
func (t *transport) trusted(req *http.Request) bool {
	for ; req != nil; req = req.Response.Request {
		origin, ok := originOf(req.URL)
		if !ok || !t.origins[origin] {
			return false
		}
		if req.Response == nil {
			return true
		}
	}
	return false // a step that nobody recorded
}
