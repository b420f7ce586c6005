package vectors

import (
	"fmt"
	"strings"
)

func writeJSON(w *writer) {
	w.family("strict-json", "Whether bytes are a JSON object, by the strict rules that hold for headers and claims of a JWT and for bundle documents.")
	type in struct {
		Text   string `json:"text,omitempty"`
		Base64 []byte `json:"base64,omitempty"`
	}
	bad := func(name, about, text string) {
		w.bad(name, about, in{Text: text}, expectation{}, "GL-11", "JS-20", "BU-1")
	}
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	members := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"%d":1`, i))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	w.good("object", "an object with a value of every kind", in{Text: ` {"a":[1,-0.5e+1,true,false,null,"x\u00e9\n"],"b":{}} `}, expectation{}, "GL-11")
	bad("twice", "a name twice", `{"a":1,"a":2}`)
	bad("twice-escaped", "a name twice, once in another spelling", `{"a":1,"\u0061":2}`)
	bad("twice-deep", "a name twice, below", `{"x":[{"a":1,"a":2}]}`)
	bad("array", "an array", `[]`)
	bad("empty", "nothing", ` `)
	bad("two-objects", "a second object", `{}{}`)
	bad("open", "no end", `{"a":1`)
	bad("comma-missing", "no comma between members", `{"a":1 "b":2}`)
	bad("comma-at-end", "a comma after the last member", `{"a":1,}`)
	bad("colon-missing", "no colon", `{"a" 1}`)
	bad("name-bare", "a name without quotes", `{a:1}`)
	bad("value-missing", "no value", `{"a":}`)
	bad("array-comma-missing", "no comma in an array", `{"a":[1 2]}`)
	bad("array-comma-at-end", "a comma after the last element", `{"a":[1,]}`)
	bad("array-open", "an array without an end", `{"a":[1}`)
	bad("word", "a word that is none", `{"a":nil}`)
	bad("word-python", "the word of another language", `{"a":True}`)
	bad("number-zero", "a leading zero", `{"a":01}`)
	bad("number-plus", "a plus sign", `{"a":+1}`)
	bad("number-minus", "a minus sign alone", `{"a":-}`)
	bad("number-dot", "no digit after the dot", `{"a":1.}`)
	bad("number-exponent", "no digit in the exponent", `{"a":1e}`)
	bad("number-hex", "a hexadecimal number", `{"a":0x10}`)
	bad("comment", "a comment", `{"a":1/**/}`)
	bad("control-character", "a line break in a string", "{\"a\":\"x\ny\"}")
	bad("escape", "an escape that is none", `{"a":"\x41"}`)
	bad("escape-short", "an escape that is too short", `{"a":"\u12"}`)
	bad("surrogate-half", "half of a pair", `{"a":"\ud83d"}`)
	bad("surrogate-turned", "the second half first", `{"a":"\ude00\ud83d"}`)
	bad("string-open", "a string without an end", `{"a":"x}`)
	bad("quotes-single", "other quotes", `{'a':1}`)
	bad("mark", "a byte order mark", "\ufeff{}")
	w.bad("not-utf8", "a byte that is no UTF-8", in{Base64: []byte("{\"a\":\"\xff\"}")}, expectation{}, "GL-11", "JS-20", "BU-1")
	w.bad("surrogate-utf8", "a surrogate in UTF-8", in{Base64: []byte("{\"a\":\"\xed\xa0\x80\"}")}, expectation{}, "GL-11", "JS-20", "BU-1")

	w.good("deepest", "16 levels", in{Text: `{"a":` + nested(15) + `}`}, expectation{}, "GL-11")
	bad("too-deep", "17 levels", `{"a":`+nested(16)+`}`)
	bad("too-deep-objects", "17 levels of objects", strings.Repeat(`{"a":`, 17)+"1"+strings.Repeat("}", 17))
	w.good("most-members", "2000 members", in{Text: members(2000)}, expectation{})
	bad("too-many-members", "2001 members", members(2001))
}
