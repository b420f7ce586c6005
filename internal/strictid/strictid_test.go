package strictid_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/strictid"
)

// wantRule fails unless err is a *Fault of this rule; with an empty rule it
// fails unless err is nil.
func wantRule(t *testing.T, err error, rule string) {
	t.Helper()
	if rule == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	fault, ok := errors.AsType[*strictid.Fault](err)
	if !ok {
		t.Fatalf("got %v, want a *Fault of %s", err, rule)
	}
	if fault.Rule != rule {
		t.Errorf("refused by %s (%s), want %s", fault.Rule, fault.What, rule)
	}
	if fault.What == "" || !strings.Contains(fault.Error(), rule) {
		t.Errorf("the error %q does not say what and by which rule", fault.Error())
	}
}

// The rows are those of client-authentication section 1, the sound spellings
// beside the defects.
var workloads = []struct {
	name string
	id   string
	rule string // empty: accepted
}{
	{"SI-1 a workload", "spiffe://example.org/a", ""},
	{"SI-1 nothing", "", "SI-1"},
	{"SI-1 no scheme", "example.org/a", "SI-1"},
	{"SI-1 another scheme", "https://example.org/a", "SI-1"},
	{"SI-1 one slash", "spiffe:/example.org/a", "SI-1"},
	{"SI-1 no slash", "spiffe:example.org", "SI-1"},
	{"SI-1 a space before it", " spiffe://example.org/a", "SI-1"},
	{"SI-1 a letter that folds to an s", "\u017fpiffe://example.org/a", "SI-1"},

	{"SI-2 a query", "spiffe://example.org/a?x=1", "SI-2"},
	{"SI-2 an empty query", "spiffe://example.org/a?", "SI-2"},
	{"SI-2 a fragment", "spiffe://example.org/a#f", "SI-2"},
	{"SI-2 an empty fragment", "spiffe://example.org/a#", "SI-2"},
	{"SI-2 a query after the trust domain", "spiffe://example.org?x/a", "SI-2"},

	{"SI-3 no trust domain", "spiffe:///a", "SI-3"},
	{"SI-3 user", "spiffe://u@example.org/a", "SI-3"},
	{"SI-3 user and password", "spiffe://u:p@example.org/a", "SI-3"},
	{"SI-3 empty user", "spiffe://@example.org/a", "SI-3"},
	{"SI-3 a port", "spiffe://example.org:8443/a", "SI-3"},
	{"SI-3 an empty port", "spiffe://example.org:/a", "SI-3"},

	{"SI-4 upper case", "spiffe://Example.org/a", "SI-4"},
	{"SI-4 percent-encoding", "spiffe://exa%6dple.org/a", "SI-4"},
	{"SI-4 an IPv6 literal", "spiffe://[::1]/a", "SI-4"},
	{"SI-4 an IPv6 literal and a port", "spiffe://[::1]:443/a", "SI-4"},
	{"SI-4 not ASCII", "spiffe://ex\u00e4mple.org/a", "SI-4"},
	{"SI-4 a look-alike letter", "spiffe://ex\u0430mple.org/a", "SI-4"},

	{"SI-5 a dotted quad", "spiffe://1.2.3.4/a", ""},
	{"SI-5 an underscore", "spiffe://under_score/a", ""},
	{"SI-5 leading and trailing dashes", "spiffe://-x-/a", ""},
	{"SI-5 a single label", "spiffe://local/a", ""},
	{"SI-5 empty labels", "spiffe://a..b./a", ""},
	{"SI-5 a label of 64 bytes", "spiffe://" + strings.Repeat("a", 64) + ".org/a", ""},

	{"SI-6 255 bytes", "spiffe://" + strings.Repeat("a", 255) + "/a", ""},
	{"SI-6 256 bytes", "spiffe://" + strings.Repeat("a", 256) + "/a", "SI-6"},

	{"SI-7 two segments", "spiffe://example.org/a/b", ""},
	{"SI-7 three dots", "spiffe://example.org/...", ""},
	{"SI-7 a dot before a name", "spiffe://example.org/.a", ""},
	{"SI-7 all kinds of characters", "spiffe://example.org/A_b-c.d", ""},
	{"SI-7 a slash alone", "spiffe://example.org/", "SI-7"},
	{"SI-7 a trailing slash", "spiffe://example.org/a/", "SI-7"},
	{"SI-7 a leading empty segment", "spiffe://example.org//a", "SI-7"},
	{"SI-7 an empty segment", "spiffe://example.org/a//b", "SI-7"},
	{"SI-7 a dot", "spiffe://example.org/./a", "SI-7"},
	{"SI-7 two dots", "spiffe://example.org/a/..", "SI-7"},
	{"SI-7 an encoded slash", "spiffe://example.org/a%2Fb", "SI-7"},
	{"SI-7 a space", "spiffe://example.org/a b", "SI-7"},
	{"SI-7 an asterisk", "spiffe://example.org/a*", "SI-7"},
	{"SI-7 a colon", "spiffe://example.org/a:b", "SI-7"},
	{"SI-7 not ASCII", "spiffe://example.org/\u00e4", "SI-7"},
	{"SI-7 a tilde", "spiffe://example.org/~a", "SI-7"},
	{"SI-7 a line break at the end", "spiffe://example.org/a\n", "SI-7"},
	{"SI-7 a zero byte", "spiffe://example.org/a\x00", "SI-7"},
	{"SI-7 a backslash", `spiffe://example.org/a\b`, "SI-7"},

	{"SI-8 2048 bytes", ofLength(2048), ""},
	{"SI-9 2049 bytes", ofLength(2049), "SI-9"},

	{"SI-10 the scheme in upper case", "SPIFFE://example.org/a", "SI-10"},
	{"SI-10 the scheme in mixed case", "Spiffe://example.org/a", "SI-10"},
	{"SI-10 upper case in the path is another workload", "spiffe://example.org/A", ""},

	{"SI-12 no path", "spiffe://example.org", "SI-12"},

	{"SI-14 encoded dots", "spiffe://example.org/a/%2e%2e/b", "SI-7"},
	{"SI-14 dot segments that a URL parser removes", "spiffe://example.org/a/../b", "SI-7"},
}

