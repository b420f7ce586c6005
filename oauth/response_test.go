package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// AU-2: a response prints and logs without its token, and is sent with it.
func TestTokenResponseHidesItsToken(t *testing.T) {
	r := TokenResponse{AccessToken: "canary-token", TokenType: TokenTypeBearer, ExpiresIn: 300, Scope: "read"}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+verb+verb, r, &r, r.AccessToken)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "r", r, "t", r.AccessToken)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "r", r, "t", r.AccessToken)
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) {
		t.Error(out.String())
	}
	if !strings.Contains(out.String(), `"read"`) || !strings.Contains(out.String(), "300 s") {
		t.Errorf("nothing is said: %s", out.String())
	}
	if sent, err := json.Marshal(r); err != nil || !strings.Contains(string(sent), `"access_token":"canary-token"`) {
		t.Errorf("%s, %v", sent, err)
	}
}
