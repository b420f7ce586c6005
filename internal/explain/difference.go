package explain

import (
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// A Difference is the first place in which two identifiers differ.
type Difference struct {
	Where     string `json:"where"` // scheme, host, name, trust domain, port, segment 2, trailing slash, case of segment 2, …
	Expected  string `json:"expected"`
	Presented string `json:"presented"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s (expected %s, presented %s)", d.Where, d.Expected, d.Presented)
}

// FirstDifference names where two URLs or SPIFFE IDs first differ: false when
// they are equal, byte for byte. With the arguments swapped it names the same
// place.
func FirstDifference(expected, presented string) (Difference, bool) {
	if expected == presented {
		return Difference{}, false
	}
	if strings.TrimSpace(expected) == strings.TrimSpace(presented) {
		return Difference{"white space around it", spaces(expected), spaces(presented)}, true
	}
	if expected == presented+"/" || presented == expected+"/" {
		return Difference{"trailing slash", slash(expected), slash(presented)}, true
	}
	for _, c := range compared(partsOf(expected), partsOf(presented)) {
		if c.Expected == c.Presented {
			continue
		}
		if strings.EqualFold(c.Expected, c.Presented) {
			c.Where = "case of " + c.Where
		}
		return Difference{c.Where, part(c.Expected), part(c.Presented)}, true
	}
	at := 0
	for at < len(expected) && at < len(presented) && expected[at] == presented[at] {
		at++
	}
	return Difference{fmt.Sprintf("byte %d", at+1), part(expected[at:]), part(presented[at:])}, true
}

func slash(s string) string {
	if strings.HasSuffix(s, "/") {
		return "one"
	}
	return "none"
}

func spaces(s string) string {
	if n := len(s) - len(strings.TrimSpace(s)); n > 0 {
		return fmt.Sprintf("%d bytes of it", n)
	}
	return "none"
}

func part(s string) string {
	if s == "" {
		return "none"
	}
	return oauth.Shown(s)
}

// parts are an identifier taken apart, loosely: what is no URL has parts, too.
type parts struct {
	scheme, host, port string
	segments           []string
	query              string // and fragment
}

func partsOf(s string) parts {
	var p parts
	scheme, rest, ok := strings.Cut(s, "://")
	if ok {
		p.scheme = scheme
	} else {
		rest = s
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest, p.query = rest[:i], rest[i:]
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, p.port = host[:i], host[i+1:]
	}
	p.host = host
	if hasPath {
		p.segments = strings.Split(path, "/")
	}
	return p
}

func (p parts) segment(i int) string {
	if i < len(p.segments) {
		return p.segments[i]
	}
	return ""
}

// compared pairs the parts of two identifiers in the order in which they are
// read.
func compared(e, p parts) []Difference {
	host := "host"
	switch {
	case strings.EqualFold(e.scheme, "spiffe") && strings.EqualFold(p.scheme, "spiffe"):
		host = "trust domain"
	case e.scheme == "" && p.scheme == "": // neither is a URL
		host = "name"
	}
	pairs := []Difference{{"scheme", e.scheme, p.scheme}, {host, e.host, p.host}, {"port", e.port, p.port}}
	for i := range max(len(e.segments), len(p.segments)) {
		pairs = append(pairs, Difference{fmt.Sprintf("segment %d", i+1), e.segment(i), p.segment(i)})
	}
	return append(pairs, Difference{"query", e.query, p.query})
}
