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

func fault(rule, format string, args ...any) *Fault {
	return &Fault{rule, fmt.Sprintf(format, args...)}
}

// Workload reads the SPIFFE ID of a workload: one with a path (SI-12). The
// error is a *Fault.
func Workload(s string) (spiffeid.ID, error) {
	id, err := Parse(s)
	if err != nil {
		return spiffeid.ID{}, err
	}
	if id.Path() == "" {
		return spiffeid.ID{}, fault("SI-12", "it names a trust domain, not a workload: the path is missing")
	}
	return id, nil
}

// Parse reads a SPIFFE ID with or without a path. The error is a *Fault.
//
// It accepts the canonical spelling only and rewrites nothing, so two accepted
// identifiers are equal exactly when their bytes are (SI-10, SI-14).
func Parse(s string) (spiffeid.ID, error) {
	if f := check(s); f != nil {
		return spiffeid.ID{}, f
	}
	id, err := spiffeid.FromString(s)
	if err != nil { // our rules are the stricter ones; kept as a second lock
		return spiffeid.ID{}, fault("SI-1", "it is no SPIFFE ID: %v", err)
	}
	if id.String() != s { // SI-15: a build with the lax character option
		return spiffeid.ID{}, fault("SI-10", "it is not in canonical form")
	}
	return id, nil
}

func check(s string) *Fault {
	if len(s) > MaxID {
		return fault("SI-9", "it is longer than %d bytes", MaxID)
	}
	if !strings.HasPrefix(s, scheme) {
		if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return fault("SI-10", "the scheme is not in lower case")
		}
		return fault("SI-1", "it does not begin with spiffe://")
	}
	// Before everything else, because '?' and '#' would otherwise be reported
	// as stray characters of a segment.
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		if s[i] == '?' {
			return fault("SI-2", "it has a query")
		}
		return fault("SI-2", "it has a fragment")
	}
	name, path := s[len(scheme):], ""
	if i := strings.IndexByte(name, '/'); i >= 0 {
		name, path = name[:i], name[i:]
	}
	if f := checkTrustDomain(name); f != nil {
		return f
	}
	return checkPath(path)
}

func checkTrustDomain(name string) *Fault {
	if name == "" {
		return fault("SI-3", "the trust domain is empty")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		case c == '@':
			return fault("SI-3", "the trust domain has user information")
		case c == ':' && !strings.HasPrefix(name, "["):
			return fault("SI-3", "the trust domain has a port")
		case c >= 'A' && c <= 'Z':
			return fault("SI-4", "the trust domain is not in lower case")
		default:
			return fault("SI-4", "the trust domain has a character other than a-z 0-9 . - _")
		}
	}
	if len(name) > MaxTrustDomain {
		return fault("SI-6", "the trust domain is longer than %d bytes", MaxTrustDomain)
	}
	return nil
}

func checkPath(path string) *Fault {
	if path == "" {
		return nil
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		switch segment {
		case "":
			return fault("SI-7", "the path has an empty segment or ends in a slash")
		case ".", "..":
			return fault("SI-7", "the path has a dot segment")
		}
		for i := range len(segment) {
			switch c := segment[i]; {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			default:
				return fault("SI-7", "the path has a character other than a-z A-Z 0-9 . - _")
			}
		}
	}
	return nil
}

// TrustDomain reads a trust domain as an operator writes it: the bare name or
// spiffe:// and the name, which mean the same (SI-13).
func TrustDomain(s string) (spiffeid.TrustDomain, error) {
	name := strings.TrimPrefix(s, scheme)
	if strings.ContainsAny(name, "/?#") {
		return spiffeid.TrustDomain{}, fault("SI-13", "a trust domain is a name or spiffe:// and a name, with nothing after it")
	}
	id, err := Parse(scheme + name)
	if err != nil {
		return spiffeid.TrustDomain{}, err
	}
	return id.TrustDomain(), nil
}
