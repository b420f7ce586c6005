package svidgate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
)

func parsePattern(t testing.TB, s string) svidgate.Pattern {
	t.Helper()
	p, err := svidgate.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePattern(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		want string // in the error; empty: accepted
	}{
		{"MD-10 a workload", "spiffe://example.org/billing", ""},
		{"MD-15 a wildcard", "spiffe://example.org/client/*", ""},
		{"MD-15 a wildcard below two segments", "spiffe://example.org/ns/ci/*", ""},
		{"MD-21 a wildcard below the trust domain", "spiffe://example.org/*", ""},
		{"MD-15 an asterisk at the end of a segment", "spiffe://example.org/a*", "MD-15"},
		{"MD-15 an asterisk at the beginning of a segment", "spiffe://example.org/*a", "MD-15"},
		{"MD-15 a segment in the middle", "spiffe://example.org/*/b", "MD-15"},
		{"MD-15 two asterisks", "spiffe://example.org/**", "MD-15"},
		{"MD-15 two segments of asterisks", "spiffe://example.org/*/*", "MD-15"},
		{"MD-15 an asterisk and a wildcard", "spiffe://example.org/a*/*", "MD-15"},
		{"MD-15 an asterisk alone", "*", "MD-15"},
		{"MD-15 a wildcard and a slash", "spiffe://example.org/a/*/", "MD-15"},
		{"MD-15 a wildcard and a space", "spiffe://example.org/a/* ", "MD-15"},
		{"MD-15 an asterisk as trust domain", "spiffe://*/a", "MD-15"},
		{"MD-15 an asterisk in the trust domain", "spiffe://*.example.org/a/*", "MD-15"},
		{"MD-16 every trust domain", "spiffe://*", "MD-16"},
		{"MD-16 every path of no trust domain", "spiffe:///*", "MD-16"},
		{"MD-16 a slash too many", "spiffe://example.org//*", "MD-16"},
		{"MD-16 a wildcard without an ID", "/*", "MD-16"},
		{"MD-16 another scheme", "https://example.org/*", "MD-16"},
		{"MD-16 a trust domain in upper case", "spiffe://Example.org/*", "MD-16"},
		{"MD-16 a query", "spiffe://example.org/a?/*", "MD-16"},
		{"AK-6 dot segments", "spiffe://example.org/client/../*", "MD-16"},
		{"AK-6 an encoded slash", "spiffe://example.org/a%2f/*", "MD-16"},
		{"SI-12 a trust domain without a wildcard", "spiffe://example.org", "SI-12"},
		{"SI-7 a trailing slash", "spiffe://example.org/a/", "SI-7"},
		{"SI-10 the scheme in upper case", "SPIFFE://example.org/a", "SI-10"},
		{"SI-1 nothing", "", "SI-1"},
		{"SI-1 no SPIFFE ID", "billing", "SI-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := svidgate.ParsePattern(c.text)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if !p.IsZero() {
					t.Error("a pattern beside an error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.String() != c.text || p.IsZero() || p.TrustDomain().Name() != "example.org" || p.Wildcard() != strings.HasSuffix(c.text, "/*") {
				t.Errorf("%q of %s, wildcard %v", p, p.TrustDomain(), p.Wildcard())
			}
			if whole := c.text == "spiffe://example.org/*"; p.WholeTrustDomain() != whole {
				t.Errorf("MD-21 the whole trust domain: %v", p.WholeTrustDomain())
			}
		})
	}
}

func TestPatternMatch(t *testing.T) {
	const client = "spiffe://example.org/client/*"
	for _, c := range []struct {
		name    string
		pattern string
		depth   int
		id      string
		want    bool
	}{
		{"MD-17 a segment below", client, 0, "spiffe://example.org/client/123", true},
		{"MD-17 the beginning of a segment", client, 0, "spiffe://example.org/client123", false},
		{"EC-6 nothing below", client, 0, "spiffe://example.org/client", false},
		{"MD-17 another case", client, 0, "spiffe://example.org/Client/1", false},
		{"MD-17 a longer trust domain", client, 0, "spiffe://example.org.evil/client/1", false},
		{"MD-17 another trust domain", client, 0, "spiffe://b.example/client/1", false},
		{"MD-17 one segment too early", client, 0, "spiffe://example.org/x/client/1", false},
		{"AK-6 three dots are a name", client, 0, "spiffe://example.org/client/...", true},
		{"MD-18 two levels below", client, 0, "spiffe://example.org/client/a/b", true},
		{"MD-18 nine levels below", client, 0, "spiffe://example.org/client/a/b/c/d/e/f/g/h/i", true},
		{"MD-18 depth 1, one level", client, 1, "spiffe://example.org/client/a", true},
		{"MD-18 depth 1, two levels", client, 1, "spiffe://example.org/client/a/b", false},
		{"MD-18 depth 1, no level", client, 1, "spiffe://example.org/client", false},
		{"MD-18 depth 2, two levels", client, 2, "spiffe://example.org/client/a/b", true},
		{"MD-18 depth 2, three levels", client, 2, "spiffe://example.org/client/a/b/c", false},
		{"MD-18 a depth below zero", client, -1, "spiffe://example.org/client/a", false},
		{"MD-21 the whole trust domain", "spiffe://example.org/*", 0, "spiffe://example.org/a/b", true},
		{"MD-21 the trust domain itself", "spiffe://example.org/*", 0, "spiffe://example.org", false},
		{"MD-21 a longer trust domain", "spiffe://example.org/*", 0, "spiffe://example.org.evil/a", false},
		{"MD-21 depth 1", "spiffe://example.org/*", 1, "spiffe://example.org/a/b", false},
		{"MD-19 the same", "spiffe://example.org/a", 0, "spiffe://example.org/a", true},
		{"MD-19 below", "spiffe://example.org/a", 0, "spiffe://example.org/a/b", false},
		{"MD-19 above", "spiffe://example.org/a/b", 0, "spiffe://example.org/a", false},
		{"MD-19 longer", "spiffe://example.org/a", 0, "spiffe://example.org/ab", false},
		{"MD-19 another case", "spiffe://example.org/a", 0, "spiffe://example.org/A", false},
		{"MD-19 a depth makes no difference", "spiffe://example.org/a/b", 1, "spiffe://example.org/a/b", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parsePattern(t, c.pattern).WithDepth(c.depth)
			if got := p.Match(spiffeid.RequireFromString(c.id)); got != c.want {
				t.Errorf("%s matches %s: %v", c.pattern, c.id, got)
			}
			if p.Match(spiffeid.ID{}) {
				t.Error("the zero ID matches")
			}
		})
	}
}

func TestZeroPatternMatchesNothing(t *testing.T) {
	for _, id := range []spiffeid.ID{{}, spiffeid.RequireFromString("spiffe://example.org/a"), spiffeid.RequireFromString("spiffe://example.org")} {
		if (svidgate.Pattern{}).Match(id) || (svidgate.Pattern{}).WithDepth(3).Match(id) {
			t.Errorf("MD-15 the zero pattern matches %q", id)
		}
	}
	if p := (svidgate.Pattern{}); !p.IsZero() || p.Wildcard() || p.WholeTrustDomain() || p.String() != "" {
		t.Error("the zero pattern is a pattern")
	}
}

func TestWithDepthChangesACopy(t *testing.T) {
	wide := parsePattern(t, "spiffe://example.org/*")
	narrow := wide.WithDepth(1)
	deep := spiffeid.RequireFromString("spiffe://example.org/a/b")
	if !wide.Match(deep) || narrow.Match(deep) || !narrow.WithDepth(0).Match(deep) {
		t.Error("MD-18 the depth of a copy is that of the original")
	}
}

// A wildcard matches exactly when its segments are the first of the ID's and at
// least one follows (section 18 item 6).
func FuzzPattern(f *testing.F) {
	for _, c := range [][2]string{
		{"spiffe://example.org/client/*", "spiffe://example.org/client/1"}, {"spiffe://example.org/client/*", "spiffe://example.org/client1"},
		{"spiffe://example.org/*", "spiffe://example.org/a/b"}, {"spiffe://a/b", "spiffe://a/b"}, {"spiffe://*", "spiffe://a/b"},
		{"spiffe://a/b*", "spiffe://a/bc"}, {"spiffe://a//*", "spiffe://a/b"}, {"spiffe://a/*/*", "spiffe://a/b/c"},
	} {
		f.Add(c[0], c[1], 0)
		f.Add(c[0], c[1], 1)
	}
	f.Fuzz(func(t *testing.T, text, idText string, depth int) {
		p, err := svidgate.ParsePattern(text)
		if again, err2 := svidgate.ParsePattern(text); again != p || (err == nil) != (err2 == nil) {
			t.Fatalf("two answers: %v, %v and %v, %v", p, err, again, err2)
		}
		if err != nil {
			if !p.IsZero() {
				t.Fatal("a pattern beside an error")
			}
			return
		}
		if p.String() != text || strings.Contains(strings.TrimSuffix(text, "/*"), "*") {
			t.Fatalf("MD-15 %q was read as %q", text, p)
		}
		// The pattern as an ID: it matches itself, or what lies below it.
		if base, wildcard := strings.CutSuffix(text, "/*"); !wildcard && !p.Match(spiffeid.RequireFromString(base)) || wildcard && p.Match(spiffeid.RequireFromString(base)) {
			t.Fatalf("MD-17 %q and itself", text)
		}
		id, err := spiffeid.FromString(idText)
		if err != nil {
			return
		}
		depth %= 8
		if depth < 0 {
			depth = -depth
		}
		if got, want := p.WithDepth(depth).Match(id), bySegments(text, idText, depth); got != want {
			t.Fatalf("%q with depth %d and %q: %v, segment by segment %v", text, depth, idText, got, want)
		}
	})
}

// bySegments is matching told in another way.
func bySegments(pattern, id string, depth int) bool {
	p, s := strings.Split(pattern, "/"), strings.Split(id, "/")
	if p[len(p)-1] != "*" {
		return slices.Equal(p, s)
	}
	p = p[:len(p)-1]
	below := len(s) - len(p)
	return below >= 1 && slices.Equal(p, s[:len(p)]) && (depth == 0 || below <= depth)
}
