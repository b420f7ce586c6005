package strictjson_test

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svidgate/svidgate/internal/strictjson"
)

func object(t *testing.T, text string) strictjson.Members {
	t.Helper()
	m, err := strictjson.Object([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// value is the member a of {"a":text}.
func value(t *testing.T, text string) strictjson.Value {
	t.Helper()
	v, ok := object(t, `{"a":`+text+`}`).Get("a")
	if !ok {
		t.Fatalf("%s is not a member", text)
	}
	return v
}

func TestMembersKeepTheirOrder(t *testing.T) {
	var names []string
	for _, m := range object(t, ` { "b" : 1 , "\u0061" : 2 , "" : 3 } `) {
		names = append(names, m.Name+"="+string(m.Value))
	}
	if want := []string{"b=1", "a=2", "=3"}; !cmp.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestGetComparesByteForByte(t *testing.T) {
	m := object(t, `{"aud":"a","AUD":"b"}`)
	for name, want := range map[string]string{"aud": `"a"`, "AUD": `"b"`, "Aud": "", "aud ": "", "": ""} {
		if v, ok := m.Get(name); string(v) != want || ok != (want != "") {
			t.Errorf("GL-11 %q: %s, %v", name, v, ok)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`""`, ""},
		{`"abc"`, "abc"},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u0041\u00e9\u20AC"`, "A\u00e9\u20ac"},
		{`"\ud83d\ude00!"`, "\U0001f600!"},
		{`"\u0000"`, "\x00"},
		{`"\\u0041"`, `\u0041`},
		{`"a\\"`, `a\`},
		{"\"\u00e9\U0001f600\"", "\u00e9\U0001f600"},
	} {
		if got, ok := value(t, c.text).Text(); !ok || got != c.want {
			t.Errorf("%s is %q, %v; want %q", c.text, got, ok, c.want)
		}
	}
	for _, text := range []string{"1", "null", "true", "[]", "{}", `["a"]`} {
		if got, ok := value(t, text).Text(); ok || got != "" {
			t.Errorf("%s is the string %q", text, got)
		}
	}
	if _, ok := strictjson.Value("").Text(); ok {
		t.Error("an absent member is a string")
	}
}

func TestTextsAndItems(t *testing.T) {
	for _, c := range []struct {
		text  string
		texts []string
		ok    bool
		items int // -1: not an array
	}{
		{`[]`, []string{}, true, 0},
		{`[ ]`, []string{}, true, 0},
		{`["a"]`, []string{"a"}, true, 1},
		{`[ "a" , "b\"," ]`, []string{"a", `b",`}, true, 2},
		{`["a",1]`, nil, false, 2},
		{`["a",null]`, nil, false, 2},
		{`[["a"]]`, nil, false, 1},
		{`[[1,[2]],{"a":[3]},"x"]`, nil, false, 3},
		{`"a"`, nil, false, -1},
		{`{"0":"a"}`, nil, false, -1},
		{`null`, nil, false, -1},
	} {
		v := value(t, c.text)
		if got, ok := v.Texts(); ok != c.ok || !cmp.Equal(got, c.texts) {
			t.Errorf("%s: texts %q, %v", c.text, got, ok)
		}
		if got, ok := v.Items(); ok != (c.items >= 0) || ok && len(got) != c.items {
			t.Errorf("%s: items %q, %v", c.text, got, ok)
		}
	}
	items, _ := value(t, `[ [1,[2]] , {"a":[3]} , "x" ]`).Items()
	if len(items) != 3 || string(items[0]) != `[1,[2]]` || string(items[1]) != `{"a":[3]}` || string(items[2]) != `"x"` {
		t.Errorf("items %q", items)
	}
	for _, malformed := range []string{"[", "[1", "[1,", `["`} { // never from Object
		if _, ok := strictjson.Value(malformed).Items(); ok {
			t.Errorf("%s is an array", malformed)
		}
	}
}

func TestInnerObject(t *testing.T) {
	m, err := value(t, ` {"b":{"c":"d"}} `).Object()
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := m.Get("b"); !ok || string(b) != `{"c":"d"}` {
		t.Errorf("b is %s", b)
	}
	for _, text := range []string{`[]`, `"{}"`, `null`} {
		if _, err := value(t, text).Object(); err == nil {
			t.Errorf("%s is an object", text)
		}
	}
}

func TestIntegers(t *testing.T) {
	for _, c := range []struct {
		text     string
		signed   int64
		isInt    bool
		unsigned uint64
		isUint   bool
	}{
		{"0", 0, true, 0, true},
		{"7", 7, true, 7, true},
		{"-7", -7, true, 0, false},
		{"9007199254740993", 1<<53 + 1, true, 1<<53 + 1, true}, // BU-13: no float between
		{"9223372036854775807", math.MaxInt64, true, math.MaxInt64, true},
		{"9223372036854775808", 0, false, 1 << 63, true},
		{"18446744073709551615", 0, false, math.MaxUint64, true},
		{"18446744073709551616", 0, false, 0, false},
		{"1.0", 0, false, 0, false},
		{"1e2", 0, false, 0, false},
		{`"7"`, 0, false, 0, false},
		{"true", 0, false, 0, false},
		{"null", 0, false, 0, false},
	} {
		v := value(t, c.text)
		if n, ok := v.Int64(); ok != c.isInt || ok && n != c.signed {
			t.Errorf("%s is the int64 %d, %v", c.text, n, ok)
		}
		if n, ok := v.Uint64(); ok != c.isUint || ok && n != c.unsigned {
			t.Errorf("%s is the uint64 %d, %v", c.text, n, ok)
		}
	}
}

// RFC 7519 4.1.3: one string stands for a list of it.
func TestAudience(t *testing.T) {
	for text, want := range map[string][]string{
		`"a"`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: {}, `""`: {""}, // accepted
		`["a",1]`: nil, `1`: nil, `null`: nil, `{"a":"b"}`: nil,
	} {
		if got, ok := value(t, text).Audience(); ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%s: %q, %t", text, got, ok)
		}
	}
	if _, ok := strictjson.Value("").Audience(); ok {
		t.Error("an absent member is an audience")
	}
}

func TestNumericDate(t *testing.T) {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	for _, c := range []struct {
		name string
		text string
		want time.Time // zero: refused
	}{
		{"JS-9 zero is 1970", "0", time.Unix(0, 0)},
		{"JS-9 a whole number", "1782907200", time.Unix(1782907200, 0)},
		{"JS-9 a fraction", "1782907200.5", time.Unix(1782907200, 5e8)},
		{"JS-9 an exponent", "1e9", time.Unix(1e9, 0)},
		{"JS-9 a fraction of one", "0.25", time.Unix(0, 25e7)},
		{"JS-9 the last second of 9999", strconv.Itoa(last), time.Unix(last, 0)},
		{"JS-9 the second after", strconv.Itoa(last + 1), time.Time{}},
		{"JS-9 half a second after", strconv.Itoa(last) + ".5", time.Time{}},
		{"JS-9 beyond an int64", "9223372036854775808", time.Time{}},
		{"JS-9 beyond a float", "1e400", time.Time{}},
		{"JS-9 huge", "1e300", time.Time{}},
		{"JS-9 negative", "-1", time.Time{}},
		{"JS-9 negative with a fraction", "-0.5", time.Time{}},
		{"JS-9 a string", `"1782907200"`, time.Time{}},
		{"JS-9 null", "null", time.Time{}},
		{"JS-9 true", "true", time.Time{}},
		{"JS-9 an array", "[1782907200]", time.Time{}},
		{"JS-9 an object", "{}", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := value(t, c.text).NumericDate()
			if ok == c.want.IsZero() || !got.Equal(c.want) {
				t.Errorf("got %v, %v; want %v", got, ok, c.want)
			}
		})
	}
	if _, ok := strictjson.Value("").NumericDate(); ok {
		t.Error("JS-9 an absent member is a time")
	}
}
