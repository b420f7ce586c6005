package tokenrequest

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzForm: a body is read as the standard library reads it, and refused when and
// only when that refuses it.
func FuzzForm(f *testing.F) {
	for _, body := range []string{
		"", "&", "&&", "a", "a=", "=a", "=", "a=b=c", "a&b", "a=1&a=2", "a=%41&%41=b", "a=+%2B", "a=%", "a=%4", "a=%zz", "a;b=c", "a=b;c", "%3B=a", "a=\xff", "b=1&a=2&b=3",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseForm(body)
		want, wantErr := url.ParseQuery(body)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, the standard library %v", body, err, wantErr)
		}
		if err != nil {
			return
		}
		values := url.Values{}
		for _, p := range got {
			values.Add(p.name, p.value)
		}
		if !maps.EqualFunc(values, want, slices.Equal) {
			t.Fatalf("%q: %v, the standard library %v", body, values, want)
		}
		for name := range want {
			if got.get(name) != want.Get(name) || got.count(name) != len(want[name]) {
				t.Fatalf("%q: %q is %q, %d times", body, name, got.get(name), got.count(name))
			}
		}
		name, times := got.repeated()
		for other, values := range want {
			if len(values) > 1 && !slices.Contains(repeatable, other) && (times == 0 || other < name) {
				t.Fatalf("GL-4 %q: %q stands %d times, told is %q", body, other, len(values), name)
			}
		}
		if times > 0 && times != len(want[name]) {
			t.Fatalf("GL-4 %q: %q stands %d times, told is %d", body, name, len(want[name]), times)
		}
	})
}

// GL-4 GL-8 A body full of parameters is searched as quickly as one with few.
func TestRepeatedAmongMany(t *testing.T) {
	var many strings.Builder
	for i := range 9_000 {
		many.WriteString("&x")
		many.WriteString(strings.Repeat("y", i%3))
		many.WriteString(string(rune('a' + i%26)))
		many.WriteString(url.QueryEscape(string(rune(0x4e00 + i))))
	}
	once, err := parseForm(many.String() + "&scope=a&resource=b&resource=c")
	if err != nil {
		t.Fatal(err)
	}
	if name, times := once.repeated(); times != 0 {
		t.Errorf("%q stands %d times", name, times)
	}
	twice, err := parseForm(many.String() + "&scope=a&scope=b&scope=c")
	if err != nil {
		t.Fatal(err)
	}
	if name, times := twice.repeated(); name != "scope" || times != 3 {
		t.Errorf("%q stands %d times", name, times)
	}
}

// AK-18 Nobody's word on a length makes much memory ready; what comes does.
func TestRoomForABody(t *testing.T) {
	for _, row := range []struct {
		length int64
		most   int
	}{{-1, 512}, {0, 512}, {1200, 1712}, {usualBody, usualBody + 512}, {MaxBody, usualBody + 512}, {1 << 60, usualBody + 512}} {
		if room := roomFor(row.length); room > row.most || row.length <= usualBody && room < int(row.length) {
			t.Errorf("%d bytes make room for %d", row.length, room)
		}
	}
}
