package strictjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/svidgate/svidgate/internal/strictjson"
)

// The standard decoder is the second opinion, in both directions: what we accept
// it reads in the same way, and what it accepts we refuse for a known reason
// only.
func FuzzObject(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":1}`, `{"a":"\u0073\ud83d\ude00\n\/"}`, `{"a":{"b":[1,"x",null,true,-1.5e-3]}}`,
		`{"sub":1,"\u0073ub":2}`, `{"a":"\ud83d"}`, `{"a":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}`, "{\"a\":\"\xff\"}",
		`{"aud":"a","AUD":"b"}`, `[{}]`, `{} x`, `{"a":01}`, `{"a":1e999}`, membersText(40), "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		members, err := strictjson.Object(data)
		_, again := strictjson.Object(data)
		if !bytes.Equal(before, data) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if again == nil || again.Error() != err.Error() {
				t.Fatalf("two answers: %v and %v", err, again)
			}
			if json.Valid(data) && !forAReason(data) {
				t.Fatalf("refused without need: %v", err)
			}
			return
		}
		var theirs map[string]json.RawMessage
		if !json.Valid(data) || json.Unmarshal(data, &theirs) != nil {
			t.Fatal("the standard decoder does not read what was accepted")
		}
		if len(theirs) != len(members) {
			t.Fatalf("%d members, the standard decoder has %d", len(members), len(theirs))
		}
		for _, m := range members {
			raw, ok := theirs[m.Name]
			if !ok || !bytes.Equal(raw, []byte(m.Value)) {
				t.Fatalf("member %q is %s, the standard decoder has %s", m.Name, m.Value, raw)
			}
			sameValue(t, m.Value)
		}
	})
}

// sameValue compares everything a Value answers with the standard decoder.
func sameValue(t *testing.T, v strictjson.Value) {
	t.Helper()
	var theirs any
	decoder := json.NewDecoder(strings.NewReader(string(v)))
	decoder.UseNumber()
	if err := decoder.Decode(&theirs); err != nil {
		t.Fatal(err)
	}
	text, isText := v.Text()
	items, isArray := v.Items()
	_, objectErr := v.Object()
	v.NumericDate()
	switch theirs := theirs.(type) {
	case string:
		if !isText || text != theirs {
			t.Fatalf("%s is %q, the standard decoder has %q", v, text, theirs)
		}
	case []any:
		if !isArray || len(items) != len(theirs) {
			t.Fatalf("%s has %d items, the standard decoder has %d", v, len(items), len(theirs))
		}
		for _, item := range items {
			sameValue(t, item)
		}
	case map[string]any:
		if objectErr != nil {
			t.Fatalf("%s: %v", v, objectErr)
		}
	case json.Number:
		ours, isInt := v.Int64()
		if n, err := theirs.Int64(); (err == nil) != isInt || ours != n {
			t.Fatalf("%s is %d, the standard decoder has %d, %v", v, ours, n, err)
		}
	}
	_, wantText := theirs.(string)
	_, wantArray := theirs.([]any)
	_, wantObject := theirs.(map[string]any)
	if isText != wantText || isArray != wantArray || (objectErr == nil) != wantObject {
		t.Fatalf("%s is taken for another kind", v)
	}
}

// forAReason reports whether valid JSON is something we refuse on purpose.
func forAReason(data []byte) bool {
	if !utf8.Valid(data) || strings.Contains(strings.ToLower(string(data)), `\ud`) {
		return true // a surrogate, perhaps half of a pair
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if first, _ := decoder.Token(); first != json.Delim('{') {
		return true // not an object
	}
	type level struct {
		object bool
		name   bool // the next string is a name
		seen   map[string]bool
	}
	levels := []level{{true, true, map[string]bool{}}}
	for len(levels) > 0 {
		token, err := decoder.Token()
		if err != nil {
			return true
		}
		top := &levels[len(levels)-1]
		if name, ok := token.(string); ok && top.object && top.name {
			if top.seen[name] || len(top.seen) == 2000 {
				return true // twice, or too many
			}
			top.seen[name], top.name = true, false
			continue
		}
		top.name = top.object
		switch token {
		case json.Delim('{'), json.Delim('['):
			object := token == json.Delim('{')
			levels = append(levels, level{object, object, map[string]bool{}})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		if len(levels) > strictjson.MaxDepth {
			return true
		}
	}
	return false
}
