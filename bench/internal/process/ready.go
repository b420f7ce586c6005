package process

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Ready is what a server says when it answers: our "ready" log line, or the line
// "ready ADDRESS" of a program of bench.
type Ready struct{ Msg, Public, MTLS string }

// Parse takes a line and reports whether it is one.
func (r *Ready) Parse(line []byte) bool {
	if address, ok := strings.CutPrefix(string(line), "ready "); ok {
		*r = Ready{"ready", address, address}
		return true
	}
	if !bytes.Contains(line, []byte(`"ready"`)) {
		return false
	}
	return json.Unmarshal(line, r) == nil && r.Msg == "ready"
}
