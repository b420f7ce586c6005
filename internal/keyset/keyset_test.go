package keyset

import (
	"strings"
	"testing"
)

// one is the entry that a set of one entry gives.
func one(t *testing.T, raw string) string {
	t.Helper()
	entries, err := Entries([]byte(`{"keys":[`+raw+`]}`), 1)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%s: %d entries, %v", raw, len(entries), err)
	}
	return string(entries[0])
}

// F6 BU-4: values go through byte for byte, and what was left out is told under the name
// that the publisher gave it.
func TestEntries(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{`{}`, `{"use":"jwt-svid"}`},
		{`{ "kid" : "\u0061\/" , "n" : 1.50e+1 }`, `{"use":"jwt-svid","kid":"\u0061\/","n":1.50e+1}`},
		{`{"a":{"b": [ ]},"\u0075se":"s\u0069g"}`, `{"use":"jwt-svid","a":{"b": [ ]}}`},
		{`{"use":"x509-svid","x5c":[]}`, `{"use":"x509-svid in a JWK Set","x5c":[]}`},
		{`{"use":"wit-\u0073vid"}`, `{"use":"wit-svid in a JWK Set"}`},
		{`{"use":"enc"}`, `{"use":"enc"}`},
		{`{"use":{"use":"sig"}}`, `{"use":{"use":"sig"}}`},
		{`{"USE":"enc","a":"\""}`, `{"use":"jwt-svid","USE":"enc","a":"\""}`},
		{`null`, `null`},
	} {
		if got := one(t, tt.raw); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.raw, got, tt.want)
		}
	}
}

func TestEntriesRefused(t *testing.T) {
	for _, tt := range []struct{ set, want string }{
		{`{"keys":[{},{}]}`, ""},
		{``, "BU-1"}, {`[]`, "BU-1"}, {`{"keys":[],"keys":[]}`, "BU-1"},
		{`{}`, "BU-2"}, {`{"keys":{}}`, "BU-2"}, {`{"keys":null}`, "BU-2"},
		{`{"keys":[{},{},{}]}`, "FX-1"},
	} {
		entries, err := Entries([]byte(tt.set), 2)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || entries != nil) {
			t.Errorf("%s: %d entries, %v", tt.set, len(entries), err)
		}
	}
}
