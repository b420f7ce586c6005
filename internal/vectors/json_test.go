package vectors

import (
	"encoding/json"
	"testing"

	"github.com/svidgate/svidgate/internal/strictjson"
)

// judgeJSON reads a JSON object by the strict rules that hold for everything that
// a stranger sends.
func judgeJSON(t testing.TB, _ *file, input json.RawMessage) expectation {
	var in struct {
		Text   string `json:"text,omitempty"`
		Base64 []byte `json:"base64,omitempty"` // where it is no text
	}
	read(t, input, &in)
	if in.Base64 == nil {
		in.Base64 = []byte(in.Text)
	}
	if _, err := strictjson.Object(in.Base64); err != nil {
		return expectation{Outcome: refused, Rule: "GL-11"}
	}
	return expectation{Outcome: accepted}
}
