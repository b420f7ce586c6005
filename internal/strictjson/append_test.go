package strictjson

import (
	"encoding/json"
	"testing"
)

// FuzzAppendText: what is appended is one JSON string that the standard decoder
// reads as the standard encoder's.
func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", "spiffe://example.org/a", `"`, `\`, "\x00", "\x7f", "é", "\xff", "<&>", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		if err := json.Unmarshal(AppendText(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		standard, _ := json.Marshal(s)
		if err := json.Unmarshal(standard, &want); err != nil || got != want {
			t.Fatalf("%q is read as %q, the standard form as %q, %v", s, got, want, err)
		}
	})
}
