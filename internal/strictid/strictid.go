package strictid

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	scheme = "spiffe://"

	// MaxID is the longest SPIFFE ID in bytes (SI-8, SI-9).
	MaxID = 2048
	// MaxTrustDomain is the longest trust domain name in bytes (SI-6).
	MaxTrustDomain = 255
)

// A Fault says which rule an identifier breaks and how.
type Fault struct {
	Rule string // SI-1 …
	What string
}

func (f *Fault) Error() string { return f.What + " (" + f.Rule + ")" }

// A Rule is one demand on an identifier's bytes.
type Rule struct {
	ID     string
	Source string
	// Broken says how the identifier breaks the rule; empty when it does not.
	Broken func(Parts) string
}

// Parts are an identifier cut at its scheme and at the first slash after it,
// with nothing decoded and nothing judged.
type Parts struct {
	Raw    string
	Scheme string // "spiffe://" in whatever case, or empty
	Name   string // the trust domain
	Path   string // with its leading slash, or empty
}

// Cut cuts an identifier.
func Cut(s string) Parts {
	p := Parts{Raw: s}
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		p.Scheme = s[:len(scheme)]
		p.Name = s[len(scheme):]
	}
	if i := strings.IndexByte(p.Name, '/'); i >= 0 {
		p.Name, p.Path = p.Name[:i], p.Name[i:]
	}
	return p
}

// Rules are the demands on every SPIFFE ID, in the order in which they are
// judged. A workload's must have a path besides (PathRule).
var Rules = []Rule{
	{"SI-9", "SPIFFE-ID 2.3", func(p Parts) string {
		if len(p.Raw) > MaxID {
			return fmt.Sprintf("longer than %d bytes", MaxID)
		}
		return ""
	}},
	{"SI-1", "SPIFFE-ID 2", func(p Parts) string {
		if p.Scheme == "" {
			return "does not begin with spiffe://"
		}
		return ""
	}},
	{"SI-10", "SPIFFE-ID 2.1, 2.4", func(p Parts) string {
		if p.Scheme != scheme {
			return "the scheme is not in lower case"
		}
		return ""
	}},
	{"SI-2", "SPIFFE-ID 2", func(p Parts) string {
		switch i := strings.IndexAny(p.Raw, "?#"); {
		case i < 0:
			return ""
		case p.Raw[i] == '?':
			return "it has a query, if only an empty one"
		default:
			return "it has a fragment, if only an empty one"
		}
	}},
	{"SI-3", "SPIFFE-ID 2.1", func(p Parts) string {
		switch {
		case p.Name == "":
			return "the trust domain is empty"
		case strings.Contains(p.Name, "@"):
			return "the trust domain has user information"
		case strings.Contains(p.Name, ":") && p.Name[0] != '[':
			return "the trust domain has a port"
		}
		return ""
	}},
	{"SI-4", "SPIFFE-ID 2.1", func(p Parts) string {
		for i := range len(p.Name) {
			switch c := p.Name[i]; {
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			case c >= 'A' && c <= 'Z':
				return "the trust domain is not in lower case"
			default:
				return "the trust domain has a character other than a-z 0-9 . - _"
			}
		}
		return ""
	}},
	{"SI-6", "SPIFFE-ID 2.3", func(p Parts) string {
		if len(p.Name) > MaxTrustDomain {
			return fmt.Sprintf("the trust domain is longer than %d bytes", MaxTrustDomain)
		}
		return ""
	}},
	{"SI-7", "SPIFFE-ID 2.2", brokenPath},
}

// PathRule is the demand on a workload's identifier (SI-11, SI-12).
var PathRule = Rule{"SI-12", "X509-SVID 5.2", func(p Parts) string {
	if p.Path == "" {
		return "it names a trust domain, not a workload: the path is missing"
	}
	return ""
}}

func brokenPath(p Parts) string {
	if p.Path == "" {
		return ""
	}
	for segment := range strings.SplitSeq(p.Path[1:], "/") {
		switch segment {
		case "":
			return "the path has an empty segment or ends in a slash"
		case ".", "..":
			return "the path has a dot segment"
		}
		for i := range len(segment) {
			switch c := segment[i]; {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			default:
				return "the path has a character other than a-z A-Z 0-9 . - _"
			}
		}
	}
	return ""
}

// Workload reads the SPIFFE ID of a workload: one with a path (SI-12). The
// error is a *Fault.
func Workload(s string) (spiffeid.ID, error) {
	id, err := Parse(s)
	if err != nil {
		return spiffeid.ID{}, err
	}
	if what := PathRule.Broken(Cut(s)); what != "" {
		return spiffeid.ID{}, &Fault{PathRule.ID, what}
	}
	return id, nil
}

// Parse reads a SPIFFE ID with or without a path. The error is a *Fault.
//
// It accepts the canonical spelling only and rewrites nothing, so two accepted
// identifiers are equal exactly when their bytes are (SI-10, SI-14).
func Parse(s string) (spiffeid.ID, error) {
	parts := Cut(s)
	for _, r := range Rules {
		if what := r.Broken(parts); what != "" {
			return spiffeid.ID{}, &Fault{r.ID, what}
		}
	}
	id, err := spiffeid.FromString(s)
	if err != nil { // our rules are the stricter ones; kept as a second lock
		return spiffeid.ID{}, &Fault{"SI-15", err.Error()}
	}
	if id.String() != s { // a build with the lax character option
		return spiffeid.ID{}, &Fault{"SI-15", "not in canonical form"}
	}
	return id, nil
}

// TrustDomain reads a trust domain as an operator writes it: the bare name or
// spiffe:// and the name, which mean the same (SI-13).
func TrustDomain(s string) (spiffeid.TrustDomain, error) {
	name := strings.TrimPrefix(s, scheme)
	if strings.ContainsAny(name, "/?#") {
		return spiffeid.TrustDomain{}, &Fault{"SI-13", "a trust domain is a name, or spiffe:// and a name, with nothing after it"}
	}
	id, err := Parse(scheme + name)
	if err != nil {
		return spiffeid.TrustDomain{}, err
	}
	return id.TrustDomain(), nil
}