func ofLength(n int) string {
	const head = "spiffe://example.org/"
	return head + strings.Repeat("a", n-len(head))
}

func TestWorkload(t *testing.T) {
	for _, c := range workloads {
		t.Run(c.name, func(t *testing.T) {
			id, err := strictid.Workload(c.id)
			wantRule(t, err, c.rule)
			if want := map[bool]string{true: c.id}[err == nil]; id.String() != want {
				t.Errorf("the ID is %q, want %q", id, want)
			}
		})
	}
}

// Parse differs from Workload in the path alone.
func TestParse(t *testing.T) {
	for _, c := range workloads {
		t.Run(c.name, func(t *testing.T) {
			id, err := strictid.Parse(c.id)
			if c.rule == "SI-12" {
				c.rule = "" // SI-11: it names a trust domain
			}
			wantRule(t, err, c.rule)
			if err == nil && id.String() != c.id {
				t.Errorf("SI-10 rewritten to %q", id)
			}
		})
	}
}

func TestIDsAreComparedByteForByte(t *testing.T) {
	lower, err1 := strictid.Workload("spiffe://example.org/a")
	upper, err2 := strictid.Workload("spiffe://example.org/A")
	again, err3 := strictid.Workload("spiffe://example.org/a")
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	if lower == upper || lower != again {
		t.Error("SI-10 /a and /A are one workload, or /a and /a are two")
	}
}

// Every byte in the middle of a trust domain, and in the middle of a path.
func TestEveryByte(t *testing.T) {
	const (
		lower  = "abcdefghijklmnopqrstuvwxyz"
		upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		others = "0123456789.-_"
	)
	for i := range 256 {
		b := string([]byte{byte(i)})

		id, err := strictid.Parse("spiffe://ex" + b + "ample/a")
		switch {
		case strings.Contains(lower+others, b):
			if err != nil || id.TrustDomain().Name() != "ex"+b+"ample" {
				t.Errorf("SI-4 byte %#02x: %q, %v", i, id, err)
			}
		case b == "/": // here the path begins
			if err != nil || id.TrustDomain().Name() != "ex" || id.Path() != "/ample/a" {
				t.Errorf("SI-1 a slash: %q, %v", id, err)
			}
		case b == "?" || b == "#":
			wantRule(t, err, "SI-2")
		case b == "@" || b == ":":
			wantRule(t, err, "SI-3")
		default:
			wantRule(t, err, "SI-4")
		}

		id, err = strictid.Parse("spiffe://example.org/x" + b + "y")
		switch {
		case strings.Contains(lower+upper+others+"/", b):
			if err != nil || id.Path() != "/x"+b+"y" {
				t.Errorf("SI-7 byte %#02x: %q, %v", i, id, err)
			}
		case b == "?" || b == "#":
			wantRule(t, err, "SI-2")
		default:
			wantRule(t, err, "SI-7")
		}
	}
}

