package strictjson_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/strictjson"
)

func nested(open, inner, shut string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
}

// membersText is an object of n members with different names.
func membersText(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"m%d":%d`, i, i)
	}
	b.WriteByte('}')
	return b.String()
}

func TestObject(t *testing.T) {
	const bom = "\xef\xbb\xbf"
	for _, c := range []struct {
		name string
		text string
		want string // in the error; empty: accepted
	}{
		{"RFC 8259 an empty object", `{}`, ""},
		{"RFC 8259 every kind of value", `{"a":null,"b":true,"c":false,"d":-1.5e3,"e":"x","f":[],"g":{},"h":[1,"x",null]}`, ""},
		{"RFC 8259 white space everywhere", " \t\r\n{ \"a\" \n:\t[ 1 , 2 ] ,\r\"b\": { } } \n", ""},
		{"RFC 8259 an empty name", `{"":1}`, ""},
		{"RFC 8259 every escape", `{"a":"\"\\\/\b\f\n\r\tAé\u00E9"}`, ""},
		{"RFC 8259 a surrogate pair", `{"a":"\ud83d\ude00"}`, ""},
		{"RFC 8259 a zero character, escaped", `{"a":"\u0000"}`, ""},
		{"RFC 8259 DEL as it is", "{\"a\":\"\x7f\"}", ""},
		{"RFC 8259 the highest character", "{\"a\":\"\U0010ffff\"}", ""},

		{"JS-20 nothing", ``, "not a JSON object"},
		{"JS-20 white space only", ` `, "not a JSON object"},
		{"JS-20 an array", `[]`, "not a JSON object"},
		{"JS-20 a string", `"{}"`, "not a JSON object"},
		{"JS-20 null", `null`, "not a JSON object"},
		{"JS-20 a byte order mark", bom + `{}`, "not a JSON object"},
		{"JS-20 a byte order mark after it", `{}` + bom, "data after the object"},
		{"JS-20 a comment", `/**/{}`, "not a JSON object"},
		{"JS-20 UTF-16", "{\x00}\x00", "byte 1"},
		{"JS-20 a vertical tab as white space", "{\v}", "a member name is missing"},
		{"JS-20 a no-break space", "{\u00a0}", "a member name is missing"},

		{"GL-11 another object after it", `{}{}`, "data after the object"},
		{"GL-11 a brace after it", `{}}`, "data after the object"},
		{"GL-11 a zero byte after it", "{}\x00", "data after the object"},

		{"RFC 8259 cut off", `{"a":1`, "a comma or a closing brace is missing"},
		{"RFC 8259 an open brace alone", `{`, "a member name is missing"},
		{"RFC 8259 a trailing comma", `{"a":1,}`, "a member name is missing"},
		{"RFC 8259 a leading comma", `{,"a":1}`, "a member name is missing"},
		{"RFC 8259 no comma", `{"a":1 "b":2}`, "a comma or a closing brace is missing"},
		{"RFC 8259 no colon", `{"a" 1}`, "a colon is missing"},
		{"RFC 8259 no value", `{"a":}`, "a value is missing"},
		{"RFC 8259 a name without quotes", `{a:1}`, "a member name is missing"},
		{"RFC 8259 a name in single quotes", `{'a':1}`, "a member name is missing"},
		{"RFC 8259 a number as a name", `{1:1}`, "a member name is missing"},
		{"RFC 8259 an array's trailing comma", `{"a":[1,]}`, "a value is missing"},
		{"RFC 8259 an array's lone comma", `{"a":[,]}`, "a value is missing"},
		{"RFC 8259 an array without a comma", `{"a":[1 2]}`, "a comma or a closing bracket is missing"},
		{"RFC 8259 an array that is not closed", `{"a":[1`, "a comma or a closing bracket is missing"},
		{"RFC 8259 an array closed by a brace", `{"a":[1}}`, "a comma or a closing bracket is missing"},
		{"RFC 8259 an object closed by a bracket", `{"a":1]`, "a comma or a closing brace is missing"},

		{"RFC 8259 TRUE", `{"a":TRUE}`, "a value is missing"},
		{"RFC 8259 tru", `{"a":tru}`, "a value is missing"},
		{"RFC 8259 truex", `{"a":truex}`, "a comma"},
		{"RFC 8259 nul at the end", `{"a":nul`, "a value is missing"},
		{"RFC 8259 NaN", `{"a":NaN}`, "a value is missing"},
		{"RFC 8259 Infinity", `{"a":Infinity}`, "a value is missing"},

		{"RFC 8259 a string that is not closed", `{"a":"x}`, "a string is not closed"},
		{"RFC 8259 a string that ends in a backslash", `{"a":"x\`, "a string is not closed"},
		{"RFC 8259 an unknown escape", `{"a":"\x41"}`, "a malformed escape"},
		{"RFC 8259 an escaped single quote", `{"a":"\'"}`, "a malformed escape"},
		{"RFC 8259 \\u with three digits", `{"a":"\u00e"}`, "a malformed escape"},
		{"RFC 8259 \\u with a letter that is no digit", `{"a":"\u00eg"}`, "a malformed escape"},
		{"RFC 8259 \\u with a sign", `{"a":"\u+0e9"}`, "a malformed escape"},
		{"RFC 8259 \\U", `{"a":"\U0041"}`, "a malformed escape"},
		{"RFC 8259 a line break in a string", "{\"a\":\"x\ny\"}", "a control character"},
		{"RFC 8259 a tab in a name", "{\"a\t\":1}", "a control character"},
		{"RFC 8259 a zero byte in a string", "{\"a\":\"\x00\"}", "a control character"},

		{"JS-20 not UTF-8 in a value", "{\"a\":\"\xff\"}", "UTF-8"},
		{"JS-20 not UTF-8 in a name", "{\"\xc3\":1}", "UTF-8"},
		{"JS-20 an overlong slash", "{\"a\":\"\xc0\xaf\"}", "UTF-8"},
		{"JS-20 a surrogate as bytes", "{\"a\":\"\xed\xa0\x80\"}", "UTF-8"},
		{"JS-20 a character beyond the last", "{\"a\":\"\xf4\x90\x80\x80\"}", "UTF-8"},

		{"JS-20 a high surrogate alone", `{"a":"\ud83d"}`, "surrogate"},
		{"JS-20 a low surrogate alone", `{"a":"\ude00"}`, "surrogate"},
		{"JS-20 two high surrogates", `{"a":"\ud83d\ud83d"}`, "surrogate"},
		{"JS-20 a pair in the wrong order", `{"a":"\ude00\ud83d"}`, "surrogate"},
		{"JS-20 a high surrogate and a letter", `{"a":"\ud83d\u0041"}`, "surrogate"},
		{"JS-20 a high surrogate and another escape", `{"a":"\ud83d\n"}`, "surrogate"},
		{"JS-20 a high surrogate in a name", `{"\ud83d":1}`, "surrogate"},

		{"GL-11 sixteen deep", nested(`{"a":`, `{}`, `}`, 15), ""},
		{"GL-11 seventeen deep", nested(`{"a":`, `{}`, `}`, 16), "more than 16 deep"},
		{"GL-11 sixteen deep with arrays", `{"a":` + nested(`[`, `1`, `]`, 15) + `}`, ""},
		{"GL-11 seventeen deep with arrays", `{"a":` + nested(`[`, `1`, `]`, 16) + `}`, "more than 16 deep"},
		{"GL-11 sixteen deep in both ways", `{"a":` + nested(`[{"b":`, `1`, `}]`, 7) + `}`, ""},
		{"GL-11 fifteen deep and an array more", `{"a":` + nested(`[{"b":`, `[]`, `}]`, 7) + `}`, ""},
		{"GL-11 a hundred thousand deep", `{"a":` + strings.Repeat(`[`, 100000), "more than 16 deep"},

		{"GL-11 33 members", membersText(33), ""},
		{"GL-11 2000 members", membersText(2000), ""},
		{"GL-11 2001 members", membersText(2001), "more than 2000 members"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := strictjson.Object([]byte(c.text))
			wantError(t, err, c.want)
		})
	}
}

// wantError fails unless the error has the text in it, or unless there is none
// when the text is empty.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}

// Each row beside a twin with names that differ in a way that counts.
func TestDuplicates(t *testing.T) {
	const twice = "a member name appears twice"
	late := strings.TrimSuffix(membersText(40), "}")
	for _, c := range []struct {
		name string
		text string
		want string
	}{
		{"JS-20 two sub", `{"sub":"a","sub":"b"}`, twice},
		{"JS-20 two sub with the same value", `{"sub":"a","sub":"a"}`, twice},
		{"JS-20 sub and its escaped spelling", `{"sub":"a","\u0073ub":"b"}`, twice},
		{"JS-20 the escaped spelling first", `{"\u0073ub":"a","sub":"b"}`, twice},
		{"JS-20 a slash and its two escapes", `{"a/b":1,"a\/b":2}`, twice},
		{"JS-20 a character and its surrogate pair", `{"` + "\U0001f600" + `":1,"\ud83d\ude00":2}`, twice},
		{"JS-20 two empty names", `{"":1,"":2}`, twice},
		{"JS-20 with others between", `{"sub":1,"b":2,"c":3,"sub":4}`, twice},
		{"JS-20 in an inner object", `{"a":{"b":1,"b":2}}`, twice},
		{"JS-20 in an object in an array", `{"a":[{"b":1},{"b":1,"b":2}]}`, twice},
		{"JS-20 sixteen deep", nested(`{"a":`, `{"b":1,"b":2}`, `}`, 15), twice},
		{"JS-20 the first again as the 41st", late + `,"m0":1}`, twice},
		{"JS-20 the 40th again as the 41st", late + `,"m39":1}`, twice},
		{"JS-20 the 33rd again as the 41st", late + `,"m32":1}`, twice},
		{"JS-20 the 32nd again as the 33rd", strings.TrimSuffix(membersText(32), "}") + `,"m31":1}`, twice},

		{"GL-11 sub and SUB are two names", `{"sub":"a","SUB":"b"}`, ""},
		{"GL-11 a letter that folds to another", `{"k":1,"` + "\u212a" + `":2}`, ""},
		{"GL-11 composed and decomposed", `{"` + "\u00e9" + `":1,"e` + "\u0301" + `":2}`, ""},
		{"GL-11 a space more", `{"sub":1,"sub ":2}`, ""},
		{"GL-11 the same name in an inner and an outer object", `{"a":{"a":{"a":1}}}`, ""},
		{"GL-11 the same name in neighbours", `{"x":[{"b":1},{"b":2}],"y":{"b":3}}`, ""},
		{"GL-11 41 names", late + `,"m40":1}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := strictjson.Object([]byte(c.text))
			wantError(t, err, c.want)
		})
	}
}

