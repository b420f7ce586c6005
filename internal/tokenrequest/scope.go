package tokenrequest

import (
	"net/url"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// ParseScope reads scope (RFC 6749 section 3.3): tokens of printable ASCII
// without quote and backslash, one space between two. One that stands twice counts
// once. The error is an *oauth.Error.
func ParseScope(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	var tokens []string
	seen := map[string]bool{} // a search in tokens would take half a second for a body full of them (GL-8)
	for token := range strings.SplitSeq(s, " ") {
		if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c < 0x21 || c > 0x7e || c == '"' || c == '\\' }) {
			return nil, oauth.Refuse(oauth.InvalidScope, oauth.ReasonScopeMalformed, "TK-5", "scope tokens with one space between two", oauth.Shown(s))
		}
		if !seen[token] {
			seen[token] = true
			tokens = append(tokens, token)
		}
	}
	return tokens, nil
}

// CheckResources is RFC 8707 section 2: absolute URIs without a fragment. The error is an
// *oauth.Error.
func CheckResources(resources []string) error {
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.Contains(r, "#") {
			return oauth.Refuse(oauth.InvalidTarget, oauth.ReasonResourceUnknown, "TK-5", "an absolute URI without a fragment", oauth.Shown(r))
		}
	}
	return nil
}