func TestTrustDomain(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		want string // the name; empty: refused
		rule string
	}{
		{"SI-13 a name", "example.org", "example.org", ""},
		{"SI-13 spiffe:// and a name", "spiffe://example.org", "example.org", ""},
		{"SI-13 a path", "spiffe://example.org/x", "", "SI-13"},
		{"SI-13 a name and a path", "example.org/x", "", "SI-13"},
		{"SI-13 a trailing slash", "spiffe://example.org/", "", "SI-13"},
		{"SI-13 another scheme", "https://example.org", "", "SI-13"},
		{"SI-13 the scheme in upper case", "SPIFFE://example.org", "", "SI-13"},
		{"SI-13 the scheme twice", "spiffe://spiffe://example.org", "", "SI-13"},
		{"SI-13 a query", "example.org?", "", "SI-13"},
		{"SI-13 a fragment", "example.org#", "", "SI-13"},
		{"SI-3 nothing", "", "", "SI-3"},
		{"SI-3 the scheme alone", "spiffe://", "", "SI-3"},
		{"SI-3 a port", "example.org:8443", "", "SI-3"},
		{"SI-3 user information", "u@example.org", "", "SI-3"},
		{"SI-4 upper case", "Example.org", "", "SI-4"},
		{"SI-4 a space after it", "example.org ", "", "SI-4"},
		{"SI-6 255 bytes", strings.Repeat("a", 255), strings.Repeat("a", 255), ""},
		{"SI-6 256 bytes", strings.Repeat("a", 256), "", "SI-6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			td, err := strictid.TrustDomain(c.text)
			wantRule(t, err, c.rule)
			if got := td.Name(); got != c.want {
				t.Errorf("the trust domain is %q, want %q", got, c.want)
			}
		})
	}
}

// The rules are walked one by one by the verifier; the first that is broken is
// the one that Parse names.
func TestRulesAndParseAgree(t *testing.T) {
	for _, c := range workloads {
		first := ""
		for _, r := range append(append([]strictid.Rule(nil), strictid.Rules...), strictid.PathRule) {
			what := r.Broken(strictid.Cut(c.id))
			if again := r.Broken(strictid.Cut(c.id)); again != what {
				t.Errorf("%s: %s says %q, then %q", c.name, r.ID, what, again)
			}
			if what != "" && first == "" {
				first = r.ID
			}
		}
		if first != c.rule {
			t.Errorf("%s: the rules one by one say %q, Workload says %q", c.name, first, c.rule)
		}
	}
}

// go-spiffe can be built with a lax set of characters, which must stay off.
func TestStrictBuild(t *testing.T) {
	for _, s := range []string{"spiffe://example.org/a~", "spiffe://example.org/a!b", "spiffe://ex!ample/a"} {
		if id, err := spiffeid.FromString(s); err == nil {
			t.Errorf("SI-15 go-spiffe takes %q: built with spiffeid_charset_backcompat", id)
		}
	}
}

func TestFaultRepeatsNoInput(t *testing.T) {
	for _, c := range workloads {
		if c.rule == "" || len(c.id) < 24 {
			continue
		}
		if _, err := strictid.Workload(c.id); strings.Contains(fmt.Sprint(err), c.id) {
			t.Errorf("%s: the error repeats the identifier", c.name)
		}
	}
}

// What is accepted keeps its bytes and is what go-spiffe accepts, too.
func FuzzParse(f *testing.F) {
	for _, c := range workloads {
		f.Add(c.id)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := strictid.Parse(s)
		again, err2 := strictid.Parse(s)
		if id != again || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("two answers: %q, %v and %q, %v", id, err, again, err2)
		}
		if err != nil {
			if _, ok := errors.AsType[*strictid.Fault](err); !ok {
				t.Fatalf("not a *Fault: %v", err)
			}
			return
		}
		if id.String() != s {
			t.Fatalf("rewritten: %q became %q", s, id)
		}
		other, err := spiffeid.FromString(s)
		if err != nil || other != id {
			t.Fatalf("go-spiffe says %q, %v", other, err)
		}
	})
}
