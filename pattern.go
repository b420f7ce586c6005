package svidgate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/strictid"
)

// A Pattern is the value of the client metadata member spiffe_id: one SPIFFE ID,
// or a SPIFFE ID followed by /* (MD-10, MD-15). The zero value matches nothing.
type Pattern struct {
	text     string
	prefix   string // of a wildcard: everything up to and including the last '/'
	exact    string
	td       spiffeid.TrustDomain
	maxDepth int // segments the wildcard may stand for; 0 is any number
}

// ParsePattern reads a pattern. What stands before a trailing /* must itself be
// a SPIFFE ID, with or without a path (MD-16); without the wildcard it must be a
// workload's (SI-12). Any other asterisk is refused (MD-15).
func ParsePattern(s string) (Pattern, error) {
	base, wildcard := strings.CutSuffix(s, "/*")
	//svidgate:rule MD-15
	if strings.Contains(base, "*") {
		return Pattern{}, errors.New("a wildcard is the two characters /* at the end, and nothing else (MD-15)")
	}
	if !wildcard {
		id, err := strictid.Workload(s)
		if err != nil {
			return Pattern{}, fmt.Errorf("not a workload's SPIFFE ID: %w", err)
		}
		return Pattern{text: s, exact: s, td: id.TrustDomain()}, nil
	}
	id, err := strictid.Parse(base)
	//svidgate:rule MD-16
	if err != nil {
		return Pattern{}, fmt.Errorf("what precedes /* is not a SPIFFE ID: %w (MD-16)", err)
	}
	return Pattern{text: s, prefix: base + "/", td: id.TrustDomain()}, nil
}

// WithDepth returns the pattern with its wildcard narrowed to at most n further
// segments; 0 is any number (MD-18). An exact pattern is returned unchanged.
func (p Pattern) WithDepth(n int) Pattern {
	if p.Wildcard() {
		p.maxDepth = n
	}
	return p
}

// Match reports whether the pattern stands for id: byte for byte when exact,
// else whole segments below the prefix, at least one of them (MD-17…19).
func (p Pattern) Match(id spiffeid.ID) bool {
	s := id.String()
	if !p.Wildcard() {
		//svidgate:rule MD-19
		return p.exact != "" && s == p.exact
	}
	rest, ok := strings.CutPrefix(s, p.prefix)
	//svidgate:rule MD-17
	if !ok || rest == "" {
		return false
	}
	//svidgate:rule MD-18
	return p.maxDepth == 0 || strings.Count(rest, "/") < p.maxDepth
}

// Wildcard reports whether the pattern ends in /*.
func (p Pattern) Wildcard() bool { return p.prefix != "" }

// WholeTrustDomain reports whether the pattern stands for every workload of its
// trust domain (MD-21).
func (p Pattern) WholeTrustDomain() bool {
	return p.Wildcard() && p.prefix == p.td.IDString()+"/"
}

// TrustDomain is the trust domain the pattern lies in.
func (p Pattern) TrustDomain() spiffeid.TrustDomain { return p.td }

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// IsZero reports whether the pattern was never parsed.
func (p Pattern) IsZero() bool { return p.text == "" }
