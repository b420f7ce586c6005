package tokenrequest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// FuzzScope: no panic, the same answer twice, and what is read is what was
// written, less its repetitions, in characters that RFC 6749 section 3.3 allows.
func FuzzScope(f *testing.F) {
	for _, s := range []string{"", "read", "read write", "read read", " ", "a  b", "a\tb", `a"b`, `a\b`, "\x7f", "\u00e9", "\xff", "!~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens, err := ParseScope(s)
		again, err2 := ParseScope(s)
		if !slices.Equal(tokens, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("two answers: %q, %v and %q, %v", tokens, err, again, err2)
		}
		if err != nil {
			if tokens != nil {
				t.Fatalf("%q beside %v", tokens, err)
			}
			return
		}
		joined := strings.Join(tokens, " ")
		if reread, err := ParseScope(joined); err != nil || !slices.Equal(reread, tokens) {
			t.Fatalf("%q is read as %q, %v", joined, reread, err)
		}
		seen := map[string]bool{}
		for token := range strings.SplitSeq(s, " ") {
			if s != "" && !slices.Contains(tokens, token) {
				t.Fatalf("%q lost %q", s, token)
			}
			seen[token] = true
		}
		if s != "" && len(seen) != len(tokens) {
			t.Fatalf("%q was read as %q", s, tokens)
		}
		for _, c := range []byte(joined) {
			if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				t.Fatalf("TK-5 %q was accepted", s)
			}
		}
	})
}

// FuzzResource: no panic, the same answer twice, and what is accepted is an
// absolute URI in one line and without a fragment.
func FuzzResource(f *testing.F) {
	for _, s := range []string{"", "https://a/", "https://a/#", "#", "/a", "//a", "a:b", "https://a/%zz", "https://a/\n", "spiffe://a/b", ":", "a:", "\xff:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := CheckResources([]string{s})
		if again := CheckResources([]string{s}); fmt.Sprint(err) != fmt.Sprint(again) {
			t.Fatalf("two answers: %v and %v", err, again)
		}
		if err == nil && (strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '#' }) || !strings.Contains(s, ":") || strings.HasPrefix(s, ":")) {
			t.Fatalf("RI-1 %q was accepted", s)
		}
		if (CheckResources([]string{"https://a/", s}) == nil) != (err == nil) {
			t.Fatalf("RI-1 the second of two is judged otherwise: %v", err)
		}
	})
}