func TestNumbersInObjects(t *testing.T) {
	for text, good := range map[string]bool{
		"0": true, "-0": true, "1": true, "-1": true, "10": true, "0.0": true, "0.5": true, "1.50": true,
		"1e5": true, "1E5": true, "1e+5": true, "1e-5": true, "0e0": true, "-0.0e-0": true,
		"123456789012345678901234567890": true, "1e400": true,

		"": false, "-": false, "+1": false, "--1": false, "01": false, "-01": false, "00": false,
		".5": false, "1.": false, "1.e5": false, "-.5": false, "1e": false, "1e+": false, "1.5.5": false,
		"0x10": false, "1_000": false, "1,5": false, "1 0": false, "1f": false, "\uff11": false,
	} {
		_, err := strictjson.Object([]byte(`{"a":` + text + `}`))
		if (err == nil) != good {
			t.Errorf("RFC 8259 the number %q: %v", text, err)
		}
	}
}

func TestErrorsRepeatNoInput(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldA"
	for _, text := range []string{
		`{"` + secret + `":1,"` + secret + `":2}`, `{"a":"` + secret, `{"a":` + secret + `}`,
		secret, `{} ` + secret, `{"a":"` + secret + `\x"}`, `{"a":"` + secret + "\xff\"}",
	} {
		if _, err := strictjson.Object([]byte(text)); err == nil || strings.Contains(err.Error(), secret[:6]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
